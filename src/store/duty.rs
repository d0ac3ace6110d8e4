//! What processes share beside effects: duties one of them does at a time, rate limits, and how far a sweep has come.

use crate::domain::time::{Span, Timestamp};
use crate::store::session::{Session, args};
use crate::store::{Change, Store, sql};
use crate::trouble::Outcome;

struct Lead {
    name: String,
    holder: String,
    ttl: Span,
}

impl Change for Lead {
    type Answer = Option<i64>;
    const WAKES: bool = false;

    async fn apply(self, session: &mut Session) -> Outcome<Option<i64>> {
        let now = session.now().await?;
        let values = args![&self.name, &self.holder, now, now.plus(self.ttl)];
        session.first(sql::DUTY_TAKE, values).await?.map(|mut row| row.int()).transpose()
    }
}

struct SetCursor {
    name: String,
    value: String,
}

impl Change for SetCursor {
    type Answer = ();
    const WAKES: bool = false;

    async fn apply(self, session: &mut Session) -> Outcome<()> {
        let now = session.now().await?;
        session.run(sql::CURSOR_PUT, args![&self.name, &self.value, now]).await?;
        Ok(())
    }
}

/// What a host said about how often it may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateLimit {
    /// Requests left.
    pub remaining: Option<i64>,
    /// When they are filled up.
    pub reset_at: Option<Timestamp>,
    /// Not before, whatever is left.
    pub blocked_until: Option<Timestamp>,
}

struct SetLimit {
    scope: String,
    limit: RateLimit,
}

impl Change for SetLimit {
    type Answer = ();
    const WAKES: bool = false;

    async fn apply(self, session: &mut Session) -> Outcome<()> {
        let RateLimit { remaining, reset_at, blocked_until } = self.limit;
        session.run(sql::LIMIT_PUT, args![&self.scope, remaining, reset_at, blocked_until]).await?;
        Ok(())
    }
}

impl Store {
    /// T8: takes or keeps a duty; the fencing number while it is ours, `None` while it is another's. Work that takes
    /// long asks again on its way.
    pub async fn lead(&self, name: &str, holder: &str, ttl: Span) -> Outcome<Option<i64>> {
        self.change(Lead { name: name.to_owned(), holder: holder.to_owned(), ttl }).await
    }

    /// How far a sweep has come.
    pub async fn cursor(&self, name: &str) -> Outcome<Option<String>> {
        self.find(sql::CURSOR_GET, args![name], |mut row| row.text()).await
    }

    /// Notes how far a sweep has come.
    pub async fn set_cursor(&self, name: &str, value: &str) -> Outcome<()> {
        self.change(SetCursor { name: name.to_owned(), value: value.to_owned() }).await
    }

    /// The limit a host last told for this scope (an installation and a resource).
    pub async fn rate_limit(&self, scope: &str) -> Outcome<Option<RateLimit>> {
        let read = |mut row: super::Record| {
            Ok(RateLimit {
                remaining: row.int_or_none()?,
                reset_at: row.time_or_none()?,
                blocked_until: row.time_or_none()?,
            })
        };
        self.find(sql::LIMIT_GET, args![scope], read).await
    }

    /// Notes what a host told, for all processes.
    pub async fn set_rate_limit(&self, scope: &str, limit: RateLimit) -> Outcome<()> {
        self.change(SetLimit { scope: scope.to_owned(), limit }).await
    }
}
