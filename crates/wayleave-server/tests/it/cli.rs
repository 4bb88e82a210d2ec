//! The command line as people and scripts use it: the built binary in a folder of its own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

use super::process::Process;

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "a passphrase for Ada alone";

/// A folder, and the command line in it.
struct Shell {
    folder: TempDir,
}

/// What a command did.
struct Done {
    code: i32,
    out: String,
    err: String,
}

impl Done {
    #[track_caller]
    fn is(self, code: i32) -> Self {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

impl Shell {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// One with an administrator.
    fn with_administrator() -> Self {
        let shell = Self::new();
        shell.feed(PASSWORD, &format!("user add {EMAIL} --password-stdin --permission admin")).is(0);
        shell
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("wayleave-data")
    }

    fn run(&self, line: &str) -> Done {
        self.feed("", line)
    }

    fn feed(&self, input: &str, line: &str) -> Done {
        let mut child = Command::new(env!("CARGO_BIN_EXE_wayleave"))
            .args(line.split_whitespace())
            .env_clear()
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may be gone already.
        child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }

    /// Changes the database as somebody with the file in hand can.
    async fn tamper(&self, statement: &'static str) -> u64 {
        let path = self.data().join("wayleave.db");
        let mut database = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
        let changed = sqlx::query(statement).execute(&mut database).await.unwrap().rows_affected();
        database.close().await.unwrap();
        changed
    }
}

/// The whole life of an account, and a log that proves it.
#[test]
fn accounts_from_the_command_line() {
    let shell = Shell::with_administrator();
    let added = shell.feed("another passphrase\r\nmore", "user add bob@example.org --password-stdin --json --name Bob");
    let bob = added.is(0).json();
    assert_eq!(bob["name"], "Bob");
    assert_eq!(bob["permissions"], json!(["book:sessions", "join:groups", "read:profile", "write:messages"]));

    let table = shell.run("user list").is(0).out;
    assert!(table.starts_with("EMAIL "), "{table}");
    let ada = table.lines().find(|line| line.contains(EMAIL)).unwrap();
    assert!(ada.contains("active") && ada.ends_with("admin"), "{ada}");

    shell.run("user disable bob@example.org").is(0);
    let list = shell.run("user list --json").is(0).json();
    let states: Vec<_> = list.as_array().unwrap().iter().map(|user| (&user["email"], &user["disabled"])).collect();
    assert!(states.contains(&(&json!(EMAIL), &json!(false))), "{states:?}");
    assert!(states.contains(&(&json!("bob@example.org"), &json!(true))), "{states:?}");
    shell.run("user reset-link bob@example.org").is(1);
    shell.run("user enable bob@example.org").is(0);
    shell.run("user unlock bob@example.org").is(0);
    let link = shell.run("user reset-link bob@example.org --json").is(0).json();
    assert!(link["url"].as_str().unwrap().starts_with("http://127.0.0.1:8080/reset#ln_"), "{link}");

    let rows = shell.run("audit list --json").is(0).json();
    let events: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["event"].as_str().unwrap()).collect();
    assert_eq!(
        events,
        ["user.reset_link", "user.unlocked", "user.enabled", "user.disabled", "user.created", "user.created"]
    );
    assert!(rows.as_array().unwrap().iter().all(|row| row["actor"] == "cli"), "{rows}");
    let some = shell.run("audit list --event user.created --limit 1 --json").is(0);
    assert_eq!(some.json().as_array().unwrap().len(), 1);
    assert!(some.err.contains("more rows"), "{}", some.err);

    let proof = shell.run("audit verify --json").is(0).json();
    assert_eq!(proof, json!({ "valid": true, "rows": 6, "chains": 6, "heads": 6, "findings": [] }));
}

/// R163: a changed row is found and named, and the exit code says so.
#[tokio::test]
async fn a_changed_audit_row_is_named() {
    let shell = Shell::with_administrator();
    shell.run(&format!("user unlock {EMAIL}")).is(0);
    assert_eq!(shell.tamper("UPDATE audit SET actor = 'somebody' WHERE event = 'user.unlocked'").await, 1);
    let node = shell.run("audit list --event user.unlocked --json").json()[0]["node"].as_str().unwrap().to_owned();
    let proof = shell.run("audit verify").is(1);
    assert!(proof.out.contains(&format!("row 1 of the chain {node} was changed or moved")), "{}", proof.out);
    let proof = shell.run("audit verify --json").is(1).json();
    let finding = &proof["findings"][0];
    assert_eq!(
        (&finding["kind"], &finding["node"], &finding["sequence"]),
        (&"changed".into(), &node.into(), &1.into())
    );
    assert_eq!(proof["valid"], false);
}

/// Two servers on one folder would not hear of each other's revocations, so the second does not start.
#[tokio::test]
async fn one_server_runs_on_a_folder() {
    let shell = Shell::new();
    let server = Process::start(&shell.data(), &[]).await;
    let second = shell.run("serve --listen 127.0.0.1:0").is(1);
    assert!(second.err.contains("another server runs on"), "{}", second.err);
    server.kill_now();
    assert_eq!(server.stop().await, None, "it was killed");
    // A lock ends with its process, however that ends.
    let third = Process::start(&shell.data(), &[]).await;
    assert_eq!(third.stop().await, Some(0));
}

/// R163: the last rows are gone after their head was signed; so is a whole chain, and a forged head.
#[tokio::test]
async fn a_cut_off_audit_log_is_noticed() {
    let shell = Shell::new();
    let server = Process::start(&shell.data(), &[]).await;
    server.set_up(&shell.data(), EMAIL, PASSWORD).await;
    assert_eq!(server.stop().await, Some(0));
    shell.run("audit verify").is(0);
    let rows = shell.run("audit list --json").json();
    let last = rows[0]["sequence"].as_u64().unwrap();
    assert!(last > 2 && rows[0]["event"] == "server.stopped", "{rows}");
    let cut = "DELETE FROM audit WHERE number > (SELECT max(number) - 2 FROM audit)";
    assert_eq!(shell.tamper(cut).await, 2);
    let proof = shell.run("audit verify").is(1);
    let expected = format!("the chain server ends at row {}, and row {last} was signed", last - 2);
    assert!(proof.out.contains(&expected), "{}", proof.out);
    assert_eq!(shell.run("audit verify --json").is(1).json()["findings"][0]["kind"], "cut_off");

    shell.tamper("DELETE FROM audit").await;
    let proof = shell.run("audit verify").is(1);
    assert!(proof.out.contains(&format!("the chain server ends at row 0, and row {last} was signed")), "{}", proof.out);

    let heads = shell.data().join("audit-heads.jsonl");
    let forged = std::fs::read_to_string(&heads).unwrap().replace(&format!(":{last},"), ":0,");
    std::fs::write(&heads, forged).unwrap();
    let proof = shell.run("audit verify").is(1);
    assert!(proof.out.contains("audit-heads.jsonl is not a signed head of this deployment"), "{}", proof.out);
}

/// R155: the log stays provable when the master key is rotated, and so does everything else.
#[test]
fn the_log_outlasts_a_rotation_of_the_master_key() {
    let shell = Shell::with_administrator();
    assert_eq!(shell.run("key rotate master --json").is(0).json(), json!({ "id": 2, "seals": true }));
    shell.run(&format!("user unlock {EMAIL}")).is(0);
    let proof = shell.run("audit verify --json").is(0).json();
    assert_eq!((&proof["rows"], &proof["heads"]), (&json!(3), &json!(3)));
    let keys = shell.run("key list --json").is(0).json();
    let masters: Vec<_> =
        keys.as_array().unwrap().iter().filter(|key| key["kind"] == "master").map(|key| &key["id"]).collect();
    assert_eq!(masters, [2, 1]);
}

#[test]
fn signing_keys_take_turns() {
    let shell = Shell::with_administrator();
    let made = shell.run("key rotate --json").is(0).json();
    let keys = shell.run("key list --json").is(0).json();
    let signing: Vec<_> = keys.as_array().unwrap().iter().filter(|key| key["kind"] == "signing").collect();
    assert_eq!(signing.len(), 2);
    assert_eq!(signing[0]["kid"], made["kid"]);
    // The new one is published first, and signs when everybody can know it (R061).
    assert_eq!((&signing[0]["signing"], &signing[1]["signing"]), (&json!(false), &json!(true)));
    let again = shell.run("key rotate").is(1);
    assert!(again.err.contains("does not sign yet"), "{}", again.err);
}

/// R096: a weak password is refused with the reason, and nothing is made.
#[test]
fn weak_passwords_are_refused() {
    let shell = Shell::with_administrator();
    for (password, reason) in [
        ("short", "at least 8 characters"),
        ("password1", "too easy to guess"),
        ("bob@example.org", "not built from your name"),
        ("", "no password came"),
    ] {
        let refused = shell.feed(password, "user add bob@example.org --password-stdin").is(1);
        assert!(refused.err.contains(reason), "{password:?}: {}", refused.err);
        assert_eq!(refused.out, "");
    }
    assert_eq!(shell.run("user list --json").json().as_array().unwrap().len(), 1);
}

/// 2 for a wrong command or configuration, 1 for a failure, and every message says what to do.
#[test]
fn exit_codes() {
    let shell = Shell::with_administrator();
    for (line, code, message) in [
        ("user list --colour", 2, "unexpected argument"),
        ("user", 2, "Usage"),
        ("user disable nobody", 2, "looks like ada@example.org"),
        ("user disable nobody@example.org", 1, "`wayleave user list`"),
        ("user add eve@example.org --password-stdin --permission Admin", 2, "a permission has"),
        ("user add eve@example.org", 1, "--password-stdin"),
        ("session show web_x", 2, "`wayleave session list`"),
        ("session show web_AAAAAAAAAAAAAAAAAAAAAAAA", 1, "may have ended"),
        ("session revoke web_AAAAAAAAAAAAAAAAAAAAAAAA", 1, "may have ended"),
        ("session list --subject ada", 2, "user:user_..."),
        ("service-key add Shop", 2, "lower-case letter"),
        ("service-key add shop --permission admin", 2, "never has the permission `admin`"),
        ("service-key add shop --expires 500d", 2, "400 days"),
        ("service-key revoke shop", 1, "`wayleave service-key list`"),
        ("user list --set server.lisen=1", 2, "did you mean"),
        ("user list --store memory:", 2, "administration API"),
        ("user list --data elsewhere", 2, "name the data folder with --data"),
        ("config check --set log.level=loud", 2, ""),
        ("config explain server.lisen", 2, "server.lisen"),
    ] {
        let done = shell.run(line).is(code);
        assert!(done.err.contains(message), "{line}: {}", done.err);
    }
    assert!(!shell.folder.path().join("elsewhere").exists(), "asking makes nothing");
    let taken = shell.feed(PASSWORD, &format!("user add {EMAIL} --password-stdin")).is(1);
    assert!(taken.err.contains("already"), "{}", taken.err);
}

/// With --json every command prints one document, and with --quiet nothing else is said.
#[test]
fn json_is_one_document() {
    let shell = Shell::with_administrator();
    for line in [
        "user list",
        "session list",
        "session revoke --all",
        "session revoke --subject user:user_AAAAAAAAAAAAAAAAAAAAAA",
        "key list",
        "service-key list",
        "service-key add shop --permission read:profile",
        "service-key revoke shop",
        "sweep",
        "audit verify",
        "audit list",
        "audit list --event nothing",
        "config check",
        "config show",
        "config explain server.listen",
        "config reference",
        "migrate",
    ] {
        let done = shell.run(&format!("{line} --json --quiet")).is(0);
        done.json();
        assert_eq!(done.err, "", "{line}");
        let people = shell.run(&format!("{line} -q"));
        if people.code == 0 {
            assert!(serde_json::from_str::<Value>(&people.out).is_err() || people.out.is_empty(), "{line}");
        }
    }
}

#[test]
fn the_shell_and_man_are_served_without_a_deployment() {
    let shell = Shell::new();
    for (line, expected) in [
        ("completions bash", "_wayleave()"),
        ("completions zsh", "#compdef wayleave"),
        ("completions fish", "complete -c wayleave"),
        ("man", ".TH wayleave 1"),
        ("--version", "wayleave 0.1.0"),
        ("config reference", "# Configuration"),
        ("config explain jwt.audience", "`none` takes the issuer"),
        ("--help", "service-key"),
    ] {
        let done = shell.run(line).is(0);
        assert!(done.out.contains(expected), "{line}: {}", done.out);
    }
    assert_eq!(std::fs::read_dir(shell.folder.path()).unwrap().count(), 0);
}

/// R164: what the command line makes is in no file and no row of the log; secrets are printed once and nowhere else.
#[test]
fn secrets_are_printed_once() {
    let shell = Shell::with_administrator();
    let made = shell.run("service-key add shop --permission read:profile --json").is(0).json();
    let link = shell.run(&format!("user reset-link {EMAIL}")).is(0).out;
    let secrets = [PASSWORD, made["secret"].as_str().unwrap(), link.trim().rsplit_once('#').unwrap().1];
    assert!(secrets[1].starts_with("sk_") && secrets[2].starts_with("ln_"), "{secrets:?}");
    let mut said = String::new();
    for line in ["audit list --json", "user list --json", "service-key list --json", "config show", "key list"] {
        said.push_str(&shell.run(line).is(0).out);
    }
    let mut kept = Vec::new();
    collect(&shell.data(), &mut kept);
    for secret in secrets {
        assert!(!said.contains(secret));
        assert!(!kept.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()));
    }
}

