//! `cargo xtask readme`: runs the commands of README.md and compares what they print with what it says.
//!
//! A tour is made of fenced blocks marked `console`. A line that starts with `$ ` is a command, which runs in one bash
//! session together with all the others, in an empty folder, with the freshly built `wayleave` first in `PATH`; the
//! lines below it are its output. A command that ends in ` &` runs beside the rest until the end of the tour; the tour
//! goes on when `/healthz` at the address in its block answers 200. Where that port is taken, the whole tour moves to a
//! free one. `cargo xtask serve` means `wayleave serve`.
//!
//! In the output, `...` alone on a line stands for any lines and inside a line for any text; tokens, ids, times,
//! random text and durations are equal whatever their value (`masks`). A command must succeed unless its block says
//! `may-fail`; a block that says `no-run` is not run.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::cargo::{self, Profile};
use crate::problem::Problem;
use crate::workspace;

mod address;
mod blocks;
mod compare;
mod masks;
mod shell;

use blocks::{Block, Mode, TourCommand};
use shell::{Background, Shell};

const FILE: &str = "README.md";
/// How often a background command is looked at until it answers, and how long the moment between two looks is.
const LOOKS: u32 = 600;
const MOMENT: Duration = Duration::from_millis(100);

/// Runs the tour with the binary of the everyday build.
pub(crate) fn run(arguments: &[String]) -> Result<(), Problem> {
    if arguments.is_empty() { tour(Profile::of_environment()) } else { Err(Problem::Usage) }
}

/// Builds the server and runs the tour of README.md with it.
pub(crate) fn tour(profile: Profile) -> Result<(), Problem> {
    let text = workspace::read(&workspace::root().join(FILE))?;
    let binary = cargo::build_server(profile)?;
    let programs = binary.parent().unwrap_or(workspace::root());
    let Summary { commands, mismatches } = walk(&text, programs)?;
    for mismatch in &mismatches {
        println!("{mismatch}");
    }
    println!("{FILE}: {} of {commands} commands do what it says", commands - mismatches.len());
    if mismatches.is_empty() {
        Ok(())
    } else {
        Err(Problem::Found { what: "commands of README.md that do something else", count: mismatches.len() })
    }
}

/// What became of a tour.
#[derive(Debug)]
struct Summary {
    commands: usize,
    /// One per command that did not do what the text says, ready to print.
    mismatches: Vec<String>,
}

fn walk(markdown: &str, programs: &Path) -> Result<Summary, Problem> {
    let malformed = |line, what| Problem::Malformed { path: FILE.into(), line, what };
    let mut blocks = blocks::blocks(markdown).map_err(|wrong| malformed(wrong.line, wrong.what))?;
    let mut summary = Summary { commands: 0, mismatches: Vec::new() };
    let mut shell = Shell::start(programs)?;
    if let Some(free) = address::avoid_taken(&mut blocks) {
        println!("note: the tour's port is taken on this machine; it runs on {free}");
        shell.run(1, &format!("export WAYLEAVE_SERVER_LISTEN={free}"))?;
    }
    for block in &blocks {
        for command in &block.commands {
            summary.commands += 1;
            summary.mismatches.extend(one(&mut shell, block, command)?);
        }
    }
    if summary.commands == 0 {
        return Err(malformed(1, "there is no `console` block with a command"));
    }
    Ok(summary)
}

/// Runs one command; `Some` tells what is different.
fn one(shell: &mut Shell, block: &Block, command: &TourCommand) -> Result<Option<String>, Problem> {
    let text = program(&command.text);
    match command.mode {
        Mode::Succeeds | Mode::MayFail => {
            let ran = shell.run(command.line, &text)?;
            let failed = command.mode == Mode::Succeeds && !ran.success;
            let verdict = if failed { "failed" } else { "printed something else" };
            Ok(match compare::difference(&command.expected, &ran.output) {
                Some(difference) => Some(report(command, verdict, &difference)),
                None => failed.then(|| report(command, verdict, &[])),
            })
        }
        Mode::Background => {
            let address = address::address(block);
            if address.is_some_and(address::in_use) {
                let what = "something else listens on the address of this block already";
                return Err(Problem::NoAnswer { line: command.line, what });
            }
            let job = shell.spawn(command.line, &text)?;
            attend(shell, command, &job, address)
        }
    }
}

/// Waits until a background command answers and has printed what the text says.
fn attend(
    shell: &mut Shell,
    command: &TourCommand,
    job: &Background,
    address: Option<SocketAddr>,
) -> Result<Option<String>, Problem> {
    let mut expected = command.expected.clone();
    expected.push("...".into());
    let mut verdict = "does not answer";
    for _ in 0..LOOKS {
        let answers = address.is_none_or(address::healthy);
        if answers && compare::difference(&expected, &shell.printed(job)?).is_none() {
            return Ok(None);
        }
        if answers {
            verdict = "printed something else";
        }
        if !shell.runs(command.line, job)? {
            verdict = "ended";
            break;
        }
        shell.pause(command.line, MOMENT)?;
    }
    let printed = shell.printed(job)?;
    let difference = compare::difference(&expected, &printed).unwrap_or(printed);
    Ok(Some(report(command, verdict, &difference)))
}

fn program(text: &str) -> String {
    match text.strip_prefix("cargo xtask serve") {
        Some(rest) => format!("wayleave serve{rest}"),
        None => text.to_owned(),
    }
}

fn report(command: &TourCommand, verdict: &str, difference: &[String]) -> String {
    let TourCommand { line, text, mode: _, expected: _ } = command;
    let mut report = format!("{FILE}:{line}: `{text}` {verdict}");
    if !difference.is_empty() {
        let _ = write!(report, "\n--- {FILE}:{line}\n+++ this run\n{}", difference.join("\n"));
    }
    report
}

#[cfg(test)]
mod tests;
