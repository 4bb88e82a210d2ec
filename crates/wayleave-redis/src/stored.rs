//! Records as hashes: which field holds what.
//!
//! The first hash of a record, `s:<id>`, holds what scripts judge by and all that is short, so that Redis keeps it in one
//! compact piece of memory; the second, `x:<id>`, what may be long. What is personal is sealed there. Times are decimal
//! milliseconds. A field of a later version is left alone by this one; what this one could not understand bears another
//! number in `v`.

use redis::Value;
use wayleave_core::id::SessionId;
use wayleave_core::ports::{Gone, StoreError};
use wayleave_core::record::Record;
use wayleave_core::refresh::client_tag;
use wayleave_core::stored::{self, Columns, Malformed, Sealing, confirmation_bytes, permissions_text};
use wayleave_core::time::Timestamp;

use crate::error::Refused;
use crate::reply::Reply;

/// The version that this code writes and reads.
const VERSION: &str = "1";

/// What the columns of [`stored::record`] are called here.
const NAMES: [(&str, &str); 30] = [
    ("prefix", "pre"),
    ("slot", "slot"),
    ("family", "fam"),
    ("kind", "kind"),
    ("subject", "subj"),
    ("created_at", "born"),
    ("absolute_expires_at", "abs"),
    ("token", "tok"),
    ("refresh", "refr"),
    ("generation", "gen"),
    ("rotation_predecessor", "pred"),
    ("rotation_at", "rot"),
    ("methods", "meth"),
    ("authenticated_at", "auth"),
    ("level", "lvl"),
    ("epoch", "ep"),
    ("remembered", "rem"),
    ("last_seen_at", "seen"),
    ("idle_expires_at", "idle"),
    ("token_expires_at", "tend"),
    ("expired_at", "exp"),
    ("confirmation", "cnf"),
    ("revision", "rev"),
    // In the second hash.
    ("rotation_client", "rcl"),
    ("rotation_pair", "pair"),
    ("actor", "act"),
    ("permissions", "perm"),
    ("licence", "lic"),
    ("client", "cli"),
    ("context", "ctx"),
];

/// One record as it was read.
pub(crate) struct Fields {
    id: Vec<u8>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Fields {
    /// Reads what the scripts' `answer` gives.
    pub(crate) fn read(reply: Reply) -> Result<Self, StoreError> {
        let [id, first, second] = reply.tuple()?;
        let mut fields = Vec::new();
        for half in [first, second] {
            let mut half = half.list()?.into_iter();
            while let (Some(name), Some(value)) = (half.next(), half.next()) {
                fields.push((name.bytes()?, value.bytes()?));
            }
        }
        Ok(Self { id: id.bytes()?, fields })
    }

    /// The record.
    ///
    /// # Errors
    /// Corrupt when a field is not what it should be, or an envelope does not open here.
    pub(crate) fn record(&self, sealing: &Sealing) -> Result<Record, StoreError> {
        if self.field("v") != Some(VERSION.as_bytes()) {
            return Err(Malformed("version").into());
        }
        stored::record(self, sealing)
    }

    fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(held, _)| held == name.as_bytes()).map(|(_, value)| value.as_slice())
    }
}

impl<'r> Columns<'r> for &'r Fields {
    fn optional_text(self, name: &'static str) -> Result<Option<&'r str>, StoreError> {
        let text = self.optional_blob(name)?.map(std::str::from_utf8).transpose();
        Ok(text.map_err(|_| Malformed(name))?)
    }

    fn optional_blob(self, name: &'static str) -> Result<Option<&'r [u8]>, StoreError> {
        if name == "id" {
            return Ok(Some(&self.id));
        }
        Ok(self.field(NAMES.iter().find(|(column, _)| *column == name).map_or(name, |(_, field)| field)))
    }

    fn optional_integer(self, name: &'static str) -> Result<Option<i64>, StoreError> {
        let number = self.optional_text(name)?.map(str::parse).transpose();
        Ok(number.map_err(|_| Malformed(name))?)
    }

    fn flag(self, name: &'static str) -> Result<bool, StoreError> {
        match self.text(name)? {
            "0" => Ok(false),
            "1" => Ok(true),
            _ => Err(Malformed(name).into()),
        }
    }
}

/// What is left of records that scripts ended. One that cannot be read was ended all the same, and no cache can have
/// held it.
pub(crate) fn gone(reply: Reply) -> Result<Vec<Gone>, StoreError> {
    let mut gone = Vec::new();
    for reply in reply.list()? {
        match one_gone(reply) {
            Ok(one) => gone.push(one),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "ended a session that cannot be read");
            }
        }
    }
    Ok(gone)
}

/// What is left of one record.
pub(crate) fn one_gone(reply: Reply) -> Result<Gone, StoreError> {
    let [id, values @ ..] = reply.tuple::<7>()?;
    let names = ["pre", "slot", "fam", "tok", "kind", "subj"];
    let mut fields = Vec::new();
    for (name, value) in names.into_iter().zip(values) {
        if let Some(value) = value.optional() {
            fields.push((name.as_bytes().to_vec(), value.bytes()?));
        }
    }
    stored::gone(&Fields { id: id.bytes()?, fields })
}

