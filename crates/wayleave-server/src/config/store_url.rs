//! Where things are kept, as the configuration names it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use zeroize::Zeroizing;

use super::types::InvalidValue;

/// A store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `sqlite:PATH`: one file. A relative path lies in the data folder.
    Sqlite(PathBuf),
    /// `memory:`: nothing survives the process.
    Memory,
    /// `postgres://...`: a PostgreSQL database.
    Postgres(ServerUrl),
    /// `redis://...`, or `rediss://...` for TLS: one Redis server. Sessions only.
    Redis(ServerUrl),
    /// `redis+cluster://[USER:PASSWORD@]HOST:PORT,...`, or `rediss+cluster://` for TLS: some nodes of a Redis Cluster.
    /// Sessions only.
    RedisCluster(Vec<ServerUrl>),
}

impl StoreUrl {
    /// Whether accounts, settings and the audit log can be there, too.
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        match self {
            Self::Sqlite(_) | Self::Memory | Self::Postgres(_) => true,
            Self::Redis(_) | Self::RedisCluster(_) => false,
        }
    }

    /// Whether several servers can use it at once.
    #[must_use]
    pub const fn is_shared(&self) -> bool {
        match self {
            Self::Sqlite(_) | Self::Memory => false,
            Self::Postgres(_) | Self::Redis(_) | Self::RedisCluster(_) => true,
        }
    }

    /// The path of the file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Memory | Self::Postgres(_) | Self::Redis(_) | Self::RedisCluster(_) => None,
        }
    }
}

impl FromStr for StoreUrl {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        let (scheme, rest) = text.split_once(':').ok_or(InvalidValue)?;
        match (scheme, rest.strip_prefix("//")) {
            ("sqlite", rooted) => {
                let path = rooted.unwrap_or(rest);
                // A colon or question mark at the start would be SQLite's own syntax for something that is not a file.
                let is_file =
                    !path.is_empty() && !path.ends_with('/') && !path.starts_with([':', '?']) && !path.contains('\0');
                if is_file { Ok(Self::Sqlite(path.into())) } else { Err(InvalidValue) }
            }
            ("postgres" | "postgresql", Some(_)) => Ok(Self::Postgres(text.parse()?)),
            ("redis" | "rediss", Some(_)) => Ok(Self::Redis(text.parse()?)),
            ("redis+cluster" | "rediss+cluster", Some(nodes)) => {
                let scheme = scheme.trim_end_matches("+cluster");
                let (login, hosts) =
                    nodes.rsplit_once('@').map_or((None, nodes), |(login, hosts)| (Some(login), hosts));
                let login = login.map(|login| format!("{login}@")).map(Zeroizing::new);
                let login = login.as_ref().map_or("", |login| login.as_str());
                let node = |host: &str| Zeroizing::new(format!("{scheme}://{login}{host}")).parse();
                Ok(Self::RedisCluster(hosts.split(',').map(node).collect::<Result<_, _>>()?))
            }
            _ => Err(InvalidValue),
        }
    }
}

/// Without passwords.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Memory => f.write_str("memory:"),
            Self::Postgres(url) | Self::Redis(url) => write!(f, "{url}"),
            Self::RedisCluster(urls) => {
                let nodes: Vec<_> = urls.iter().map(ToString::to_string).collect();
                f.write_str(&nodes.join(","))
            }
        }
    }
}

/// The address of a database server: `SCHEME://[USER[:PASSWORD]@]HOST...`. It may hold a password, and shows none.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(Zeroizing<String>);

impl ServerUrl {
    /// All of it, for whoever connects.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerUrl {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let (_, rest) = text.split_once("://").ok_or(InvalidValue)?;
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && !place.is_empty() && text.len() <= 2048 {
            Ok(Self(Zeroizing::new(text.to_owned())))
        } else {
            Err(InvalidValue)
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        // A password that is not encoded may hold anything, and parameters may hold one, too: where it cannot be told from
        // host or path, they are not shown either.
        let (login, rest) = rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
        if login.is_some_and(|login| login.contains(['/', '?', '#'])) {
            return write!(f, "{scheme}://***");
        }
        let (place, parameters) = rest.split_once(['?', '#']).map_or((rest, ""), |(place, _)| (place, "?..."));
        match login {
            Some(login) => {
                let (user, password) = login.split_once(':').map_or((login, ""), |(user, _)| (user, ":***"));
                write!(f, "{scheme}://{user}{password}@{place}{parameters}")
            }
            None => write!(f, "{scheme}://{place}{parameters}"),
        }
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_read_and_shown_without_their_passwords() {
        for (text, shown) in [
            ("memory:", "memory:"),
            ("sqlite:a/b.db", "sqlite:a/b.db"),
            ("sqlite:///srv/a.db", "sqlite:/srv/a.db"),
            ("postgres://host/db", "postgres://host/db"),
            ("postgresql://ann:pa:ss@host:5432/db?sslmode=require", "postgresql://ann:***@host:5432/db?..."),
            ("postgres:///db?host=/run/postgresql&password=secret", "postgres:///db?..."),
            ("postgres://u:S3cret?pass@h/db", "postgres://***"),
            ("postgres://u:secret/of/a#kind@h/db?sslmode=require", "postgres://***"),
            ("postgres://u:se?cret:with@every/thing@h/db", "postgres://***"),
            ("postgres://host/db?user=u&password=two@secret", "postgres://***"),
            ("postgres://u:secret@with@h/db", "postgres://u:***@h/db"),
            ("redis+cluster://u:se?cret@a:1,b:2", "redis://***,redis://***"),
            ("redis://:secret@host:6379/1", "redis://:***@host:6379/1"),
            ("rediss://host", "rediss://host"),
            ("redis+cluster://u:secret@a:1,b:2", "redis://u:***@a:1,redis://u:***@b:2"),
            ("rediss+cluster://a:1", "rediss://a:1"),
        ] {
            let url: StoreUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            for part in ["secret", "S3cret", "pass", "kind", "thing"] {
                assert!(!format!("{url:?}").contains(part), "{url:?}");
            }
        }
    }

    #[test]
    fn what_is_no_store_is_refused() {
        for text in [
            "",
            "memory",
            "sqlite:",
            "sqlite::memory:",
            "sqlite:a/",
            "postgres:host",
            "postgres://",
            "mysql://host/db",
            "redis://",
            "redis://user@",
            "redis+cluster://",
            "redis+cluster://a,,b",
            "postgres://ho st/db",
        ] {
            assert_eq!(text.parse::<StoreUrl>(), Err(InvalidValue), "{text:?}");
        }
    }

    #[test]
    fn a_cluster_has_one_login_for_all_its_nodes() {
        let url: StoreUrl = "redis+cluster://u:p@a:1,b:2".parse().unwrap();
        let StoreUrl::RedisCluster(nodes) = url else { panic!() };
        let nodes: Vec<_> = nodes.iter().map(ServerUrl::reveal).collect();
        assert_eq!(nodes, ["redis://u:p@a:1", "redis://u:p@b:2"]);
    }
}
