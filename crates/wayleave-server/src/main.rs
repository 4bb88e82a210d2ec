//! The one binary: reads the command line and runs it.

use std::process::ExitCode;

fn main() -> ExitCode {
    wayleave_server::cli::main()
}
