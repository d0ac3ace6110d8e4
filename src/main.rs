//! The program: parse arguments, start, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    liftlock::cli::run()
}
