//! One long run with secrets that can be recognised, and a search for them everywhere.

mod sinks;

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use sqlx::Connection as _;
use wayleave_core::authentication::Method;
use wayleave_server::audit::Entry;
use wayleave_server::config::Config;
use wayleave_server::links::Issuer;
use wayleave_server::secrets::{self, Purpose};
use wayleave_testkit::canary::{Canary, Haystack};

use self::sinks::{Findings, files, log, sinks};
use crate::opaque;
use crate::people::{ADMIN, ANN, BOB, with_jwt_kind};
use crate::roles::OPAL;
use crate::support::{Answer, request, send, stack};
use crate::world::{Client, Keeping, World};

const METRICS_TOKEN: &str = "canary-Metrics-token-0123456789-abcdefghij";

/// A request line, header fields and a body.
type Mistake<'a> = (String, Vec<(&'a str, &'a str)>, String);

struct Run<'a> {
    world: &'a World,
    findings: Findings,
}

impl<'a> Run<'a> {
    async fn ask(&mut self, client: &mut Client<'a>, line: &str, body: Option<Value>) -> Answer {
        let answer = client.ask(line, body.as_ref()).await;
        self.findings.take(line, &answer);
        answer
    }

    async fn form(&mut self, client: &Client<'a>, path: &str, token: &str) {
        let answer = client.form(path, &[("token", token)]).await;
        self.findings.take(path, &answer);
    }

    fn password(&mut self, label: &str, seed: u64) -> String {
        let canary = Canary::password(label, seed);
        let text = canary.text().unwrap().to_owned();
        self.findings.secrets.push(canary);
        text
    }

