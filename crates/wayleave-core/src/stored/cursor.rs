//! Cursors of listings that go by age: they name the last row shown, so that pages neither repeat nor lose records.

use std::fmt::Write as _;

use super::Columns;

/// Where a page of records, newest first, ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When the last record was opened, in milliseconds.
    pub created_at: i64,
    /// Its id.
    pub id: [u8; 18],
}

impl Cursor {
    /// Before every row: nothing is created then or later.
    pub const START: Self = Self { created_at: i64::MAX, id: [0; 18] };

    /// Reads what a page before gave; anything else starts over.
    #[must_use]
    pub fn read(after: Option<&str>) -> Self {
        after.and_then(Self::parse).unwrap_or(Self::START)
    }

    /// At this row: also one that cannot be read otherwise has both columns, as the schemas hold them to their form.
    #[must_use]
    pub fn of<'r>(row: impl Columns<'r>) -> Option<Self> {
        Some(Self { created_at: row.number("created_at").ok()?, id: row.bytes("id").ok()? })
    }

    /// The text that a page gives.
    #[must_use]
    pub fn text(&self) -> Box<str> {
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
