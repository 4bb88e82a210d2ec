//! The audit log. Rows are added, read, and never changed.

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use wayleave_core::ports::{AuditLog, AuditQuery, AuditRow, ChainLink, MAX_AUDIT_DETAIL, StoreError};
use wayleave_core::stored::{self, Columns as _};

use crate::columns::{Columns, integer};
use crate::error::{Refused, failed};
use crate::store::SqliteStore;
use crate::writer::Write;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT number, node, sequence, mac, at, event, session, subject, actor, source, reason, request, count, \
             detail FROM audit ",
            $rest
        )
    };
}

pub(crate) const HEAD: &str = "SELECT sequence, mac FROM audit WHERE node = ?1 ORDER BY sequence DESC LIMIT 1";
// A step through the index for each node, where DISTINCT would read all of it.
const NODES: &str = "WITH RECURSIVE nodes (node) AS (SELECT min(node) FROM audit UNION ALL \
     SELECT (SELECT min(node) FROM audit WHERE node > nodes.node) FROM nodes WHERE nodes.node IS NOT NULL) \
     SELECT node FROM nodes WHERE node IS NOT NULL";
pub(crate) const CHAIN: &str = select!("WHERE node = ?1 AND sequence >= ?2 ORDER BY sequence LIMIT ?3");
const QUERY: &str = select!("WHERE number < ");
const INSERT: &str = "INSERT INTO audit (node, sequence, mac, at, event, session, subject, actor, source, reason, \
     request, count, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
     ON CONFLICT (node, sequence) DO NOTHING";

#[async_trait]
impl AuditLog for SqliteStore {
    async fn append(&self, rows: &[AuditRow]) -> Result<(), StoreError> {
        let Some(first) = rows.first() else {
            return Ok(());
        };
        if rows.iter().any(|row| row.node != first.node) {
            return Err(Refused::SeveralNodes.into());
        }
        if rows.iter().any(|row| row.detail.as_ref().is_some_and(|detail| detail.len() > MAX_AUDIT_DETAIL)) {
            return Err(StoreError::Full);
        }
        self.write(Append(rows.into())).await
    }

    async fn head(&self, node: &str) -> Result<Option<ChainLink>, StoreError> {
        let row = self.read_one(sqlx::query(HEAD).bind(node)).await?;
        row.map(|row| stored::chain_link(Columns(&row))).transpose()
    }

    async fn nodes(&self) -> Result<Vec<Box<str>>, StoreError> {
        let rows = self.read_all(sqlx::query(NODES)).await?;
        rows.iter().map(|row| Ok(Columns(row).text("node")?.into())).collect()
    }

    async fn chain(&self, node: &str, from: u64, most: u32) -> Result<Vec<AuditRow>, StoreError> {
        let Ok(from) = i64::try_from(from) else {
            return Ok(Vec::new());
        };
        let query = sqlx::query(CHAIN).bind(node).bind(from).bind(most.clamp(1, 1000));
        self.read_all(query).await?.iter().map(|row| stored::audit_row(Columns(row))).collect()
    }

    async fn query(&self, query: &AuditQuery) -> Result<(Vec<AuditRow>, Option<u64>), StoreError> {
        let most = query.most.clamp(1, 1000);
        let mut statement = statement(query, most);
        let rows = statement.build().fetch_all(&self.readers).await.map_err(failed)?;
        let shown = rows.get(..usize::try_from(most).unwrap_or(usize::MAX)).unwrap_or(&rows);
        let next = match shown.last() {
            Some(last) if shown.len() < rows.len() => Some(Columns(last).number("number")?),
            Some(_) | None => None,
        };
        Ok((shown.iter().map(|row| stored::audit_row(Columns(row))).collect::<Result<_, _>>()?, next))
    }
}

/// Asks for one row more than `most`, which tells whether there is another page.
pub(crate) fn statement(query: &AuditQuery, most: u32) -> QueryBuilder<Sqlite> {
    let AuditQuery { node, event, subject, since, before, most: _ } = query;
    let mut statement = QueryBuilder::new(QUERY);
    statement.push_bind(before.map_or(i64::MAX, |before| i64::try_from(before).unwrap_or(i64::MAX)));
    if let Some(node) = node {
        statement.push(" AND node = ").push_bind(node.to_string());
    }
    if let Some(event) = event {
        match event.strip_suffix('.') {
            // `/` follows `.` in ASCII: everything that begins with the prefix lies between the two.
            Some(stem) => {
                statement.push(" AND event >= ").push_bind(event.to_string());
                statement.push(" AND event < ").push_bind(format!("{stem}/"));
            }
            None => {
                statement.push(" AND event = ").push_bind(event.to_string());
            }
        }
    }
    if let Some(subject) = subject {
        statement.push(" AND subject = ").push_bind(subject.to_string());
    }
    if let Some(since) = since {
        statement.push(" AND at >= ").push_bind(since.as_millis());
    }
    statement.push(" ORDER BY number DESC LIMIT ").push_bind(i64::from(most) + 1);
    statement
}

struct Append(Vec<AuditRow>);

#[async_trait]
impl Write for Append {
    type Output = ();

    async fn run(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        for row in &self.0 {
            let AuditRow {
                node,
                link: ChainLink { sequence, mac },
                at,
                event,
                session,
                subject,
                actor,
                source,
                reason,
                request,
                count,
                detail,
            } = row;
            let insert = sqlx::query(INSERT)
                .bind(node.as_ref())
                .bind(integer(*sequence)?)
                .bind(mac.to_vec())
                .bind(at.as_millis())
                .bind(event.as_ref())
                .bind(session.as_deref())
                .bind(subject.as_deref())
                .bind(actor.as_deref())
                .bind(source.as_deref())
                .bind(reason.as_deref())
                .bind(request.as_deref())
                .bind(*count)
                .bind(detail.as_deref());
            if insert.execute(&mut *connection).await.map_err(failed)?.rows_affected() == 0 {
                return Err(Refused::SequenceExists.into());
            }
        }
        Ok(())
    }
}
