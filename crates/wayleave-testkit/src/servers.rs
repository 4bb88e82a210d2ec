//! Real servers for tests: started by the first test process that needs one, shared by all that run at the time, and
//! stopped some seconds after the last of them is gone, however that came about.
//!
//! Each server has a folder under the system's temporary folder, told apart by user and build folder. Whoever uses it
//! holds a shared lock on the file `users`, which the system releases with the process. A guardian, a small shell
//! process of its own, waits for the exclusive lock on that file, stops the server and removes the folder.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub mod postgres;
pub mod redis;

/// How many seconds a shared server outlives its last user: from one test process to the next.
const GRACE_SECONDS: &str = "10";

/// A running server, of which this process is a user as long as this value lives.
#[derive(Debug)]
pub struct Shared {
    folder: PathBuf,
    _user: File,
}

impl Shared {
    /// The server called `name`. Starts it by `launch`, unless it runs already.
    ///
    /// `launch` gets an empty folder. It puts there what users have to know, and says which processes make up the
    /// server; each of them must have the folder, or one inside it, as its working directory, and end on `SIGINT`.
    ///
    /// # Errors
    /// What `launch` says, and whatever keeps the folder from being made.
    pub fn start(name: &str, launch: impl FnOnce(&Path) -> io::Result<Vec<u32>>) -> io::Result<Self> {
        let home = root()?.join(name);
        Self::lease(&home, &home.join("server"), GRACE_SECONDS, launch)
    }

    /// A server of this value's own, which ends with it. As [`Self::start`] otherwise.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_private(name: &str, launch: impl FnOnce(&Path) -> io::Result<Vec<u32>>) -> io::Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let home = root()?.join(format!("{name}-{}-{number}", std::process::id()));
        Self::lease(&home, &home, "0", launch)
    }

    /// The folder that `launch` got.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Says which processes make up the server from now on, after some were stopped or started.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn set_processes(&self, processes: &[u32]) -> io::Result<()> {
        write_processes(&self.folder, processes)
    }

    /// `removed` is what the guardian removes in the end.
    fn lease(
        home: &Path,
        removed: &Path,
        grace: &str,
        launch: impl FnOnce(&Path) -> io::Result<Vec<u32>>,
    ) -> io::Result<Self> {
        make_folder(home)?;
        let folder = home.join("server");
        let open = |name| File::options().create(true).truncate(false).write(true).open(home.join(name));
        // Nobody starts or stops the server meanwhile.
        let change = open("change")?;
        change.lock()?;
        let user = open("users")?;
        user.lock_shared()?;
        // Let go of at once: the guardian wants it.
        let guardian = open("guardian")?;
        let unguarded = guardian.try_lock();
        drop(guardian);
        match unguarded {
            // Before the server, so that a start that fails or is broken off leaves nothing behind.
            Ok(()) => start_guardian(home, removed, grace)?,
            // There is one.
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if !runs(&folder) {
            stop_leftovers(&folder)?;
            make_folder(&folder)?;
            write_processes(&folder, &launch(&folder)?)?;
        }
        Ok(Self { folder, _user: user })
    }
}

/// A TCP port of this machine that is free right now.
///
/// # Errors
/// When there is none.
pub fn free_port() -> io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Runs a command to its end; what it says. What it says besides goes into the error when it fails.
///
/// # Errors
/// When it cannot be run or fails.
pub fn run(command: &mut Command) -> io::Result<String> {
    output(command).map(|(out, _)| out)
}

/// As [`run`], with what the command says besides, on its standard error.
///
/// # Errors
/// As [`run`].
pub fn output(command: &mut Command) -> io::Result<(String, String)> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("cannot run {name}: {error}")))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    let (out, err) = (said(&output.stdout), said(&output.stderr));
    if output.status.success() {
        Ok((out, err))
    } else {
        Err(io::Error::other(format!("{name}: {}: {out} {err}", output.status)))
    }
}

/// Where the servers of this user and build folder are.
fn root() -> io::Result<PathBuf> {
    let executable = std::env::current_exe()?;
    let mut hasher = DefaultHasher::new();
    executable.parent().hash(&mut hasher);
    let user = fs::metadata("/proc/self")?.uid();
    let root = std::env::temp_dir().join(format!("wayleave-servers-{user}-{:016x}", hasher.finish()));
    make_folder(&root)?;
    // The name can be guessed, so somebody else may have been there first.
    if fs::symlink_metadata(&root)?.uid() == user {
        Ok(root)
    } else {
        Err(io::Error::other(format!("{} belongs to somebody else", root.display())))
    }
}

/// A folder that others can pass through but not look into: a server that runs as another user has its own inside.
fn make_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o711).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

fn write_processes(folder: &Path, processes: &[u32]) -> io::Result<()> {
    let text: String = processes.iter().map(|process| format!("{process}\n")).collect();
    let next = folder.join("processes.next");
    fs::write(&next, text)?;
    fs::rename(next, folder.join("processes"))
}

/// The processes of a server that are still there.
fn processes(folder: &Path) -> (usize, Vec<u32>) {
    let text = fs::read_to_string(folder.join("processes")).unwrap_or_default();
    let written: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    // A number that was given to another process meanwhile is none of ours.
    let works_here = |process: &u32| {
        fs::read_link(format!("/proc/{process}/cwd")).is_ok_and(|works_in| works_in.starts_with(folder))
    };
    (written.len(), written.into_iter().filter(works_here).collect())
}

fn runs(folder: &Path) -> bool {
    let (written, alive) = processes(folder);
    written > 0 && alive.len() == written
}

/// What an interrupted start or a crash left behind.
fn stop_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir("/proc")?.flatten() {
        let process = entry.file_name().to_string_lossy().parse::<u32>();
        let Ok(process) = process else { continue };
        if !fs::read_link(entry.path().join("cwd")).is_ok_and(|works_in| works_in.starts_with(folder)) {
            continue;
        }
        // It may be gone already.
        run(Command::new("kill").args(["-KILL", &process.to_string()])).ok();
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Arguments: home, what to remove in the end, seconds of grace. Holds the lock `guardian`, so that there is one of them.
const GUARDIAN: &str = r#"
cd "$1" || exit 1
(
  exec 8>guardian
  flock --nonblock 8 || exit
  while :; do
    flock users true
    sleep "$3"
    exec 9>change
    flock 9
    if flock --nonblock users true; then
      # Whatever works there, told of or not.
      ours() {
        ls -l /proc/[0-9]*/cwd | sed -n "s#^.* /proc/\([0-9]*\)/cwd -> $PWD/server.*#\1#p"
      }
      for signal in INT $(seq 100) KILL; do
        rest=$(ours)
        [ -n "$rest" ] || break
        case $signal in INT | KILL) kill -"$signal" $rest ;; *) sleep 0.1 ;; esac
      done
      cd / && rm -rf "$2"
      exit
    fi
    exec 9>&-
  done
) >/dev/null 2>&1 </dev/null &
"#;

fn start_guardian(home: &Path, removed: &Path, grace: &str) -> io::Result<()> {
    let mut shell = Command::new("sh");
    shell.args(["-c", GUARDIAN, "guardian"]).arg(home).arg(removed).arg(grace);
    // In a group of its own, so that whoever ends the test's group leaves it alone.
    let status = shell.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("the guardian did not start")) }
}

#[cfg(test)]
mod tests;
