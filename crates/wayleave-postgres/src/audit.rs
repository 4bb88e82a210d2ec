//! The audit log. Rows are added, read, and never changed.

use async_trait::async_trait;
use sqlx::{Postgres, QueryBuilder};
use wayleave_core::ports::{AuditLog, AuditQuery, AuditRow, ChainLink, MAX_AUDIT_DETAIL, StoreError};
use wayleave_core::stored::{self, Columns as _};

use crate::columns::{Columns, integer, is_text};
use crate::error::{Refused, failed, is_duplicate};
use crate::statement::Statement;
use crate::store::PostgresStore;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT number, node, sequence, mac, at, event, session, subject, actor, source, reason, request, count, \
             detail FROM audit ",
            $rest
        )
    };
}

pub(crate) const HEAD: &str = "SELECT sequence, mac FROM audit WHERE node = $1 ORDER BY sequence DESC LIMIT 1";
// A step through the index for each node, where DISTINCT would read all of it.
const NODES: &str = "WITH RECURSIVE nodes (node) AS (SELECT min(node) FROM audit UNION ALL \
     SELECT (SELECT min(node) FROM audit WHERE node > nodes.node) FROM nodes WHERE nodes.node IS NOT NULL) \
     SELECT node FROM nodes WHERE node IS NOT NULL";
pub(crate) const CHAIN: &str = select!("WHERE node = $1 AND sequence >= $2 ORDER BY sequence LIMIT $3");
const QUERY: &str = select!("WHERE number < ");
// All or none: a number that exists fails the statement.
const APPEND: &str = "INSERT INTO audit (node, sequence, mac, at, event, session, subject, actor, source, reason, \
     request, count, detail) SELECT $1, * FROM unnest($2::BIGINT[], $3::BYTEA[], $4::BIGINT[], $5::TEXT[], \
     $6::TEXT[], $7::TEXT[], $8::TEXT[], $9::TEXT[], $10::TEXT[], $11::TEXT[], $12::BIGINT[], $13::TEXT[])";

#[async_trait]
impl AuditLog for PostgresStore {
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
        match self.try_write(&append(&first.node, rows)?).await? {
            Ok(_) => Ok(()),
            Err(error) if is_duplicate(&error) => Err(Refused::SequenceExists.into()),
            Err(error) => Err(failed(error)),
        }
    }

    async fn head(&self, node: &str) -> Result<Option<ChainLink>, StoreError> {
        if !is_text(node) {
            return Ok(None);
        }
        let row = self.read_one(&Statement::new(HEAD).bind(node)).await?;
        row.map(|row| stored::chain_link(Columns(&row))).transpose()
    }

    async fn nodes(&self) -> Result<Vec<Box<str>>, StoreError> {
        let rows = self.read(&Statement::new(NODES)).await?;
        rows.iter().map(|row| Ok(Columns(row).text("node")?.into())).collect()
    }

    async fn chain(&self, node: &str, from: u64, most: u32) -> Result<Vec<AuditRow>, StoreError> {
        let Ok(from) = i64::try_from(from) else {
            return Ok(Vec::new());
        };
        if !is_text(node) {
            return Ok(Vec::new());
        }
        let chain = Statement::new(CHAIN).bind(node).bind(from).bind(i64::from(most.clamp(1, 1000)));
        self.read(&chain).await?.iter().map(|row| stored::audit_row(Columns(row))).collect()
    }

    async fn query(&self, query: &AuditQuery) -> Result<(Vec<AuditRow>, Option<u64>), StoreError> {
        let filters = [&query.node, &query.event, &query.subject];
        if filters.into_iter().flatten().any(|text| !is_text(text)) {
            return Ok((Vec::new(), None));
        }
        let most = query.most.clamp(1, 1000);
        let rows = self.read(&Statement::built(statement(query, most))).await?;
        let shown = rows.get(..usize::try_from(most).unwrap_or(usize::MAX)).unwrap_or(&rows);
        let next = match shown.last() {
            Some(last) if shown.len() < rows.len() => Some(Columns(last).number("number")?),
            Some(_) | None => None,
        };
        Ok((shown.iter().map(|row| stored::audit_row(Columns(row))).collect::<Result<_, _>>()?, next))
    }
}

/// Asks for one row more than `most`, which tells whether there is another page.
pub(crate) fn statement(query: &AuditQuery, most: u32) -> QueryBuilder<Postgres> {
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

fn append(node: &str, rows: &[AuditRow]) -> Result<Statement, StoreError> {
    let text =
        |of: fn(&AuditRow) -> Option<&str>| rows.iter().map(|row| of(row).map(str::to_owned)).collect::<Vec<_>>();
    let sequences = rows.iter().map(|row| integer(row.link.sequence)).collect::<Result<Vec<_>, _>>()?;
    Ok(Statement::new(APPEND)
        .bind(node)
        .bind(sequences)
        .bind(rows.iter().map(|row| row.link.mac.to_vec()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.at.as_millis()).collect::<Vec<_>>())
        .bind(text(|row| Some(&row.event)))
        .bind(text(|row| row.session.as_deref()))
        .bind(text(|row| row.subject.as_deref()))
        .bind(text(|row| row.actor.as_deref()))
        .bind(text(|row| row.source.as_deref()))
        .bind(text(|row| row.reason.as_deref()))
        .bind(text(|row| row.request.as_deref()))
        .bind(rows.iter().map(|row| i64::from(row.count)).collect::<Vec<_>>())
        .bind(text(|row| row.detail.as_deref())))
}
