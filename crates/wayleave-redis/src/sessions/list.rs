//! `list`: by a cursor that names the last entry shown, so that pages neither repeat nor lose records. A subject's
//! newest first; everybody's cell by cell, newest first in each.

use std::sync::Arc;

use wayleave_core::id::Slot;
use wayleave_core::ports::{Listing, Page, StoreError};
use wayleave_core::record::Record;
use wayleave_core::stored::Cursor;
use wayleave_core::subject::Subject;

use super::everywhere::Limited;
use crate::keys::Place;
use crate::reply::{Reply, report_broken};
use crate::scripts;
use crate::store::RedisStore;
use crate::stored::{Fields, digits};

impl RedisStore {
    pub(super) async fn list_subject(
        &self,
        slot: Slot,
        subject: &Subject,
        listing: &Listing,
    ) -> Result<Page, StoreError> {
        let [born, id] = after(Cursor::read(listing.after.as_deref()));
        let arguments = vec![digits(slot.0), subject.as_str().into(), born, id, digits(most(listing))];
        let answer = self.at(Place::of(slot), &scripts::LIST, arguments).await?;
        let [last, shown, broken] = Reply(answer).tuple()?;
        report_broken(broken)?;
        let next = last.optional().map(cursor).transpose()?.map(|cursor| cursor.text());
        let records = shown.list()?.into_iter().filter_map(|reply| self.readable(reply)).collect();
        Ok(Page { records, next })
    }

    pub(super) async fn list_everybody(&self, listing: &Listing) -> Result<Page, StoreError> {
        let most = usize::try_from(most(listing)).unwrap_or(usize::MAX);
        let (cell, cursor_in_cell) = read_cursor(listing.after.as_deref());
        let [born, id] = after(cursor_in_cell);
        let mut entries = Vec::new();
        for share in self.cells().await? {
            let arguments = vec![most.to_string().into(), digits(cell), born.clone(), id.clone()];
            let answer = self.in_cells(&share, Limited::new(&scripts::LIST_ALL, arguments)).await?;
            let [shown, broken] = answer.tuple()?;
            report_broken(broken)?;
            for entry in shown.list()? {
                let [cell, id, born, record] = entry.tuple()?;
                entries.push((cell.number::<u8>()?, Cursor { created_at: born.digits()?, id: id_of(id)? }, record));
            }
        }
        // Each master gives its own cells in order, and within a cell the order is the one to keep.
        entries.sort_by_key(|(cell, ..)| *cell);
        entries.truncate(most);
        let full = entries.len() >= most;
        let next = entries.last().filter(|_| full).map(|(cell, cursor, _)| format!("{cell:02x}{}", cursor.text()));
        let records = entries.into_iter().filter_map(|(.., record)| self.readable(record.optional()?)).collect();
        Ok(Page { records, next: next.map(Into::into) })
    }

    fn readable(&self, reply: Reply) -> Option<Arc<Record>> {
        let record = Fields::read(reply).and_then(|fields| fields.record(&self.sealing));
        let record = record.inspect_err(|error| {
            tracing::warn!(error = error as &dyn std::error::Error, "left a session out that cannot be read");
        });
        record.ok().map(Arc::new)
    }
}

fn most(listing: &Listing) -> u32 {
    listing.most.clamp(1, 1000)
}

/// Birth and id after which to go on; empty to begin.
fn after(cursor: Cursor) -> [Vec<u8>; 2] {
    if cursor == Cursor::START { [Vec::new(), Vec::new()] } else { [digits(cursor.created_at), cursor.id.to_vec()] }
}

/// The cell, and the entry in it.
fn read_cursor(after: Option<&str>) -> (u8, Cursor) {
    let split = after.and_then(|after| after.split_at_checked(2));
    let read = split.and_then(|(cell, rest)| Some((u8::from_str_radix(cell, 16).ok()?, Cursor::read(Some(rest)))));
    read.filter(|(_, cursor)| *cursor != Cursor::START).unwrap_or((0, Cursor::START))
}

fn cursor(entry: Reply) -> Result<Cursor, StoreError> {
    let [id, born] = entry.tuple()?;
    Ok(Cursor { created_at: born.digits()?, id: id_of(id)? })
}

fn id_of(id: Reply) -> Result<[u8; 18], StoreError> {
    Ok(id.bytes()?.try_into().map_err(|_| wayleave_core::stored::Malformed("id"))?)
}
