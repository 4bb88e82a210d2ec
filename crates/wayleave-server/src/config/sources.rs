//! Where values come from: the file, the environment and the flags, in rising order of precedence.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use wayleave_core::policy::KindName;

use super::check;
use super::file;
use super::keys::{Draft, Key, PREFIX, environment_name, kind_path};
use super::kinds::MAX_KINDS;
use super::problem::{Importance, Location, Problem, ProblemKind, Problems, Source, Warning, escape, nearest};
use super::table::{KIND_KEYS, SETTINGS};
use super::value::{Input, Wrong};
use super::{Config, KeyInfo, all_keys};

/// The data folder when nobody names one.
const DEFAULT_DATA: &str = "./wayleave-data";
/// The file's name when nobody names one: in the working folder first, then in the data folder.
const FILE: &str = "wayleave.toml";
/// Largest file.
const MAX_FILE: u64 = 1024 * 1024;
/// Variables of the command line itself: the places of the data folder and of the file.
const DATA_VARIABLE: &str = "WAYLEAVE_DATA";
const FILE_VARIABLE: &str = "WAYLEAVE_CONFIG";
/// Where systemd puts credentials, and the name of ours.
const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
const CREDENTIAL: &str = "wayleave-master-key";

/// Everything that a configuration is read from. Nothing else is looked at.
#[derive(Clone, Default)]
pub struct Sources {
    /// `--data`.
    pub data: Option<PathBuf>,
    /// `--config`. A file that is named must exist.
    pub file: Option<PathBuf>,
    /// The working folder, where `wayleave.toml` is looked for when no file is named; `None` looks in the data folder
    /// only.
    pub folder: Option<PathBuf>,
    /// Names and values of the environment; only `WAYLEAVE_...` and `CREDENTIALS_DIRECTORY` are looked at.
    pub environment: Vec<(OsString, OsString)>,
    /// Paths of keys and values from the command line, each with the flag that it was given by.
    pub flags: Vec<Assignment>,
}

impl fmt::Debug for Sources {
    /// Without values, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data, file, folder, environment: _, flags } = self;
        f.debug_struct("Sources")
            .field("data", data)
            .field("file", file)
            .field("folder", folder)
            .field("flags", flags)
            .finish_non_exhaustive()
    }
}

/// One value from the command line.
#[derive(Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The path of the key.
    pub key: String,
    /// The value.
    pub value: String,
}

impl fmt::Debug for Assignment {
    /// Without the value, which may be a secret that was typed into the wrong place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assignment").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A configuration without problems.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is probably not meant, or could be safer.
    pub warnings: Vec<Warning>,
    /// The file that was read, if there was one.
    pub file: Option<PathBuf>,
    pub(super) draft: Draft,
    pub(super) origins: BTreeMap<String, Location>,
}

/// The state of loading.
pub(super) struct Loading {
    pub(super) draft: Draft,
    /// Where the values that are not defaults come from, by path.
    pub(super) origins: BTreeMap<String, Location>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Warning>,
}

impl Loading {
    pub(super) fn refuse<R: Clone + 'static>(&mut self, key: &Key<R>, path: String, location: Location, wrong: Wrong) {
        let Wrong { found, hint } = wrong;
        let found = if key.secret { "the value".to_owned() } else { found };
        let message = format!("{found} is not {}", key.form);
        let problem = Problem::new(ProblemKind::Value, location, message);
        self.problems.push(Problem { key: Some(path), hint: hint.map(str::to_owned), ..problem });
    }

    pub(super) fn origin(&self, path: &str) -> Location {
        self.origins.get(path).cloned().unwrap_or(Location::Nowhere)
    }
}

