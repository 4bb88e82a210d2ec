//! Tests of tables, of the JSON form, and of what a terminal must not be told.

use serde_json::json;

use super::*;

fn lines(names: &[(&str, &str)]) -> Vec<Line<2>> {
    let line = |(name, of): &(&str, &str)| Line {
        cells: [(*name).to_owned(), (*of).to_owned()],
        json: json!({ "name": name, "of": of }),
    };
    names.iter().map(line).collect()
}

fn printed(form: Form, pages: &[&[(&str, &str)]]) -> String {
    let mut out = Vec::new();
    let mut listing = Listing::new(&mut out, form, ["NAME", "OF"]);
    for page in pages {
        listing.page(lines(page)).unwrap();
    }
    let count = listing.end().unwrap();
    assert_eq!(count, u64::try_from(pages.iter().map(|page| page.len()).sum::<usize>()).unwrap());
    String::from_utf8(out).unwrap()
}

/// Columns line up by what a terminal shows, not by bytes or characters; later pages only widen them.
#[test]
fn tables_are_aligned_by_display_width() {
    let first: &[_] = &[("Ann", "a"), ("Ärztin", "b"), ("田中", "c"), ("e\u{301}ve", "d")];
    let second: &[_] = &[("Zo", "e"), ("Bartholomäus", "f")];
    let expected = "\
NAME    OF
Ann     a
Ärztin  b
田中    c
e\u{301}ve     d
Zo            e
Bartholomäus  f
";
    assert_eq!(printed(Form::People, &[first, second]), expected);
    assert_eq!(printed(Form::People, &[]), "");
}

#[test]
fn scripts_get_one_document() {
    for pages in [&[][..], &[&[("a", "b")][..]], &[&[("a", "b"), ("c", "d")], &[], &[("e", "\u{1b}[2J")]]] {
        let value: Value = serde_json::from_str(&printed(Form::Scripts, pages)).unwrap();
        assert_eq!(value.as_array().unwrap().len(), pages.iter().map(|page| page.len()).sum::<usize>());
    }
}

/// R164: what somebody else wrote neither moves the cursor nor looks like something else.
#[test]
fn terminals_are_told_nothing() {
    for (hostile, shown) in [
        ("a\u{1b}[31mb", "a\\u{1b}[31mb"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\u{202e}nimda", "\\u{202e}nimda"),
        ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
        ("\u{9b}2J", "\\u{9b}2J"),
        ("Größe 田中 'x'", "Größe 田中 'x'"),
    ] {
        assert_eq!(visible(hostile), shown);
    }
    assert!(printed(Form::People, &[&[("a\u{7}\n", "b")]]).lines().count() == 2);
}

#[test]
fn widths() {
    for (text, columns) in [("", 0), ("abc", 3), ("ä", 1), ("a\u{308}", 1), ("한국", 4), ("🙂", 2), ("ｱ", 1), ("Ａ", 2)]
    {
        assert_eq!(width(text), columns, "{text}");
    }
}
