//! Effects owed: what is still to be done outside, who is doing it, and the number that fences off whoever did before.

use crate::domain::time::{Span, Timestamp};
use crate::store::session::{Record, Session, args};
use crate::store::step::Race;
use crate::store::{Change, Engine, Store, sql};
use crate::trouble::{Kind, Outcome, Trouble};

/// One point of priority is worth this much waiting: nothing waits for ever behind what is more urgent.
pub const AGEING_MS: i64 = 60_000;
/// Priorities beyond this (two years of waiting) are taken as this.
const HIGHEST_PRIORITY: i64 = 1_000_000;
/// Lost races for a group after which a claim gives up until it is woken.
const RACES: u32 = 8;

/// Something to do outside, as it should be done now. Kind, lane, stream and group belong to the key and never change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwedEffect {
    /// What makes it one effect, however often it is owed.
    pub key: String,
    /// What to do, as the rules name it.
    pub kind: String,
    /// Who does it: `intake`, `build`, `deploy`, `host` or `timer`.
    pub lane: String,
    /// The stream it belongs to.
    pub stream: Option<String>,
    /// At most one effect of a group is leased at a time.
    pub group: Option<String>,
    /// More is sooner, see [`AGEING_MS`].
    pub priority: i64,
    /// Not before; at once when nothing is said, by the database's clock, whatever the clock of who owes it shows.
    pub run_after: Option<Timestamp>,
    /// The payload, JSON; another payload under the same key is a new revision.
    pub desired: String,
    /// True when it is no longer wanted.
    pub cancel: bool,
}

/// Writes what is owed: absent, it is ready; changed, it is ready again; done as desired, it is left alone.
pub(super) async fn owe(session: &mut Session, effect: &OwedEffect, now: Timestamp) -> Outcome<()> {
    if effect.cancel {
        session.run(sql::EFFECT_CANCEL, args![&effect.key, now]).await?;
        return Ok(());
    }
    let priority = effect.priority.clamp(-HIGHEST_PRIORITY, HIGHEST_PRIORITY);
    let run_after = effect.run_after.unwrap_or(now);
    let rank = run_after.0.saturating_sub(priority.saturating_mul(AGEING_MS));
    let values = args![
        &effect.key,
        &effect.kind,
        &effect.lane,
        effect.stream.as_deref(),
        effect.group.as_deref(),
        priority,
        run_after,
        rank,
        now,
        &effect.desired,
    ];
    session.run(sql::EFFECT_OWE, values).await?;
    Ok(())
}

/// Takes every lease and duty back; only right when no other process can hold one.
pub(super) async fn reclaim_all(session: &mut Session) -> Outcome<()> {
    let now = session.now().await?;
    session.run(sql::EFFECT_RECLAIM, args![now]).await?;
    let most = session.rules.max_attempts;
    session.run(sql::EFFECT_EXPIRE, args![now, most]).await?;
    session.run(sql::DUTY_RECLAIM, args![now]).await?;
    Ok(())
}

/// An effect this worker now holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its key.
    pub key: String,
    /// What to do.
    pub kind: String,
    /// Its lane.
    pub lane: String,
    /// The stream it belongs to.
    pub stream: Option<String>,
    /// The payload, JSON.
    pub desired: String,
    /// Which revision of the payload this is.
    pub revision: i64,
    /// The fencing number of this lease; above 1 somebody may have begun before, so look first.
    pub token: i64,
    /// Which try of this revision it is, from 1; tries that were put off do not count.
    pub attempt: i64,
}

/// Who claims, and for how long.
#[derive(Debug, Clone)]
pub struct Claimant {
    /// The worker's name.
    pub worker: String,
    /// The id of this run of its process.
    pub boot: String,
    /// How long the lease lasts without a heartbeat.
    pub lease: Span,
}

struct Claiming {
    lanes: Vec<String>,
    by: Claimant,
    limit: usize,
}

