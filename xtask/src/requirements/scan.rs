//! Finds the tests that name requirements: in Rust, TypeScript and Python.
//!
//! A name counts where a comment directly above a test begins with it: `/// R064, A39: text`. In a file of tests, `//!`
//! at the top speaks for all of them. A production function that names a requirement proves nothing and is not counted.

use crate::workspace::SourceFile;

/// A test that names an id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mention {
    pub(crate) id: String,
    /// `<path>::<name of the test>`.
    pub(crate) test: String,
    pub(crate) line: usize,
}

/// Every mention in `files`.
pub(crate) fn scan(files: &[SourceFile]) -> Vec<Mention> {
    files.iter().flat_map(scan_file).collect()
}

fn scan_file(file: &SourceFile) -> Vec<Mention> {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    match file.extension() {
        "rs" => rust(file),
        "ts" | "tsx" if name.contains(".test.") || name.contains(".spec.") => typescript(file),
        "py" if name.starts_with("test_") || name.ends_with("_test.py") => python(file),
        _ => Vec::new(),
    }
}

/// The ids that a comment's text begins with: `R001, R002 and A03: ...`, `R031-R034: ...`.
pub(crate) fn leading_ids(text: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', ',', ';', '/', '&']);
        let range = rest.strip_prefix('-').filter(|_| !ids.is_empty());
        let word = word_of(range.unwrap_or(rest));
        match (number_of(word), range, ids.last().and_then(|last| number_of(last))) {
            (Some((letter, to)), Some(_), Some((first, from))) if letter == first => {
                ids.extend((from + 1..=to.min(from + 200)).map(|number| spell(letter, number, word)));
            }
            (Some(_), None, _) => ids.push(word.to_owned()),
            (None, None, _) if word == "and" && !ids.is_empty() => {}
            _ => return ids,
        }
        rest = range.unwrap_or(rest).get(word.len()..).unwrap_or_default();
    }
}

fn word_of(text: &str) -> &str {
    let length = text.bytes().take_while(u8::is_ascii_alphanumeric).count();
    text.get(..length).unwrap_or_default()
}

fn number_of(word: &str) -> Option<(char, u32)> {
    let letter = word.chars().next().filter(|letter| matches!(letter, 'R' | 'A'))?;
    let digits = word.get(1..)?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((letter, digits.parse().ok()?))
}

fn spell(letter: char, number: u32, like: &str) -> String {
    let width = like.len().saturating_sub(1);
    format!("{letter}{number:0width$}")
}

/// Ids that wait for the test below them.
#[derive(Default)]
struct Pending(Vec<(String, usize)>);

impl Pending {
    fn read(&mut self, comment: &str, line: usize) {
        self.0.extend(leading_ids(comment.trim()).into_iter().map(|id| (id, line)));
    }

    fn attach(&mut self, file: &SourceFile, test: &str) -> Vec<Mention> {
        let test = format!("{}::{test}", file.path);
        std::mem::take(&mut self.0).into_iter().map(|(id, line)| Mention { id, test: test.clone(), line }).collect()
    }
}

fn numbered(file: &SourceFile) -> impl Iterator<Item = (usize, &str)> {
    file.text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()))
}

fn rust(file: &SourceFile) -> Vec<Mention> {
    let conformance = file.path.starts_with("crates/wayleave-conformance/src/");
    let of_tests = conformance || file.path.ends_with("/tests.rs") || file.path.split('/').any(|part| part == "tests");
    let mut mentions = Vec::new();
    let (mut whole, mut pending) = (Pending::default(), Pending::default());
    let (mut test, mut tests) = (false, 0);
    let mut open_brackets = 0_usize;
    for (number, line) in numbered(file) {
        if open_brackets > 0 || line.starts_with("#[") {
            test |= open_brackets == 0 && is_test_attribute(line);
            open_brackets = (open_brackets + line.matches('[').count()).saturating_sub(line.matches(']').count());
        } else if let Some(comment) = line.strip_prefix("///") {
            pending.read(comment, number);
        } else if let Some(comment) = line.strip_prefix("//!") {
            whole.read(comment, number);
        } else if !line.is_empty() && !line.starts_with("//") {
            let name = rust_function(line);
            if let Some(name) = name.filter(|_| test || conformance) {
                mentions.extend(pending.attach(file, name));
                tests += 1;
            }
            (pending, test) = (Pending::default(), false);
        }
    }
    if of_tests && tests > 0 {
        mentions.extend(whole.attach(file, "*"));
    }
    mentions
}

/// `#[test]`, `#[tokio::test(...)]` and their like.
fn is_test_attribute(line: &str) -> bool {
    let path: &str = line.trim_start_matches("#[").split(['(', ']', ' ', '=']).next().unwrap_or_default();
    matches!(path.rsplit("::").next(), Some("test" | "rstest" | "test_case"))
}

fn rust_function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let modifiers = before.split_whitespace().all(|word| {
        matches!(word, "pub" | "async" | "const" | "unsafe" | "extern")
            || word.starts_with("pub(")
            || word.starts_with('"')
    });
    let length = after.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    after.get(..length).filter(|name| modifiers && !name.is_empty())
}

fn typescript(file: &SourceFile) -> Vec<Mention> {
    let mut mentions = Vec::new();
    let mut pending = Pending::default();
    for (number, line) in numbered(file) {
        if line.starts_with("//") || line.starts_with("/*") || line.starts_with('*') {
            pending.read(line.trim_start_matches(['/', '*']).trim_end_matches(['/', '*']), number);
        } else if !line.is_empty() {
            if let Some(title) = typescript_test(line) {
                pending.read(title, number);
                mentions.extend(pending.attach(file, title));
            }
            pending = Pending::default();
        }
    }
    mentions
}

fn typescript_test(line: &str) -> Option<&str> {
    let call = line.split('(').next()?;
    if !matches!(call.split('.').next(), Some("test" | "it" | "describe")) {
        return None;
    }
    let quote = line.find(['"', '\'', '`'])?;
    let mark = line.get(quote..=quote)?;
    line.get(quote + 1..)?.split(mark).next()
}

fn python(file: &SourceFile) -> Vec<Mention> {
    let mut mentions = Vec::new();
    let mut pending = Pending::default();
    let mut entered: Option<String> = None;
    for (number, line) in numbered(file) {
        if let Some(comment) = line.strip_prefix('#') {
            pending.read(comment, number);
        } else if let Some(name) = python_test(line) {
            mentions.extend(pending.attach(file, name));
            entered = Some(name.to_owned());
        } else if !line.is_empty() && !line.starts_with('@') {
            pending = Pending::default();
            if let (Some(name), Some(text)) = (entered.take(), line.strip_prefix("\"\"\"")) {
                pending.read(text, number);
                mentions.extend(pending.attach(file, &name));
            }
        }
    }
    mentions
}

fn python_test(line: &str) -> Option<&str> {
    let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("def ")?.split('(').next()?;
    name.starts_with("test").then_some(name)
}