/// Reads, applies and checks.
pub(super) fn load(sources: Sources) -> Result<Loaded, Problems> {
    let Sources { data, file, folder, environment, flags } = sources;
    let variable = |name: &str| {
        environment.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone()).filter(|v| !v.is_empty())
    };
    let data = data.or_else(|| variable(DATA_VARIABLE).map(PathBuf::from)).unwrap_or_else(|| DEFAULT_DATA.into());
    let named = file.or_else(|| variable(FILE_VARIABLE).map(PathBuf::from));
    let found = named.clone().or_else(|| {
        let places = folder.iter().chain([&data]).map(|place| place.join(FILE));
        places.into_iter().find(|place| place.exists())
    });
    let mut loading =
        Loading { draft: Draft::new(data), origins: BTreeMap::new(), problems: Vec::new(), warnings: Vec::new() };
    if let Some(path) = &found {
        read_file(&mut loading, path);
    }
    let mut variables: Vec<_> = environment.iter().collect();
    variables.sort();
    for (name, value) in variables {
        read_variable(&mut loading, name, value);
    }
    for Assignment { key, value } in &flags {
        read_flag(&mut loading, key, value);
    }
    if !loading.origins.contains_key("keys.master")
        && let Some(directory) = variable(CREDENTIALS_VARIABLE)
    {
        let credential = Path::new(&directory).join(CREDENTIAL);
        loading.draft.config.keys.credential = credential.exists().then_some(credential);
    }
    check::check(&mut loading);
    let Loading { draft, origins, problems, warnings } = loading;
    if !problems.is_empty() {
        return Err(Problems::new(problems));
    }
    Ok(Loaded { config: draft.config.clone(), warnings, file: found, draft, origins })
}

fn read_file(loading: &mut Loading, path: &Path) {
    let unreadable = |message: String| {
        let location = Location::File { path: path.into(), line: 1, column: 1, excerpt: None };
        Problem::new(ProblemKind::File, location, message)
    };
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| {
        let mode = file.metadata()?.permissions().mode();
        file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        Ok(mode)
    });
    let mode = match read {
        Ok(mode) => mode,
        Err(error) => return loading.problems.push(unreadable(format!("cannot read the file: {error}"))),
    };
    if bytes.len() as u64 > MAX_FILE {
        return loading.problems.push(unreadable("the file is larger than 1 MiB".into()));
    }
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => {
            let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
            return loading.problems.push(unreadable(format!("the file is not UTF-8 (line {line})")));
        }
    };
    file::apply(loading, &Source::new(path.to_owned(), text));
    let holds_secret = SETTINGS.iter().filter(|key| key.secret).find(|key| loading.origins.contains_key(key.path));
    if let Some(key) = holds_secret
        && mode & 0o077 != 0
    {
        loading.warnings.push(Warning {
            importance: Importance::Warning,
            key: key.path.to_owned(),
            message: format!("the file holds a secret and others may read it: `chmod 600 {}`", path.display()),
            location: loading.origin(key.path),
        });
    }
    if mode & 0o022 != 0 {
        loading.warnings.push(Warning {
            importance: Importance::Warning,
            key: String::new(),
            message: format!("others may change the configuration: `chmod go-w {}`", path.display()),
            location: Location::File { path: path.into(), line: 1, column: 1, excerpt: None },
        });
    }
}

fn read_variable(loading: &mut Loading, name: &OsStr, value: &OsStr) {
    let lossy = name.to_string_lossy();
    if !lossy.starts_with(PREFIX) || lossy == DATA_VARIABLE || lossy == FILE_VARIABLE {
        return;
    }
    let location = Location::Environment(lossy.clone().into_owned());
    let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
        let message = "the variable is not UTF-8".to_owned();
        return loading.problems.push(Problem::new(ProblemKind::Value, location, message));
    };
    if is_service_link(name, value) {
        return;
    }
    let input = Input::Word(value);
    if let Some(key) = SETTINGS.iter().find(|key| environment_name(key.path) == name) {
        let result = key.set(&mut loading.draft.config, &input);
        return finish(loading, key, key.path.to_owned(), location, result);
    }
    if let Some((kind, key)) = kind_variable(loading, name) {
        let path = kind_path(kind.as_str(), key.path);
        let result = match kind_of(loading, kind) {
            Some(draft) => key.set(draft, &input),
            None => Err(Wrong { found: "one more kind".into(), hint: Some("there are 64 kinds already") }),
        };
        return finish(loading, key, path, location, result);
    }
    let known = SETTINGS.iter().map(|key| environment_name(key.path));
    let kinds = loading
        .draft
        .kinds
        .keys()
        .flat_map(|kind| KIND_KEYS.iter().map(move |key| environment_name(&kind_path(kind.as_str(), key.path))));
    let known: Vec<_> = known.chain(kinds).chain([DATA_VARIABLE.into(), FILE_VARIABLE.into()]).collect();
    let bare = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    let suggestion = nearest(&bare(name), known.iter().filter_map(|name| name.strip_prefix(PREFIX)));
    let message = format!("there is no key for the variable `{}`", escape(name));
    let problem = Problem::new(ProblemKind::Unknown, location, message);
    let suggestion = suggestion.map(|name| format!("{PREFIX}{name}"));
    loading.problems.push(Problem { suggestion, ..problem });
}