impl Change for Claiming {
    type Answer = Vec<Claim>;
    const WAKES: bool = false;
    const MAY_BE_UNDONE: bool = false;

    async fn apply(self, session: &mut Session) -> Outcome<Vec<Claim>> {
        let text = if session.is_sqlite() { sql::CLAIM_SQLITE } else { sql::CLAIM_POSTGRES };
        let mut claims = Vec::new();
        let now = session.now().await?;
        for lane in &self.lanes {
            while claims.len() < self.limit {
                let until = now.plus(self.by.lease);
                let values = args![lane, now, &self.by.worker, &self.by.boot, until];
                match session.first(text, values).await? {
                    Some(row) => claims.push(read_claim(row)?),
                    None => break,
                }
            }
        }
        Ok(claims)
    }
}

fn read_claim(mut row: Record) -> Outcome<Claim> {
    Ok(Claim {
        key: row.text()?,
        kind: row.text()?,
        lane: row.text()?,
        stream: row.text_or_none()?,
        desired: row.text()?,
        revision: row.int()?,
        token: row.int()?,
        attempt: row.int()?.saturating_add(1),
    })
}

/// What a heartbeat learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// The lease goes on.
    Held,
    /// The lease goes on, but the work is no longer wanted: stop it and report.
    CancelRequested,
    /// The lease is another's or over: kill the work and report nothing.
    Lost,
}

struct Heartbeat {
    key: String,
    token: i64,
    lease: Span,
}

impl Change for Heartbeat {
    type Answer = Beat;
    const WAKES: bool = false;

    async fn apply(self, session: &mut Session) -> Outcome<Beat> {
        let until = session.now().await?.plus(self.lease);
        Ok(match session.first(sql::EFFECT_BEAT, args![&self.key, self.token, until]).await? {
            None => Beat::Lost,
            Some(mut row) => match row.int_or_none()? {
                Some(_) => Beat::CancelRequested,
                None => Beat::Held,
            },
        })
    }
}

/// Work that did not succeed, to be done again.
#[derive(Debug, Clone)]
pub struct Retry {
    /// The effect.
    pub key: String,
    /// The fencing number of the lease.
    pub token: i64,
    /// Not before.
    pub run_after: Timestamp,
    /// Why, for pages.
    pub error: String,
    /// What this try costs it.
    pub toll: Toll,
}

/// What a try that did not succeed counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toll {
    /// One of so many, the last of which it dies of.
    One,
    /// It waits longer the next time, and never dies of it: what failed may be away for any time.
    Patience,
    /// It was only put off: a rate limit, a shutdown.
    Nothing,
}

/// What waits with patience has used up so many quarters of its tries at most: the others are for leases that run out,
/// which still end it one day.
const QUARTERS: u32 = 3;

/// How far an effect has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectState {
    /// It waits for its time or a worker.
    Ready,
    /// A worker has it.
    Leased,
    /// It is as desired.
    Done,
    /// It failed too often; a person may revive it.
    Dead,
    /// It is no longer wanted.
    Cancelled,
}

impl EffectState {
    /// The word in the database and on pages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Leased => "leased",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    fn read(word: &str) -> Outcome<Self> {
        let all = [Self::Ready, Self::Leased, Self::Done, Self::Dead, Self::Cancelled];
        all.into_iter()
            .find(|state| state.word() == word)
            .ok_or_else(|| Trouble::bug(format!("an effect is in the unknown state `{word}`")))
    }
}

impl Change for Retry {
    type Answer = EffectState;
    const WAKES: bool = true;

