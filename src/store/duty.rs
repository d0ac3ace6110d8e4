//! What processes share beside effects: duties one of them does at a time, what hosts asked silence for, and how far a sweep has come.

use crate::domain::time::Span;
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

struct SetSilence {
    scope: String,
    span: Span,
}

impl Change for SetSilence {
    type Answer = ();
    const WAKES: bool = false;

    async fn apply(self, session: &mut Session) -> Outcome<()> {
        let until = session.now().await?.plus(self.span);
        session.run(sql::LIMIT_PUT, args![&self.scope, until]).await?;
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

    /// For how much longer nothing may be asked in this scope, by the database's clock: the processes' own may differ.
    pub async fn silence(&self, scope: &str) -> Outcome<Span> {
        let until = self.find(sql::LIMIT_GET, args![scope], |mut row| row.time_or_none()).await?.flatten();
        let Some(until) = until else { return Ok(Span::ZERO) };
        Ok(until.since(self.now().await?))
    }

    /// Notes that a host asked for silence in this scope, for all processes; the longest that any was told stays.
    pub async fn set_silence(&self, scope: &str, span: Span) -> Outcome<()> {
        self.change(SetSilence { scope: scope.to_owned(), span }).await
    }
}