fn collect(folder: &Path, bytes: &mut Vec<u8>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect(&path, bytes) } else { bytes.extend(std::fs::read(path).unwrap()) }
    }
}

/// A running server does what the command line says without being started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_follows() {
    let shell = Shell::with_administrator();
    shell.feed(PASSWORD, "user add bob@example.org --password-stdin").is(0);
    let server = Process::start(&shell.data(), &["rate_limits.login=none"]).await;
    assert!(!shell.data().join("setup-link").exists(), "there is an administrator already");

    let bob = sign_in(&server, "bob@example.org").await.unwrap();
    let listed = shell.run("session list --json").is(0).json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["session_id"], bob.id);
    let shown = shell.run(&format!("session show {} --json", bob.id)).is(0).json();
    assert_eq!(shown, listed[0]);
    assert!(shell.run(&format!("session show {}", bob.id)).is(0).out.contains("State         live"));

    shell.run(&format!("session revoke {}", bob.id)).is(0);
    ends(&server, &bob).await;

    let bob = sign_in(&server, "bob@example.org").await.unwrap();
    let disabled = shell.run("user disable bob@example.org --json").is(0).json();
    assert_eq!(disabled["ended"], 1);
    ends(&server, &bob).await;
    assert!(sign_in(&server, "bob@example.org").await.is_none());
    shell.run("user enable bob@example.org").is(0);

    let sessions = [sign_in(&server, "bob@example.org").await.unwrap(), sign_in(&server, EMAIL).await.unwrap()];
    assert_eq!(shell.run("session revoke --all --json").is(0).json(), json!({ "ended": 2 }));
    for session in &sessions {
        ends(&server, session).await;
    }
    assert_eq!(shell.run("session list --json").is(0).json(), json!([]));

    let secret = shell.run("service-key add shop --permission read:profile").is(0).out;
    let bearer = format!("Bearer {}", secret.trim());
    let fields = [("authorization", bearer.as_str())];
    let body = json!({ "subject": "customer-17" });
    let opened = server.ask("POST", "/api/auth/sessions", &fields, Some(&body)).await.unwrap();
    assert_eq!(opened.status, 201, "{}", String::from_utf8_lossy(&opened.body));
    let customer = Session::of(&opened.json()["data"]);
    assert!(is_valid(&server, &customer).await);
    let revoked = shell.run("service-key revoke shop --json").is(0).json();
    assert_eq!(revoked, json!({ "name": "shop", "ended": 1 }));
    ends(&server, &customer).await;

    assert_eq!(server.stop().await, Some(0));
    let revoked = shell.run("audit list --event session.revoked --json").is(0).json();
    assert_eq!(revoked.as_array().unwrap().iter().filter(|row| row["actor"] == "cli").count(), 5, "{revoked}");
    shell.run("audit verify").is(0);
}

