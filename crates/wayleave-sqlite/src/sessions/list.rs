//! `list`: newest first, by a cursor that names the last row shown, so that pages neither repeat nor lose records.

use std::fmt::Write as _;
use std::sync::Arc;

use sqlx::sqlite::SqliteRow;
use wayleave_core::ports::{Listing, Page};

use crate::columns::Columns;
use crate::sealing::Sealing;
use crate::store::Query;
use crate::stored::{decode, select_records};

pub(crate) const OF_SUBJECT: &str = select_records!(
    "WHERE subject = ?3 AND slot = ?4 AND (created_at, id) < (?1, ?2) ORDER BY created_at DESC, id DESC LIMIT ?5"
);
pub(crate) const OF_EVERYBODY: &str =
    select_records!("WHERE (created_at, id) < (?1, ?2) ORDER BY created_at DESC, id DESC LIMIT ?3");

/// Asks for one row more than the page holds, which tells whether there is another page.
pub(super) fn statement(listing: &Listing) -> Query {
    let Listing { subject, after, most: _ } = listing;
    let Cursor { created_at, id } = after.as_deref().and_then(Cursor::parse).unwrap_or(Cursor::START);
    let most = i64::from(most(listing)) + 1;
    match subject {
        Some((slot, subject)) => {
            sqlx::query(OF_SUBJECT).bind(created_at).bind(id.to_vec()).bind(subject.as_str()).bind(slot.0).bind(most)
        }
        None => sqlx::query(OF_EVERYBODY).bind(created_at).bind(id.to_vec()).bind(most),
    }
}

/// The page that the rows make. Those that cannot be read are left out.
pub(super) fn page(rows: &[SqliteRow], listing: &Listing, sealing: &Sealing) -> Page {
    let shown = usize::try_from(most(listing)).ok().and_then(|most| rows.get(..most)).unwrap_or(rows);
    let mut records = Vec::with_capacity(shown.len());
    for row in shown {
        match decode(row, sealing) {
            Ok(record) => records.push(Arc::new(record)),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "left a session out that cannot be read");
            }
        }
    }
    let next = match shown.last() {
        Some(last) if shown.len() < rows.len() => Cursor::of(last),
        Some(_) | None => None,
    };
    Page { records, next: next.map(|cursor| cursor.text()) }
}

fn most(listing: &Listing) -> u32 {
    listing.most.clamp(1, 1000)
}

/// Where a page ended.
struct Cursor {
    created_at: i64,
    id: [u8; 18],
}

impl Cursor {
    /// Before every row: nothing is created then or later.
    const START: Self = Self { created_at: i64::MAX, id: [0; 18] };

    fn of(row: &SqliteRow) -> Option<Self> {
        let row = Columns(row);
        // The schema holds both to their form, so also a row that cannot be read otherwise has them.
        Some(Self { created_at: row.number("created_at").ok()?, id: row.bytes("id").ok()? })
    }

    fn text(&self) -> Box<str> {
        let mut text = format!("{:016x}", self.created_at);
        for byte in self.id {
            // Writing to a string does not fail.
            write!(text, "{byte:02x}").ok();
        }
        text.into()
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() != 16 + 36 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let (created_at, rest) = text.split_at_checked(16)?;
        let mut id = [0; 18];
        for (at, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(rest.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Self { created_at: i64::from_str_radix(created_at, 16).ok()?, id })
    }
}
