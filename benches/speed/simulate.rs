//! A day of a busy pipeline, simulated: how many stage runs a second, and how much faster than the day itself.

use std::fmt::Write as _;
use std::path::Path;

use liftlock::clock;
use liftlock::domain::manifest::{NATIVE_PATHS, Sources, check};
use liftlock::domain::simulate::transcript::What;
use liftlock::domain::simulate::{scenario, simulate};

use crate::figure::{Fallible, Figure, Spread, ms};

/// Pushes of the day; each passes two stages.
const PUSHES: usize = 250;
/// Simulations of which the median is told.
const ROUNDS: usize = 5;
const MANIFEST: &str = "version: 1\nname: shop\nbuild: make\ndeploy: ./d\nstages:\n  - name: test\n  \
                        - {name: prod, approval: 1, queue: all}\n";

pub(crate) fn figures(_: &Path) -> Fallible<Vec<Figure>> {
    let files = Sources::from([(NATIVE_PATHS[0].to_owned(), MANIFEST.to_owned())]);
    let report = check(&files, &"acme/shop".parse()?);
    let pipeline = report.pipelines.first().ok_or("the manifest does not load")?;
    let scenario = scenario::read(&day()?, pipeline)
        .map_err(|problems| problems.first().map_or_else(String::new, ToString::to_string))?;
    let (mut took, mut runs) = (Vec::new(), 0_usize);
    for _ in 0..ROUNDS {
        let began = clock::monotonic();
        let played = simulate(pipeline, &scenario, None).map_err(|problem| problem.to_string())?;
        took.push(ms(began.elapsed()));
        let live = |what: &What| matches!(what, What::Event { text, .. } if text.ends_with(": live"));
        runs = played.transcript.iter().filter(|entry| live(&entry.what)).count();
    }
    let took = Spread::of(took)?;
    Ok(vec![Figure {
        what: "simulating a day of 500 stage runs",
        measured: took.show(0, "ms"),
        target: "< 1000 ms",
        met: Some(took.median < 1000.0 && runs == 2 * PUSHES),
        how: format!(
            "{runs} runs, {:.0} a second, two stages and an approval each",
            runs as f64 * 1e3 / took.median
        ),
    }])
}

/// A push every five minutes, and an approval for each.
fn day() -> Fallible<String> {
    let mut lines = "person ana: maintain\nbuild takes 1m\nstage test takes 1m\nstage prod takes 1m\n\
                     2026-03-02 00:00\n"
        .to_owned();
    for push in 1..=PUSHES {
        writeln!(lines, "+2m push by bo: feat: {push}\n+3m ana: /approve prod v0.1.0-rc.{push}")?;
    }
    lines.push_str("+1h\n");
    Ok(lines)
}
