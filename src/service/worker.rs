//! The worker loop: lease an effect, carry it out, let its outcome be a command again; one loop per lane.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock;
use crate::domain::effect::Effect;
use crate::domain::name::PipelineId;
use crate::domain::time::{Span, Timestamp};
use crate::runner::Stops;
use crate::service::Service;
use crate::service::deploy::Target;
use crate::service::journal::Around;
use crate::service::verify::Questioned;
use crate::store::Reserve;
use crate::store::effect::{Beat, Claim, Claimant, EffectFilter, EffectState, Retry, Toll};
use crate::store::step::{Done, Race};
use crate::trouble::{Kind, Outcome, Trouble};

/// What carrying out an effect comes to: an error is retried, or gives up, by its kind alone.
pub type Result = std::result::Result<(), Trouble>;

/// Longest sleep of a lane without work; the store's wake-up normally comes first.
const POLL: Duration = Duration::from_secs(1);
/// First wait after a failure that may pass; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Span = Span::millis(500);
/// Longest wait between two tries.
const LONGEST_WAIT: Span = Span::minutes(5);
/// Calls to hosts at a time, over all repositories.
const HOST_CALLS: usize = 8;
/// Deliveries translated at a time.
const INTAKES: usize = 4;
/// Commands of checks at a time, for every stage that may run at a time: seven legs of one stage run together.
const CHECKS_PER_DEPLOY: usize = 4;
/// Questions to the outside world at a time; they wait far more than they work.
const PROBES: usize = 32;
/// Notices sent at a time; each route takes one after another.
const NOTICES: usize = 8;
/// Releases signed for at a time; their files are read once for that.
const SIGNATURES: usize = 2;
/// Most effects tried again that had failed too often; the newest are.
const REVIVED: u32 = 1_000;
/// Timers handled at a time.
const TIMERS: usize = 2;

/// Effects that are of their moment.
const SAID: [&str; 4] = ["notify", "intake", "reply", "note"];
/// Effects that put a value in the place of an older one on the host.
const SHOWN: [&str; 2] = ["status", "sticky"];

/// A leased effect.
#[derive(Debug)]
pub struct Lease {
    claim: Claim,
    stops: Stops,
}

impl Lease {
    /// The number that rises with every lease of this effect.
    pub fn fence(&self) -> u64 {
        u64::try_from(self.claim.token).unwrap_or(0)
    }

    /// What makes the effect one, however often it is owed.
    pub fn key(&self) -> &str {
        &self.claim.key
    }

    /// The pipeline the effect belongs to.
    pub fn pipeline(&self) -> std::result::Result<PipelineId, Trouble> {
        let stream = self.claim.stream.as_deref().unwrap_or_default();
        stream
            .parse()
            .map_err(|e| Trouble::bug(format!("effect {} has no pipeline", self.claim.key)).because(e))
    }

    /// How to stop its work.
    pub fn stops(&self) -> &Stops {
        &self.stops
    }

    /// A name for a folder that no other lease has.
    pub fn folder(&self) -> String {
        let clean = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let mut name: String = self.claim.key.chars().map(clean).collect();
        name.truncate(150);
        format!("{name}-{}", self.claim.token)
    }

    /// For a step that does not complete the effect.
    pub fn around(&self) -> Around {
        let cause = format!("effect:{}#{}", self.claim.key, self.claim.token);
        Around { actor: "engine".to_owned(), cause, done: None, delivery: None }
    }

    /// For the step that completes the effect.
    pub fn done(&self, result: &str) -> Around {
        let done = Done { key: self.claim.key.clone(), token: self.claim.token, result: result.to_owned() };
        Around { done: Some(done), ..self.around() }
    }

    /// Leaves the effect owed, not before that time, because it said nothing new. It never dies of that.
    pub async fn put_off(&self, service: &Service, run_after: Timestamp, why: &str) -> Result {
        let retry = Retry {
            key: self.claim.key.clone(),
            token: self.claim.token,
            run_after,
            error: why.to_owned(),
            toll: Toll::Nothing,
        };
        service.store().retry(retry).await.map(|_| ())
    }

    /// Completes the effect although there was nothing to do.
    pub async fn complete(&self, service: &Service, result: &str) -> Result {
        service.journal().close(self.done(result), Vec::new()).await
    }
}