    async fn sign_in(&mut self, email: &str, password: &str) -> Client<'a> {
        let mut client = self.world.client();
        self.ask(&mut client, "GET /api/csrf", None).await;
        let body = json!({ "email": email, "password": password });
        self.ask(&mut client, "POST /api/auth/login", Some(body)).await.assert_status(200);
        client
    }

    async fn tokens(&mut self, email: &str, password: &str, kind: &str) -> (Client<'a>, Value) {
        let mut client = self.world.client();
        let body = json!({ "email": email, "password": password, "transport": "bearer", "session_type": kind });
        let answer = self.ask(&mut client, "POST /api/auth/login", Some(body)).await;
        answer.assert_status(200);
        let data = answer.json()["data"].clone();
        client.bearer = Some(data["session_token"].as_str().unwrap().to_owned());
        (client, data)
    }

    /// Everything that the server can do, with everybody's secrets.
    async fn live(&mut self) {
        let world = self.world;
        let link = Issuer::of(&world.app).setup(Duration::from_secs(900)).await.unwrap();
        let setup = link.url.split_once('#').unwrap().1.to_owned();
        self.findings.keep("the setup link", setup.as_bytes());
        let admins = self.password("the administrator's password", 1);
        let mut anybody = world.client();
        let body = json!({ "token": setup, "email": ADMIN, "name": "First", "password": admins });
        self.ask(&mut anybody, "POST /setup", Some(body.clone())).await.assert_status(201);
        self.ask(&mut anybody, "POST /setup", Some(body)).await.assert_status(403);
        let mut admin = self.sign_in(ADMIN, &admins).await;
        let settings = self.ask(&mut admin, "GET /api/admin/settings", None).await.json()["data"].clone();
        let mut opened = settings;
        opened["policy"]["registration"] = json!("invitation");
        self.ask(&mut admin, "PUT /api/admin/settings", Some(opened)).await.assert_status(200);

        let key = json!({ "name": "shop", "permissions": ["read:profile"], "expires_in": 86_400 });
        let key = self.ask(&mut admin, "POST /api/admin/service-keys", Some(key)).await.data("secret");
        let invitation = self.ask(&mut admin, "POST /api/admin/invitations", Some(json!({ "email": ANN }))).await;
        let invitation = invitation.json()["data"]["link"]["url"].as_str().unwrap().to_owned();
        let bobs = self.password("Bob's password", 2);
        let made = json!({ "email": BOB, "name": "Bob", "password": bobs, "permissions": ["read:profile"] });
        let made = self.ask(&mut admin, "POST /api/admin/users", Some(made)).await;
        let bob = made.json()["data"]["user"]["id"].as_str().unwrap().to_owned();
        let reset =
            self.ask(&mut admin, &format!("POST /api/admin/users/{bob}/reset-link"), Some(json!({}))).await.data("url");
        let anns = self.password("Ann's password", 3);
        let joined = json!({
            "email": ANN, "name": "Ann", "password": anns, "invitation": invitation.split_once('#').unwrap().1,
        });
        self.ask(&mut anybody, "POST /api/auth/register", Some(joined.clone())).await.assert_status(201);
        self.ask(&mut anybody, "POST /api/auth/register", Some(joined)).await.assert_status(400);

        self.bearer(&anns).await;
        self.pages(&anns).await;
        self.opaque().await;
        self.services(&key, &bobs).await;
        let chosen = self.password("Bob's next password", 5);
        let body = json!({ "token": reset.split_once('#').unwrap().1, "new_password": chosen });
        self.ask(&mut anybody, "POST /api/auth/password/reset", Some(body.clone())).await.assert_status(200);
        self.ask(&mut anybody, "POST /api/auth/password/reset", Some(body)).await.assert_status(400);
        self.mistakes(&chosen).await;

        world.pass(Duration::from_secs(400));
        self.ask(&mut admin, "GET /api/admin/stats", None).await.assert_status(401);
        self.ask(&mut admin, "POST /api/auth/step-up", Some(json!({ "password": admins }))).await.assert_status(200);
        self.ask(&mut admin, "POST /api/admin/keys/rotate", Some(json!({}))).await.assert_status(200);
        for path in ["audit?limit=200", "sessions", "users", "invitations", "service-keys", "keys", "stats"] {
            self.ask(&mut admin, &format!("GET /api/admin/{path}"), None).await.assert_status(200);
        }
        self.ask(&mut admin, "POST /api/admin/sweep", Some(json!({}))).await.assert_status(200);
        self.ask(&mut admin, "DELETE /api/admin/service-keys/shop", None).await.assert_status(200);
        let mut watcher = world.bearer(METRICS_TOKEN);
        self.ask(&mut watcher, "GET /metrics", None).await.assert_status(200);
    }

    async fn bearer(&mut self, password: &str) {
        for kind in ["standard", "api"] {
            let (mut ann, first) = self.tokens(ANN, password, kind).await;
            for path in
                ["user", "sessions", "sessions/current", "sessions/validate", "verify", "verify?permission=admin"]
            {
                self.ask(&mut ann, &format!("GET /api/auth/{path}"), None).await;
            }
            self.ask(&mut ann, "POST /api/auth/sessions/extend", Some(json!({}))).await;
            self.ask(&mut ann, "POST /api/auth/step-up", Some(json!({ "password": "wrong wrong wrong" }))).await;
            let body = json!({ "refresh_token": first["refresh_token"] });
            let mut anybody = self.world.client();
            let line = "POST /api/auth/sessions/refresh";
            let second = self.ask(&mut anybody, line, Some(body.clone())).await.json()["data"].clone();
            self.ask(&mut anybody, line, Some(body.clone())).await.assert_status(200);
            self.world.pass(Duration::from_secs(11));
            self.ask(&mut anybody, line, Some(body)).await.assert_status(401);
            ann.bearer = Some(second["session_token"].as_str().unwrap().to_owned());
            self.ask(&mut ann, "GET /api/auth/user", None).await.assert_status(401);
            self.ask(&mut ann, "POST /api/auth/logout", Some(json!({}))).await;
        }
    }

    async fn pages(&mut self, password: &str) {
        let mut ann = self.sign_in(ANN, password).await;
        for path in ["session", "user", "verify", "sessions"] {
            self.ask(&mut ann, &format!("GET /api/auth/{path}"), None).await.assert_status(200);
        }
        let chosen = self.password("Ann's next password", 4);
        let body = json!({ "current_password": password, "new_password": chosen });
        self.ask(&mut ann, "POST /api/auth/password", Some(body)).await.assert_status(200);
        self.ask(&mut ann, "DELETE /api/auth/sessions?scope=others", None).await.assert_status(200);
        let stale = self.sign_in(ANN, &chosen).await.jar;
        self.ask(&mut ann, "POST /api/auth/logout", Some(json!({}))).await.assert_status(200);
        ann.jar = stale;
        ann.jar.insert("csrf-token".into(), "v1.AAAA".into());
        self.ask(&mut ann, "POST /api/auth/sessions/extend", Some(json!({}))).await.assert_status(403);
    }

    async fn opaque(&mut self) {
        let world = self.world;
        let password = self.password("Opal's password", 7);
        let account = world.opaque_person(OPAL, &password).await;
        let held = world.app.directory.credentials.find(&account.id, Method::Opaque).await.unwrap().unwrap();
        self.findings.keep("an OPAQUE record", &held.secret[held.secret.len() - 160..]);
        let mut anybody = world.client();
        for tried in [&*password, "wrong wrong wrong"] {
            let (request, state) = opaque::ke1(tried);
            let start = json!({ "identifier": OPAL, "request": request });
            let answer = self.ask(&mut anybody, &format!("POST {}", opaque::LOGIN_START), Some(start)).await.json();
            let finished = opaque::client(tried).finish(state, &opaque::decode(&answer["data"]["response"]), None);
            if let Some(finished) = &finished {
                self.findings.keep("an OPAQUE session key", &finished.session_key);
                self.findings.keep("an export key", &finished.export_key);
            }
            let ke3 = finished.map_or_else(|| opaque::encode([7; 64]), |finished| opaque::encode(finished.ke3));
            let finish = opaque::finish_body(answer["data"]["login_id"].as_str().unwrap(), &ke3);
            let status = self.ask(&mut anybody, &format!("POST {}", opaque::LOGIN_FINISH), Some(finish)).await.status;
            assert_eq!(status == 200, tried == password);
        }
    }

    async fn services(&mut self, key: &str, password: &str) {
        let mut shop = self.world.bearer(key);
        let body = json!({ "subject": "a", "session_type": "api" });
        let data = self.ask(&mut shop, "POST /api/auth/sessions", Some(body)).await.json()["data"].clone();
        let (_, bob) = self.tokens(BOB, password, "standard").await;
        for token in [&data["session_token"], &data["refresh_token"], &bob["session_token"], &bob["refresh_token"]] {
            self.form(&shop, "/api/auth/introspect", token.as_str().unwrap()).await;
            self.form(&shop, "/api/auth/revoke", token.as_str().unwrap()).await;
        }
    }

    /// Secrets where they do not belong, as people and proxies put them.
    async fn mistakes(&mut self, password: &str) {
        let world = self.world;
        let wrong = self.password("a wrong password", 6);
        let mut anybody = world.client();
        let line = "POST /api/auth/login";
        let forged = "a\r\n2026-01-01T00:00:00Z ERROR forged\u{1b}[2J\u{202e}@example.com";
        let named = json!({ "email": forged, "password": forged, "transport": "bearer" });
        self.ask(&mut anybody, line, Some(named)).await.assert_status(401);
        for (email, tried) in [(BOB, &*wrong), ("nobody@example.com", &wrong), (&*wrong, "x"), (&wrong, &wrong)] {
            let body = json!({ "email": email, "password": tried, "transport": "bearer" });
            self.ask(&mut anybody, line, Some(body)).await.assert_status(401);
        }
        let extra = json!({ "email": BOB, "password": wrong, "transport": "bearer", wrong.clone(): 1 });
        self.ask(&mut anybody, line, Some(extra)).await;
        let typed = json!({ "email": BOB, "password": [wrong], "transport": wrong });
        self.ask(&mut anybody, line, Some(typed)).await;
        let (bob, data) = self.tokens(BOB, password, "standard").await;
        let token = data["session_token"].as_str().unwrap().to_owned();
        let basic = format!("Basic {}", STANDARD.encode(format!("{BOB}:{wrong}")));
        let digest = format!("Digest {token}");
        let cookies = format!("__Host-id={token}; __Host-id={token}");
        let trailing = format!("Bearer {token}x");
        let bearer = format!("Bearer {token}");
        let path = format!("/api/auth/sessions/{token}");
        let cases: Vec<Mistake<'_>> = vec![
            (format!("GET /api/auth/user?access_token={token}"), vec![], String::new()),
            (format!("GET /{token}"), vec![], String::new()),
            (format!("DELETE {path}"), vec![("authorization", &bearer)], String::new()),
            (format!("GET /api/auth/verify?permission={token}"), vec![("authorization", &bearer)], String::new()),
            ("GET /api/auth/user".into(), vec![("authorization", &basic)], String::new()),
            ("GET /api/auth/user".into(), vec![("authorization", &digest)], String::new()),
            ("GET /api/auth/user".into(), vec![("authorization", &trailing)], String::new()),
            ("GET /api/auth/user".into(), vec![("cookie", &cookies)], String::new()),
            ("GET /api/auth/user".into(), vec![("x-request-id", &token), ("user-agent", &token)], String::new()),
            ("GET /api/auth/user".into(), vec![("x-forwarded-for", &token), ("forwarded", &token)], String::new()),
            ("GET /api/csrf".into(), vec![("origin", &token), ("referer", &token)], String::new()),
            (line.into(), vec![("content-type", "application/json")], format!("{{\"password\":\"{token}")),
            (line.into(), vec![("content-type", "text/plain")], token.clone()),
            (line.into(), vec![("content-type", "application/json")], token.repeat(2000)),
            (
                "POST /setup".into(),
                vec![("content-type", "application/x-www-form-urlencoded")],
                format!("token={token}"),
            ),
        ];
        for (line, mut fields, body) in cases {
            let length = body.len().to_string();
            if !body.is_empty() {
                fields.push(("content-length", &length));
            }
            let answer = bob.ask_as_is(request(&line, &fields, body)).await;
            let label = line.replace(&token, "TOKEN");
            self.findings.take(&label, &answer);
        }
    }

    /// A handler that panics with a secret in its mouth, and a store that breaks under one.
    async fn break_things(&mut self, password: &str) {
        let token =
            self.findings.secrets.iter().find_map(|canary| canary.text().filter(|text| text.starts_with("wl_")));
        let token = token.unwrap().to_owned();
        let previous = std::panic::take_hook();
        wayleave_server::http::panic::install_silent_hook();
        self.findings.take("a panic", &panicking(&token).await);
        std::panic::set_hook(previous);
        for table in ["counters", "credentials", "sessions", "accounts"] {
            self.statement(&format!("ALTER TABLE {table} RENAME TO gone_{table}")).await;
            self.world.app.manager.forget_everything();
            let mut anybody = self.world.client();
            let body = json!({ "email": BOB, "password": password, "transport": "bearer" });
            let refused = self.ask(&mut anybody, "POST /api/auth/login", Some(body)).await;
            let mut holder = self.world.bearer(&token);
            let asked = self.ask(&mut holder, "GET /api/auth/user", None).await;
            assert!(refused.status == 503 || asked.status == 503, "{table} is not missed");
            self.ask(&mut holder, "POST /api/auth/logout", Some(json!({}))).await;
            self.ask(&mut anybody, "GET /readyz", None).await;
            self.statement(&format!("ALTER TABLE gone_{table} RENAME TO {table}")).await;
        }
    }

    async fn statement(&self, text: &str) {
        let file = Config::with_defaults(self.world.folder.path().join("data")).database().unwrap();
        let mut connection = sqlx::SqliteConnection::connect(&format!("sqlite:{}", file.display())).await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(text.to_owned())).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// The secrets that are at rest: signing keys, the master key and everything that is derived from it.
    async fn keep_keys(&mut self, config: &Config) {
        let (keys, _) = self.world.app.signing.load().await.unwrap();
        assert_eq!(keys.keys().len(), 2);
        for key in keys.keys() {
            self.findings.keep("a signing key", key.seed().as_ref());
        }
        let setup = self.world.app.opaque.as_ref().unwrap().authenticator().setup().to_bytes();
        for (what, part) in
            [("the OPRF seed", 0..64), ("the OPAQUE key", 64..96), ("the masking key of nobody", 128..192)]
        {
            self.findings.keep(what, &setup[part]);
        }
        let master = secrets::read(config).unwrap();
        for purpose in Purpose::ALL {
            self.findings.keep(&format!("the key for {purpose:?}"), master.derive(purpose).as_ref());
        }
        let file = std::fs::read_to_string(secrets::Origin::of(config).path()).unwrap();
        let mut found = 0;
        for encoded in file.split_whitespace().filter_map(|word| word.strip_prefix("wlk1_")) {
            self.findings.keep("the master key's text", encoded.as_bytes());
            self.findings.keep("the master key", &URL_SAFE_NO_PAD.decode(encoded).unwrap()[..32]);
            found += 1;
        }
        assert!(found > 0, "there is a master key");
    }
}

