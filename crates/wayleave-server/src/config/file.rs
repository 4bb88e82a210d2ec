//! Reading `wayleave.toml`: every syntax error, every unknown key and every wrong value of one text.

use std::ops::Range;

use toml_edit::{Document, Item, TableLike, Value as Toml};
use wayleave_core::policy::KindName;

use super::keys::{KINDS, Key, SECTIONS, kind_path, section_of};
use super::kinds::MAX_KINDS;
use super::problem::{Problem, ProblemKind, Source, escape, nearest};
use super::sources::Loading;
use super::table::{KIND_KEYS, SETTINGS};
use super::value::{Input, Wrong};

/// Most syntax errors that are looked for in one file.
const MAX_SYNTAX_ERRORS: usize = 10;

/// Applies a file's text.
pub(super) fn apply(loading: &mut Loading, source: &Source<'_>) {
    let mut text = source.text.to_owned();
    let mut last_line = None;
    for _ in 0..MAX_SYNTAX_ERRORS {
        let error = match Document::parse(text.as_str()) {
            Ok(document) => {
                Reader { loading, source }.document(&document);
                return;
            }
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        let line = source.line_of(span.start);
        // A value that runs on over several lines makes errors of the lines after it; those say nothing new.
        if last_line.is_some_and(|last| line == last || line == last + 1) {
            return;
        }
        last_line = Some(line);
        let hide = is_near_secret(source.text.lines().nth(line).unwrap_or_default());
        let message = format!("not TOML: {}", error.message());
        loading.problems.push(Problem::new(ProblemKind::Syntax, source.locate(span, hide), message));
        // What stands on the other lines is still worth a look.
        text = text
            .split('\n')
            .enumerate()
            .map(|(number, content)| if number == line { " ".repeat(content.len()) } else { content.to_owned() })
            .collect::<Vec<_>>()
            .join("\n");
    }
}

/// Whether a line may hold a secret: its key is one that takes a secret, or nearly so.
fn is_near_secret(line: &str) -> bool {
    let key = line.split('=').next().unwrap_or_default();
    let key = key.rsplit('.').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
    let secrets = SETTINGS.iter().filter(|setting| setting.secret);
    let names = secrets.map(|setting| setting.path.rsplit('.').next().unwrap_or_default());
    nearest(key, names).is_some()
}

struct Reader<'a, 'b> {
    loading: &'a mut Loading,
    source: &'a Source<'b>,
}

impl Reader<'_, '_> {
    fn document(&mut self, document: &Document<&str>) {
        for (name, item) in document.iter() {
            let span = key_span(document.as_table(), name, item);
            let known = SECTIONS.iter().any(|(section, _)| *section == name);
            match item.as_table_like() {
                Some(table) if name == KINDS => self.kinds(table),
                Some(table) if known => self.section(name, table),
                Some(_) | None if known => {
                    let message = format!("`{name}` is a section: write `[{name}]` and its keys below");
                    self.problem(ProblemKind::Value, name, span, message);
                }
                Some(_) | None => self.unknown_top(name, span),
            }
        }
    }

    fn unknown_top(&mut self, name: &str, span: Range<usize>) {
        let elsewhere = SETTINGS.iter().find(|key| key.path.ends_with(&format!(".{name}")));
        let what = match elsewhere {
            Some(key) => format!("`{name}` belongs in the section `[{}]`", section_of(key.path)),
            None => format!("there is no section `{}`", escape(name)),
        };
        let sections = SECTIONS.iter().map(|(section, _)| *section);
        let suggestion = if elsewhere.is_some() { None } else { nearest(name, sections) };
        let hide = is_near_secret(name);
        self.unknown(name, self.source.locate(span, hide), what, suggestion);
    }

    fn section(&mut self, section: &str, table: &dyn TableLike) {
        for (name, item) in table.iter() {
            let span = key_span(table, name, item);
            let path = format!("{section}.{name}");
            match SETTINGS.iter().find(|key| key.path == path) {
                Some(key) => {
                    let location = self.source.locate(span, key.secret);
                    let input = read(item);
                    let result = key.set(&mut self.loading.draft.config, &input);
                    self.finish(key, path, location, (item, result));
                }
                None => {
                    let of_section = SETTINGS.iter().filter(|key| section_of(key.path) == section);
                    let suggestion = nearest(name, of_section.filter_map(|key| key.path.split('.').nth(1)));
                    let elsewhere = SETTINGS.iter().find(|key| key.path.ends_with(&format!(".{name}")));
                    let what = match (elsewhere, &suggestion) {
                        (Some(key), None) => format!(
                            "`{name}` is not a key of `[{section}]`; it belongs in `[{}]`",
                            section_of(key.path)
                        ),
                        (Some(_) | None, _) => format!("`{}` is not a key of `[{section}]`", escape(name)),
                    };
                    let hide = is_near_secret(name);
                    self.unknown(&path, self.source.locate(span, hide), what, suggestion);
                }
            }
        }
    }

    fn kinds(&mut self, table: &dyn TableLike) {
        for (name, item) in table.iter() {
            let span = key_span(table, name, item);
            let path = format!("{KINDS}.{name}");
            let kind: KindName = match (name.parse(), item.as_table_like()) {
                (Ok(kind), Some(_)) => kind,
                (Ok(_), None) => {
                    let message = format!("`{name}` is a kind: write `[{KINDS}.{name}]` and its keys below");
                    self.problem(ProblemKind::Value, &path, span, message);
                    continue;
                }
                (Err(problem), _) => {
                    let message = format!("`{}`: {problem}", escape(name));
                    self.problem(ProblemKind::Value, &path, span, message);
                    continue;
                }
            };
            if !self.loading.draft.kinds.contains_key(&kind) && self.loading.draft.kinds.len() >= MAX_KINDS {
                let message = format!("there are more than {MAX_KINDS} kinds");
                self.problem(ProblemKind::Value, &path, span, message);
                continue;
            }
            self.loading.origins.insert(path, self.source.locate(span, false));
            self.loading.draft.kinds.entry(kind.clone()).or_default();
            if let Some(table) = item.as_table_like() {
                self.kind(&kind, table);
            }
        }
    }

    fn kind(&mut self, kind: &KindName, table: &dyn TableLike) {
        for (name, item) in table.iter() {
            let span = key_span(table, name, item);
            let path = kind_path(kind.as_str(), name);
            let Some(key) = KIND_KEYS.iter().find(|key| key.path == name) else {
                let suggestion = nearest(name, KIND_KEYS.iter().map(|key| key.path));
                let what = format!("`{}` is not a key of a kind", escape(name));
                self.unknown(&path, self.source.locate(span, false), what, suggestion);
                continue;
            };
            let location = self.source.locate(span, key.secret);
            let input = read(item);
            let draft = self.loading.draft.kinds.entry(kind.clone()).or_default();
            let result = key.set(draft, &input);
            self.finish(key, path, location, (item, result));
        }
    }

    /// Notes where a value came from, or what is wrong with it.
    fn finish<R: Clone + 'static>(
        &mut self,
        key: &Key<R>,
        path: String,
        location: super::problem::Location,
        (item, result): (&Item, Result<(), Wrong>),
    ) {
        match result {
            Ok(()) => drop(self.loading.origins.insert(path, location)),
            Err(wrong) => {
                let location = item.span().map_or(location, |span| self.source.locate(span, key.secret));
                self.loading.refuse(key, path, location, wrong);
            }
        }
    }

    fn problem(&mut self, kind: ProblemKind, path: &str, span: Range<usize>, message: String) {
        let problem = Problem::new(kind, self.source.locate(span, false), message);
        self.loading.problems.push(Problem { key: Some(path.to_owned()), ..problem });
    }

    fn unknown(&mut self, path: &str, location: super::problem::Location, message: String, suggestion: Option<String>) {
        let problem = Problem::new(ProblemKind::Unknown, location, message);
        self.loading.problems.push(Problem { key: Some(path.to_owned()), suggestion, ..problem });
    }
}

/// The span of a key, or of its value where the parser gives none (a header that only implies a table).
fn key_span(table: &dyn TableLike, name: &str, item: &Item) -> Range<usize> {
    let key = table.get_key_value(name).and_then(|(key, _)| key.span());
    key.or_else(|| item.span()).unwrap_or(0..0)
}

fn read(item: &Item) -> Input<'_> {
    match item {
        Item::Value(value) => read_value(value),
        Item::Table(_) | Item::ArrayOfTables(_) => Input::Other("a table"),
        Item::None => Input::Other("nothing"),
    }
}

fn read_value(value: &Toml) -> Input<'_> {
    match value {
        Toml::String(text) => Input::Text(text.value()),
        Toml::Integer(number) => Input::Integer(*number.value()),
        Toml::Boolean(truth) => Input::Boolean(*truth.value()),
        Toml::Array(array) => Input::List(array.iter().map(read_value).collect()),
        Toml::Float(_) => Input::Other("a number with a fraction"),
        Toml::Datetime(_) => Input::Other("a date"),
        Toml::InlineTable(_) => Input::Other("a table"),
    }
}
