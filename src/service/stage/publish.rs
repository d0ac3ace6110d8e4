//! Publishing in a stage: look, put what is missing, show it, read it back, and say each of it in the ledger.

use std::collections::BTreeMap;

use crate::clock;
use crate::domain::decide::Command;
use crate::domain::event::Failure;
use crate::domain::pipeline::Step;
use crate::domain::publication::{
    Found, Item, Ledger, Move, Next, Publish, Reached, Said, Stopped, Words, next,
};
use crate::domain::time::Span;
use crate::publish::{Patience, Seen, Taken};
use crate::service::publish::{Client, Way};
use crate::service::stage::Walk;
use crate::service::stage::roll::Left;
use crate::service::steps::one::not_valid;
use crate::service::steps::{KeptLog, Run, StepsEnd, left_of};
use crate::trouble::{Outcome, Trouble};

mod feed;
mod registry;

/// How often a file is put before it counts as refused; reading back has a patience of its own.
const PUT_TRIES: u32 = 3;
/// Most things that are done for one row in one attempt: twice what an outlet takes that loses everything once.
const MOST_MOVES: u32 = 20;

/// Why publishing ends early.
enum Halt {
    /// At the outlet, with what people are told.
    Stop(Stopped),
    /// For the run: cancelled, out of time, or no longer ours.
    End(StepsEnd),
}

impl From<Trouble> for Halt {
    fn from(trouble: Trouble) -> Self {
        Self::Stop(stopped(trouble.chain(), Vec::new()))
    }
}

/// A row that is being worked on.
struct At<'a> {
    publish: &'a Publish,
    way: Way<'a>,
    items: Vec<Item>,
    found: BTreeMap<String, Found>,
    words: Words,
    address: Option<String>,
    /// The last lines of a client that said no.
    tail: Vec<String>,
}

