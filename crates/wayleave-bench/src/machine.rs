//! The machine and the build that figures are of.

use std::process::Command;

/// What is said beside the table.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) cores: usize,
    model: String,
    kernel: String,
    rustc: String,
    date: String,
}

impl Machine {
    /// This one, today.
    pub(crate) fn this() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let file = |path| std::fs::read_to_string(path).unwrap_or_default();
        let model = field(&file("/proc/cpuinfo"), "model name").unwrap_or_else(|| "an unknown processor".into());
        let kernel = file("/proc/sys/kernel/osrelease").trim().to_owned();
        let rustc = first_line(Command::new("rustc").arg("--version"));
        let date = first_line(Command::new("date").args(["-u", "+%Y-%m-%d"]));
        Self { cores, model, kernel, rustc, date }
    }

    /// One line.
    pub(crate) fn describe(&self) -> String {
        let Self { cores, model, kernel, rustc, date } = self;
        let build = if cfg!(debug_assertions) { "**not optimised**" } else { "release build" };
        format!("{date}; {cores} cores, {model}; Linux {kernel}; {rustc}, {build}; system allocator.")
    }
}

fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

fn first_line(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or("unknown").to_owned()
}
