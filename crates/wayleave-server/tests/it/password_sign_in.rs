//! Signing in with a password over HTTP: strangers learn nothing, guessers get nowhere, owners get in.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Barrier;

use crate::people::{ANN, BOB};
use crate::support::{Answer, request, send};
use crate::world::{Client, Keeping, OTHER_PASSWORD, PASSWORD, World};

const NOBODY: &str = "nobody@example.com";
const LOGIN: &str = "POST /api/auth/login";

async fn world() -> World {
    let world = World::new().await;
    world.person(ANN, &[]).await;
    world.person(BOB, &[]).await;
    world
}

fn body(email: &str, password: &str) -> serde_json::Value {
    json!({ "email": email, "password": password, "transport": "bearer" })
}

async fn guess(client: &Client<'_>, email: &str, password: &str) -> Answer {
    client.world.client().post("/api/auth/login", &body(email, password)).await
}

/// R098, A51: unknown, malformed, wrong, disabled and without a password are one answer, byte for byte, for pages and
/// for bearer clients; the log knows the reason.
#[tokio::test]
async fn refusals_are_one_answer() {
    for keeping in [Keeping::Memory, Keeping::Sqlite] {
        let world = World::with(keeping, |_| {}).await;
        world.person(ANN, &[]).await;
        world.person(BOB, &[]).await;
        let mut admin = world.administrator().await;
        let made = admin.post("/api/admin/users", &json!({ "email": "new@example.com", "name": "New" })).await;
        made.assert_status(201);
        let found = admin.get("/api/admin/users?search=bob").await.json();
        let path = format!("/api/admin/users/{}", found["data"]["items"][0]["id"].as_str().unwrap());
        admin.patch(&path, &json!({ "disabled": true })).await.assert_status(200);
        let cases = [
            (NOBODY, PASSWORD, "unknown_account"),
            (ANN, "wrong wrong wrong", "wrong_password"),
            (BOB, PASSWORD, "disabled"),
            ("new@example.com", PASSWORD, "no_password"),
            ("no address", PASSWORD, "malformed_email"),
        ];
        let mut answers = Vec::new();
        for (email, password, reason) in cases {
            let bearer = guess(&admin, email, password).await;
            bearer.assert_code(401, "invalid_credentials");
            let mut page = world.client();
            let cookie = page.sign_in(email, password).await;
            let rows = world.audited("login.failure").await;
            assert_eq!(rows.last().unwrap().reason.as_deref(), Some(reason));
            answers.push((bearer.masked(), cookie.masked()));
        }
        for answer in &answers {
            assert_eq!(answer, &answers[0]);
            assert_eq!(answer.0, answer.1);
        }
    }
}

/// R100, R104, A51: the sixth attempt is 429 whatever the password, for addresses with and without an account alike;
/// the lock ends by itself, and only then does the right password count.
#[tokio::test]
async fn the_sixth_attempt_is_refused_unseen() {
    let world = world().await;
    let client = world.client();
    let mut locked = Vec::new();
    for (email, right) in [(ANN, PASSWORD), (NOBODY, PASSWORD), ("no address", PASSWORD)] {
        let mut before = Vec::new();
        for _ in 0..5 {
            before.push(guess(&client, email, "wrong wrong wrong").await.masked());
        }
        assert!(before.iter().all(|answer| answer == &before[0]), "the fifth looks like the first");
        let hashes = world.app.passwords.load().hashes;
        let wrong = guess(&client, email, "wrong wrong wrong").await;
        let right = guess(&client, email, right).await;
        wrong.assert_code(429, "account_locked");
        assert_eq!(wrong.masked(), right.masked());
        assert_eq!(world.app.passwords.load().hashes, hashes, "nothing was checked");
        assert_eq!(wrong.header("retry-after"), Some("1800"));
        assert_eq!(wrong.json()["error"]["details"]["remainingSeconds"], json!(1800));
        let states: Vec<_> = wrong.headers.get_all("ratelimit").iter().collect();
        assert_eq!(states, ["\"sign-in\";r=0;t=1800"]);
        let policies: Vec<_> = wrong.headers.get_all("ratelimit-policy").iter().collect();
        assert_eq!(policies, ["\"sign-in\";q=5;w=900"]);
        locked.push(wrong.masked());
    }
    assert!(locked.iter().all(|answer| answer == &locked[0]));
    let mut problem = world.client();
    problem.fields.push(("accept".into(), "application/problem+json".into()));
    let answer = problem.post("/api/auth/login", &body(ANN, PASSWORD)).await.json();
    assert_eq!(answer["type"], json!("https://iana.org/assignments/http-problem-types#quota-exceeded"));
    assert_eq!(answer["violated-policies"], json!(["sign-in"]));

    world.pass(Duration::from_secs(1799));
    guess(&client, ANN, PASSWORD).await.assert_code(429, "account_locked");
    world.pass(Duration::from_secs(1));
    guess(&client, ANN, PASSWORD).await.assert_status(200);
    assert_eq!(world.audited("login.locked").await.len(), 3);
}

