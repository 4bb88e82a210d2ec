//! Shared and private servers, with a process that only waits in the place of a server.

use std::time::Duration;

use super::*;

/// A process that works in `folder` and ends on an interrupt.
fn launch(folder: &Path) -> io::Result<Vec<u32>> {
    let mut shell = Command::new("sh");
    // A shell ignores interrupts for what it starts in the background.
    shell.args(["-c", "exec perl -e '$SIG{INT} = sub { exit }; sleep 600' >/dev/null 2>&1 & echo $!"]);
    let said = run(shell.current_dir(folder))?;
    Ok(vec![said.parse().map_err(io::Error::other)?])
}

fn process(shared: &Shared) -> u32 {
    let (_, alive) = processes(shared.folder());
    assert_eq!(alive.len(), 1, "{:?}", shared.folder());
    alive[0]
}

/// What has ended works nowhere, even where nobody has asked how.
fn has_ended(process: u32) -> bool {
    fs::read_link(format!("/proc/{process}/cwd")).is_err()
}

/// Waits for what happens soon in another process.
async fn soon(what: impl Fn() -> bool) -> bool {
    let mut again = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..1500 {
        again.tick().await;
        if what() {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_shared_server_is_started_once_and_stopped_after_its_last_user() {
    let name = format!("test-{}", std::process::id());
    let first = Shared::start(&name, launch).unwrap();
    let server = process(&first);
    let second = Shared::start(&name, |_| panic!("it runs already")).unwrap();
    assert_eq!(process(&second), server);
    drop(first);
    let third = Shared::start(&name, |_| panic!("it runs already")).unwrap();
    drop((second, third));
    let folder = root().unwrap().join(&name);
    assert!(soon(|| !folder.join("server").exists()).await, "it was not removed");
    assert!(has_ended(server), "it was not stopped");
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_server_that_died_is_started_again() {
    let name = format!("died-{}", std::process::id());
    let first = Shared::start(&name, launch).unwrap();
    let server = process(&first);
    fs::write(first.folder().join("left"), "behind").unwrap();
    run(Command::new("kill").args(["-KILL", &server.to_string()])).unwrap();
    assert!(soon(|| !runs(first.folder())).await);
    let second = Shared::start(&name, launch).unwrap();
    assert_ne!(process(&second), server);
    assert!(!second.folder().join("left").exists());
}

#[tokio::test]
async fn a_private_server_ends_with_its_value() {
    let mine = Shared::start_private("private", launch).unwrap();
    let other = Shared::start_private("private", launch).unwrap();
    assert_ne!(process(&mine), process(&other));
    let (server, home) = (process(&mine), mine.folder().parent().unwrap().to_path_buf());
    drop(mine);
    assert!(soon(|| !home.exists()).await, "it was not removed");
    assert!(has_ended(server), "it was not stopped");
    process(&other);
}

#[tokio::test]
async fn a_start_that_fails_leaves_nothing_behind() {
    let mut server = None;
    let started = Shared::start_private("failing", |folder| {
        server = launch(folder)?.pop();
        Err(io::Error::other("the second one does not start"))
    });
    assert_eq!(started.unwrap_err().to_string(), "the second one does not start");
    let server = server.unwrap();
    assert!(soon(|| has_ended(server)).await, "it was not stopped");
}
