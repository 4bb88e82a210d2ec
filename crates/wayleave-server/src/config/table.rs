//! The rows of the table of keys: every key once, with its field, its limits and its documentation.

use std::sync::LazyLock;
use std::time::Duration;

use wayleave_core::ports::Rotation;
use wayleave_opaque::KeyStretching;

use super::defaults::{days, hours, minutes, seconds};
use super::keys::Key;
use super::kinds::KindDraft;
use super::value::Size;
use super::{Config, Lockout};

/// The keys of the one configuration.
pub(super) static SETTINGS: LazyLock<Vec<Key<Config>>> = LazyLock::new(|| {
    vec![
        Key::new(
            "server.listen",
            |c: &mut Config| &mut c.server.listen,
            "Address and port to listen on. The port 0 takes a free one. On anything but loopback, set \
             `server.public_url` too and put TLS in front.",
        )
        .flag("--listen"),
        Key::new(
            "server.public_url",
            |c: &mut Config| &mut c.server.public_url,
            "The origin under which browsers reach the server. Links and the issuer of JWTs are made from it, and its \
             pages may change state with a cookie. On loopback it is derived from `server.listen`.",
        ),
        Key::new(
            "server.origins",
            |c: &mut Config| &mut c.server.origins,
            "More origins whose pages may change state with a cookie. They are compared exactly: scheme, host and port.",
        ),
        Key::new(
            "server.cors_origins",
            |c: &mut Config| &mut c.server.cors_origins,
            "Origins that may call the API from a page of their own and read the answers, with credentials. Nothing \
             is ever reflected, and `*` is not possible.",
        ),
        Key::new(
            "server.trusted_proxies",
            |c: &mut Config| &mut c.server.trusted_proxies,
            "Networks of the proxies in front. Only their `server.forwarded_header` is believed, hop by hop from the \
             right, up to the first address that is not in the list.",
        ),
        Key::new(
            "server.forwarded_header",
            |c: &mut Config| &mut c.server.forwarded_header,
            "The header in which trusted proxies name the client. The other one is ignored.",
        ),
        Key::within(
            "server.shutdown_deadline",
            |c: &mut Config| &mut c.server.shutdown_deadline,
            seconds(1)..=minutes(10),
            "How long running requests may take to finish after SIGTERM or SIGINT.",
        ),
        Key::within(
            "server.header_timeout",
            |c: &mut Config| &mut c.server.header_timeout,
            seconds(1)..=minutes(1),
            "How long a client may take to send the head of a request.",
        ),
        Key::within(
            "server.request_timeout",
            |c: &mut Config| &mut c.server.request_timeout,
            seconds(1)..=minutes(5),
            "How long a request may take from its head to its answer, the body included.",
        ),
        Key::within(
            "server.connection_limit",
            |c: &mut Config| &mut c.server.connection_limit,
            8..=100_000,
            "Most connections at once; further ones wait to be accepted.",
        ),
        Key::within(
            "server.peer_connection_limit",
            |c: &mut Config| &mut c.server.peer_connection_limit,
            8..=100_000,
            "Most connections at once of one peer, which is an IPv4 address or a /64 of IPv6; further ones are closed. A \
             /48 of IPv6 may have four times as many. Loopback and `server.trusted_proxies` may have any number.",
        ),
        Key::within(
            "server.body_limit",
            |c: &mut Config| &mut c.server.body_limit,
            Size::kib(4)..=Size::kib(16 * 1024),
            "Largest request body.",
        ),
        Key::within(
            "server.header_limit",
            |c: &mut Config| &mut c.server.header_limit,
            Size::kib(16)..=Size::kib(256),
            "Largest request head, all headers together.",
        ),
        Key::new(
            "store.url",
            |c: &mut Config| &mut c.store.url,
            "The store. `sqlite:PATH` is one file, in the data folder unless the path is absolute. `memory:` forgets \
             everything when the process ends. `postgres://USER:PASSWORD@HOST/DATABASE` and `redis://HOST`, \
             `rediss://HOST` or `redis+cluster://HOST:PORT,HOST:PORT` are for several servers at once. Redis has sessions \
             only; the rest is where `store.directory` says.",
        )
        .flag("--store"),
        Key::new(
            "store.directory",
            |c: &mut Config| &mut c.store.directory,
            "Where accounts, settings, counters and the audit log are, where `store.url` is Redis: `postgres://...`, or \
             `sqlite:PATH` for a single server.",
        ),
        Key::within(
            "store.connections",
            |c: &mut Config| &mut c.store.connections,
            1..=1000,
            "Most connections to a PostgreSQL server.",
        ),
        Key::new(
            "store.replicated",
            |c: &mut Config| &mut c.store.replicated,
            "Whether a write to Redis counts only once a replica has it. For servers with replicas: otherwise a failover \
             can bring an ended session back.",
        ),
        Key::within(
            "store.readers",
            |c: &mut Config| &mut c.store.readers,
            1..=64,
            "Connections that read at once. There is always exactly one that writes.",
        ),
        Key::within(
            "store.busy_timeout",
            |c: &mut Config| &mut c.store.busy_timeout,
            Duration::from_millis(100)..=seconds(30),
            "How long an operation waits for its turn before it fails and the request is answered 503.",
        ),
        Key::within(
            "store.memory_sessions",
            |c: &mut Config| &mut c.store.memory_sessions,
            1..=100_000_000,
            "Most sessions that a `memory:` store holds.",
        ),
        Key::new(
            "nodes.name",
            |c: &mut Config| &mut c.nodes.name,
            "The name of this server among those on the same store, different on each: its chain in the audit log bears it.",
        ),
        Key::new(
            "nodes.coherence",
            |c: &mut Config| &mut c.nodes.coherence,
            "When the end or change of a session is answered: with `prompt` when the other servers were told, with \
             `strict` when each has acted on it or can no longer answer from memory.",
        ),
        Key::within(
            "nodes.lease",
            |c: &mut Config| &mut c.nodes.lease,
            Duration::from_millis(500)..=seconds(60),
            "How long a server may answer from memory after it last heard itself on the bus. The same on every server.",
        ),
        Key::within(
            "nodes.beat",
            |c: &mut Config| &mut c.nodes.beat,
            Duration::from_millis(50)..=seconds(10),
            "How often a server says that it lives; at most a quarter of `nodes.lease`.",
        ),
        Key::new(
            "cookies.name",
            |c: &mut Config| &mut c.cookies.name,
            "The session cookie. With the `__Host-` prefix browsers keep it to this very host and to TLS.",
        ),
        Key::new(
            "cookies.csrf_name",
            |c: &mut Config| &mut c.cookies.csrf_name,
            "The cookie that scripts read to fill the `x-csrf-token` header.",
        ),
        Key::new(
            "cookies.same_site",
            |c: &mut Config| &mut c.cookies.same_site,
            "`SameSite` of the session cookie. With `strict` a link from another site arrives signed out.",
        ),
        Key::new(
            "cookies.domain",
            |c: &mut Config| &mut c.cookies.domain,
            "`Domain` of the session cookie, to share it among the hosts of a domain. Every one of those hosts, and \
             whoever takes one over, then sees and can replace the cookie. `none` keeps it to this host.",
        ),
        Key::new(
            "cookies.secure",
            |c: &mut Config| &mut c.cookies.secure,
            "Whether cookies travel over TLS only. Chromium and Firefox make an exception for loopback, so `false` is \
             needed only for other clients in development, together with `cookies.dangerous_allow_insecure`.",
        ),
        Key::new(
            "cookies.dangerous_allow_insecure",
            |c: &mut Config| &mut c.cookies.dangerous_allow_insecure,
            "Consent to `cookies.secure = false`. Taken on loopback only: anybody on the network could read the \
             cookies otherwise.",
        ),
        Key::new(
            "cookies.clear_site_data",
            |c: &mut Config| &mut c.cookies.clear_site_data,
            "What `Clear-Site-Data` names at sign-out. `cookies` removes those of every application under the same \
             registrable domain, `storage` also what other applications on this origin keep.",
        ),
        Key::new(
            "sessions.timeout",
            |c: &mut Config| &mut c.sessions.timeout,
            "The session timeout until an administrator sets another: the idle limit of kinds with `idle_limit = \
             \"session-timeout\"` that are not remembered.",
        ),
        Key::within(
            "sessions.refresh_window",
            |c: &mut Config| &mut c.sessions.refresh_window,
            seconds(0)..=Rotation::LONGEST_WINDOW,
            "How long a client that lost the answer to a refresh can ask again and get the identical pair. `0` never; \
             any second use then ends the session.",
        ),
        Key::within(
            "sessions.sweep_interval",
            |c: &mut Config| &mut c.sessions.sweep_interval,
            seconds(1)..=days(1),
            "How often ended records are swept.",
        ),
        Key::within(
            "sessions.sweep_batch",
            |c: &mut Config| &mut c.sessions.sweep_batch,
            1..=10_000,
            "Most records that one step of a sweep removes; a sweep takes as many steps as it needs.",
        ),
        Key::within(
            "sessions.retention",
            |c: &mut Config| &mut c.sessions.retention,
            minutes(1)..=days(400),
            "How long an ended session stays on record, so that a late token is told that it expired and a reused \
             refresh token is noticed.",
        ),
        Key::within(
            "sessions.last_seen_flush",
            |c: &mut Config| &mut c.sessions.last_seen_flush,
            seconds(1)..=seconds(29),
            "How long last-seen times are gathered before they are written together. Less than a tenth of every idle \
             limit.",
        ),
        Key::new(
            "sessions.fingerprint",
            |c: &mut Config| &mut c.sessions.fingerprint,
            "What a client is known by again, beside its token: `agent` is the family of browser and system, `platform` what \
             Chromium says of it, `device` what other clients say by `X-Device-Id`, `network` the /24 or /48 that the request \
             comes from by the rule of `server.trusted_proxies`. Kept as a keyed hash. What a change leads to is \
             `kinds.NAME.fingerprint`. After a change of this list every session that is open counts as changed.",
        ),
        Key::new(
            "jwt.issuer",
            |c: &mut Config| &mut c.jwt.issuer,
            "`iss` of access tokens. `none` takes the public URL.",
        ),
        Key::new(
            "jwt.audience",
            |c: &mut Config| &mut c.jwt.audience,
            "`aud` of access tokens. `none` takes the issuer.",
        ),
        Key::within(
            "jwt.leeway",
            |c: &mut Config| &mut c.jwt.leeway,
            seconds(0)..=minutes(1),
            "How far the clocks of issuer and verifier may differ.",
        ),
        Key::within(
            "jwt.jwks_max_age",
            |c: &mut Config| &mut c.jwt.jwks_max_age,
            seconds(10)..=days(1),
            "How long others may keep the key set. A new key is published for this long before it signs.",
        ),
        Key::within(
            "password.argon2_memory",
            |c: &mut Config| &mut c.password.argon2_memory,
            Size::kib(19_456)..=Size::kib(1024 * 1024),
            "Memory of one Argon2id hash. Stored hashes are made anew at the next sign-in when this grows.",
        ),
        Key::within(
            "password.argon2_passes",
            |c: &mut Config| &mut c.password.argon2_passes,
            2..=20,
            "Passes of Argon2id.",
        ),
        Key::within(
            "password.argon2_lanes",
            |c: &mut Config| &mut c.password.argon2_lanes,
            1..=16,
            "Lanes of Argon2id.",
        ),
        Key::within(
            "password.concurrency",
            |c: &mut Config| &mut c.password.concurrency,
            1..=256,
            "Hashes computed at once: each takes `password.argon2_memory` and a core.",
        ),
        Key::within(
            "password.queue",
            |c: &mut Config| &mut c.password.queue,
            0..=10_000,
            "Requests that wait for their hash; further ones are answered 503 with `Retry-After`.",
        ),
        Key::within(
            "password.min_length",
            |c: &mut Config| &mut c.password.min_length,
            8..=64,
            "Fewest characters of a new password. At most 1024 bytes are always taken.",
        ),
        Key::new(
            "opaque.enabled",
            |c: &mut Config| &mut c.opaque.enabled,
            "Whether people can sign in by OPAQUE (RFC 9807), where the server never sees a password. Who may make an \
             account is the same as with passwords: `accounts.registration`.",
        ),
        Key::within(
            "opaque.iterations",
            |c: &mut Config| &mut c.opaque.iterations,
            1..=KeyStretching::MAX_ITERATIONS,
            "Passes of Argon2id in the client. This and the next two are for those who register from now on: others keep \
             what they registered with, and after a change that tells them apart from names without an account.",
        ),
        Key::within(
            "opaque.memory",
            |c: &mut Config| &mut c.opaque.memory,
            Size::kib(KeyStretching::MIN_MEMORY_KIB.into())..=Size::kib(KeyStretching::MAX_MEMORY_KIB.into()),
            "Memory of Argon2id in the client, in whole KiB.",
        ),
        Key::within(
            "opaque.parallelism",
            |c: &mut Config| &mut c.opaque.parallelism,
            1..=KeyStretching::MAX_PARALLELISM,
            "Lanes of Argon2id in the client.",
        ),
        Key::within(
            "vault.lifetime",
            |c: &mut Config| &mut c.vault.lifetime,
            minutes(1)..=hours(12),
            "How long a vault that a session has opened may go unused before it takes another proof of the password. Only \
             requests for what is in it count, and of those not the ones that are marked as background.",
        ),
        Key::new(
            "vault.blobs",
            |c: &mut Config| &mut c.vault.blobs,
            "Whether accounts can keep blobs. Without, their routes do not exist, and what was kept stays unread.",
        ),
        Key::within(
            "vault.max_blob",
            |c: &mut Config| &mut c.vault.max_blob,
            Size::kib(4)..=Size::kib(1024 * 1024),
            "Largest blob. `server.body_limit` does not count for blobs.",
        ),
        Key::within(
            "vault.quota",
            |c: &mut Config| &mut c.vault.quota,
            Size::kib(4)..=Size::kib(1024 * 1024 * 1024),
            "What all blobs of one account may take. For 15 minutes as much again may be taken by what was replaced or \
             deleted, and by one blob more while uploads run.",
        ),
        Key::within(
            "vault.blob_limit",
            |c: &mut Config| &mut c.vault.blob_limit,
            1..=1_000_000,
            "Most blobs of one account.",
        ),
        Key::within(
            "vault.upload_limit",
            |c: &mut Config| &mut c.vault.upload_limit,
            1..=1000,
            "Most uploads of one account at once, whatever server they go to.",
        ),
        Key::within(
            "vault.transfer_limit",
            |c: &mut Config| &mut c.vault.transfer_limit,
            1..=10_000,
            "Most uploads and downloads of blobs at once on this server, and a quarter of them of one account. Each takes up \
             to 1 MiB of memory.",
        ),
        Key::within(
            "vault.transfer_timeout",
            |c: &mut Config| &mut c.vault.transfer_timeout,
            seconds(10)..=minutes(15),
            "How long the transfer of one blob may take.",
        ),
        Key::within(
            "lockout.attempts",
            |c: &mut Config| &mut c.lockout.attempts,
            Lockout::ATTEMPTS,
            "Failed sign-ins with one identifier ...",
        ),
        Key::within(
            "lockout.window",
            |c: &mut Config| &mut c.lockout.window,
            Lockout::WINDOW,
            "... within this time ...",
        ),
        Key::within(
            "lockout.lock",
            |c: &mut Config| &mut c.lockout.lock,
            Lockout::LOCK,
            "... lock it for this long, whether or not it has an account.",
        ),
        Key::new(
            "accounts.registration",
            |c: &mut Config| &mut c.accounts.registration,
            "Who may make an account, until an administrator decides otherwise: only administrators, whoever holds an \
             invitation, or everybody. With `open`, anybody can find out whether an address has an account: a free one is \
             taken, another is refused.",
        ),
        Key::within(
            "accounts.step_up",
            |c: &mut Config| &mut c.accounts.step_up,
            minutes(1)..=hours(1),
            "How recent a sign-in must be for sensitive actions, such as all of administration.",
        ),
        Key::within(
            "accounts.reset_link",
            |c: &mut Config| &mut c.accounts.reset_link,
            minutes(5)..=days(1),
            "Life of a link that sets a new password.",
        ),
        Key::within(
            "accounts.invitation",
            |c: &mut Config| &mut c.accounts.invitation,
            hours(1)..=days(30),
            "Life of an invitation.",
        ),
        Key::new(
            "rate_limits.login",
            |c: &mut Config| &mut c.rate_limits.login,
            "Sign-ins and step-ups of one client address.",
        ),
        Key::new(
            "rate_limits.register",
            |c: &mut Config| &mut c.rate_limits.register,
            "Registrations, first-administrator and reset links of one client address.",
        ),
        Key::new(
            "rate_limits.refresh",
            |c: &mut Config| &mut c.rate_limits.refresh,
            "Refreshes of one client address.",
        ),
        Key::new(
            "rate_limits.session",
            |c: &mut Config| &mut c.rate_limits.session,
            "Every other request about the client's own sessions and account, per client address.",
        ),
        Key::new(
            "rate_limits.admin",
            |c: &mut Config| &mut c.rate_limits.admin,
            "Requests of administration of one client address.",
        ),
        Key::new(
            "rate_limits.service_key",
            |c: &mut Config| &mut c.rate_limits.service_key,
            "Requests with one service key.",
        ),
        Key::new(
            "rate_limits.unknown_token",
            |c: &mut Config| &mut c.rate_limits.unknown_token,
            "Requests of one client address with tokens that nobody issued, and a tenth as often those with tokens that \
             have ended. Beyond it the client is answered 429 for them; its good tokens are looked up as \
             `rate_limits.unknown_token_lookups` allows.",
        ),
        Key::new(
            "rate_limits.unknown_token_lookups",
            |c: &mut Config| &mut c.rate_limits.unknown_token_lookups,
            "Lookups in the store for all clients together that are past `rate_limits.unknown_token`. What this server \
             has in memory, and what it found good before, is not counted. It lets people go on who share their address \
             with somebody who sends garbage; with all of it used up they wait with them.",
        ),
        Key::new(
            "rate_limits.failed_sign_ins",
            |c: &mut Config| &mut c.rate_limits.failed_sign_ins,
            "Failed sign-ins of the whole deployment, against guesses that are spread over many accounts and addresses. \
             Beyond it, sign-ins are answered 429 with `Retry-After` unless they come with the cookie of a browser that \
             signed in to the account before, or with the device token of a bearer client. One network (a /24 of IPv4, a \
             /48 of IPv6) may cause a tenth of it and then waits by itself, so ten of them can keep new browsers and \
             other strangers waiting: set it well above what people cause themselves.",
        ),
        Key::within(
            "rate_limits.ipv6_site_multiple",
            |c: &mut Config| &mut c.rate_limits.ipv6_site_multiple,
            1..=65_536,
            "In IPv6 the client address is a /64. A whole /48, which whoever rents a server may have, gets this many \
             times each limit.",
        ),
        Key::new(
            "audit.head_file",
            |c: &mut Config| &mut c.audit.head_file,
            "The file that signed heads of the audit chain are appended to: with it, a cut-off end of the log is \
             noticed too. Best on another machine's disk, out of reach of whoever can change the database.",
        ),
        Key::within(
            "audit.head_interval",
            |c: &mut Config| &mut c.audit.head_interval,
            seconds(1)..=days(1),
            "How often a head is signed when there are new rows.",
        ),
        Key::new(
            "metrics.listen",
            |c: &mut Config| &mut c.metrics.listen,
            "A listener of its own for `/metrics`, such as `127.0.0.1:9464`. Whoever reaches it reads the numbers, so \
             leave it on loopback or on a network of the operators.",
        ),
        Key::new(
            "metrics.hosts",
            |c: &mut Config| &mut c.metrics.hosts,
            "The names under which `metrics.listen` may be asked, besides addresses and `localhost`, such as the one that \
             Prometheus knows it by. Under any other name there is nothing, so that no page can reach it through \
             somebody's browser.",
        ),
        Key::new(
            "metrics.token",
            |c: &mut Config| &mut c.metrics.token,
            "The bearer token that `/metrics` asks for on the common listener. Without one the page is not there. Not \
             taken from a flag, which other users could see.",
        )
        .secret(),
        Key::new("log.format", |c: &mut Config| &mut c.log.format, "Lines for people, or a JSON object per line."),
        Key::new("log.level", |c: &mut Config| &mut c.log.level, "The least important lines that are written."),
        Key::new(
            "keys.master",
            |c: &mut Config| &mut c.keys.master,
            "The file of the master key: mode 0600, owned by the user of the server, not a symbolic link. Made at the \
             first start. Keep it apart from the data, so that a copy of the data alone opens nothing. When this key \
             is not set and systemd hands over a credential `wayleave-master-key`, that one is taken.",
        ),
    ]
});