/// R100, A51: one spelling of an address is as good as another, for counting too.
#[tokio::test]
async fn spellings_of_an_address_share_a_counter() {
    let world = world().await;
    let client = world.client();
    for spelling in [ANN, "ANN@example.com", "Ann@Example.COM", " ann@example.com", "ann@EXAMPLE.com"] {
        guess(&client, spelling, "wrong wrong wrong").await.assert_status(401);
    }
    let counted = guess(&client, ANN, PASSWORD).await;
    // A blank in front makes another text, which must not sign in either.
    if counted.status == 200 {
        guess(&client, " ann@example.com", PASSWORD).await.assert_code(401, "invalid_credentials");
    } else {
        counted.assert_code(429, "account_locked");
    }
}

/// A53: what one does to another's counter is nothing: neither success nor failure elsewhere moves it.
#[tokio::test]
async fn counters_are_independent() {
    let world = world().await;
    let client = world.client();
    for _ in 0..4 {
        guess(&client, ANN, "wrong wrong wrong").await.assert_status(401);
    }
    for _ in 0..3 {
        guess(&client, BOB, PASSWORD).await.assert_status(200);
    }
    guess(&client, ANN, "wrong wrong wrong").await.assert_code(401, "invalid_credentials");
    guess(&client, ANN, "wrong wrong wrong").await.assert_code(429, "account_locked");
    guess(&client, BOB, PASSWORD).await.assert_status(200);
    guess(&client, BOB, "wrong wrong wrong").await.assert_code(401, "invalid_credentials");
}

/// R101, A52: a stranger's failures keep a known browser out by nothing; the browser's own do, and open nothing for
/// the stranger; the cookie is good for its account alone and dies with the password.
#[tokio::test]
async fn a_known_browser_lets_the_owner_in() {
    let world = world().await;
    let mut owner = world.signed_in(ANN).await;
    let device = owner.jar["__Secure-device"].clone();
    owner.post("/api/auth/logout", &json!({})).await.assert_status(200);
    assert_eq!(owner.jar["__Secure-device"], device, "it survives signing out");
    let mut stranger = world.client();
    stranger.address = Ipv4Addr::new(203, 0, 113, 9);
    for _ in 0..1000 {
        let answer = stranger.post("/api/auth/login", &body(ANN, "wrong wrong wrong")).await;
        assert!([401, 429].contains(&answer.status.as_u16()));
    }
    owner.sign_in(ANN, PASSWORD).await.assert_status(200);
    assert_ne!(owner.jar["__Secure-device"], device, "it changes at every sign-in");
    stranger.post("/api/auth/login", &body(ANN, PASSWORD)).await.assert_code(429, "account_locked");

    // Another's cookie and an old one help nobody.
    let bob = world.signed_in(BOB).await.jar["__Secure-device"].clone();
    for other in [bob, device] {
        let mut thief = world.client();
        thief.jar.insert("__Secure-device".into(), other);
        thief.sign_in(ANN, PASSWORD).await.assert_code(429, "account_locked");
    }
    // Guesses from the known browser count for it.
    let known = owner.jar["__Secure-device"].clone();
    let mut home = world.client();
    home.jar.insert("__Secure-device".into(), known.clone());
    for _ in 0..5 {
        home.sign_in(ANN, "wrong wrong wrong").await.assert_code(401, "invalid_credentials");
    }
    home.sign_in(ANN, PASSWORD).await.assert_code(429, "account_locked");
    world.pass(Duration::from_secs(1800));
    home.sign_in(ANN, PASSWORD).await.assert_status(200);

    let change = json!({ "current_password": PASSWORD, "new_password": OTHER_PASSWORD });
    home.post("/api/auth/password", &change).await.assert_status(200);
    for _ in 0..5 {
        guess(&stranger, ANN, "wrong wrong wrong").await.assert_status(401);
    }
    home.jar.retain(|name, _| name == "__Secure-device");
    home.sign_in(ANN, OTHER_PASSWORD).await.assert_code(429, "account_locked");
}