/// The answer of a handler that panics with what it was told.
async fn panicking(secret: &str) -> Answer {
    let handler = async |headers: HeaderMap| -> StatusCode { panic!("{:?}", headers.get("x-secret")) };
    let router = stack().wrap(axum::Router::new().route("/panic", axum::routing::get(handler)));
    let answer = send(&router, request("GET /panic", &[("x-secret", secret)], "")).await;
    answer.assert_code(500, "internal_error");
    answer
}

/// R002, R062, R115, R164, R165, R171, A75, invariant 7: no secret of a long run is in any log line at TRACE, answer, error, panic,
/// metric, audit row, debug output or file, in any encoding; and one planted into each of them is found.
#[tokio::test]
async fn no_secret_leaks() {
    sinks::record();
    let mut kept = None;
    let world = World::with(Keeping::Sqlite, |config| {
        with_jwt_kind(config);
        config.metrics.token = Some(METRICS_TOKEN.parse().unwrap());
        kept = Some(config.clone());
    })
    .await;
    let config = kept.unwrap();
    let mut run = Run { world: &world, findings: Findings::default() };
    run.findings.keep("the metrics token", METRICS_TOKEN.as_bytes());
    run.live().await;
    run.keep_keys(&config).await;
    run.break_things("whatever it is that somebody types").await;
    world.settle().await;
    let debug = format!("{config:?} {:?} {:?}", world.app.policy.current(), world.app.manager.rules());
    let found = sinks(&world, &run.findings, &debug).await;
    assert!(found["log"].len() > 50_000, "the log is as talkative as it can be");
    let secrets = run.findings.all();
    for needed in [
        "password",
        "session_token",
        "refresh_token",
        "secret",
        "url",
        "cookie csrf-token",
        "cookie __Host-id",
        "cookie __Secure-device",
        "cookie __Host-pre",
        "assertion",
        "signing key",
        "master key",
        "setup link",
        "metrics",
    ] {
        assert!(secrets.iter().any(|canary| canary.label().contains(needed)), "no {needed} in this run");
    }
    // R165: what a client sends begins no line and moves no cursor.
    for sink in ["log", "audit", "metrics"] {
        let text = String::from_utf8_lossy(&found[sink]).into_owned();
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\r']), "{sink}");
        assert!(!text.lines().any(|line| line.contains("ERROR forged")), "{sink}");
    }
    let leaks = run.findings.leaks(&found);
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    planted_leaks_are_found(&mut run, &debug).await;

    // What the end of the process leaves behind, log and all written back into the one file.
    drop(run);
    let folder = world.stop().await;
    let left = files(&folder.path().join("data"));
    let left = Haystack::new(&left);
    for canary in &secrets {
        assert_eq!(left.find(canary), [], "{}", canary.label());
    }
}

