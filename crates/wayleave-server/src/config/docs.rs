//! The reference of all keys, as Markdown: `docs/configuration.md` is what [`reference`] returns.

use std::fmt::Write as _;

use super::keys::{KINDS, KeyInfo, SECTIONS, all_keys, environment_name, section_of};
use super::kinds;
use super::table::KIND_KEYS;

const HEAD: &str = "\
# Configuration

<!-- Generated from the table of keys: `wayleave config reference > docs/configuration.md`. A test compares them. -->

Every key can be set in three places. Later ones win:

1. the file `wayleave.toml`: the one that `--config FILE` or `WAYLEAVE_CONFIG` names, else the one in the working
   folder, else the one in the data folder;
2. the environment, as `WAYLEAVE_` and the path in capitals: `server.listen` is `WAYLEAVE_SERVER_LISTEN`;
3. flags: `--set server.listen=127.0.0.1:9000`, or a flag of its own where one is named below.

The data folder is `--data DIR`, else `WAYLEAVE_DATA`, else `./wayleave-data`. Relative paths of the configuration lie
in it.

`wayleave config check` explains every problem with its line. `wayleave config show` prints every value in force and
where it comes from. Unknown keys, sections and `WAYLEAVE_` variables are errors; only the variables that Kubernetes
sets for a service called `wayleave` are passed over.

Durations are written `500ms`, `90s`, `30m`, `12h`, `30d`, `1h30m` or as a plain number of seconds; sizes `64KiB`,
`2MiB` or as a plain number of bytes. In variables and flags, lists are separated by commas, and texts have no quotes.
";

/// The whole reference.
#[must_use]
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    let keys = all_keys();
    for (section, about) in SECTIONS {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n## `[{}]`\n\n{about}\n", if section == KINDS { "kinds.NAME" } else { section });
        if section == KINDS {
            built_in_kinds(&mut text);
        }
        for key in keys.iter().filter(|key| section_of(&key.path) == section) {
            entry(&mut text, key, "###");
        }
    }
    text
}

/// What the reference says of one key; `None` when there is no such key. Keys of kinds are found under any kind.
#[must_use]
pub fn explain(path: &str) -> Option<String> {
    let mut parts = path.splitn(3, '.');
    let kind = match (parts.next(), parts.next(), parts.next()) {
        (Some(KINDS), Some(kind), Some(key)) => Some((kind, format!("{KINDS}.NAME.{key}"))),
        (_, _, _) => None,
    };
    let wanted = kind.as_ref().map_or(path, |(_, generic)| generic.as_str());
    let mut info = all_keys().into_iter().find(|key| key.path == wanted)?;
    if let Some((kind, _)) = kind {
        let draft = kind.parse().ok().and_then(|name| kinds::built_in().remove(&name)).unwrap_or_default();
        if let Some(key) = KIND_KEYS.iter().find(|key| path.ends_with(&format!(".{}", key.path))) {
            info.default = key.toml(&draft);
        }
        info.path = path.to_owned();
        info.environment = environment_name(path);
    }
    let mut text = String::new();
    entry(&mut text, &info, "#");
    Some(text.trim_start().to_owned())
}

fn entry(text: &mut String, key: &KeyInfo, heading: &str) {
    let KeyInfo { path, environment, flag, form, default, doc, secret } = key;
    let _ = write!(text, "\n{heading} `{path}`\n\n{doc}\n\n- Value: {form}\n");
    let _ = writeln!(text, "- Default: `{default}`");
    let _ = writeln!(text, "- Variable: `{environment}`");
    if let Some(flag) = flag {
        let _ = writeln!(text, "- Flag: `{flag}`");
    }
    if *secret {
        text.push_str("- Secret: never shown, and not taken from flags\n");
    }
}

fn built_in_kinds(text: &mut String) {
    let kinds = kinds::built_in();
    let names: Vec<_> = kinds.keys().map(|name| format!("`{name}`")).collect();
    let _ = write!(text, "\n| key | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for key in KIND_KEYS.iter() {
        let values: Vec<_> = kinds.values().map(|draft| format!("`{}`", key.plain(draft).replace(',', ", "))).collect();
        let _ = writeln!(text, "| `{}` | {} |", key.path, values.join(" | ").replace("``", "none"));
    }
}
