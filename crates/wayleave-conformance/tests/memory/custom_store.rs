//! The page about a store of one's own is as short as it says; its code is run by a documentation test.

#[test]
fn a_store_takes_less_than_forty_lines() {
    let page = include_str!("../../../../docs/custom-store.md");
    let code = page.split("```rust").nth(1).unwrap().split("#[tokio::main]").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("use ")).count();
    assert!((20..40).contains(&lines), "{lines}");
}
