//! How fast we may ask: one lane of writes per installation, and silence after GitHub asks for it (STORAGE §4).

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::MutexGuard;

use crate::clock;
use crate::domain::time::Span;
use crate::trouble::{Kind, Outcome, Trouble};

/// GitHub's limit on calls that create content, per minute.
const CONTENT_PER_MINUTE: usize = 80;

/// GitHub's limit on calls that create content, per hour.
const CONTENT_PER_HOUR: usize = 500;

/// GitHub's least wait after a secondary limit that names none; it doubles while the limit stays.
const FIRST_SILENCE: Span = Span::minutes(1);

/// No silence is longer: the primary limit itself starts anew after an hour.
const LONGEST_SILENCE: Span = Span::hours(1);

const MINUTE: Duration = Span::minutes(1).as_std();
const HOUR: Duration = Span::hours(1).as_std();

/// What a request costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// Reads run side by side.
    Read,
    /// Writes run one after the other: statuses, edits, deletions.
    Write,
    /// Writes that create content, which GitHub counts and people are notified of.
    Content,
}

/// The lane of one installation.
#[derive(Debug)]
pub(super) struct Lane {
    turn: tokio::sync::Mutex<()>,
    book: Mutex<Book>,
}

/// The right to send one request now; a write's turn ends when it is dropped.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    _turn: Option<MutexGuard<'a, ()>>,
}

/// The pure part of a lane: what was sent and when the next may be.
#[derive(Debug)]
struct Book {
    pause: Duration,
    content: VecDeque<Instant>,
    silent_until: Option<Instant>,
    next_silence: Span,
}

impl Book {
    fn new(pause: Span) -> Self {
        let content = VecDeque::with_capacity(CONTENT_PER_HOUR);
        Self { pause: pause.as_std(), content, silent_until: None, next_silence: FIRST_SILENCE }
    }

    /// How long a request of this weight has to wait.
    fn wait(&mut self, weight: Weight, now: Instant) -> Duration {
        while self.content.front().is_some_and(|t| now.saturating_duration_since(*t) >= HOUR) {
            self.content.pop_front();
        }
        let silence = self.silent_until;
        let creates = weight == Weight::Content;
        let pause = self.content.back().filter(|_| creates).map(|t| *t + self.pause);
        let minute = self.newest(CONTENT_PER_MINUTE).filter(|_| creates).map(|t| t + MINUTE);
        let hour = self.newest(CONTENT_PER_HOUR).filter(|_| creates).map(|t| t + HOUR);
        let until = [silence, pause, minute, hour].into_iter().flatten().max();
        until.map_or(Duration::ZERO, |t| t.saturating_duration_since(now))
    }

    /// The n-th newest content-creating call.
    fn newest(&self, n: usize) -> Option<Instant> {
        self.content.len().checked_sub(n).and_then(|i| self.content.get(i)).copied()
    }

    fn sent(&mut self, weight: Weight, now: Instant) {
        if weight == Weight::Content {
            self.content.push_back(now);
        }
    }

    /// GitHub asked for silence; answers for how long.
    fn limited(&mut self, asked: Option<Span>, now: Instant) -> Span {
        let span = asked.unwrap_or(self.next_silence);
        if asked.is_none() {
            self.next_silence = span.times(2).min(LONGEST_SILENCE);
        }
        let until = now + span.min(LONGEST_SILENCE).as_std();
        self.silent_until = self.silent_until.max(Some(until));
        span
    }

    fn fine(&mut self) {
        self.next_silence = FIRST_SILENCE;
    }
}

impl Lane {
    /// An empty lane with this pause between calls that create content.
    pub(super) fn new(pause: Span) -> Self {
        Self { turn: tokio::sync::Mutex::new(()), book: Mutex::new(Book::new(pause)) }
    }

    /// Waits for the turn of one request, or says when it may be tried if that is later than `patience` from now.
    pub(super) async fn enter(&self, weight: Weight, patience: Span) -> Outcome<Turn<'_>> {
        let end = clock::monotonic() + patience.as_std();
        let turn = match weight {
            Weight::Read => None,
            Weight::Write | Weight::Content => {
                let turn = tokio::time::timeout(patience.as_std(), self.turn.lock()).await;
                Some(turn.map_err(|_| Trouble::transient("too many writes to GitHub wait for their turn"))?)
            }
        };
        loop {
            let now = clock::monotonic();
            let wait = self.book(|book| match book.wait(weight, now) {
                Duration::ZERO => {
                    book.sent(weight, now);
                    Duration::ZERO
                }
                wait => wait,
            });
            if wait.is_zero() {
                return Ok(Turn { _turn: turn });
            }
            if now + wait > end {
                let wait =
                    Span::millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).saturating_add(1));
                let kind = Kind::Transient { retry_after: Some(wait) };
                return Err(Trouble::new(kind, format!("GitHub's limits allow this request in {wait}")));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Notes that GitHub asked for silence; answers for how long.
    pub(super) fn limited(&self, asked: Option<Span>) -> Span {
        self.book(|book| book.limited(asked, clock::monotonic()))
    }

    /// For how much longer GitHub wants silence.
    pub(super) fn silence(&self) -> Span {
        let now = clock::monotonic();
        let until = self.book(|book| book.silent_until);
        let left = until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        Span::millis(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
    }

    /// Notes that GitHub is content again.
    pub(super) fn fine(&self) {
        self.book(Book::fine);
    }

    fn book<T>(&self, act: impl FnOnce(&mut Book) -> T) -> T {
        act(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn content_is_paced_by_second_minute_and_hour() {
        let start = clock::monotonic();
        let mut book = Book::new(Span::seconds(1));
        book.sent(Weight::Content, start);
        assert_eq!(book.wait(Weight::Content, start), Duration::from_secs(1));
        assert_eq!(book.wait(Weight::Write, start), Duration::ZERO);
        assert_eq!(book.wait(Weight::Read, start), Duration::ZERO);
        let mut book = Book::new(Span::ZERO);
        for _ in 0..CONTENT_PER_MINUTE {
            assert_eq!(book.wait(Weight::Content, start), Duration::ZERO);
            book.sent(Weight::Content, start);
        }
        assert_eq!(book.wait(Weight::Content, at(start, 10)), Duration::from_secs(50));
        for n in CONTENT_PER_MINUTE..CONTENT_PER_HOUR {
            book.sent(Weight::Content, at(start, u64::try_from(n).unwrap()));
        }
        assert_eq!(book.wait(Weight::Content, at(start, 1_600)), Duration::from_secs(2_000));
        assert_eq!(book.wait(Weight::Content, at(start, 3_600)), Duration::ZERO);
        assert!(book.content.len() < CONTENT_PER_HOUR, "what is older than an hour is forgotten");
    }

    #[test]
    fn silence_doubles_until_github_is_content() {
        let start = clock::monotonic();
        let mut book = Book::new(Span::ZERO);
        assert_eq!(book.limited(None, start), Span::minutes(1));
        assert_eq!(book.wait(Weight::Read, start), MINUTE);
        assert_eq!(book.limited(None, at(start, 60)), Span::minutes(2));
        assert_eq!(book.limited(None, at(start, 180)), Span::minutes(4));
        assert_eq!(book.wait(Weight::Content, at(start, 180)), Span::minutes(4).as_std());
        book.fine();
        assert_eq!(book.limited(None, at(start, 600)), Span::minutes(1));
        assert_eq!(book.limited(Some(Span::seconds(5)), at(start, 700)), Span::seconds(5));
    }
}