impl Service {
    /// Runs all lanes until `stop`, then waits for what is running.
    pub async fn work(self, stop: CancellationToken) {
        let lanes = [
            ("intake", INTAKES),
            ("build", self.settings().builds),
            ("deploy", self.settings().deploys),
            ("host", HOST_CALLS),
            ("check", self.settings().deploys.saturating_mul(CHECKS_PER_DEPLOY)),
            ("probe", PROBES),
            ("notify", NOTICES),
            ("evidence", SIGNATURES),
            ("timer", TIMERS),
        ];
        let tasks = TaskTracker::new();
        for (lane, capacity) in lanes {
            let (service, stop) = (self.clone(), stop.clone());
            let running = tasks.clone();
            tasks.spawn(async move { service.lane(lane, capacity, (&running, &stop)).await });
        }
        let (service, stop_expiry) = (self.clone(), stop.clone());
        tasks.spawn(async move { service.expire_leases(&stop_expiry).await });
        let (service, stop_sharing) = (self.clone(), stop.clone());
        tasks.spawn(async move { service.share_silences(&stop_sharing).await });
        tasks.close();
        tasks.wait().await;
    }

    async fn lane(
        &self,
        lane: &'static str,
        capacity: usize,
        (tasks, stop): (&TaskTracker, &CancellationToken),
    ) {
        let room = Arc::new(Semaphore::new(capacity));
        let mut woken = self.store().woken();
        let by = Claimant {
            worker: self.worker().to_owned(),
            boot: self.boot().to_owned(),
            lease: self.settings().lease,
        };
        loop {
            woken.mark_unchanged();
            let waits = lane == "build" && self.has_no_room();
            let free = if waits { 0 } else { room.available_permits() };
            let claims =
                if free == 0 { Ok(Vec::new()) } else { self.store().claim(&[lane], &by, free).await };
            let claimed = match claims {
                Ok(claims) => {
                    let any = !claims.is_empty();
                    for claim in claims {
                        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
                        let (service, stop) = (self.clone(), stop.clone());
                        tasks.spawn(async move {
                            service.carry_out(claim, stop).await;
                            drop(permit);
                        });
                    }
                    any
                }
                Err(trouble) => {
                    tracing::error!(lane, error = trouble.chain(), "cannot claim work; trying again");
                    false
                }
            };
            if stop.is_cancelled() {
                return;
            }
            if !claimed || room.available_permits() == 0 {
                let full = room.available_permits() == 0;
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = woken.changed(), if !full => {}
                    _ = room.acquire(), if full => {}
                    () = self.until_due(), if !waits => {}
                    () = tokio::time::sleep(POLL), if waits => {}
                }
            }
        }
    }

    /// Whether nothing new is to be begun, because the disk of the database is full and what runs has to end.
    pub(super) fn has_no_room(&self) -> bool {
        self.store().reserve() == Some(Reserve::LetGo)
    }

    /// Sleeps until the next effect is due, at most [`POLL`].
    async fn until_due(&self) {
        let due = self.store().next_due().await.ok().flatten();
        let wait = due.map_or(POLL, |at| at.since(self.store().here()).as_std().min(POLL));
        tokio::time::sleep(wait.max(Duration::from_millis(5))).await;
    }

    /// Carries one effect out under its lease, which a task of its own keeps alive.
    async fn carry_out(&self, claim: Claim, stop: CancellationToken) {
        let stops = Stops::default();
        let ended = CancellationToken::new();
        let lease = Lease { claim: claim.clone(), stops: stops.clone() };
        let beats = tokio::spawn(self.clone().keep_alive(claim.clone(), stops.clone(), ended.clone()));
        // Boxed: it holds what any effect may need.
        let result = caught(&claim.key, Box::pin(self.execute(&lease))).await;
        ended.cancel();
        if let Err(e) = beats.await {
            tracing::error!(error = %e, "a heartbeat ended early");
        }
        if let Err(trouble) = result {
            self.give_back(&claim, &trouble, stop.is_cancelled()).await;
        }
    }

    async fn execute(&self, lease: &Lease) -> Result {
        if lease.claim.kind == "intake" {
            return self.take_in(lease, &lease.claim.desired).await;
        }
        let effect: Effect = serde_json::from_str(&lease.claim.desired).map_err(|e| {
            Trouble::bug(format!("effect {} is not known to this version", lease.claim.key)).because(e)
        })?;
        match effect {
            Effect::Sources { release, attempt } => self.find_sources(lease, release, attempt).await,
            Effect::Build { release, attempt } => self.build_release(lease, release, attempt).await,
            Effect::Check { commit, attempt } => self.build_check(lease, commit, attempt).await,
            Effect::Deploy { release, stage, attempt, admission } => {
                self.run_stage(lease, &Target { release, stage, attempt, admission }).await
            }
            Effect::Confirm { release, stage, attempt } => {
                self.confirm_signoff(lease, release, &stage, attempt).await
            }
            Effect::Runbook { run, turn } => self.run_runbook(lease, (run, turn)).await,
            Effect::Leg { release, stage, attempt, leg, sample } => {
                Box::pin(self.ask_leg(lease, Questioned { release, stage, attempt, sample }, leg)).await
            }
            Effect::Gates { release, stage, attempt, side, sample } => {
                self.sample_gates(lease, Questioned { release, stage, attempt, sample }, side).await
            }
            Effect::Notify(notice) => self.notify(lease, notice).await,
            Effect::Announce { release, to, abroad: None, .. } => self.announce(lease, release, to).await,
            Effect::Announce { release, to, abroad: Some(abroad), .. } => {
                self.announce_abroad(lease, release, (to, abroad)).await
            }
            Effect::Attest { release, what } => self.attest(lease, release, what).await,
            Effect::Join { line, .. } => self.join(lease, line).await,
            Effect::Start { no } => self.start_on_demand(lease, no).await,
            told @ (Effect::Tag { .. }
            | Effect::Thread { .. }
            | Effect::Status { .. }
            | Effect::Sticky { .. }
            | Effect::Note { .. }
            | Effect::Reply { .. }
            | Effect::Wake) => self.tell(lease, told).await,
        }
    }

    /// Beats at a quarter of the lease; without an answer for two thirds of it the work stops by our own clock,
    /// because by then somebody else may take it (STORAGE T3).
    async fn keep_alive(self, claim: Claim, stops: Stops, ended: CancellationToken) {
        let lease = self.settings().lease;
        let pause = Duration::from_millis(lease.as_millis() / 4);
        let patience = Duration::from_millis(lease.as_millis().saturating_mul(2) / 3);
        // The lease counts from when the database was asked at the latest; it may answer late, or not at all.
        let mut heard = Instant::from_std(clock::monotonic());
        loop {
            let over = heard.checked_add(patience).unwrap_or(heard);
            tokio::select! {
                () = ended.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                () = tokio::time::sleep_until(over) => {}
            }
            let asked = Instant::from_std(clock::monotonic());
            let beat = self.store().heartbeat(&claim.key, claim.token, lease);
            match tokio::time::timeout_at(over, beat).await {
                Ok(Ok(Beat::Held)) => heard = asked,
                Ok(Ok(Beat::CancelRequested)) => {
                    heard = asked;
                    stops.cancel.cancel();
                }
                Ok(Ok(Beat::Lost)) => {
                    stops.lost.cancel();
                    return;
                }
                Ok(Err(trouble)) => {
                    tracing::warn!(effect.key = claim.key, error = trouble.chain(), "no heartbeat");
                }
                Err(_) => {
                    tracing::error!(
                        effect.key = claim.key,
                        "no heartbeat for most of the lease; it is let go"
                    );
                    stops.lost.cancel();
                    return;
                }
            }
        }
    }

    /// Retries what may pass, gives up what will not, and stays silent when the lease is another's.
    async fn give_back(&self, claim: &Claim, trouble: &Trouble, stopping: bool) {
        let text = self.mask().apply(&trouble.chain());
        if matches!(Race::of(trouble), Some(Race::Lease { .. })) {
            tracing::warn!(effect.key = claim.key, "the lease was lost; its next holder goes on");
            // Whoever had the lease meanwhile may have shown a newer value before ours came in.
            if SHOWN.contains(&claim.kind.as_str())
                && let Err(trouble) = self.store().again(&claim.key).await
            {
                tracing::error!(effect.key = claim.key, error = trouble.chain(), "could not be shown again");
            }
            return;
        }
        let given = match trouble.kind() {
            Kind::Transient { retry_after } => {
                let wait = retry_after.unwrap_or_else(|| backoff(claim.attempt));
                tracing::warn!(effect.key = claim.key, error = text, wait = %wait, "will be tried again");
                // A host may be down for longer than any number of tries; who is notified may be gone for good.
                let busy =
                    retry_after.is_some() || stopping || matches!(claim.kind.as_str(), "deploy" | "intake");
                let toll = match claim.kind.as_str() {
                    _ if busy => Toll::Nothing,
                    "notify" => Toll::One,
                    _ => Toll::Patience,
                };
                self.again(claim, wait, (text, toll)).await
            }
            Kind::Conflict => self.again(claim, FIRST_WAIT, (text, Toll::One)).await,
            Kind::Refused | Kind::NotFound
                if matches!(claim.lane.as_str(), "build" | "deploy" | "evidence") =>
            {
                // Work is never dropped because the host said no: it waits until somebody has put that right.
                tracing::error!(effect.key = claim.key, error = text, "waits for somebody to put that right");
                self.again(claim, LONGEST_WAIT, (text, Toll::Nothing)).await
            }
            Kind::Refused | Kind::NotFound => {
                tracing::error!(effect.key = claim.key, error = text, "given up");
                self.give_up(claim, &text).await
            }
            Kind::Bug => {
                tracing::error!(effect.key = claim.key, error = text, "a mistake of ours");
                self.again(claim, LONGEST_WAIT, (text, Toll::One)).await
            }
        };
        if let Err(trouble) = given {
            // The lease runs out by itself and the effect is taken again.
            tracing::error!(effect.key = claim.key, error = trouble.chain(), "could not be given back");
        }
    }

    async fn again(&self, claim: &Claim, wait: Span, (error, toll): (String, Toll)) -> Result {
        let retry = Retry {
            key: claim.key.clone(),
            token: claim.token,
            run_after: self.store().now().await?.plus(wait),
            error,
            toll,
        };
        self.store().retry(retry).await.map(|_| ())
    }

    /// Tries again what failed too often by a mistake of ours: of one stream when somebody asks for it, or of all when a
    /// process begins, since another version may know better. What was to be said at its time is not said unasked, and
    /// deliveries are replayed by hand.
    pub(super) async fn revive(&self, stream: Option<String>) -> Outcome<()> {
        let late: &[&str] = if stream.is_some() { &["notify", "intake"] } else { &SAID };
        let dead = EffectFilter { state: Some(EffectState::Dead), kind: None, stream };
        for effect in self.store().effects(&dead, REVIVED).await? {
            if !late.contains(&effect.kind.as_str()) && self.store().revive(&effect.key).await? {
                tracing::warn!(effect.key = effect.key, "had failed too often; it is tried again");
            }
        }
        Ok(())
    }

    /// An effect nobody can carry out is done, with the reason: telling the host never blocks a release.
    async fn give_up(&self, claim: &Claim, error: &str) -> Result {
        let lease = Lease { claim: claim.clone(), stops: Stops::default() };
        let mut around = lease.done(&format!("given up: {error}"));
        if claim.kind == "intake" {
            let seq = crate::service::intake::delivery_seq(&claim.desired)?;
            around.delivery =
                Some((seq, crate::store::delivery::DeliveryState::Poison, Some(error.to_owned())));
        }
        self.journal().close(around, Vec::new()).await
    }

    async fn expire_leases(&self, stop: &CancellationToken) {
        let pause = Duration::from_millis(self.settings().lease.as_millis() / 4);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            match self.store().expire().await {
                Ok(0) => {}
                Ok(count) => tracing::warn!(count, "leases ran out; their work is taken again"),
                Err(trouble) => tracing::error!(error = trouble.chain(), "cannot look for lost leases"),
            }
        }
    }
}

/// A panic is a mistake of ours like any other: without this the lease would be kept alive for ever, for nobody.
async fn caught(key: &str, work: impl Future<Output = Result>) -> Result {
    let ran = AssertUnwindSafe(work).catch_unwind().await;
    ran.unwrap_or_else(|_| Err(Trouble::bug(format!("{key} panicked"))))
}

fn backoff(attempt: i64) -> Span {
    let doublings = u32::try_from(attempt.saturating_sub(1).clamp(0, 20)).unwrap_or(0);
    let wait = FIRST_WAIT.times(1_u64.checked_shl(doublings).unwrap_or(u64::MAX));
    wait.min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn t6_a_panic_is_a_mistake_of_ours_and_gives_the_lease_back() {
        let panics = async { panic!("an index out of bounds") };
        let trouble = caught("thread:shop:1", panics).await.unwrap_err();
        assert!(
            matches!(trouble.kind(), Kind::Bug) && trouble.to_string().contains("thread:shop:1 panicked")
        );
        assert!(caught("thread:shop:1", async { Ok(()) }).await.is_ok());
    }
}