    async fn apply(self, session: &mut Session) -> Outcome<EffectState> {
        let now = session.now().await?;
        let most = session.rules.max_attempts;
        let values = args![
            &self.key,
            self.token,
            &self.error,
            now,
            AGEING_MS,
            i64::from(self.toll != Toll::Nothing),
            self.run_after,
            // What is only put off does not die however often it failed before.
            if self.toll == Toll::One { i64::from(most) } else { i64::MAX },
            if self.toll == Toll::Patience { i64::from(most.saturating_mul(QUARTERS) / 4) } else { i64::MAX },
        ];
        match session.first(sql::EFFECT_RETRY, values).await? {
            Some(mut row) => EffectState::read(&row.text()?),
            None => Err(Race::Lease { key: self.key, token: self.token }.trouble()),
        }
    }
}

struct Expire;

impl Change for Expire {
    type Answer = u64;
    const WAKES: bool = false;

    async fn apply(self, session: &mut Session) -> Outcome<u64> {
        let now = session.now().await?;
        let most = session.rules.max_attempts;
        session.run(sql::EFFECT_EXPIRE, args![now, most]).await
    }
}

struct Again(String);

impl Change for Again {
    type Answer = bool;
    const WAKES: bool = true;

    async fn apply(self, session: &mut Session) -> Outcome<bool> {
        let now = session.now().await?;
        Ok(session.run(sql::EFFECT_AGAIN, args![&self.0, now, AGEING_MS]).await? == 1)
    }
}

struct Revive(String);

impl Change for Revive {
    type Answer = bool;
    const WAKES: bool = true;

    async fn apply(self, session: &mut Session) -> Outcome<bool> {
        let now = session.now().await?;
        Ok(session.run(sql::EFFECT_REVIVE, args![&self.0, now, AGEING_MS]).await? == 1)
    }
}

/// An effect as it is kept, for pages and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// Its key.
    pub key: String,
    /// What to do.
    pub kind: String,
    /// Its lane.
    pub lane: String,
    /// The stream it belongs to.
    pub stream: Option<String>,
    /// Its group.
    pub group: Option<String>,
    /// Its priority.
    pub priority: i64,
    /// Not before.
    pub run_after: Timestamp,
    /// How far it has come.
    pub state: EffectState,
    /// The payload, JSON.
    pub desired: String,
    /// How often the payload changed, from 1.
    pub revision: i64,
    /// Failed tries of this revision.
    pub attempts: i64,
    /// The last fencing number given out.
    pub token: i64,
    /// The worker that holds it.
    pub lease_by: Option<String>,
    /// Until when.
    pub lease_until: Option<Timestamp>,
    /// Since when its holder should stop.
    pub cancel_at: Option<Timestamp>,
    /// What came of it.
    pub result: Option<String>,
    /// Why the last try failed.
    pub error: Option<String>,
    /// When it was first owed.
    pub created_at: Timestamp,
    /// When it last changed; heartbeats do not count.
    pub updated_at: Timestamp,
}

fn read_effect(mut row: Record) -> Outcome<Effect> {
    Ok(Effect {
        key: row.text()?,
        kind: row.text()?,
        lane: row.text()?,
        stream: row.text_or_none()?,
        group: row.text_or_none()?,
        priority: row.int()?,
        run_after: row.time()?,
        state: EffectState::read(&row.text()?)?,
        desired: row.text()?,
        revision: row.int()?,
        attempts: row.int()?,
        token: row.int()?,
        lease_by: row.text_or_none()?,
        lease_until: row.time_or_none()?,
        cancel_at: row.time_or_none()?,
        result: row.text_or_none()?,
        error: row.text_or_none()?,
        created_at: row.time()?,
        updated_at: row.time()?,
    })
}

/// Which effects to list; what is `None` does not matter.
#[derive(Debug, Clone, Default)]
pub struct EffectFilter {
    /// Only in this state.
    pub state: Option<EffectState>,
    /// Only of this kind.
    pub kind: Option<String>,
    /// Only of this stream.
    pub stream: Option<String>,
}