async fn all_at_once(world: &World, count: usize, body: impl Fn(usize) -> serde_json::Value) -> Vec<Answer> {
    let barrier = Arc::new(Barrier::new(count));
    let tasks: Vec<_> = (0..count)
        .map(|n| {
            let request = world.client().request(LOGIN, Some(&body(n)));
            let (router, barrier) = (world.router.clone(), Arc::clone(&barrier));
            tokio::spawn(async move {
                barrier.wait().await;
                send(&router, request).await
            })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

fn count(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

/// R102, A53: of 200 guesses at once at most five are looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_guesses_do_not_beat_the_counter() {
    for keeping in [Keeping::Memory, Keeping::Sqlite] {
        let world = World::with(keeping, |config| config.password.queue = 1000).await;
        world.person(ANN, &[]).await;
        for email in [ANN, NOBODY] {
            let before = world.app.passwords.load().hashes;
            let answers = all_at_once(&world, 200, |n| body(email, &format!("wrong wrong wrong {n}"))).await;
            let after = world.app.passwords.load().hashes;
            assert_eq!((count(&answers, 401), count(&answers, 429)), (5, 195), "{keeping:?} {email}");
            assert_eq!(after - before, 5, "{keeping:?} {email}");
        }
    }
}

/// R103, A54: what does not fit the queue is told to come back, the others are served, and the process has never more
/// hashes at work than it may.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_flood_of_sign_ins_is_bounded() {
    let world = World::with(Keeping::Memory, |config| {
        config.password.concurrency = 1;
        config.password.queue = 4;
    })
    .await;
    world.person(ANN, &[]).await;
    let (ann, _) = world.with_tokens(ANN).await;
    // Somebody is at the hasher, so that the flood meets a queue and not an idle server.
    let answers = all_at_once(&world, 500, |n| body(&format!("user{n}@example.com"), "wrong wrong wrong")).await;
    let (refused, busy) = (count(&answers, 401), count(&answers, 503));
    assert_eq!(refused + busy, 500);
    assert!(refused >= 5 && busy > 0, "{refused} looked at, {busy} turned away");
    for answer in answers.iter().filter(|answer| answer.status == 503) {
        answer.assert_code(503, "overloaded");
        assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    }
    assert_eq!(usize::try_from(world.app.passwords.load().turned_away).unwrap(), busy);
    ann.get_with(ann.bearer.as_deref().unwrap(), "/api/auth/user").await.assert_status(200);
    guess(&ann, ANN, PASSWORD).await.assert_status(200);
}

/// R007, A54: a password of 10 MiB is not read, one of 1025 bytes is not hashed, and neither counts as a guess.
#[tokio::test]
async fn long_passwords_cost_nothing() {
    let world = world().await;
    let before = world.app.passwords.load().hashes;
    for (length, status, code) in [
        (10 * 1024 * 1024, 413, "payload_too_large"),
        (1025, 422, "validation_failed"),
        (60_000, 422, "validation_failed"),
    ] {
        let answer = guess(&world.client(), ANN, &"p".repeat(length)).await;
        answer.assert_code(status, code);
    }
    assert_eq!(world.app.passwords.load().hashes, before);
    for _ in 0..6 {
        guess(&world.client(), ANN, &"p".repeat(1025)).await.assert_status(422);
    }
    guess(&world.client(), ANN, PASSWORD).await.assert_status(200);
}

/// A54: a stored hash that would cost 64 GiB is not computed; the person cannot sign in and everybody else can.
#[tokio::test]
async fn a_huge_stored_cost_is_refused() {
    use wayleave_core::authentication::Method;
    use wayleave_core::ports::Credential;

    let world = world().await;
    let email = ANN.parse().unwrap();
    let account = world.app.directory.accounts.by_email(&email).await.unwrap().unwrap();
    for parameters in ["m=67108864,t=2,p=1", "m=19456,t=4294967295,p=1", "m=19456,t=2,p=16777215"] {
        let secret =
            format!("$argon2id$v=19${parameters}$c29tZXNhbHRzb21lc2FsdA$RdescudvJCsgt3ub+b9dWRWJTmaaJObGRdescudvJCs");
        let credential = Credential { secret: secret.into_bytes().into(), changed_at: world.app.now() };
        world.app.directory.credentials.set(&account.id, Method::Password, &credential).await.unwrap();
        guess(&world.client(), ANN, PASSWORD).await.assert_code(401, "invalid_credentials");
        let rows = world.audited("login.failure").await;
        assert_eq!(rows.last().unwrap().reason.as_deref(), Some("unreadable_hash"), "{parameters}");
    }
    guess(&world.client(), BOB, PASSWORD).await.assert_status(200);
}

/// R095, A55: a password is its bytes: nothing is cut, trimmed, folded or normalised away.
#[tokio::test]
async fn passwords_are_exact() {
    // 71 bytes and 1023 bytes of something that is no single repeated character.
    let long = "the quick brown fox jumps over the lazy dog while nobody is looking now".to_owned();
    let numbers: String = (0..400).map(|n| format!("{n} ")).collect();
    let longest = numbers[..1023].to_owned();
    let pairs = [
        (
            "a nul \u{0} in the middle".to_owned(),
            vec!["a nul ".into(), "a nul \u{0}".into(), "a nul  in the middle".into()],
        ),
        (format!("{long}ab"), vec![format!("{long}ac"), format!("{long}a"), long.clone() + "abc"]),
        (
            "\u{c5}ngstr\u{f6}m und mehr".into(),
            vec!["A\u{30a}ngstro\u{308}m und mehr".into(), "\u{212b}ngstr\u{f6}m und mehr".into()],
        ),
        (
            "  blanks around it  ".into(),
            vec!["blanks around it".into(), "  blanks around it".into(), "blanks around it  ".into()],
        ),
        ("Mixed Case Words".into(), vec!["mixed case words".into(), "MIXED CASE WORDS".into()]),
        (
            "\u{1f511}\u{1f40e}\u{1f50b}\u{1f9f7} staple".into(),
            vec!["\u{1f511}\u{1f40e}\u{1f50b}\u{fe0f}\u{1f9f7} staple".into()],
        ),
        (longest.clone() + "l", vec![longest.clone() + "k", longest.clone()]),
        ("fifteen \u{feff}letters".into(), vec!["fifteen letters".into()]),
    ];
    let world = World::with(Keeping::Sqlite, |config| config.lockout.attempts = 100).await;
    let mut admin = world.administrator().await;
    for (n, (exact, twins)) in pairs.into_iter().enumerate() {
        let email = format!("person{n}@example.com");
        let made = json!({ "email": email, "name": "Person", "password": exact });
        admin.post("/api/admin/users", &made).await.assert_status(201);
        for twin in twins {
            guess(&admin, &email, &twin).await.assert_code(401, "invalid_credentials");
        }
        guess(&admin, &email, &exact).await.assert_status(200);
    }
}

/// R093: what is stored is Argon2id with 16 bytes of salt, another for every account.
#[tokio::test]
async fn stored_passwords_are_argon2id() {
    use wayleave_core::authentication::Method;

    let world = world().await;
    let mut salts = Vec::new();
    for email in [ANN, BOB] {
        let account = world.app.directory.accounts.by_email(&email.parse().unwrap()).await.unwrap().unwrap();
        let stored = world.app.directory.credentials.find(&account.id, Method::Password).await.unwrap().unwrap();
        let text = String::from_utf8(stored.secret.to_vec()).unwrap();
        let parts: Vec<_> = text.split('$').map(str::to_owned).collect();
        assert_eq!((&*parts[1], &*parts[2]), ("argon2id", "v=19"));
        assert_eq!(parts[4].len(), 22);
        salts.push(parts[4].clone());
    }
    assert_ne!(salts[0], salts[1]);
}

/// R041, R008: credentials are taken from the body of a POST alone.
#[tokio::test]
async fn credentials_are_not_taken_from_elsewhere() {
    let world = world().await;
    let client = world.client();
    let query = format!("/api/auth/login?email={ANN}&password={}", PASSWORD.replace(' ', "%20"));
    client.ask_as_is(request(&format!("GET {query}"), &[], "")).await.assert_code(405, "method_not_allowed");
    let answer = client.world.client().post(&query, &json!({})).await;
    assert!(answer.status.is_client_error() && answer.status != 401, "{}", answer.text());
    let form = format!("email={ANN}&password={PASSWORD}&transport=bearer");
    let length = form.len().to_string();
    let fields = [("content-type", "application/x-www-form-urlencoded"), ("content-length", &*length)];
    client.ask_as_is(request(LOGIN, &fields, form)).await.assert_code(415, "unsupported_media_type");
}

/// R105: the log tells a sign-in from a browser that nobody had used before from one at home, and says when failures
/// became a lock.
#[tokio::test]
async fn new_browsers_are_noticed() {
    let world = world().await;
    let mut home = world.signed_in(ANN).await;
    home.sign_in(ANN, PASSWORD).await.assert_status(200);
    world.signed_in(ANN).await;
    world.with_tokens(ANN).await;
    let rows = world.audited("login.success").await;
    let reasons: Vec<_> = rows.iter().map(|row| row.reason.as_deref()).collect();
    assert_eq!(reasons, [Some("new_device"), None, Some("new_device"), None]);
    for _ in 0..5 {
        guess(&home, ANN, "wrong wrong wrong").await.assert_status(401);
    }
    assert_eq!(world.audited("login.locked").await.len(), 1);
}

/// R163: a sign-in, a failure and a throttled attempt are one row each, and metrics count them.
#[tokio::test]
async fn sign_ins_are_counted() {
    let world = world().await;
    let client = world.client();
    guess(&client, ANN, PASSWORD).await.assert_status(200);
    for _ in 0..5 {
        guess(&client, BOB, "wrong wrong wrong").await.assert_status(401);
    }
    guess(&client, BOB, PASSWORD).await.assert_status(429);
    let counts = world.audit_counts(|_| true).await;
    for (event, times) in [
        ("login.success", 1),
        ("session.created", 1),
        ("login.failure", 5),
        ("login.locked", 1),
        ("login.throttled", 1),
    ] {
        assert_eq!(counts.get(event), Some(&times), "{event} in {counts:?}");
    }
    let metrics = world.metrics().await.text();
    for line in [
        "wayleave_logins_total{outcome=\"success\"} 1",
        "wayleave_logins_total{outcome=\"refused\"} 5",
        "wayleave_logins_total{outcome=\"locked\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}
