//! Tests of the coverage table: what counts as a mention, and what a gap leads to.

use super::catalogue::MalformedCatalogue;
use super::scan::leading_ids;
use super::*;
use crate::workspace::SourceFile;

fn mentions(path: &str, text: &str) -> Vec<(String, String)> {
    let file = SourceFile { path: path.into(), text: text.into() };
    let found = scan::scan(&[file]);
    found.into_iter().map(|Mention { id, test, line: _ }| (id, test.replace(path, ""))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(id, test)| ((*id).to_owned(), format!("::{test}"))).collect()
}

#[test]
fn ids_stand_at_the_beginning_of_a_comment() {
    let table: &[(&str, &[&str])] = &[
        ("R024: text R025", &["R024"]),
        ("R064, R065, A39: text", &["R064", "R065", "A39"]),
        ("R001 and R002.", &["R001", "R002"]),
        ("R031-R034: text", &["R031", "R032", "R033", "R034"]),
        ("A01 - a dash is no range", &["A01"]),
        ("see R024", &[]),
        ("A node, an R2D2", &[]),
        ("R9999", &["R9999"]),
        ("", &[]),
    ];
    for (text, ids) in table {
        assert_eq!(leading_ids(text), *ids, "{text:?}");
    }
}

#[test]
fn only_comments_of_rust_tests_count() {
    let text = "//! R090: a module of production code.\n\
        /// R001: not a test.\nfn helper() {}\n\
        /// R002: a test.\n/// More words.\n#[test]\n#[expect(\n    clippy::all,\n)]\nfn second() {\n    let a = [0];\n}\n\
        /// R003, A04: another.\n#[tokio::test(start_paused = true)]\nasync fn third() {}\n\
        /// R004: of a type.\nstruct Thing;\n#[test]\nfn fourth() {}\n";
    assert_eq!(mentions("crates/a/src/b.rs", text), pairs(&[("R002", "second"), ("R003", "third"), ("A04", "third")]));
}

#[test]
fn a_module_of_tests_speaks_for_all_of_them() {
    let text = "//! R090: all tests of this file.\n#[test]\nfn one() {}\n";
    assert_eq!(mentions("crates/a/tests/b.rs", text), pairs(&[("R090", "*")]));
    assert_eq!(mentions("crates/a/src/b/tests.rs", text), pairs(&[("R090", "*")]));
    assert_eq!(mentions("crates/a/src/b.rs", text), []);
    assert_eq!(mentions("crates/a/tests/b.rs", "//! R090: of nothing.\n"), []);
}

#[test]
fn conformance_cases_count_without_an_attribute() {
    let text = "/// R024: the limit holds.\npub async fn limit_holds(store: &dyn SessionStore) {}\n";
    assert_eq!(mentions("crates/wayleave-conformance/src/store.rs", text), pairs(&[("R024", "limit_holds")]));
    assert_eq!(mentions("crates/wayleave/src/store.rs", text), []);
}

#[test]
fn typescript_and_python_tests_count() {
    let typescript = "/** R001: text */\ntest('one', () => {});\n// R002\nconst a = 1;\nit(\"A03: two\", () => {});\n";
    assert_eq!(mentions("packages/a/b.test.ts", typescript), pairs(&[("R001", "one"), ("A03", "A03: two")]));
    assert_eq!(mentions("packages/a/b.ts", typescript), []);
    let python = "# R001: text\ndef test_one():\n    pass\n\nasync def test_two():\n    \"\"\"A02: text\"\"\"\n    \"\"\"R003\"\"\"\n";
    assert_eq!(mentions("tests/test_a.py", python), pairs(&[("R001", "test_one"), ("A02", "test_two")]));
    assert_eq!(mentions("tests/a.py", python), []);
}

const CATALOGUE: &str = r#"
guarded = ["A"]
[section.A]
title = "Tokens"
R001 = { kind = ["U"], title = "first" }
R002 = { kind = ["BB", "T"], title = "second", open = "not built" }
[section.B]
title = "Lifecycle"
R003 = { kind = ["C"], title = "third" }
"#;

fn coverage(ids: &[&str]) -> Coverage {
    let mentions = ids.iter().map(|id| Mention { id: (*id).into(), test: "a.rs::b".into(), line: 7 });
    Coverage::new(Catalogue::parse(CATALOGUE).unwrap(), mentions.collect())
}

#[test]
fn a_gap_in_a_guarded_section_fails_the_check() {
    assert!(coverage(&["R001"]).verdict().is_ok());
    assert!(matches!(coverage(&["R003"]).verdict(), Err(Problem::Found { what: _, count: 1 })));
    assert!(coverage(&[]).summary().contains("missing in a guarded section: R001 first"));
}

#[test]
fn an_unknown_id_fails_the_check() {
    let coverage = coverage(&["R001", "R0003"]);
    assert!(coverage.verdict().is_err());
    assert!(coverage.summary().contains("unknown id R0003: a.rs::b (line 7)"));
}

#[test]
fn the_table_shows_every_state() {
    let coverage = coverage(&["R001"]);
    let expected = "A  Tokens  (1 of 2)\n  \
        R001  U       covered  first\n                         a.rs::b (line 7)\n  \
        R002  BB+T    open     second\n                         not built\n\n\
        B  Lifecycle  (0 of 1)\n  R003  C       MISSING  third\n\n";
    assert_eq!(coverage.table(), expected);
    assert_eq!(coverage.summary(), "1 covered, 1 open with a reason, 1 missing\n");
}

#[test]
fn an_open_entry_with_a_test_is_noted() {
    assert!(coverage(&["R001", "R002"]).summary().contains("note: R002 is marked open"));
}

#[test]
fn malformed_catalogues_are_refused() {
    let parse = |text: &str| Catalogue::parse(text).map(|_| ()).unwrap_err();
    assert_eq!(parse("="), MalformedCatalogue::NotToml);
    assert_eq!(parse("[section.A]\ntitle=''"), MalformedCatalogue::Guarded);
    assert_eq!(parse("guarded = []"), MalformedCatalogue::NoSections);
    assert_eq!(parse("guarded = ['B']\n[section.A]\ntitle=''"), MalformedCatalogue::Section("B".into()));
    for entry in ["{ kind = ['X'], title = '' }", "{ kind = ['U'] }", "{ kind = ['U'], title = '', opne = '' }", "1"] {
        let text = format!("guarded = []\n[section.A]\ntitle=''\nR001 = {entry}");
        assert_eq!(parse(&text), MalformedCatalogue::Section("A".into()), "{entry}");
    }
    let twice = CATALOGUE.replace("R003", "R001");
    assert_eq!(parse(&twice), MalformedCatalogue::Twice("R001".into()));
}

#[test]
fn the_catalogue_of_the_project_is_complete() {
    let text = workspace::read(&workspace::root().join(FILE)).unwrap();
    let catalogue = Catalogue::parse(&text).unwrap_or_else(|wrong| panic!("{wrong}"));
    let ids: Vec<_> = catalogue.entries().map(|entry| entry.id.clone()).collect();
    let expected =
        (1..=172).map(|number| format!("R{number:03}")).chain((1..=80).map(|number| format!("A{number:02}")));
    assert_eq!(ids, expected.collect::<Vec<_>>());
}
