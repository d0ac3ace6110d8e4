//! Random histories of effects: whatever was owed last is done last, by one holder at a time.

use std::collections::BTreeMap;

use liftlock::domain::time::Span;
use liftlock::store::Store;
use liftlock::store::effect::{Claim, EffectFilter, EffectState, OwedEffect, Retry, Toll};
use liftlock::store::step::Race;

use super::{LEASE, Place, completing, on_both, owed, owing, worker};

on_both! { what_is_owed_last_is_done_last }

/// Enough for every pair of operations on a key to meet.
const MOVES: u32 = 400;
const SEEDS: [u64; 3] = [1, 0x9e37_79b9_7f4a_7c15, 0xdead_beef];

/// Marsaglia's xorshift: the same history for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// What the world should look like: per key what is wanted, what was last completed, and the highest number seen.
#[derive(Default)]
struct Model {
    wanted: BTreeMap<String, Option<String>>,
    completed: BTreeMap<String, String>,
    tokens: BTreeMap<String, i64>,
    held: Vec<Claim>,
}

impl Model {
    async fn owe(&mut self, place: &Place, seed: u64, dice: &mut Dice) {
        let n = dice.roll(6);
        let key = format!("{seed}-e{n}");
        let cancel = dice.roll(4) == 0;
        let desired = format!("{{\"v\":{}}}", dice.roll(3));
        let group = (n < 3).then(|| format!("{seed}-group"));
        let run_after = Some(place.clock.now());
        let effect = OwedEffect { desired: desired.clone(), group, run_after, cancel, ..owed(&key) };
        place.store.commit(owing([effect])).await.unwrap();
        if !cancel {
            self.wanted.insert(key, Some(desired));
        } else if self.wanted.contains_key(&key) {
            self.wanted.insert(key, None);
        }
    }

    async fn claim(&mut self, store: &Store) -> bool {
        let claims = store.claim(&["build"], &worker("w"), 1).await.unwrap();
        let found = !claims.is_empty();
        for claim in claims {
            let before = self.tokens.insert(claim.key.clone(), claim.token);
            assert!(before.is_none_or(|token| token < claim.token), "numbers only grow: {claim:?}");
            self.held.push(claim);
        }
        found
    }

    /// Completes a claim; one with an old number must be refused, and only that one.
    async fn complete(&mut self, store: &Store, claim: Claim) {
        let kept = store.effect(&claim.key).await.unwrap().unwrap();
        let valid = kept.state == EffectState::Leased && kept.token == claim.token;
        match store.commit(completing(&claim)).await {
            Ok(_) => {
                assert!(valid, "a late report was taken: {claim:?}");
                self.completed.insert(claim.key, claim.desired);
            }
            Err(trouble) => {
                assert!(matches!(Race::of(&trouble), Some(Race::Lease { .. })), "{}", trouble.chain());
                assert!(!valid, "a good report was refused: {claim:?}");
            }
        }
    }

    async fn step(&mut self, place: &Place, seed: u64, dice: &mut Dice) {
        let store = &place.store;
        let held = usize::try_from(dice.roll(1000)).unwrap() % self.held.len().max(1);
        match dice.roll(10) {
            0..=3 => self.owe(place, seed, dice).await,
            4..=5 => drop(self.claim(store).await),
            6..=7 if !self.held.is_empty() => {
                let claim = self.held.swap_remove(held);
                self.complete(store, claim).await;
            }
            8 if !self.held.is_empty() => {
                let claim = self.held.swap_remove(held);
                let run_after = place.clock.now();
                let toll = match dice.roll(3) {
                    0 => Toll::One,
                    1 => Toll::Patience,
                    _ => Toll::Nothing,
                };
                let (key, token) = (claim.key, claim.token);
                let retry = Retry { key, token, run_after, error: "again".to_owned(), toll };
                // Refused when the number is old; what it does when it is not, the end shows.
                drop(store.retry(retry).await);
            }
            9 => {
                place.clock.pass(LEASE);
                store.expire().await.unwrap();
            }
            _ => place.clock.pass(Span::seconds(1)),
        }
        self.check(store, seed).await;
    }

    /// What holds at every moment: groups are exclusive, and what counts as done is what was wanted last.
    async fn check(&self, store: &Store, seed: u64) {
        for (key, wanted) in &self.wanted {
            let effect = store.effect(key).await.unwrap().unwrap();
            if wanted.is_some() && effect.state == EffectState::Done {
                assert_eq!(self.completed.get(key), wanted.as_ref(), "seed {seed}, {key}: {effect:?}");
            }
        }
        let leased = EffectFilter { state: Some(EffectState::Leased), ..EffectFilter::default() };
        let grouped =
            store.effects(&leased, 100).await.unwrap().into_iter().filter(|e| e.group.is_some()).count();
        assert!(grouped <= 1, "one of a group at a time");
    }

    /// Everybody who held something is gone; one worker does all that is left.
    async fn drain(&mut self, place: &Place) {
        place.clock.pass(LEASE);
        place.store.expire().await.unwrap();
        for key in self.wanted.keys() {
            let effect = place.store.effect(key).await.unwrap().unwrap();
            if effect.state == EffectState::Dead {
                assert!(place.store.revive(key).await.unwrap());
            }
        }
        self.held.clear();
        while self.claim(&place.store).await {
            let claim = self.held.remove(0);
            self.complete(&place.store, claim).await;
        }
    }
}

async fn what_is_owed_last_is_done_last(place: &Place) {
    for seed in SEEDS {
        let mut dice = Dice(seed);
        let mut model = Model::default();
        for _ in 0..MOVES {
            model.step(place, seed, &mut dice).await;
        }
        model.drain(place).await;
        model.check(&place.store, seed).await;
        for (key, wanted) in &model.wanted {
            let effect = place.store.effect(key).await.unwrap().unwrap();
            if wanted.is_some() {
                assert_eq!(effect.state, EffectState::Done, "seed {seed}, {key}");
            } else {
                assert!(
                    matches!(effect.state, EffectState::Done | EffectState::Cancelled | EffectState::Dead),
                    "seed {seed}, {key}: {effect:?}"
                );
            }
        }
    }
}
