//! What a row of the table of keys is, and what the rest of the program knows of the rows.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use wayleave_core::policy::KindName;

use super::Config;
use super::defaults::defaults;
use super::kinds::{self, KindDraft};
use super::table::{KIND_KEYS, SETTINGS};
use super::value::{Input, Value, Wrong};

/// Begins the name of every environment variable of the configuration.
pub(super) const PREFIX: &str = "WAYLEAVE_";
/// The section of the kinds, whose keys have a name in the middle.
pub(super) const KINDS: &str = "kinds";

/// Sections in the order of the documentation, with what they are about.
pub(super) const SECTIONS: [(&str, &str); 17] = [
    ("server", "The listener, and what it accepts."),
    ("store", "Where sessions, accounts and everything else are kept."),
    ("nodes", "This server among others, where several use one PostgreSQL database or Redis."),
    ("cookies", "The cookies that browsers get."),
    ("sessions", "The life of sessions, beside what their kind says."),
    (
        KINDS,
        "The kinds of session: `web`, `standard`, `professional` and `anonymous` are built in. A section \
         `[kinds.NAME]` changes one of them, key by key, or makes a new one that starts from the limits of `standard` \
         and grants nothing. In names of variables a `-` of the kind's name becomes `_`.",
    ),
    ("jwt", "Access tokens that other services check by themselves."),
    ("password", "How passwords are hashed and what they must be."),
    ("opaque", "Signing in by OPAQUE, without showing the server a password."),
    ("vault", "The vault of encrypted blobs, for those who sign in by OPAQUE."),
    ("lockout", "Failed sign-ins. Administrators can change these at run time, within the same limits."),
    ("accounts", "Who may have an account, and the links that lead to one."),
    ("rate_limits", "How often one client may ask: `COUNT/PERIOD`, or `none`."),
    ("audit", "The audit log."),
    ("metrics", "The `/metrics` page."),
    ("log", "The log, on standard error."),
    ("keys", "The master key, from which every other key is derived."),
];

type Set<R> = Box<dyn Fn(&mut R, &Input<'_>) -> Result<(), Wrong> + Send + Sync>;
type Write<R> = Box<dyn Fn(&R) -> String + Send + Sync>;

/// One row of the table. `R` is what holds its field.
pub(super) struct Key<R> {
    /// The path; of a kind's key only the last part.
    pub(super) path: &'static str,
    /// What it does.
    pub(super) doc: &'static str,
    /// What its values look like.
    pub(super) form: String,
    /// A flag of its own, beside `--set`.
    pub(super) flag: Option<&'static str>,
    /// Whether its value must not be seen.
    pub(super) secret: bool,
    set: Set<R>,
    toml: Write<R>,
    plain: Write<R>,
}

impl<R: Clone + 'static> Key<R> {
    pub(super) fn new<T: Value + 'static>(path: &'static str, at: fn(&mut R) -> &mut T, doc: &'static str) -> Self {
        Self {
            path,
            doc,
            form: T::form(),
            flag: None,
            secret: false,
            set: Box::new(move |root, input| {
                *at(root) = T::read(input)?;
                Ok(())
            }),
            toml: Box::new(move |root| at(&mut root.clone()).write()),
            plain: Box::new(move |root| at(&mut root.clone()).plain()),
        }
    }

    pub(super) fn within<T: Value + PartialOrd + Send + Sync + 'static>(
        path: &'static str,
        at: fn(&mut R) -> &mut T,
        range: RangeInclusive<T>,
        doc: &'static str,
    ) -> Self {
        let form = format!("{} from {} to {}", T::form(), range.start().plain(), range.end().plain());
        let set: Set<R> = Box::new(move |root, input| {
            let value = T::read(input)?;
            if !range.contains(&value) {
                return Err(Wrong::found(input));
            }
            *at(root) = value;
            Ok(())
        });
        Self { form, set, ..Self::new(path, at, doc) }
    }

    pub(super) fn flag(self, flag: &'static str) -> Self {
        Self { flag: Some(flag), ..self }
    }

    pub(super) fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// Reads a value into its field; leaves the field alone when it is wrong.
    pub(super) fn set(&self, root: &mut R, input: &Input<'_>) -> Result<(), Wrong> {
        (self.set)(root, input)
    }

    /// The field's value as TOML.
    pub(super) fn toml(&self, root: &R) -> String {
        (self.toml)(root)
    }

    /// The field's value as on the command line.
    pub(super) fn plain(&self, root: &R) -> String {
        (self.plain)(root)
    }
}

/// What `config show`, the reference and completion know of a key.
#[derive(Clone, Debug)]
pub struct KeyInfo {
    /// `server.listen`, or `kinds.NAME.most` for the keys that every kind has.
    pub path: String,
    /// `WAYLEAVE_SERVER_LISTEN`.
    pub environment: String,
    /// The flag of its own, if it has one.
    pub flag: Option<&'static str>,
    /// What its values look like.
    pub form: String,
    /// Its default as TOML; of a kind's key, what a new kind starts from.
    pub default: String,
    /// What it does.
    pub doc: &'static str,
    /// Whether its value must not be seen.
    pub secret: bool,
}

/// Every key, in the order of the documentation.
#[must_use]
pub fn all_keys() -> Vec<KeyInfo> {
    let config = defaults(PathBuf::new());
    let kind = KindDraft::default();
    let mut keys = Vec::new();
    for (section, _) in SECTIONS {
        if section == KINDS {
            keys.extend(KIND_KEYS.iter().map(|key| info(key, format!("{KINDS}.NAME.{}", key.path), &kind)));
        }
        let of_section = SETTINGS.iter().filter(|key| section_of(key.path) == section);
        keys.extend(of_section.map(|key| info(key, key.path.to_owned(), &config)));
    }
    keys
}

/// The paths of all keys; those of kinds for the built-in kinds.
#[must_use]
pub fn key_names() -> Vec<String> {
    let settings = SETTINGS.iter().map(|key| key.path.to_owned());
    let kinds = kinds::built_in();
    let kinds = kinds.keys().flat_map(|kind| KIND_KEYS.iter().map(move |key| kind_path(kind.as_str(), key.path)));
    settings.chain(kinds).collect()
}

/// The environment variable of a path: `server.listen` gives `WAYLEAVE_SERVER_LISTEN`.
#[must_use]
pub fn environment_name(path: &str) -> String {
    format!("{PREFIX}{}", path.replace(['.', '-'], "_").to_ascii_uppercase())
}

pub(super) fn kind_path(kind: &str, key: &str) -> String {
    format!("{KINDS}.{kind}.{key}")
}

pub(super) fn section_of(path: &str) -> &str {
    path.split_once('.').map_or(path, |(section, _)| section)
}

fn info<R: Clone + 'static>(key: &Key<R>, path: String, defaults: &R) -> KeyInfo {
    KeyInfo {
        environment: environment_name(&path),
        path,
        flag: key.flag,
        form: key.form.clone(),
        default: key.toml(defaults),
        doc: key.doc,
        secret: key.secret,
    }
}

/// What loading fills: the configuration, and the kinds while they are still single keys.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) kinds: BTreeMap<KindName, KindDraft>,
}

impl Draft {
    pub(super) fn new(data: PathBuf) -> Self {
        Self { config: defaults(data), kinds: kinds::built_in() }
    }
}