impl Walk<'_> {
    /// Publishes what the step says; what is there already is left alone.
    pub(super) async fn publish(
        &mut self,
        (step, publish): (&Step, &Publish),
        (run, left): (&Run<'_>, Left<'_>),
        kept: &mut KeptLog,
    ) -> Outcome<StepsEnd> {
        let begun = clock::monotonic();
        let left = || {
            let all = left();
            step.terms.timeout.map_or(all, |own| all.min(left_of(own, begun)))
        };
        let (service, course) = (self.service, self.course);
        let around = course.lease.around();
        let way = service.way((course.id, &course.stage.name), course.release, (publish, around));
        let (way, items) = match way.await? {
            Ok(ready) => ready,
            Err(how) => return Ok(self.unpublished(step, (how, &[]), kept)),
        };
        let (found, tail) = (BTreeMap::new(), Vec::new());
        let mut at = At { publish, way, items, found, words: Words::Ours, address: None, tail };
        match self.bring(&mut at, &left, kept).await {
            Ok(()) => {}
            Err(Halt::End(StepsEnd::TimedOut(_))) => {
                let stop = stopped("it took too long".to_owned(), at.there());
                let failed = self.stop(step, (&at, stop), kept).await?;
                return Ok(if let StepsEnd::Failed(f) = failed { StepsEnd::TimedOut(f) } else { failed });
            }
            Err(Halt::End(end)) => return Ok(end),
            Err(Halt::Stop(stop)) => return self.stop(step, (&at, stop), kept).await,
        }
        let Some(proof) = &step.terms.validate else { return Ok(StepsEnd::Passed) };
        let proof = Step::command(step.name.clone(), proof.clone());
        let stops = self.course.lease.stops();
        Ok(not_valid(service.run_step((&proof, run), &left, kept, stops).await?))
    }

    /// Does what is to be done next until nothing is.
    async fn bring(&mut self, at: &mut At<'_>, left: Left<'_>, kept: &mut KeptLog) -> Result<(), Halt> {
        self.still_stands(at, left, kept).await?;
        self.look(at, left, kept).await?;
        for _ in 0..MOST_MOVES {
            let row = self.ledger.get(at.publish);
            if at.address.is_none() && row.is_some_and(|row| row.reached >= Reached::Verified) {
                at.address = self.patiently(at, left, kept, || at.way.address()).await?;
            }
            let goods = (at.items.as_slice(), at.way.left_out());
            let there = (&at.found, at.words);
            match next(self.ledger.get(at.publish), goods, there, at.address.as_deref()) {
                Next::Say(moved) => self.tell(at.publish, moved, kept).await?,
                Next::Put(lacking) => self.put_all(at, lacking, left, kept).await?,
                Next::Show => self.show(at, left, kept).await?,
                Next::ReadBack => self.read_all(at, left, kept).await?,
                Next::Done => return Ok(()),
                Next::Stop(stopped) => return Err(Halt::Stop(stopped)),
            }
        }
        let how = format!("{} does not keep what it is given", at.way.name());
        Err(Halt::Stop(stopped(how, at.there())))
    }

    /// A stage may have waited long for an answer: what it publishes must still be what the repository calls so.
    async fn still_stands(&self, at: &At<'_>, left: Left<'_>, kept: &mut KeptLog) -> Result<(), Halt> {
        let (service, course) = (self.service, self.course);
        // Boxed: to decide is large.
        let ask = || Box::pin(service.still_stands(course.id, course.release.no(), course.lease.around()));
        match self.patiently(at, left, kept, ask).await? {
            Ok(()) => Ok(()),
            Err(why) => {
                Err(Halt::Stop(stopped(format!("{why}; restore it, or release a new version"), Vec::new())))
            }
        }
    }

    /// Finds out what there is.
    async fn look(&self, at: &mut At<'_>, left: Left<'_>, kept: &mut KeptLog) -> Result<(), Halt> {
        match at.way.client() {
            Some(Client::Feed(feed)) => self.look_in_feed(at, feed, left, kept).await,
            Some(Client::Registry(registry)) => self.look_in_registry(at, &registry, left, kept).await,
            None => {
                at.words = self.patiently(at, left, kept, || at.way.words()).await?;
                at.found = self.patiently(at, left, kept, || at.way.look(&at.items)).await?;
                Ok(())
            }
        }
    }

    async fn put_all(
        &self,
        at: &mut At<'_>,
        lacking: Vec<Item>,
        left: Left<'_>,
        kept: &mut KeptLog,
    ) -> Result<(), Halt> {
        let client = at.way.client();
        if let Some(Client::Feed(feed)) = client {
            return self.put_into_feed(at, feed, left, kept).await;
        }
        for item in lacking {
            kept.log.note(&format!("put {} to {}", item.name, at.way.name())).await;
            let found = match &client {
                Some(Client::Registry(registry)) => {
                    self.put_into_registry(at, (registry, &item), left, kept).await?;
                    Found::Same
                }
                Some(Client::Feed(_)) | None => self.put(at, &item, left, kept).await?,
            };
            at.found.insert(item.name, found);
        }
        Ok(())
    }

    async fn read_all(&mut self, at: &mut At<'_>, left: Left<'_>, kept: &mut KeptLog) -> Result<(), Halt> {
        if let Some(Client::Feed(feed)) = at.way.client() {
            return self.prove_feed(at, feed, left, kept).await;
        }
        for item in at.items.clone() {
            self.read_back(at, &item, left, kept).await?;
        }
        at.words = self.words_read_back(at, left, kept).await?;
        self.tell(at.publish, Move::Verified, kept).await
    }

    /// Whose words everybody reads. What the host answers may be older than what it was told, so others' words count as an
    /// edit only when they stay.
    async fn words_read_back(&self, at: &At<'_>, left: Left<'_>, kept: &mut KeptLog) -> Result<Words, Halt> {
        let Patience { tries, wait } = at.way.patience();
        let mut words = self.patiently(at, left, kept, || at.way.as_meant(&at.items)).await?;
        for _ in 1..tries {
            if words == Words::Ours {
                break;
            }
            self.unless_stopped(tokio::time::sleep(wait.as_std()), left).await?;
            words = self.patiently(at, left, kept, || at.way.as_meant(&at.items)).await?;
        }
        Ok(words)
    }

    async fn put(&self, at: &At<'_>, item: &Item, left: Left<'_>, kept: &mut KeptLog) -> Result<Found, Halt> {
        let tries = Patience { tries: PUT_TRIES, ..at.way.patience() };
        let taken = self.again(tries, (at, left), kept, || at.way.put(item)).await?;
        match taken {
            Taken::Yes if at.way.shows_at_once() => Ok(Found::Same),
            Taken::Yes => Ok(Found::Hidden),
            Taken::Occupied => self.occupied(at, item, left, kept).await,
        }
    }

    /// What stands where a file was not taken.
    async fn occupied(
        &self,
        at: &At<'_>,
        item: &Item,
        left: Left<'_>,
        kept: &mut KeptLog,
    ) -> Result<Found, Halt> {
        let Patience { tries, wait } = at.way.patience();
        for _ in 0..tries {
            let one = std::slice::from_ref(item);
            let mut found = self.patiently(at, left, kept, || at.way.look(one)).await?;
            match found.remove(&item.name).unwrap_or(Found::Missing) {
                // What everybody sees may be late.
                Found::Missing => self.unless_stopped(tokio::time::sleep(wait.as_std()), left).await?,
                found @ (Found::Hidden | Found::Same | Found::Other(_)) => return Ok(found),
            }
        }
        let how = format!("{} does not take {} and does not show one either", at.way.name(), item.name);
        Err(Halt::Stop(stopped(how, at.there())))
    }

    async fn show(&self, at: &mut At<'_>, left: Left<'_>, kept: &mut KeptLog) -> Result<(), Halt> {
        self.patiently(at, left, kept, || at.way.alone(&at.items)).await?;
        for item in at.items.clone() {
            if at.found.get(&item.name) != Some(&Found::Hidden) {
                continue;
            }
            let found = match self.patiently(at, left, kept, || at.way.show(&item)).await? {
                Taken::Yes => Found::Same,
                Taken::Occupied => self.occupied(at, &item, left, kept).await?,
            };
            at.found.insert(item.name, found);
        }
        Ok(())
    }

    /// Reads a file where everybody gets it until it is the one that was published: caches take their time.
    async fn read_back(
        &self,
        at: &mut At<'_>,
        item: &Item,
        left: Left<'_>,
        kept: &mut KeptLog,
    ) -> Result<(), Halt> {
        let Patience { tries, wait } = at.way.patience();
        let mut last = String::new();
        for no in 1..=tries {
            let read = match at.way.client() {
                Some(Client::Registry(registry)) => {
                    self.in_registry(at, (&registry, item), left, kept).await.map(Ok)?
                }
                Some(Client::Feed(_)) | None => self.unless_stopped(at.way.read(item), left).await?,
            };
            let seen = match read {
                Ok(Seen::Is(this)) if this == item.is => return Ok(()),
                Ok(Seen::Is(other)) => format!("{} is {other} there, and not {}", item.name, item.is),
                Ok(Seen::Nothing) => format!("{} is not there", item.name),
                Ok(Seen::Odd(what)) => format!("{} is {what} there", item.name),
                Err(trouble) => trouble.chain(),
            };
            if seen != last {
                kept.log.note(&format!("read back: {seen}")).await;
                last = seen;
            }
            if no < tries {
                self.unless_stopped(tokio::time::sleep(wait.as_std()), left).await?;
            }
        }
        let how = format!("{last}, read back {tries} times");
        Err(Halt::Stop(stopped(how, at.there())))
    }

    /// Asks with the outlet's patience while it may pass what is wrong.
    async fn patiently<T, W: Future<Output = Outcome<T>>>(
        &self,
        at: &At<'_>,
        left: Left<'_>,
        kept: &mut KeptLog,
        work: impl Fn() -> W,
    ) -> Result<T, Halt> {
        self.again(at.way.patience(), (at, left), kept, work).await
    }

    async fn again<T, W: Future<Output = Outcome<T>>>(
        &self,
        patience: Patience,
        (at, left): (&At<'_>, Left<'_>),
        kept: &mut KeptLog,
        work: impl Fn() -> W,
    ) -> Result<T, Halt> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.unless_stopped(work(), left).await? {
                Ok(done) => return Ok(done),
                Err(trouble) if trouble.is_transient() && tries < patience.tries => {
                    kept.log.note(&format!("{}: {}", at.way.name(), trouble.chain())).await;
                    self.unless_stopped(tokio::time::sleep(patience.wait.as_std()), left).await?;
                }
                Err(trouble) => return Err(Halt::Stop(stopped(trouble.chain(), at.there()))),
            }
        }
    }

    /// Waits for something as long as the run may go on.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>, left: Left<'_>) -> Result<T, Halt> {
        let stops = self.course.lease.stops();
        let time = left();
        if time <= Span::millis(1) {
            return Err(Halt::End(out_of_time()));
        }
        tokio::select! {
            biased;
            () = stops.lost.cancelled() => Err(Halt::End(StepsEnd::Lost)),
            () = stops.cancel.cancelled() => Err(Halt::End(StepsEnd::Stopped)),
            done = work => Ok(done),
            () = tokio::time::sleep(time.as_std()) => Err(Halt::End(out_of_time())),
        }
    }

    /// Stores a move of the row before anything else happens.
    async fn tell(&mut self, publish: &Publish, moved: Move, kept: &mut KeptLog) -> Result<(), Halt> {
        let course = self.course;
        let said = Said { publish: publish.clone(), moved };
        kept.log.note(&said.sentence()).await;
        let command = Command::Publish { work: course.work.clone(), fence: course.lease.fence(), said };
        let decided = self.service.journal().report(course.id, &command, course.lease.around()).await?;
        match decided {
            Ok(decided) => {
                let release = decided.state.release(course.release.no());
                self.ledger = release.map_or_else(Ledger::new, |release| release.ledger.clone());
                Ok(())
            }
            Err(refusal) => {
                kept.log.note(&format!("the engine goes on without this run: {}", refusal.code())).await;
                Err(Halt::End(StepsEnd::Lost))
            }
        }
    }

    /// Says in the ledger and in the step's failure what is there and what is missing.
    async fn stop(
        &mut self,
        step: &Step,
        (at, stop): (&At<'_>, Stopped),
        kept: &mut KeptLog,
    ) -> Outcome<StepsEnd> {
        let how = kept.mask.apply(&stop.how);
        let there = if stop.there.is_empty() { at.there() } else { stop.there };
        let stop = Stopped { how, there, clash: stop.clash };
        let how = format!("{}: {}", at.publish, stop.sentence(&at.items));
        // A row that was never planned has nothing to say: nothing happened.
        if self.ledger.contains_key(at.publish) {
            match self.tell(at.publish, Move::Stopped(stop), kept).await {
                Ok(()) => {}
                Err(Halt::End(end)) => return Ok(end),
                Err(Halt::Stop(stopped)) => return Ok(self.unpublished(step, (stopped.how, &at.tail), kept)),
            }
        }
        Ok(self.unpublished(step, (how, &at.tail), kept))
    }

    fn unpublished(&self, step: &Step, (how, tail): (String, &[String]), kept: &KeptLog) -> StepsEnd {
        let retry = format!("{how}; `/retry {}` goes on with what is missing", self.course.stage.name);
        let how = if how.contains("release a new version") { how } else { retry };
        let (step, how) = (kept.mask.apply(&step.name), kept.mask.apply(&how));
        StepsEnd::Failed(Failure { step, how, tail: tail.to_vec() })
    }
}

impl At<'_> {
    /// The files that are known to be there.
    fn there(&self) -> Vec<String> {
        let same = self.items.iter().filter(|item| self.found.get(&item.name) == Some(&Found::Same));
        same.map(|item| item.name.clone()).collect()
    }
}

fn stopped(how: String, there: Vec<String>) -> Stopped {
    Stopped { how, there, clash: false }
}

fn out_of_time() -> StepsEnd {
    let failure = Failure { step: String::new(), how: String::new(), tail: Vec::new() };
    StepsEnd::TimedOut(failure)
}
