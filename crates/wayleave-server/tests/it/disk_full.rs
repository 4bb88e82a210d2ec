//! A server on SQLite whose disk fills up under load, and has room again.

use std::io::Write as _;
use std::time::Duration;

use serde_json::json;

use super::fleet::{PASSWORD, email};
use super::load::{Running, pass};
use super::process::{Process, Start};

const PEOPLE: usize = 4;
const DISK_KIB: u32 = 24 * 1024;

/// R168, A41: while nothing can be written, what would change something is refused and sessions go on; nothing that was
/// acknowledged before or meanwhile is lost or comes back, and the server serves again when there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let settings = [
        "accounts.registration=open",
        "kinds.standard.most=10000",
        "lockout.attempts=100",
        "rate_limits.login=none",
        "rate_limits.refresh=none",
        "rate_limits.register=none",
        "rate_limits.session=none",
        "rate_limits.unknown_token=none",
    ];
    let server = Process::start_as(Start { disk: Some(DISK_KIB), ..Start::new(&data, &settings) }).await;
    for person in 0..PEOPLE {
        let body = json!({ "email": email(person), "password": PASSWORD, "name": "Ann" });
        let answer = server.post("/api/auth/register", &body).await.unwrap();
        assert!(answer.status.is_success(), "{}", String::from_utf8_lossy(&answer.body));
    }
    let running = Running::start(vec![server.address], PEOPLE);
    let ballast = server.path(&data).join("ballast");
    for _ in 0..3 {
        pass(Duration::from_secs(1)).await;
        let (answered, refused) = (running.answered(), running.refused());
        fill(&ballast);
        while running.refused() < refused + 50 {
            pass(Duration::from_millis(50)).await;
            // Whatever it had let go of.
            fill(&ballast);
        }
        let health = server.ask("GET", "/healthz", &[], None).await.unwrap().status;
        assert_eq!(health, 200);
        assert!(running.answered() > answered, "sessions do not go on");
        std::fs::remove_file(&ballast).unwrap();
        server.ready().await;
        let answered = running.answered();
        pass(Duration::from_secs(1)).await;
        assert!(running.answered() > answered + 20, "it does not serve again");
    }
    running.stop().await.check().await;
}

/// Takes all the room that is left.
fn fill(ballast: &std::path::Path) {
    let mut file = std::fs::File::options().create(true).append(true).open(ballast).unwrap();
    for piece in [1 << 20, 1 << 16, 1 << 12, 1] {
        while file.write_all(&vec![7; piece]).is_ok() {}
    }
}
