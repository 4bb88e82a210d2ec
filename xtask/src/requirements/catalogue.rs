//! Reads `spec/requirements.toml`: every requirement and attack, by section.

use toml_edit::{DocumentMut, Item, TableLike};

/// The whole catalogue, in the order of the file.
#[derive(Debug)]
pub(crate) struct Catalogue {
    /// Keys of the sections in which nothing may be missing.
    pub(crate) guarded: Vec<String>,
    pub(crate) sections: Vec<Section>,
}

/// Requirements that belong together.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) key: String,
    pub(crate) title: String,
    pub(crate) entries: Vec<Entry>,
}

/// One requirement (`R024`) or attack (`A16`).
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) title: String,
    /// How it is tested: `BB` over HTTP, `U` unit or property, `T` timing, `C` concurrency, `doc` by reading.
    pub(crate) kinds: Vec<String>,
    /// Why nothing tests it yet.
    pub(crate) open: Option<String>,
}

const KINDS: &[&str] = &["BB", "U", "T", "C", "doc"];

impl Catalogue {
    /// Reads the file's text.
    ///
    /// # Errors
    /// What is wrong with it, and where it can be told, in which entry.
    pub(crate) fn parse(text: &str) -> Result<Self, MalformedCatalogue> {
        let document: DocumentMut = text.parse().map_err(|_| MalformedCatalogue::NotToml)?;
        let guarded = document.get("guarded").and_then(strings).ok_or(MalformedCatalogue::Guarded)?;
        let tables = document.get("section").and_then(Item::as_table_like).ok_or(MalformedCatalogue::NoSections)?;
        let mut sections: Vec<Section> = Vec::new();
        for (key, item) in tables.iter() {
            let section = item.as_table_like().and_then(|table| section(key, table));
            sections.push(section.ok_or_else(|| MalformedCatalogue::Section(key.to_owned()))?);
        }
        if let Some(unknown) = guarded.iter().find(|key| sections.iter().all(|section| section.key != **key)) {
            return Err(MalformedCatalogue::Section(unknown.clone()));
        }
        let mut ids: Vec<&str> =
            sections.iter().flat_map(|section| &section.entries).map(|entry| entry.id.as_str()).collect();
        ids.sort_unstable();
        match ids.windows(2).find_map(|pair| pair.first().filter(|id| pair.last() == Some(id))) {
            Some(twice) => Err(MalformedCatalogue::Twice((*twice).to_owned())),
            None => Ok(Self { guarded, sections }),
        }
    }

    /// Every entry of every section.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.sections.iter().flat_map(|section| &section.entries)
    }
}

fn section(key: &str, table: &dyn TableLike) -> Option<Section> {
    let title = table.get("title")?.as_str()?.to_owned();
    let entries = table.iter().filter(|(id, _)| *id != "title").map(|(id, item)| entry(id, item.as_table_like()?));
    Some(Section { key: key.to_owned(), title, entries: entries.collect::<Option<_>>()? })
}

fn entry(id: &str, table: &dyn TableLike) -> Option<Entry> {
    if table.iter().any(|(key, _)| !matches!(key, "kind" | "title" | "open")) {
        return None;
    }
    let kinds = strings(table.get("kind")?)?;
    if kinds.is_empty() || !kinds.iter().all(|kind| KINDS.contains(&kind.as_str())) {
        return None;
    }
    let open = match table.get("open") {
        Some(reason) => Some(reason.as_str().filter(|reason| !reason.is_empty())?.to_owned()),
        None => None,
    };
    Some(Entry { id: id.to_owned(), title: table.get("title")?.as_str()?.to_owned(), kinds, open })
}

fn strings(item: &Item) -> Option<Vec<String>> {
    item.as_array()?.iter().map(|value| value.as_str().map(str::to_owned)).collect()
}

/// What is wrong with the catalogue.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum MalformedCatalogue {
    NotToml,
    /// `guarded` is not a list of section keys.
    Guarded,
    NoSections,
    /// A section does not exist, or one of its entries is not `{ kind, title, open? }`.
    Section(String),
    /// An id stands in two places.
    Twice(String),
}

impl std::fmt::Display for MalformedCatalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotToml => f.write_str("it is not TOML"),
            Self::Guarded => f.write_str("`guarded` is not a list of section keys"),
            Self::NoSections => f.write_str("it has no sections"),
            Self::Section(key) => write!(f, "section `{key}` does not exist or has a malformed entry"),
            Self::Twice(id) => write!(f, "`{id}` stands in two places"),
        }
    }
}
