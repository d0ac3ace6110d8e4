//! Speed figures, as ratios where there is something to compare with: `cargo bench`, or `cargo bench -- ingest queue`.
//!
//! Every figure is the median of several rounds taken inside one run, so that a machine others work on distorts both
//! sides of a ratio alike. Nothing here passes or fails: docs/speed.md says what was found and on what machine.

#![expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "figures for people: counts become floating point here and nowhere else"
)]
#![expect(clippy::print_stdout, reason = "the report goes to whoever runs it")]

mod engine;
mod evidence;
mod figure;
mod ingest;
mod paths;
mod queue;
mod registry;
mod rings;
mod rules;
mod seal;
mod server;
mod simulate;
mod ssh;
mod wire;
mod world;

use std::path::Path;

use figure::{Fallible, Figure};

/// A part of the report.
struct Section {
    name: &'static str,
    run: fn(&Path) -> Fallible<Vec<Figure>>,
}

const SECTIONS: &[Section] = &[
    Section { name: "ingest", run: ingest::figures },
    Section { name: "queue", run: queue::figures },
    Section { name: "engine", run: engine::figures },
    Section { name: "evidence", run: evidence::figures },
    Section { name: "ssh", run: ssh::figures },
    Section { name: "registry", run: registry::figures },
    Section { name: "path_filters", run: paths::figures },
    Section { name: "rules", run: rules::figures },
    Section { name: "rings", run: rings::figures },
    Section { name: "simulate", run: simulate::figures },
    Section { name: "server", run: server::figures },
    Section { name: "seal", run: seal::figures },
];

fn main() -> Fallible<()> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = given.iter().map(String::as_str).collect();
    match words.as_slice() {
        // What this program starts itself as, so that a server's CPU and memory are those of a process of its own.
        ["as-server", kind, folder] => return ingest::serve(kind, Path::new(folder)),
        ["as-flusher", folder] => {
            println!("{:.2}", figure::flush_ms(Path::new(folder))?);
            return Ok(());
        }
        ["as-sealer", tree, store] => return seal::seal_once(Path::new(tree), Path::new(store)),
        ["as-hasher", file] => return seal::hash_once(Path::new(file)),
        _ => {}
    }
    // Cargo says `--bench`; `cargo test --all-targets` does not, and must not wait for figures.
    if !words.contains(&"--bench") {
        return Ok(());
    }
    let wanted: Vec<&str> = words.into_iter().filter(|word| !word.starts_with('-')).collect();
    println!("machine: {}", figure::machine()?);
    for section in SECTIONS.iter().filter(|s| wanted.is_empty() || wanted.contains(&s.name)) {
        let folder = tempfile::tempdir()?;
        println!("\n{}: load {}", section.name, figure::load()?);
        match (section.run)(folder.path()) {
            Ok(figures) => figures.iter().for_each(|figure| println!("{figure}")),
            Err(error) => println!("  could not be measured: {}", figure::chain(error.as_ref())),
        }
    }
    Ok(())
}
