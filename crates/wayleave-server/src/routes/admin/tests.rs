//! Tests of what administration's routes share.

use serde_json::json;

use super::*;
use crate::wire::page_size;

fn named(names: &[&str]) -> Vec<PermissionName> {
    names.iter().map(|name| PermissionName((*name).to_owned())).collect()
}

#[test]
fn permissions_keep_the_documented_bounds() {
    assert_eq!(permissions(&named(&["b", "a"])).unwrap().iter().collect::<Vec<_>>(), ["a", "b"]);
    let many = |count: usize| -> Vec<PermissionName> { (0..count).map(|n| PermissionName(format!("p{n}"))).collect() };
    assert!(permissions(&many(64)).is_ok());
    assert!(permissions(&many(65)).is_err());
    // Also of one name: the document bounds the list, not the set.
    assert!(permissions(&named(&["same"; 65])).is_err());
    for hostile in ["", "A", "a b", "a\n", &"a".repeat(65)] {
        assert!(permissions(&named(&[hostile])).is_err(), "{hostile:?}");
    }
}

#[test]
fn pages_keep_the_documented_bounds() {
    for (limit, expected) in [(None, Some(50)), (Some(1), Some(1)), (Some(200), Some(200)), (Some(0), None)] {
        assert_eq!(page_size(limit).ok(), expected);
    }
    assert!(page_size(Some(201)).is_err());
}

/// A grant cannot be hidden from the log by making it too long for a row.
#[test]
fn long_lists_take_several_rows_and_lose_no_name() {
    let facts = json!({ "fields": ["permissions"] }).as_object().cloned().unwrap();
    let short = details(&facts, &[("granted", vec!["admin"]), ("taken", vec![])]);
    assert_eq!(short, [json!({ "fields": ["permissions"], "granted": ["admin"] })]);

    let longest: Vec<String> = (0..64).map(|n| format!("{n:0>64}")).collect();
    let granted: Vec<&str> = longest.iter().map(String::as_str).collect();
    let rows = details(&facts, &[("granted", granted.clone()), ("taken", granted.clone())]);
    assert!(rows.iter().all(|row| row.to_string().len() <= MAX_AUDIT_DETAIL));
    for list in ["granted", "taken"] {
        let found: Vec<&str> = rows
            .iter()
            .filter_map(|row| row.get(list)?.as_array())
            .flatten()
            .map(|name| name.as_str().unwrap())
            .collect();
        assert_eq!(found, granted);
    }
}