/// Fields to write, and fields to take away, of one hash.
#[derive(Default)]
pub(crate) struct Half {
    pub(crate) set: Vec<Vec<u8>>,
    pub(crate) remove: Vec<Vec<u8>>,
}

impl Half {
    fn put(&mut self, name: &'static str, value: impl Into<Vec<u8>>) {
        self.set.extend([name.into(), value.into()]);
    }

    fn put_or_remove(&mut self, name: &'static str, value: Option<impl Into<Vec<u8>>>) {
        match value {
            Some(value) => self.put(name, value),
            None => self.remove.push(name.into()),
        }
    }
}

/// Both hashes of a record, or those fields of them that change.
#[derive(Default)]
pub(crate) struct Halves {
    pub(crate) first: Half,
    pub(crate) second: Half,
}

impl Halves {
    /// Everything, for a new record.
    pub(crate) fn whole(record: &Record, sealing: &Sealing) -> Result<Self, StoreError> {
        let mut halves = Self::changing(record, sealing)?;
        halves.identity(record)?;
        halves.refresh(record, sealing)?;
        Ok(halves)
    }

    /// What an update may change, but for the times: those are judged by the script.
    pub(crate) fn changing(record: &Record, sealing: &Sealing) -> Result<Self, StoreError> {
        let Record {
            id: _,
            slot: _,
            family: _,
            token: _,
            kind: _,
            subject: _,
            created_at: _,
            absolute_expires_at: _,
            refresh: _,
            last_seen_at: _,
            idle_expires_at: _,
            token_expires_at: _,
            expired_at: _,
            revision: _,
            // Sealed.
            client: _,
            context: _,
            data: _,
            actor,
            permissions,
            authentication,
            epoch,
            remembered,
            licence,
            confirmation,
        } = record;
        let sealed = sealing.seal_record(record)?;
        let Self { mut first, mut second } = Self::default();
        first.put_or_remove("meth", authentication.map(|proof| digits(proof.methods.bits())));
        first.put_or_remove("auth", authentication.map(|proof| millis(proof.at)));
        first.put_or_remove("lvl", authentication.map(|proof| digits(proof.level.number())));
        first.put("ep", integer(*epoch)?);
        first.put("rem", digits(u8::from(*remembered)));
        first.put_or_remove("cnf", confirmation.map(confirmation_bytes));
        second.put_or_remove("act", actor.as_ref().map(|actor| actor.as_str()));
        second.put("perm", permissions_text(permissions));
        second.put_or_remove("lic", licence.as_deref());
        second.put_or_remove("cli", sealed.client);
        second.put_or_remove("ctx", sealed.context);
        second.put_or_remove("data", sealed.data);
        Ok(Self { first, second })
    }

    fn identity(&mut self, record: &Record) -> Result<(), StoreError> {
        let first = &mut self.first;
        first.put("v", VERSION);
        first.put("pre", record.id.prefix().as_str());
        first.put("slot", digits(record.slot.0));
        first.put("fam", record.family.0);
        first.put("kind", record.kind.as_str());
        first.put("tok", record.token.0);
        first.put("born", millis(record.created_at));
        first.put("abs", millis(record.absolute_expires_at));
        first.put("seen", millis(record.last_seen_at));
        first.put("tend", millis(record.token_expires_at));
        first.put("rev", integer(record.revision.0)?);
        first.put_or_remove("subj", record.subject.as_ref().map(|subject| subject.as_str()));
        first.put_or_remove("idle", record.idle_expires_at.map(millis));
        first.put_or_remove("exp", record.expired_at.map(millis));
        Ok(())
    }

    fn refresh(&mut self, record: &Record, sealing: &Sealing) -> Result<(), StoreError> {
        let Self { first, second } = self;
        let Some(refresh) = &record.refresh else {
            return Ok(());
        };
        first.put("refr", refresh.current.0);
        first.put("gen", digits(refresh.generation));
        let Some(last) = &refresh.last else {
            return Ok(());
        };
        first.put("pred", last.predecessor.0);
        first.put("rot", millis(last.at));
        first.put("rtag", client_tag(last.predecessor, last.client));
        second.put_or_remove("rcl", sealing.seal_rotation_client(last.client, last.predecessor)?);
        second.put_or_remove("pair", (!last.sealed_pair.is_empty()).then(|| last.sealed_pair.clone()));
        Ok(())
    }
}

pub(crate) fn digits(number: impl Into<i64>) -> Vec<u8> {
    number.into().to_string().into_bytes()
}

pub(crate) fn millis(at: Timestamp) -> Vec<u8> {
    digits(at.as_millis())
}

/// An optional argument: empty for none.
pub(crate) fn optional(argument: Option<Vec<u8>>) -> Vec<u8> {
    argument.unwrap_or_default()
}

/// A count or an epoch, within what Redis counts.
pub(crate) fn integer(number: u64) -> Result<Vec<u8>, StoreError> {
    i64::try_from(number).map(digits).map_err(|_| Refused::OutOfRange.into())
}

pub(crate) fn id_bytes(id: SessionId) -> Vec<u8> {
    id.bytes().to_vec()
}

/// A reply of [`Value`] as a record; nothing where there is none.
pub(crate) fn optional_record(value: Value, sealing: &Sealing) -> Result<Option<Record>, StoreError> {
    Reply(value).optional().map(|reply| Fields::read(reply)?.record(sealing)).transpose()
}
