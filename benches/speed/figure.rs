//! A line of the report, and what the system says about processes and load.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use liftlock::clock;

/// Whatever goes wrong ends the section with a sentence.
pub(crate) type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Linux's unit of CPU time in `/proc/<pid>/stat`: 100 a second on every machine that liftlock runs on.
const TICKS_PER_SECOND: f64 = 100.0;
/// Flushes of which the median is told.
const FLUSHES: usize = 100;

/// One line.
pub(crate) struct Figure {
    pub(crate) what: &'static str,
    pub(crate) measured: String,
    pub(crate) target: &'static str,
    /// Whether the target is met; `None` for a figure that only explains another.
    pub(crate) met: Option<bool>,
    pub(crate) how: String,
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let met = match self.met {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        let Self { what, measured, target, how, .. } = self;
        write!(f, "  {what:<46} {measured:<34} {target:<12} {met:<7} {how}")
    }
}

/// The middle of several rounds, and how far they lay apart.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Fallible<Self> {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().ok_or("nothing was measured");
        Ok(Self { low: at(0)?, median: at(values.len() / 2)?, high: at(values.len().saturating_sub(1))? })
    }

    /// `41 % (38 to 44)`.
    pub(crate) fn show(self, decimals: usize, unit: &str) -> String {
        let Self { low, median, high } = self;
        format!("{median:.decimals$} {unit} ({low:.decimals$} to {high:.decimals$})")
    }
}

/// CPU seconds of a process, and of its children that it has waited for.
pub(crate) struct Cpu {
    pub(crate) own: f64,
    pub(crate) children: f64,
}

/// What a process has used so far; `self` is this one.
pub(crate) fn cpu(process: &str) -> Fallible<Cpu> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name may hold blanks; the fields after its closing bracket do not. `proc(5)`: 14 to 17 are the times.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let seconds = |index: usize| -> Fallible<f64> {
        Ok(fields.get(index).ok_or("a short /proc/<pid>/stat")?.parse::<f64>()? / TICKS_PER_SECOND)
    };
    Ok(Cpu { own: seconds(11)? + seconds(12)?, children: seconds(13)? + seconds(14)? })
}

/// A line of `/proc/<pid>/status` such as `VmRSS`, in MB of a million bytes.
pub(crate) fn memory_mb(process: &str, field: &str) -> Fallible<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line =
        status.lines().find(|line| line.starts_with(field)).ok_or("no such line in /proc/<pid>/status")?;
    let kib: f64 = line.split_whitespace().nth(1).ok_or("an empty line")?.parse()?;
    Ok(kib * 1024.0 / 1e6)
}

/// The three load averages.
pub(crate) fn load() -> Fallible<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

/// Processor, cores and memory.
pub(crate) fn machine() -> Fallible<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism()?;
    Ok(format!("{cores} cores, {}", model.map_or("unknown", |(_, model)| model)))
}

/// Milliseconds of the median flush of 4 KiB in this folder: what every durable figure rests on.
pub(crate) fn flush_ms(folder: &Path) -> Fallible<f64> {
    let mut file = File::create(folder.join("flush"))?;
    let mut took = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        file.write_all(&[7; 4096])?;
        let began = clock::monotonic();
        file.sync_data()?;
        took.push(ms(began.elapsed()));
    }
    Ok(Spread::of(took)?.median)
}

pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
