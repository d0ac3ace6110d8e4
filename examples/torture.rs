//! Random faults against the real program, for as long as asked: `cargo run --release --example torture -- --minutes 5`.
//!
//! It is its own server: called with a subcommand of `liftlock` it is `liftlock`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "it shares its code with tests, and a fault ends it"
)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use liftlock::clock;

#[path = "../tests/it/faults/chaos.rs"]
mod chaos;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../tests/it/faults/drive.rs"]
mod drive;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../tests/it/faults/rig.rs"]
mod rig;
#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../tests/it/served.rs"]
mod served;

/// Faults are made for so long before everything must come to its end and is checked.
const ROUND: Duration = Duration::from_secs(20);

#[derive(Debug, Parser)]
struct Line {
    /// The first round's seed; each round's is one more.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long to go on.
    #[arg(long, default_value_t = 1)]
    minutes: u64,
    /// An empty database that every second round uses, with three servers on it; it is filled and not emptied.
    #[arg(long)]
    postgres: Option<String>,
}

fn main() -> ExitCode {
    let called_as_program = std::env::args().nth(1).is_some_and(|word| !word.starts_with('-'));
    if called_as_program {
        return liftlock::cli::run();
    }
    let line = Line::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if runtime.block_on(rounds(&line)) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether all of them were right.
async fn rounds(line: &Line) -> bool {
    let begun = clock::monotonic();
    let mut postgres = line.postgres.clone();
    for seed in line.seed.. {
        // One round on `PostgreSQL`: a second would find the releases of the first.
        let url = if seed > line.seed { postgres.take() } else { None };
        let (engine, servers) = if url.is_some() { ("PostgreSQL", 3) } else { ("SQLite", 1) };
        let plan = rig::Plan {
            rules: &rig::PLAIN,
            program: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("liftlock")),
            repositories: ["hello", "kudos", "lift", "lock"].map(str::to_owned).to_vec(),
            lease: "2s",
            postgres: url,
            data: None,
        };
        let torture = chaos::Torture { plan, seed, faults_for: ROUND, servers, pushes: 20 };
        let summary = chaos::torture(torture).await;
        println!("seed {seed} on {engine}: {summary}");
        if !summary.wrong.is_empty() {
            println!("{}", summary.wrong.join("\n"));
            return false;
        }
        if begun.elapsed().as_secs() >= line.minutes * 60 {
            return true;
        }
    }
    true
}
