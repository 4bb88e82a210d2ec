//! `list`: newest first, by a cursor that names the last row shown, so that pages neither repeat nor lose records.

use sqlx::postgres::PgRow;
use wayleave_core::ports::{Listing, Page};
use wayleave_core::stored::{Cursor, Sealing};

use crate::columns::Columns;
use crate::statement::Statement;
use crate::stored::{record, select_records};

pub(crate) const OF_SUBJECT: &str = select_records!(
    "WHERE subject = $3 AND slot = $4 AND (created_at, id) < ($1, $2) ORDER BY created_at DESC, id DESC LIMIT $5"
);
pub(crate) const OF_EVERYBODY: &str =
    select_records!("WHERE (created_at, id) < ($1, $2) ORDER BY created_at DESC, id DESC LIMIT $3");

/// Asks for one row more than the page holds, which tells whether there is another page.
pub(super) fn statement(listing: &Listing) -> Statement {
    let Listing { subject, after, most: _ } = listing;
    let Cursor { created_at, id } = Cursor::read(after.as_deref());
    let most = i64::from(most(listing)) + 1;
    match subject {
        Some((slot, subject)) => {
            let statement = Statement::new(OF_SUBJECT).bind(created_at).bind(id);
            statement.bind(subject.as_str()).bind(i64::from(slot.0)).bind(most)
        }
        None => Statement::new(OF_EVERYBODY).bind(created_at).bind(id).bind(most),
    }
}

/// The page that the rows make. Those that cannot be read are left out.
pub(super) fn page(rows: &[PgRow], listing: &Listing, sealing: &Sealing) -> Page {
    let shown = usize::try_from(most(listing)).ok().and_then(|most| rows.get(..most)).unwrap_or(rows);
    let mut records = Vec::with_capacity(shown.len());
    for row in shown {
        match record(row, sealing) {
            Ok(record) => records.push(record),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "left a session out that cannot be read");
            }
        }
    }
    let next = match shown.last() {
        Some(last) if shown.len() < rows.len() => Cursor::of(Columns(last)),
        Some(_) | None => None,
    };
    Page { records, next: next.map(|cursor| cursor.text()) }
}

fn most(listing: &Listing) -> u32 {
    listing.most.clamp(1, 1000)
}
