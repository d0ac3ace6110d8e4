//! What runs printed: chunks of lines under a name such as `release/…/prod/1`.

use crate::store::session::{Record, Session, args};
use crate::store::{Change, Store, sql};
use crate::trouble::{Outcome, Trouble};

/// Compression of a chunk: logs repeat themselves, and a chunk is small.
const LEVEL: i32 = 3;
/// Largest chunk that is unpacked; the runner cuts its chunks far below.
const UNPACKED: usize = 16 << 20;
/// Chunks read at a time.
const CHUNKS: u32 = 32;

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its number, from the first the runner gave.
    pub no: i64,
    /// Its text, masked by the runner.
    pub text: String,
}

struct AppendLog {
    log: String,
    first_line: i64,
    lines: i64,
    packed: Vec<u8>,
}

impl Change for AppendLog {
    type Answer = ();
    const WAKES: bool = false;

    async fn apply(self, session: &mut Session) -> Outcome<()> {
        session.run(sql::LOG_PUT, args![&self.log, self.first_line, self.lines, self.packed]).await?;
        Ok(())
    }
}

fn read_chunk(mut row: Record) -> Outcome<Vec<LogLine>> {
    let first = row.int()?;
    let json = zstd::bulk::decompress(&row.blob()?, UNPACKED)
        .map_err(|e| Trouble::bug("a chunk of a log cannot be unpacked").because(e))?;
    let lines: Vec<String> = serde_json::from_slice(&json)
        .map_err(|e| Trouble::bug("a chunk of a log cannot be read").because(e))?;
    Ok((first..).zip(lines).map(|(no, text)| LogLine { no, text }).collect())
}

impl Store {
    /// Adds lines; the same chunk again is a no-op, so a runner may repeat one whose answer was lost.
    pub async fn append_log(&self, log: &str, first_line: i64, lines: &[String]) -> Outcome<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let json = serde_json::to_vec(lines)
            .map_err(|e| Trouble::bug("a log cannot be written as JSON").because(e))?;
        if json.len() > UNPACKED {
            return Err(Trouble::bug(format!(
                "a chunk of a log has {} bytes, {UNPACKED} is the most",
                json.len()
            )));
        }
        let packed = zstd::bulk::compress(&json, LEVEL)
            .map_err(|e| Trouble::bug("a chunk of a log cannot be compressed").because(e))?;
        let count =
            i64::try_from(lines.len()).map_err(|_| Trouble::bug("a chunk of a log has too many lines"))?;
        self.change(AppendLog { log: log.to_owned(), first_line, lines: count, packed }).await
    }

    /// Lines of a log from `from_line` on, at most `limit`, in order.
    pub async fn read_log(&self, log: &str, from_line: i64, limit: usize) -> Outcome<Vec<LogLine>> {
        let mut lines: Vec<LogLine> = Vec::new();
        let mut from = from_line;
        while lines.len() < limit {
            let chunks = self.list(sql::LOG_GET, args![log, from, CHUNKS], read_chunk).await?;
            let more: Vec<LogLine> = chunks.into_iter().flatten().filter(|line| line.no >= from).collect();
            let Some(last) = more.last() else { break };
            from = last.no.saturating_add(1);
            lines.extend(more);
        }
        lines.truncate(limit);
        Ok(lines)
    }
}
