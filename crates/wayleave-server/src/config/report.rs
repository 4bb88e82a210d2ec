//! What `config check` and `config show` print.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::keys::{KINDS, SECTIONS, kind_path, section_of};
use super::problem::{Location, Problems, escape};
use super::sources::Loaded;
use super::table::{KIND_KEYS, SETTINGS};

/// The result of a check, for people.
#[must_use]
pub fn check_human(result: &Result<Loaded, Problems>) -> String {
    let loaded = match result {
        Ok(loaded) => loaded,
        Err(problems) => return problems.human(),
    };
    let mut text = String::new();
    for warning in &loaded.warnings {
        warning.human(&mut text);
    }
    let file = match &loaded.file {
        Some(file) => escape(&file.to_string_lossy()),
        None => "no file; defaults, environment and flags".into(),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "the configuration is valid ({file})");
    text
}

/// The result of a check, for scripts: `{valid, file, problems, warnings}`.
#[must_use]
pub fn check_json(result: &Result<Loaded, Problems>) -> Json {
    match result {
        Ok(Loaded { file, warnings, .. }) => json!({
            "valid": true,
            "file": file.as_ref().map(|file| file.to_string_lossy()),
            "problems": [],
            "warnings": warnings.iter().map(super::Warning::json).collect::<Vec<_>>(),
        }),
        Err(problems) => json!({ "valid": false, "file": null, "problems": problems.json(), "warnings": [] }),
    }
}

struct Effective {
    section: String,
    key: &'static str,
    toml: String,
    location: Location,
}

/// Every value in force, in the order of the documentation.
fn effective(loaded: &Loaded) -> Vec<Effective> {
    let origin = |path: &str| loaded.origins.get(path).cloned().unwrap_or(Location::Nowhere);
    let mut values = Vec::new();
    for (section, _) in SECTIONS {
        if section == KINDS {
            for (name, draft) in &loaded.draft.kinds {
                values.extend(KIND_KEYS.iter().map(|key| Effective {
                    section: format!("{KINDS}.{name}"),
                    key: key.path,
                    toml: key.toml(draft),
                    location: origin(&kind_path(name.as_str(), key.path)),
                }));
            }
        }
        let of_section = SETTINGS.iter().filter(|key| section_of(key.path) == section);
        values.extend(of_section.map(|key| Effective {
            section: section.to_owned(),
            key: key.path.split_once('.').map_or(key.path, |(_, last)| last),
            toml: key.toml(&loaded.config),
            location: origin(key.path),
        }));
    }
    values
}

/// Every value in force as TOML, each with where it comes from. Secrets are hidden.
#[must_use]
pub fn show_human(loaded: &Loaded) -> String {
    let mut text = format!("# data folder: {}\n", escape(&loaded.config.data.to_string_lossy()));
    let mut current = String::new();
    for Effective { section, key, toml, location } in effective(loaded) {
        if section != current {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n[{section}]\n");
            current = section;
        }
        let _ = match location {
            Location::Nowhere => writeln!(text, "{key} = {toml}"),
            set => writeln!(text, "{key} = {toml}  # {set}"),
        };
    }
    text
}

/// Every value in force as `{path: {value, source}}`; values are TOML. Secrets are hidden.
#[must_use]
pub fn show_json(loaded: &Loaded) -> Json {
    let values = effective(loaded).into_iter().map(|Effective { section, key, toml, location }| {
        (format!("{section}.{key}"), json!({ "value": toml, "source": location.to_string() }))
    });
    json!({ "data": loaded.config.data.to_string_lossy(), "values": values.collect::<Map<_, _>>() })
}
