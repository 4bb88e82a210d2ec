//! The bash session that a tour runs in: one shell, a fresh folder, and nothing left over afterwards.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use crate::problem::Problem;

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Starts the line that tells a command's end from its output.
const END: &str = "__tour_command_ended__";

const NAME: &str = "bash";

/// A running session. Dropping it ends everything that it started and removes its folder.
pub(crate) struct Shell {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    folder: Folder,
    background: u32,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) output: Vec<String>,
    pub(crate) success: bool,
}

/// A command that runs beside the tour.
#[derive(Clone, Debug)]
pub(crate) struct Background {
    process: String,
    log: PathBuf,
}

impl Shell {
    /// Starts bash in an empty folder of its own, with `programs` first in `PATH`.
    pub(crate) fn start(programs: &Path) -> Result<Self, Problem> {
        let broken = |source| Problem::Program { name: NAME, source };
        let folder = Folder::new()?;
        let mut paths = vec![programs.to_path_buf()];
        paths.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let path = std::env::join_paths(paths).map_err(|_| Problem::Output { name: "PATH" })?;
        let mut command = Command::new(NAME);
        command.args(["--noprofile", "--norc"]).current_dir(folder.home()).env("PATH", path).env("HOME", folder.home());
        for (name, _) in std::env::vars_os() {
            // The reader of the README has no configuration of ours in the environment either.
            if name.to_string_lossy().starts_with("WAYLEAVE_") {
                command.env_remove(name);
            }
        }
        own_group(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(broken)?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let lines = output.map(follow).ok_or(Problem::Output { name: NAME })?;
        let mut shell = Self { child, input, lines, folder, background: 0 };
        shell.send("exec 2>&1\n")?;
        Ok(shell)
    }

    /// Runs a command to its end. `line` is where it stands in the README.
    pub(crate) fn run(&mut self, line: usize, text: &str) -> Result<Ran, Problem> {
        self.send(&format!("eval {} < /dev/null\nprintf '\\n%s %s\\n' {END} $?\n", quote(text)))?;
        let mut output = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(printed) => match printed.strip_prefix(END) {
                    Some(status) => return Ok(Ran { output, success: status.trim() == "0" }),
                    None => output.push(printed),
                },
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Problem::NoAnswer { line, what: "this command does not end" });
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Problem::NoAnswer { line, what: "this command ended the shell" });
                }
            }
        }
    }

    /// Starts a command beside the tour.
    pub(crate) fn spawn(&mut self, line: usize, text: &str) -> Result<Background, Problem> {
        self.background += 1;
        let log = self.folder.0.join(format!("background-{}.log", self.background));
        // Redirections stand first so that the command's own come after and win. Without `eval` and braces the job
        // is the program itself, not a shell around it, and gets the signal at the end.
        self.send(&format!("> {} 2>&1 < /dev/null {text} &\n", quote(&log.to_string_lossy())))?;
        let process = self.run(line, "echo $!")?.output.concat();
        Ok(Background { process, log })
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self, line: usize, job: &Background) -> Result<bool, Problem> {
        Ok(self.run(line, &format!("kill -0 {} 2> /dev/null", job.process))?.success)
    }

    /// What it printed until now.
    pub(crate) fn printed(&self, job: &Background) -> Result<Vec<String>, Problem> {
        let text = crate::workspace::read(&job.log)?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// Lets a moment pass while nothing is running.
    pub(crate) fn pause(&self, line: usize, length: Duration) -> Result<(), Problem> {
        match self.lines.recv_timeout(length) {
            Ok(_) | Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(Problem::NoAnswer { line, what: "the shell ended" }),
        }
    }

    fn send(&mut self, text: &str) -> Result<(), Problem> {
        let input = self.input.as_mut().ok_or(Problem::Output { name: NAME })?;
        input
            .write_all(text.as_bytes())
            .and_then(|()| input.flush())
            .map_err(|source| Problem::Program { name: NAME, source })
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Background programs get the chance to close their files; the group's end takes whatever is left.
        let asked = self.send(&format!("kill -TERM $(jobs -p) 2> /dev/null; wait; echo {END}\n"));
        if asked.is_ok() {
            while self.lines.recv_timeout(Duration::from_secs(15)).is_ok_and(|line| !line.starts_with(END)) {}
        }
        end_group(self.child.id());
        drop(self.input.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
fn own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0);
}

#[cfg(not(unix))]
fn own_group(_: &mut Command) {}

/// Ends every process of a group that one of our shells leads.
fn end_group(leader: u32) {
    let script = format!("kill -KILL -- -{leader}");
    let _ = Command::new(NAME).args(["-c", &script]).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

fn follow(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&line);
            if sender.send(text.trim_end_matches(['\n', '\r']).to_owned()).is_err() {
                break;
            }
            line.clear();
        }
    });
    receiver
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A folder that is gone when it is dropped: logs in it, and the shell's home below it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Problem> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = Self(std::env::temp_dir().join(format!("wayleave-tour-{}-{count}", std::process::id())));
        let home = folder.home();
        std::fs::create_dir_all(&home).map_err(|source| Problem::File { path: home, source })?;
        Ok(folder)
    }

    fn home(&self) -> PathBuf {
        self.0.join("home")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