/// Variables that Kubernetes and Docker links set for a service that is itself called `wayleave`.
fn is_service_link(name: &str, value: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default();
    rest == "SERVICE_HOST"
        || rest.starts_with("SERVICE_PORT")
        || (rest.starts_with("PORT") && (value.contains("://") || rest.contains("_TCP") || rest.contains("_UDP")))
}

/// The kind and the key that a variable names. An existing kind wins over a new one of another cut.
fn kind_variable(loading: &Loading, name: &str) -> Option<(KindName, &'static Key<super::kinds::KindDraft>)> {
    let rest = name.strip_prefix("WAYLEAVE_KINDS_")?;
    let existing = loading.draft.kinds.keys().find_map(|kind| {
        let key = KIND_KEYS.iter().find(|key| environment_name(&kind_path(kind.as_str(), key.path)) == name)?;
        Some((kind.clone(), key))
    });
    existing.or_else(|| {
        // The longest key that fits: of `A_REMEMBERED_IDLE_LIMIT` not `IDLE_LIMIT`.
        let fits = KIND_KEYS.iter().filter_map(|key| {
            let kind = rest.strip_suffix(&key.path.to_ascii_uppercase())?.strip_suffix('_')?;
            Some((kind.to_ascii_lowercase().parse().ok()?, key))
        });
        fits.max_by_key(|(_, key)| key.path.len())
    })
}

fn kind_of(loading: &mut Loading, kind: KindName) -> Option<&mut super::kinds::KindDraft> {
    if !loading.draft.kinds.contains_key(&kind) && loading.draft.kinds.len() >= MAX_KINDS {
        return None;
    }
    Some(loading.draft.kinds.entry(kind).or_default())
}

fn read_flag(loading: &mut Loading, path: &str, value: &str) {
    let input = Input::Word(value);
    if let Some(key) = SETTINGS.iter().find(|key| key.path == path) {
        let location = Location::Flag(key.flag.map_or_else(|| format!("--set {path}"), str::to_owned));
        if key.secret {
            let message = format!("`{path}` is a secret, and flags can be seen by other users of the machine");
            let hint = format!("set it in the file, or in `{}`", environment_name(path));
            let problem = Problem::new(ProblemKind::Value, location, message);
            let problem = Problem { key: Some(path.to_owned()), hint: Some(hint), ..problem };
            return loading.problems.push(problem);
        }
        let result = key.set(&mut loading.draft.config, &input);
        return finish(loading, key, path.to_owned(), location, result);
    }
    let location = Location::Flag(format!("--set {path}"));
    let mut parts = path.splitn(3, '.');
    if let (Some("kinds"), Some(kind), Some(name)) = (parts.next(), parts.next(), parts.next())
        && let Ok(kind) = kind.parse::<KindName>()
        && let Some(key) = KIND_KEYS.iter().find(|key| key.path == name)
    {
        let result = match kind_of(loading, kind) {
            Some(draft) => key.set(draft, &input),
            None => Err(Wrong { found: "one more kind".into(), hint: Some("there are 64 kinds already") }),
        };
        return finish(loading, key, path.to_owned(), location, result);
    }
    let names: Vec<_> = all_keys().into_iter().map(|KeyInfo { path, .. }| path).chain(super::key_names()).collect();
    let suggestion = nearest(path, names.iter().map(String::as_str));
    let problem = Problem::new(ProblemKind::Unknown, location, format!("there is no key `{}`", escape(path)));
    loading.problems.push(Problem { key: Some(path.to_owned()), suggestion, ..problem });
}

fn finish<R: Clone + 'static>(
    loading: &mut Loading,
    key: &Key<R>,
    path: String,
    location: Location,
    result: Result<(), Wrong>,
) {
    match result {
        Ok(()) => drop(loading.origins.insert(path, location)),
        Err(wrong) => loading.refuse(key, path, location, wrong),
    }
}
