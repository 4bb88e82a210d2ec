//! The audit log in memory. When it is full it refuses: a row is never dropped to make room.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{MemoryDirectory, page};
use crate::ports::{AuditLog, AuditQuery, AuditRow, ChainLink, MAX_AUDIT_DETAIL, StoreError};

#[derive(Copy, Clone, Debug, thiserror::Error)]
enum Refused {
    #[error("the sequence number exists already")]
    Sequence,
    #[error("the rows are of several nodes")]
    Nodes,
}

#[async_trait]
impl AuditLog for MemoryDirectory {
    async fn append(&self, rows: &[AuditRow]) -> Result<(), StoreError> {
        let Some(first) = rows.first() else {
            return Ok(());
        };
        let mut state = self.state();
        if rows.len() > self.limits.audit_rows.saturating_sub(state.audit.len()) {
            return Err(StoreError::Full);
        }
        let mut new = BTreeMap::new();
        for (index, row) in (state.audit.len()..).zip(rows) {
            if row.node != first.node {
                return Err(StoreError::unavailable(Refused::Nodes));
            }
            if row.detail.as_ref().is_some_and(|detail| detail.len() > MAX_AUDIT_DETAIL) {
                return Err(StoreError::Full);
            }
            let held = state.chains.get(&row.node).is_some_and(|chain| chain.contains_key(&row.link.sequence));
            if held || new.insert(row.link.sequence, index).is_some() {
                return Err(StoreError::unavailable(Refused::Sequence));
            }
        }
        state.chains.entry(first.node.clone()).or_default().append(&mut new);
        state.audit.extend_from_slice(rows);
        Ok(())
    }

    async fn head(&self, node: &str) -> Result<Option<ChainLink>, StoreError> {
        let state = self.state();
        let last = state.chains.get(node).and_then(|chain| chain.last_key_value());
        Ok(last.and_then(|(_, index)| state.audit.get(*index)).map(|row| row.link))
    }

    async fn nodes(&self) -> Result<Vec<Box<str>>, StoreError> {
        Ok(self.state().chains.keys().cloned().collect())
    }

    async fn chain(&self, node: &str, from: u64, most: u32) -> Result<Vec<AuditRow>, StoreError> {
        let state = self.state();
        let Some(chain) = state.chains.get(node) else {
            return Ok(Vec::new());
        };
        let indices = chain.range(from..).take(page(most)).map(|(_, index)| *index);
        Ok(indices.filter_map(|index| state.audit.get(index)).cloned().collect())
    }

    async fn query(&self, query: &AuditQuery) -> Result<(Vec<AuditRow>, Option<u64>), StoreError> {
        let most = page(query.most);
        let state = self.state();
        // A row's index is its cursor.
        let end = query.before.map_or(state.audit.len(), |before| usize::try_from(before).unwrap_or(usize::MAX));
        let candidates = state.audit.iter().enumerate().take(end).rev();
        let mut rows = Vec::new();
        let mut last = None;
        for (index, row) in candidates.filter(|(_, row)| matches(query, row)) {
            if rows.len() == most {
                return Ok((rows, last));
            }
            rows.push(row.clone());
            last = u64::try_from(index).ok();
        }
        Ok((rows, None))
    }
}

fn matches(query: &AuditQuery, row: &AuditRow) -> bool {
    let AuditQuery { node, event, subject, since, before: _, most: _ } = query;
    node.as_ref().is_none_or(|node| *node == row.node)
        && event.as_ref().is_none_or(|event| {
            if event.ends_with('.') { row.event.starts_with(event.as_ref()) } else { *event == row.event }
        })
        && subject.as_ref().is_none_or(|subject| row.subject.as_ref() == Some(subject))
        && since.is_none_or(|since| row.at >= since)
}
