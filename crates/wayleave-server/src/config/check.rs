//! What a single value cannot show: values that do not go together, and what could be safer.

use std::time::Duration;

use wayleave_core::policy::{IdleLimit, Kinds};
use wayleave_opaque::KeyStretching;

use super::keys::kind_path;
use super::kinds;
use super::problem::{Importance, Location, Problem, ProblemKind, Warning};
use super::sources::Loading;
use super::store_url::StoreUrl;
use super::value::write_duration;
use super::words::{ForwardedHeader, Registration};

/// Runs every check and, without problems, puts the kinds into the configuration.
pub(super) fn check(loading: &mut Loading) {
    let kinds = kinds(loading);
    let mut check = Check { loading };
    check.origins();
    check.proxies();
    check.limits();
    check.stores();
    check.cookies();
    check.keys();
    check.openings();
    if let Some(kinds) = kinds {
        check.last_seen(&kinds);
        check.loading.draft.config.kinds = kinds;
    }
}

fn kinds(loading: &mut Loading) -> Option<Kinds> {
    match kinds::policies(&loading.draft.kinds) {
        Ok(kinds) => Some(kinds),
        Err(mismatches) => {
            for (name, mismatch) in mismatches {
                let paths: Vec<_> = mismatch.keys().iter().map(|key| kind_path(name.as_str(), key)).collect();
                let mut paths: Vec<&str> = paths.iter().map(String::as_str).collect();
                let section = format!("kinds.{name}");
                paths.push(&section);
                Check { loading }.refuse(&paths, format!("kind `{name}`: {mismatch}"));
            }
            None
        }
    }
}

struct Check<'a> {
    loading: &'a mut Loading,
}