/// A search that finds nothing has to show that it can.
async fn planted_leaks_are_found(run: &mut Run<'_>, debug: &str) {
    let world = run.world;
    let mut count = 0;
    let mut plant = |findings: &mut Findings, about: &str| {
        count += 1;
        let secret = format!("planted secret \"{count}\" / {about} ü");
        findings.keep(about, secret.as_bytes());
        secret
    };
    let hex = |text: &str| {
        text.bytes().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02X}");
            text
        })
    };
    let mut expected = Vec::new();
    for encoding in ["raw", "hex", "base64", "base64url", "percent", "debug"] {
        let about = format!("log in {encoding}");
        let secret = plant(&mut run.findings, &about);
        match encoding {
            "raw" => tracing::trace!("it is {secret}"),
            "hex" => tracing::trace!(key = hex(&secret)),
            "base64" => tracing::debug!(body = STANDARD.encode(format!("ab{secret}cd"))),
            "base64url" => tracing::info!(token = URL_SAFE_NO_PAD.encode(&secret)),
            "percent" => tracing::info_span!("request", uri = serde_urlencoded::to_string([("p", &secret)]).unwrap())
                .in_scope(|| {}),
            _ => tracing::error!(bytes = ?secret.as_bytes()),
        }
        expected.push((about, "log"));
    }
    let panicked = plant(&mut run.findings, "panic").replace(['"', 'ü'], "");
    run.findings.keep("panic", panicked.as_bytes());
    let previous = std::panic::take_hook();
    std::panic::set_hook(Box::new(|info| tracing::error!("{info}")));
    panicking(&panicked).await;
    std::panic::set_hook(previous);
    expected.push(("panic".into(), "log"));

    let body = plant(&mut run.findings, "answer body");
    let header = plant(&mut run.findings, "answer header").replace(['"', 'ü'], "");
    run.findings.keep("answer header", header.as_bytes());
    let shown = (body.clone(), header.clone());
    let echo = axum::Router::new().route(
        "/",
        axum::routing::get(async move || ([("x-echo", shown.1)], axum::Json(json!({ "message": shown.0 })))),
    );
    let answer = send(&stack().wrap(echo), request("GET /", &[], "")).await;
    run.findings.take("an echo", &answer);
    expected.extend([("answer body".into(), "answers"), ("answer header".into(), "answers")]);

    let outcome = plant(&mut run.findings, "metrics");
    world.app.metrics.login(Box::leak(outcome.into_boxed_str()));
    expected.push(("metrics".into(), "metrics"));
    let detail = plant(&mut run.findings, "audit");
    world.app.record(Entry {
        event: "canary.planted",
        detail: Some(json!({ "password": detail })),
        ..Entry::default()
    });
    expected.push(("audit".into(), "audit"));
    let id = run.findings.ids[0].text().unwrap().to_owned();
    world.app.record(Entry { event: "canary.planted", session: Some(id.into()), ..Entry::default() });
    let stored = plant(&mut run.findings, "database");
    run.statement(&format!("UPDATE accounts SET name = '{stored}' WHERE email = '{ANN}'")).await;
    expected.push(("database".into(), "database"));
    let shown = plant(&mut run.findings, "debug");
    let debug = format!("{debug} {:?}", Some(&shown));
    expected.push(("debug".into(), "debug"));

    let leaks = run.findings.leaks(&sinks(world, &run.findings, &debug).await);
    for (about, sink) in expected {
        let mark = format!("{about} in {sink} as ");
        assert!(leaks.iter().any(|leak| leak.starts_with(&mark)), "{mark} is not among {leaks:#?}");
    }
    assert!(leaks.iter().any(|leak| leak.contains("ession") && leak.contains(" in audit as ")), "{leaks:#?}");
    assert!(!log().is_empty());
}
