//! The architecture test of the whole checkout, and proof that each of its checks can fail.

use serde_json::json;

use super::edges::{judge, judge_tree, read};
use super::*;
use crate::workspace::SourceFile;

#[test]
fn every_dependency_points_in_an_allowed_direction() {
    let violations = edges::check().unwrap_or_else(|problem| panic!("{problem}"));
    assert!(violations.is_empty(), "{}", list(&violations));
}

#[test]
fn every_file_is_tidy() {
    let files = workspace::sources(workspace::root()).unwrap();
    assert!(files.iter().any(|file| file.path == "xtask/src/architecture/tests.rs"), "the checkout was not found");
    let violations = tidy::check(&files);
    assert!(violations.is_empty(), "{}", list(&violations));
}

#[test]
fn every_row_of_a_comparison_names_its_tests() {
    let files = workspace::sources(workspace::root()).unwrap();
    assert!(files.iter().any(|file| compat::is_comparison(&file.path)), "no comparison was found");
    let violations = compat::check(&files);
    assert!(violations.is_empty(), "{}", list(&violations));
}

#[test]
fn comparisons_are_held_to_the_sources() {
    let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
    let code = "#[tokio::test]\nasync fn loads() {}\n\n#[cfg(test)]\nfn helper() {}\n";
    let case = "pub(super) async fn keeps(bench: Bench<Kv>) {}\n";
    let check = |row: &str| {
        let page = format!(
            "# A page\n\n| theirs | ours | test |\n|---|---|---|\n{row}\n\n| other | table |\n|---|---|\n| a | b |\n"
        );
        let files = [
            file("crates/wayleave-web/tests/it/main.rs", code),
            file("crates/wayleave-conformance/src/kv/saving.rs", case),
            file("docs/compat/other.md", &page),
        ];
        compat::check(&files).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for good in [
        "`wayleave-web::loads`",
        "`wayleave-conformance::keeps`",
        "`wayleave-web::loads`, `wayleave-conformance::keeps`",
    ] {
        assert_eq!(check(&format!("| a | b | {good} |")), [""; 0], "{good}");
    }
    for bad in [
        "",
        "none",
        "`loads`",
        "`wayleave-web::helper`",
        "`wayleave-web::load`",
        "`wayleave::loads`",
        "`wayleave-web::loads`, `wayleave-web::gone`",
    ] {
        let found = check(&format!("| a | b | {bad} |"));
        assert!(found.len() == 1 && found[0].starts_with("docs/compat/other.md:5: "), "{bad}: {found:?}");
    }
}

fn list(violations: &[Violation]) -> String {
    violations.iter().map(|violation| format!("\n{violation}")).collect()
}

fn edge_violations(from: &str, to: &str, kind: serde_json::Value) -> Vec<String> {
    let dependency = json!({"name": to, "kind": kind});
    let others =
        ["example-other", "wayleave-core", "wayleave", "wayleave-sqlite", "wayleave-server", "wayleave-testkit"];
    let mut packages: Vec<_> = others.iter().map(|name| json!({"name": name, "dependencies": []})).collect();
    packages.push(json!({"name": from, "dependencies": [dependency]}));
    let (members, edges) = read(&json!({"packages": packages})).unwrap();
    judge(&members, &edges).into_iter().map(|violation| violation.to_string()).collect()
}

#[test]
fn edges_are_judged_by_the_table() {
    let dev = || json!("dev");
    let product = || serde_json::Value::Null;
    let refused = [
        ("wayleave-core", "wayleave", product()),
        ("wayleave-core", "tokio", product()),
        ("wayleave-core", "cc", json!("build")),
        ("wayleave-sqlite", "wayleave", product()),
        ("wayleave-sqlite", "wayleave", dev()),
        ("wayleave", "wayleave-sqlite", product()),
        ("wayleave", "wayleave-testkit", product()),
        ("wayleave-server", "wayleave-testkit", product()),
        ("xtask", "wayleave-core", product()),
        ("wayleave-extra", "serde", product()),
        ("example-one", "wayleave-testkit", product()),
        ("example-one", "example-other", product()),
        ("wayleave-server", "example-other", dev()),
    ];
    for (from, to, kind) in refused {
        assert_eq!(edge_violations(from, to, kind).len(), 1, "{from} -> {to}");
    }
    let allowed = [
        ("wayleave-core", "hmac", product()),
        ("wayleave-core", "proptest", dev()),
        ("wayleave-core", "wayleave-testkit", dev()),
        ("example-one", "wayleave-sqlite", product()),
        ("wayleave-sqlite", "wayleave-core", product()),
        ("wayleave-sqlite", "sqlx", product()),
        ("wayleave-server", "wayleave-sqlite", product()),
        ("wayleave-server", "wayleave-testkit", dev()),
        ("wayleave-bench", "wayleave-testkit", product()),
    ];
    for (from, to, kind) in allowed {
        assert_eq!(edge_violations(from, to, kind), [""; 0], "{from} -> {to}");
    }
}

#[test]
fn what_the_core_reaches_through_others_counts() {
    let tree = "wayleave-core v0.1.0 (/checkout)\nhmac v0.12.1\nserde v1.0.0\nserde v1.0.0 (*)\nserdeless v1.0.0\n";
    let reached: Vec<_> = judge_tree(tree).into_iter().map(|violation| violation.to_string()).collect();
    assert_eq!(reached, ["wayleave-core: it reaches serde, if only through others"]);
}

fn places(path: &str, text: &str) -> Vec<String> {
    let file = SourceFile { path: path.into(), text: text.into() };
    tidy::check(&[file]).into_iter().map(|violation| violation.place).collect()
}

#[test]
fn untidy_files_are_found() {
    let first = "//! Fine.\n";
    assert_eq!(places("a.rs", first), [""; 0]);
    assert_eq!(places("a.rs", "// Not a description.\n"), ["a.rs:1"]);
    assert_eq!(places("a.ts", "export {};\n"), ["a.ts:1"]);
    assert_eq!(places("a.rs", &format!("{first}{}", "\n".repeat(600))), ["a.rs:601"]);
    assert_eq!(places("a.md", &"\n".repeat(601)), [""; 0]);
    for word in
        [concat!("todo", "!()"), concat!("unimplemented", "!()"), concat!("// FIX", "ME"), concat!("// TO", "DO: x")]
    {
        assert_eq!(places("a.rs", &format!("{first}{word}\n")), ["a.rs:2"], "{word}");
    }
    for word in [concat!("/wo", "rk/main"), concat!("see .lib", "rary"), concat!("the closing ", "note")] {
        assert_eq!(places("a.md", word), ["a.md:1"], "{word}");
    }
}

#[test]
fn dependencies_come_from_the_public_registries() {
    let ours = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
    assert_eq!(places("Cargo.lock", ours), [""; 0]);
    assert_eq!(places("Cargo.lock", "source = \"git+https://example.org/a\"\n"), ["Cargo.lock:1"]);
    let npm = "\"resolved\": \"https://registry.npmjs.org/a\"\n\"resolved\": \"https://mirror.example.org/a\"\n";
    assert_eq!(places("packages/wayleave/package-lock.json", npm), ["packages/wayleave/package-lock.json:2"]);
}
