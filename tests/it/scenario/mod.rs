//! Scenario transcripts: each file is both input (`> …`) and the expected answers; `UPDATE=1` rewrites the answers.
//!
//! A release manager reads them top to bottom. Two seconds pass before every command, except after `at once`.

use std::fmt::Write as _;
use std::path::PathBuf;

mod invariants;
mod notation;
mod print;
mod speak;
mod world;

pub use world::World;

/// Declares one test per transcript, so that the rows they show stand in the names of tests.
macro_rules! scenarios {
    ($($name:ident $file:literal)*) => {
        $(#[test]
        fn $name() {
            run($file);
        })*

        #[test]
        fn every_transcript_is_run() {
            let mut files: Vec<String> = std::fs::read_dir(folder())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            let mut named: Vec<String> = vec![$($file.to_owned()),*];
            named.sort();
            assert_eq!(files, named);
        }
    };
}

scenarios! {
    c05_c09_c34_e08_e13_main_job "main-job.txt"
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/scenarios")
}

/// Plays a transcript and compares, or rewrites it when asked to.
fn run(file: &str) {
    let path = folder().join(file);
    let expected = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
    let mut world = World::new();
    let mut played = String::new();
    for line in expected.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            writeln!(played, "{line}").unwrap();
            let answer = speak::play(&mut world, command);
            if !answer.is_empty() {
                writeln!(played, "{}", print::indent(&answer, "  ")).unwrap();
            }
        } else if line.starts_with('#') || line.is_empty() {
            writeln!(played, "{line}").unwrap();
        }
    }
    invariants::replays(&world.log, &world.state, world.now);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &played).unwrap();
    } else if expected != played {
        let first = expected.lines().zip(played.lines()).position(|(a, b)| a != b).unwrap_or(0);
        let at = |text: &str| text.lines().nth(first).unwrap_or("(the end)").to_owned();
        panic!(
            "{file}, line {}:\n  expected {}\n  played   {}\n\n{played}\nUPDATE=1 rewrites the answers.",
            first + 1,
            at(&expected),
            at(&played)
        );
    }
}