impl Store {
    /// T2: leases up to `limit` effects that are due. Lanes are asked in the order given; within a lane the most
    /// urgent comes first, and what waits grows more urgent. No group is ever leased twice. Claimants that meet on
    /// `PostgreSQL` pass over each other's rows, so there the order holds for each of them, not between them.
    pub async fn claim(&self, lanes: &[&str], by: &Claimant, limit: usize) -> Outcome<Vec<Claim>> {
        let lanes: Vec<String> = lanes.iter().map(|&lane| lane.to_owned()).collect();
        match &self.0.engine {
            Engine::Sqlite(_) => self.change(Claiming { lanes, by: by.clone(), limit }).await,
            Engine::Postgres(_) => self.claim_one_by_one(lanes, by, limit).await,
        }
    }

    /// With several writers each claim is a transaction of its own: a lost race for a group must undo no other.
    async fn claim_one_by_one(&self, lanes: Vec<String>, by: &Claimant, limit: usize) -> Outcome<Vec<Claim>> {
        let mut claims = Vec::new();
        let mut races = 0;
        while claims.len() < limit && races < RACES {
            match self.change(Claiming { lanes: lanes.clone(), by: by.clone(), limit: 1 }).await {
                Ok(one) if one.is_empty() => break,
                Ok(one) => claims.extend(one),
                Err(trouble) if trouble.kind() == Kind::Conflict => races += 1,
                // What was claimed before is durable, and its holder must learn of it.
                Err(trouble) if claims.is_empty() => return Err(trouble),
                Err(_) => break,
            }
        }
        Ok(claims)
    }

    /// T3: makes a lease last from now on; learns whether the work is still wanted.
    pub async fn heartbeat(&self, key: &str, token: i64, lease: Span) -> Outcome<Beat> {
        self.change(Heartbeat { key: key.to_owned(), token, lease }).await
    }

    /// Gives a lease back for another try; the answer is `Ready`, or `Dead` or `Cancelled` when there is none.
    pub async fn retry(&self, retry: Retry) -> Outcome<EffectState> {
        self.change(retry).await
    }

    /// T7: makes effects ready again whose lease ran out; how many. Their numbers stay, so a late report is refused.
    pub async fn expire(&self) -> Outcome<u64> {
        let expired = self.change(Expire).await?;
        // Only then: a worker that expires before each claim must not wake itself.
        if expired > 0 {
            self.wake();
        }
        Ok(expired)
    }

    /// Owes an effect again as it is desired now, also when it was done; false when there is none of this key.
    pub async fn again(&self, key: &str) -> Outcome<bool> {
        self.change(Again(key.to_owned())).await
    }

    /// Makes a dead or cancelled effect ready again; false when there is none.
    pub async fn revive(&self, key: &str) -> Outcome<bool> {
        self.change(Revive(key.to_owned())).await
    }

    /// One effect.
    pub async fn effect(&self, key: &str) -> Outcome<Option<Effect>> {
        self.find(sql::EFFECT_GET, args![key], read_effect).await
    }

    /// Effects, newest first.
    pub async fn effects(&self, filter: &EffectFilter, limit: u32) -> Outcome<Vec<Effect>> {
        let (kind, stream) = (filter.kind.as_deref(), filter.stream.as_deref());
        if filter.state == Some(EffectState::Dead) {
            return self.list(sql::EFFECT_LIST_DEAD, args![kind, stream, limit], read_effect).await;
        }
        let mut values = args![filter.state.map(EffectState::word), kind, limit];
        match stream {
            None => self.list(sql::EFFECT_LIST, values, read_effect).await,
            Some(stream) => {
                values.extend(args![stream]);
                self.list(sql::EFFECT_LIST_OF, values, read_effect).await
            }
        }
    }

    /// When to look next although nothing wakes us: the next effect that becomes due or lease that runs out.
    ///
    /// What is due already and was not claimed waits for its group, whose release wakes.
    pub async fn next_due(&self) -> Outcome<Option<Timestamp>> {
        let now = self.now().await?;
        let due = self.find(sql::EFFECT_DUE, args![now], |mut row| row.time_or_none()).await?;
        Ok(due.flatten())
    }
}