/// The keys that every kind has.
pub(super) static KIND_KEYS: LazyLock<Vec<Key<KindDraft>>> = LazyLock::new(|| {
    vec![
        Key::new(
            "token_lifetime",
            |k: &mut KindDraft| &mut k.token_lifetime,
            "From issue of a token to its end; refresh issues new ones. At most `absolute_limit`.",
        ),
        Key::new(
            "absolute_limit",
            |k: &mut KindDraft| &mut k.absolute_limit,
            "From sign-in to the end of the session, at most 400 days. Nothing moves it.",
        ),
        Key::new(
            "idle_limit",
            |k: &mut KindDraft| &mut k.idle_limit,
            "How long a session may go unused. `session-timeout` is what administrators set.",
        ),
        Key::new(
            "remembered_absolute_limit",
            |k: &mut KindDraft| &mut k.remembered_absolute_limit,
            "Replaces `absolute_limit` for people who asked to be remembered. `none`: the kind cannot be remembered.",
        ),
        Key::new(
            "remembered_idle_limit",
            |k: &mut KindDraft| &mut k.remembered_idle_limit,
            "Replaces `idle_limit` for people who asked to be remembered. `none` together with the other one.",
        ),
        Key::within(
            "most",
            |k: &mut KindDraft| &mut k.most,
            1..=10_000,
            "Most live sessions of this kind per subject.",
        ),
        Key::new("at_limit", |k: &mut KindDraft| &mut k.at_limit, "What happens to one more."),
        Key::new(
            "permissions",
            |k: &mut KindDraft| &mut k.permissions,
            "The most that a session of this kind may be granted. `[\"*\"]` leaves it to the account.",
        ),
        Key::new(
            "fingerprint",
            |k: &mut KindDraft| &mut k.fingerprint,
            "What a changed client fingerprint leads to: nothing, an audit row, a fresh proof before sensitive \
             actions, or the end of the session.",
        ),
        Key::new(
            "token_format",
            |k: &mut KindDraft| &mut k.token_format,
            "Opaque tokens, or JWTs that other services check by themselves.",
        ),
        Key::within(
            "jwt_lifetime",
            |k: &mut KindDraft| &mut k.jwt_lifetime,
            seconds(1)..=hours(1),
            "Life of one JWT, at most `token_lifetime`.",
        ),
        Key::new("level", |k: &mut KindDraft| &mut k.level, "The assurance level that signing in must reach."),
        Key::new(
            "requires_licence",
            |k: &mut KindDraft| &mut k.requires_licence,
            "Whether the subject must hold a verified licence.",
        ),
        Key::new("id_prefix", |k: &mut KindDraft| &mut k.id_prefix, "How ids of these sessions begin."),
    ]
});