/// R168: what another process wrote is heard also when it is killed right after its commit, without a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_server_hears_what_was_not_announced() {
    let shell = Shell::with_administrator();
    shell.feed(PASSWORD, "user add bob@example.org --password-stdin").is(0);
    let server = Process::start(&shell.data(), &["rate_limits.login=none"]).await;
    for statement in ["DELETE FROM sessions", "UPDATE accounts SET disabled = 1 WHERE email = 'bob@example.org'"] {
        let bob = sign_in(&server, "bob@example.org").await.unwrap();
        let path = shell.data().join("wayleave.db");
        let mut killed = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
        assert_eq!(sqlx::query(statement).execute(&mut killed).await.unwrap().rows_affected(), 1, "{statement}");
        // Nothing more is heard of it, not even that it closes the file.
        std::mem::forget(killed);
        ends(&server, &bob).await;
    }
    assert_eq!(server.stop().await, Some(0));
}

struct Session {
    id: String,
    token: String,
}

impl Session {
    fn of(data: &Value) -> Self {
        let text = |name: &str| data[name].as_str().unwrap().to_owned();
        Self { id: text("session_id"), token: text("session_token") }
    }
}

async fn sign_in(server: &Process, email: &str) -> Option<Session> {
    let body = json!({ "email": email, "password": PASSWORD, "transport": "bearer" });
    let answer = server.post("/api/auth/login", &body).await.unwrap();
    if answer.status != 200 {
        return None;
    }
    let session = Session::of(&answer.json()["data"]);
    assert!(is_valid(server, &session).await);
    Some(session)
}

/// Asks the server, which remembers the answer.
async fn is_valid(server: &Process, session: &Session) -> bool {
    let bearer = format!("Bearer {}", session.token);
    let fields = [("authorization", bearer.as_str())];
    server.ask("GET", "/api/auth/sessions/validate", &fields, None).await.unwrap().status == 200
}

/// Waits until the server does not take the session any more. It looks every 250 ms.
async fn ends(server: &Process, session: &Session) {
    let refused = async {
        while is_valid(server, session).await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), refused).await.expect("the server never noticed");
}