impl Check<'_> {
    /// A conflict among values. It is shown at the first of `paths` that was set by somebody. Nothing is said when one
    /// of the values was refused already.
    fn refuse(&mut self, paths: &[&str], message: String) {
        let refused = |problem: &Problem| problem.key.as_deref().is_some_and(|key| paths.contains(&key));
        if self.loading.problems.iter().any(refused) {
            return;
        }
        let (key, location) = self.place(paths);
        let problem = Problem::new(ProblemKind::Conflict, location, message);
        self.loading.problems.push(Problem { key: Some(key), ..problem });
    }

    fn warn(&mut self, importance: Importance, paths: &[&str], message: String) {
        let (key, location) = self.place(paths);
        self.loading.warnings.push(Warning { importance, key, message, location });
    }

    fn place(&self, paths: &[&str]) -> (String, Location) {
        let set = paths.iter().find_map(|path| Some((path, self.loading.origins.get(*path)?.clone())));
        match set {
            Some((path, location)) => ((*path).to_owned(), location),
            None => (paths.first().map_or_else(String::new, |path| (*path).to_owned()), Location::Nowhere),
        }
    }

    fn origins(&mut self) {
        let server = &self.loading.draft.config.server;
        if !server.listen.ip().is_loopback() && server.public_url.is_none() && server.origins.is_empty() {
            self.warn(
                Importance::Warning,
                &["server.listen"],
                "browsers cannot sign in: on anything but loopback, `server.public_url` says which origin they use"
                    .into(),
            );
        }
    }

    fn proxies(&mut self) {
        let server = &self.loading.draft.config.server;
        let everybody = server.trusted_proxies.iter().find(|network| network.prefix_len() == 0).copied();
        let reads = match server.forwarded_header {
            ForwardedHeader::None => false,
            ForwardedHeader::XForwardedFor | ForwardedHeader::Forwarded => true,
        };
        let trusts = !server.trusted_proxies.is_empty();
        if let Some(network) = everybody {
            self.refuse(
                &["server.trusted_proxies"],
                format!("`{network}` trusts everybody: any client could claim any address"),
            );
        }
        if reads && !trusts {
            self.warn(
                Importance::Warning,
                &["server.forwarded_header"],
                "the header is never read, because `server.trusted_proxies` is empty".into(),
            );
        }
        if trusts && !reads {
            self.warn(
                Importance::Warning,
                &["server.trusted_proxies"],
                "all clients behind the proxies count as one, because `server.forwarded_header` is `none`".into(),
            );
        }
    }

    fn limits(&mut self) {
        let config = &self.loading.draft.config;
        let (timeout, head) = (config.server.request_timeout, config.server.header_timeout);
        let whole_kib = config.password.argon2_memory.bytes().is_multiple_of(1024);
        let (opaque, vault) = (config.opaque.clone(), config.vault.clone());
        let database_is_key = config.database().is_some_and(|database| database == config.resolve(&config.keys.master));
        if head > timeout {
            self.refuse(
                &["server.header_timeout", "server.request_timeout"],
                "`server.header_timeout` is at most `server.request_timeout`".into(),
            );
        }
        if !whole_kib {
            self.refuse(&["password.argon2_memory"], "`password.argon2_memory` is a whole number of KiB".into());
        }
        if !opaque.memory.bytes().is_multiple_of(1024) {
            self.refuse(&["opaque.memory"], "`opaque.memory` is a whole number of KiB".into());
        }
        if opaque.enabled && opaque.key_stretching().is_ok_and(KeyStretching::is_cheap) {
            self.warn(
                Importance::Warning,
                &["opaque.memory", "opaque.iterations"],
                "key stretching by OPAQUE is cheaper than 19 MiB and 2 passes, or 46 MiB and 1: whoever has the database \
                 and the master key tries passwords faster than against any hash"
                    .into(),
            );
        }
        if vault.max_blob > vault.quota {
            self.refuse(&["vault.max_blob", "vault.quota"], "`vault.max_blob` is at most `vault.quota`".into());
        }
        if database_is_key {
            self.refuse(&["keys.master", "store.url"], "the master key and the database are one file".into());
        }
    }

    /// What is where, and who shares it.
    fn stores(&mut self) {
        let config = &self.loading.draft.config;
        let (store, nodes) = (config.store.clone(), config.nodes.clone());
        let is_redis = matches!(store.url, StoreUrl::Redis(_) | StoreUrl::RedisCluster(_));
        match &store.directory {
            None if is_redis => self.refuse(
                &["store.directory", "store.url"],
                "Redis keeps sessions only; say where accounts, settings and the audit log are with `store.directory`"
                    .into(),
            ),
            Some(_) if !is_redis => self.refuse(
                &["store.directory", "store.url"],
                "`store.directory` is for sessions in Redis; any other store keeps everything".into(),
            ),
            Some(StoreUrl::Sqlite(_)) => self.warn(
                Importance::Warning,
                &["store.directory"],
                "a SQLite file is one server's alone; several need PostgreSQL here".into(),
            ),
            Some(StoreUrl::Postgres(_)) | None => {}
            Some(_) => self.refuse(
                &["store.directory"],
                "accounts, settings and the audit log can be in `postgres://...` or `sqlite:PATH`".into(),
            ),
        }
        if store.replicated && !is_redis {
            self.warn(
                Importance::Warning,
                &["store.replicated"],
                "this is for Redis; PostgreSQL is told by its own `synchronous_commit`".into(),
            );
        }
        if nodes.beat * 4 > nodes.lease {
            self.refuse(
                &["nodes.beat", "nodes.lease"],
                "`nodes.beat` is at most a quarter of `nodes.lease`, so that one late sign of life ends nothing".into(),
            );
        }
    }

    fn cookies(&mut self) {
        let config = &self.loading.draft.config;
        let cookies = config.cookies.clone();
        let local = config.server.listen.ip().is_loopback()
            && config.server.public_url.iter().chain(&config.server.origins).all(super::Origin::is_loopback);
        if cookies.name.as_str() == cookies.csrf_name.as_str() {
            self.refuse(&["cookies.csrf_name", "cookies.name"], "the two cookies bear the same name".into());
        }
        if cookies.csrf_name.is_hidden_from_scripts() {
            self.refuse(
                &["cookies.csrf_name"],
                "scripts read the CSRF cookie, and browsers hide cookies with this prefix from them".into(),
            );
        }
        for (path, name) in [("cookies.name", &cookies.name), ("cookies.csrf_name", &cookies.csrf_name)] {
            if name.demands_secure() && !cookies.secure {
                self.refuse(
                    &[path, "cookies.secure"],
                    format!("browsers refuse a cookie called `{name}` unless `cookies.secure` is true"),
                );
            }
            if name.is_host_only() && cookies.domain.is_some() {
                self.refuse(
                    &["cookies.domain", path],
                    format!("browsers refuse a cookie called `{name}` with a domain; begin it with `__Secure-`"),
                );
            }
        }
        if let Some(domain) = &cookies.domain {
            self.warn(
                Importance::Advice,
                &["cookies.domain"],
                format!("every host below `{domain}` sees the session cookie and can replace it"),
            );
        }
        if !cookies.secure && !cookies.dangerous_allow_insecure {
            self.refuse(
                &["cookies.secure"],
                "without `Secure` everybody on the network can read the cookies; if that is meant, say so with \
                 `cookies.dangerous_allow_insecure = true`"
                    .into(),
            );
        } else if !cookies.secure && !local {
            self.refuse(
                &["cookies.secure", "server.listen", "server.public_url", "server.origins"],
                "cookies without `Secure` are for loopback only: listener and origins must all be of this machine"
                    .into(),
            );
        } else if !cookies.secure {
            self.warn(Importance::Warning, &["cookies.secure"], "cookies travel unencrypted".into());
        }
        if cookies.secure && cookies.dangerous_allow_insecure {
            self.warn(
                Importance::Warning,
                &["cookies.dangerous_allow_insecure"],
                "this has no effect while `cookies.secure` is true; better remove it".into(),
            );
        }
    }

    fn keys(&mut self) {
        let config = &self.loading.draft.config;
        let memory = config.store.url == StoreUrl::Memory;
        let beside = config.resolve(&config.keys.master).starts_with(&config.data);
        if beside && config.keys.credential.is_none() && !memory {
            self.warn(
                Importance::Advice,
                &["keys.master"],
                "the master key lies in the data folder, so a copy of the folder opens everything in it; set \
                 `keys.master` to a path elsewhere, or hand it over as the systemd credential `wayleave-master-key`"
                    .into(),
            );
        }
    }

    /// What is open to everybody.
    fn openings(&mut self) {
        let config = &self.loading.draft.config;
        let (registration, listen) = (config.accounts.registration, config.metrics.listen);
        match registration {
            Registration::Open => self.warn(
                Importance::Advice,
                &["accounts.registration"],
                "with open registration anybody can find out whether an address has an account: a free one is taken and \
                 another is refused; an invitation tells its holder of three addresses at most, and of none but its own \
                 when it is bound to one"
                    .into(),
            ),
            Registration::Closed | Registration::Invitation => {}
        }
        if listen.is_some_and(|listen| !listen.ip().is_loopback()) {
            self.warn(
                Importance::Advice,
                &["metrics.listen"],
                "whoever reaches this address reads the metrics; nobody else than operators should".into(),
            );
        }
    }

    /// R015: the throttle of last-seen writes stays below a tenth of every idle limit.
    fn last_seen(&mut self, kinds: &Kinds) {
        let sessions = self.loading.draft.config.sessions.clone();
        let flush = sessions.last_seen_flush;
        for (name, policy) in kinds.iter() {
            let fixed = match policy.idle_limit {
                IdleLimit::Fixed(length) => Some((length, kind_path(name.as_str(), "idle_limit"))),
                IdleLimit::SessionTimeout => Some((sessions.timeout.as_duration(), "sessions.timeout".to_owned())),
                IdleLimit::None => None,
            };
            let remembered =
                policy.remembered.map(|longer| (longer.idle_limit, kind_path(name.as_str(), "remembered_idle_limit")));
            for (limit, path) in fixed.into_iter().chain(remembered) {
                if flush.saturating_mul(10) >= limit.max(Duration::from_millis(1)) {
                    self.refuse(
                        &[&path, "sessions.last_seen_flush"],
                        format!(
                            "`sessions.last_seen_flush` ({}) is less than a tenth of every idle limit, and `{path}` \
                             is {}",
                            write_duration(flush),
                            write_duration(limit),
                        ),
                    );
                }
            }
        }
    }
}
