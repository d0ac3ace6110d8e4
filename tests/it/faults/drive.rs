//! What people do to a yard until everything is live, and what must be so afterwards, whatever happened in between.

use std::collections::{BTreeMap, BTreeSet};

use super::rig::{Deadline, Door, Event, Eyes, GLANCE, Push, Seen, Server, Yard, comment};

/// The stages of every pipeline here.
const STAGES: [&str; 2] = ["test", "prod"];

/// Ana: she approves what is offered to her, and retries what was lost.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    /// The pushes she cares for, oldest first.
    pub(crate) pushes: Vec<Push>,
    said: BTreeSet<(String, String)>,
    /// How often she retried.
    pub(crate) retries: usize,
    /// How often she got no answer and said it again: the server may have heard her before it was killed.
    pub(crate) unanswered: usize,
}

impl Keeper {
    pub(crate) fn new(pushes: &[Push]) -> Self {
        Self { pushes: pushes.to_vec(), ..Self::default() }
    }

    /// Says what is to be said now; what no server takes is said at the next look.
    pub(crate) fn act(&mut self, seen: &Seen, door: &Door) {
        for push in newest(&self.pushes) {
            let Some(release) = release_of(seen, push) else { continue };
            for stage in STAGES {
                let Some((attempt, state, detail)) = seen.run(&push.repository, release, stage) else {
                    continue;
                };
                let about = |e: &Event, kind: &str| {
                    e.kind == kind
                        && e.stream.ends_with(&format!("/{}", push.repository))
                        && (e.release, e.text("stage"), e.number("attempt")) == (release, stage, attempt)
                };
                let line = match state.as_str() {
                    "pending"
                        if seen.events.iter().any(|e| about(e, "offer_shown"))
                            && !seen.events.iter().any(|e| about(e, "approved")) =>
                    {
                        format!("/approve {stage}")
                    }
                    "awaiting_signoff" => format!("/approve {stage}"),
                    "errored" => format!("/retry {stage}"),
                    "failed" if detail.contains("refused") => format!("/retry {stage}"),
                    _ => continue,
                };
                let key = (push.after.clone(), format!("{line} {attempt} {state}"));
                if self.said.contains(&key) {
                    continue;
                }
                if matches!(comment(door, push, &line), Ok(200)) {
                    self.retries += usize::from(line.starts_with("/retry"));
                    self.said.insert(key);
                } else {
                    self.unanswered += 1;
                }
            }
        }
    }

    /// Whether the newest push of every repository is live everywhere and nothing is left to do.
    pub(crate) fn content(&self, seen: &Seen) -> bool {
        seen.idle()
            && newest(&self.pushes).all(|push| {
                release_of(seen, push).is_some_and(|release| {
                    let live = |stage| {
                        seen.run(&push.repository, release, stage).is_some_and(|r| r.1 == "succeeded")
                    };
                    STAGES.into_iter().all(live)
                })
            })
    }

    /// Acts until everything is live; the server must stay up.
    pub(crate) async fn finish(
        &mut self,
        yard: &Yard,
        door: &Door,
        server: &Server,
        eyes: &mut Eyes,
    ) -> Seen {
        let deadline = Deadline::new();
        loop {
            let seen = eyes.look().await;
            if self.content(&seen) {
                return seen;
            }
            self.act(&seen, door);
            deadline.check("everything is live", &seen, yard, &[server]);
            tokio::time::sleep(GLANCE).await;
        }
    }
}

/// The last push of every repository.
fn newest(pushes: &[Push]) -> impl Iterator<Item = &Push> {
    let last: BTreeMap<&str, &Push> = pushes.iter().map(|p| (p.repository.as_str(), p)).collect();
    last.into_values()
}

/// The number of the release that a push made.
pub(crate) fn release_of(seen: &Seen, push: &Push) -> Option<i64> {
    let made = |e: &&Event| e.kind == "release_created" && e.text("commit") == push.after;
    seen.events.iter().find(made).map(|e| e.release)
}

/// Waits until something is so.
pub(crate) async fn until(
    what: &str,
    (yard, servers): (&Yard, &[&Server]),
    eyes: &mut Eyes,
    mut so: impl FnMut(&Seen) -> bool,
) -> Seen {
    let deadline = Deadline::new();
    loop {
        let seen = eyes.look().await;
        if so(&seen) {
            return seen;
        }
        deadline.check(what, &seen, yard, servers);
        tokio::time::sleep(GLANCE).await;
    }
}

/// Everything that is wrong; nothing is wrong with a run however often it was killed.
pub(crate) fn wrong(yard: &Yard, seen: &Seen, keeper: &Keeper) -> Vec<String> {
    let mut wrong = Vec::new();
    wrong_events(seen, &mut wrong);
    wrong_runs(yard, seen, &mut wrong);
    for push in &keeper.pushes {
        wrong_talk(yard, push, &mut wrong);
    }
    for push in newest(&keeper.pushes) {
        wrong_end(yard, seen, push, &mut wrong);
    }
    for effect in seen.effects.iter().filter(|e| e.state == "dead") {
        wrong.push(format!("effect {} is dead: {:?}", effect.key, effect.error));
    }
    for delivery in seen.deliveries.iter().filter(|d| d.state != "done" && d.state != "ignored") {
        wrong.push(format!("delivery {} is {}", delivery.guid, delivery.state));
    }
    wrong
}

/// What is wrong beside comments that were said twice, of which each fault between two processes may leave one
/// (STORAGE §5, row 1): the first of them had spoken when it was cut off, and the second could not know.
pub(crate) fn beyond(faults: usize, found: Vec<String>) -> Vec<String> {
    let (twice, mut wrong): (Vec<String>, Vec<String>) =
        found.into_iter().partition(|w| w.starts_with("said twice"));
    if twice.len() > faults {
        wrong.extend(twice);
    }
    wrong
}

/// Facts that can happen only once, and versions without holes.
fn wrong_events(seen: &Seen, wrong: &mut Vec<String>) {
    let mut once = BTreeSet::new();
    let mut versions: BTreeMap<&str, i64> = BTreeMap::new();
    for e in &seen.events {
        let last = versions.insert(&e.stream, e.version).unwrap_or(0);
        if e.version != last + 1 {
            wrong.push(format!("{} goes from version {last} to {}", e.stream, e.version));
        }
        let what = match e.kind.as_str() {
            "release_created" => e.text("commit").to_owned(),
            "stage_opened" | "offer_shown" => {
                format!("{} {} {}", e.text("stage"), e.number("attempt"), e.text("side"))
            }
            "stage_moved" => match moved(e) {
                Some(way) => format!("{} {} {way}", e.text("stage"), e.number("attempt")),
                None => continue,
            },
            "build_finished" => e.number("attempt").to_string(),
            "tag_seen" => e.text("commit").to_owned(),
            "heard" => e.text("comment").to_owned() + e.text("line"),
            _ => continue,
        };
        if !once.insert((e.stream.clone(), e.kind.clone(), e.release, what.clone())) {
            wrong.push(format!("twice: {} {} of release {}: {what}", e.stream, e.kind, e.release));
        }
    }
}

/// Which way a stage went that it goes only once in an attempt.
pub(crate) fn moved(e: &Event) -> Option<&str> {
    match (e.text("to"), e.text("transition")) {
        // It is asked about; its commands are over.
        ("queued" | "pending" | "cancelling", _) | ("running", "phase_done") => None,
        (to @ ("running" | "awaiting_signoff"), _) => Some(to),
        _ => Some("ended"),
    }
}

/// Each deploy that ran was admitted once, by an event of its own, with the bytes of its release.
fn wrong_runs(yard: &Yard, seen: &Seen, wrong: &mut Vec<String>) {
    let mut begun = BTreeSet::new();
    let runs = yard.runs();
    for run in runs.iter().filter(|r| r.what == "begin") {
        if !begun.insert((run.pipeline.clone(), run.stage.clone(), run.fence)) {
            wrong.push(format!("a deploy ran twice under one fencing number: {run:?}"));
        }
        let admitted = seen.events.iter().find(|e| e.seq == run.fence);
        let admitted = admitted.filter(|e| e.text("to") == "running" && e.text("stage") == run.stage);
        let Some(admitted) = admitted else {
            wrong.push(format!("a deploy ran that no event admitted: {run:?}"));
            continue;
        };
        if digest_of(seen, &admitted.stream, admitted.release).as_deref() != Some(run.digest.as_str()) {
            wrong.push(format!("a deploy ran with other bytes than its release's: {run:?}"));
        }
    }
    let admitted = |e: &&Event| e.kind == "stage_moved" && moved(e) == Some("running");
    for admission in seen.events.iter().filter(admitted) {
        let same = |e: &&Event| {
            (&e.stream, e.release, e.text("stage"), e.number("attempt"))
                == (
                    &admission.stream,
                    admission.release,
                    admission.text("stage"),
                    admission.number("attempt"),
                )
        };
        let succeeded = seen.events.iter().filter(same).any(|e| e.text("to") == "succeeded");
        let ended = runs.iter().filter(|r| r.what == "end" && r.fence == admission.seq).count();
        if succeeded && ended != 1 {
            wrong.push(format!("a deploy succeeded and its script ended {ended} times: {admission:?}"));
        }
    }
}

/// The digest of what a release has sealed.
pub(crate) fn digest_of(seen: &Seen, stream: &str, release: i64) -> Option<String> {
    let sealed = |e: &&Event| e.kind == "build_finished" && e.stream == stream && e.release == release;
    let outcome = seen.events.iter().rfind(sealed)?.data.get("outcome")?;
    Some(outcome.get("sealed")?.get(0)?.get("digest")?.as_str()?.to_owned())
}

/// No comment is said twice.
fn wrong_talk(yard: &Yard, push: &Push, wrong: &mut Vec<String>) {
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for (marker, body) in yard.said(push) {
        if last.insert(marker.clone(), body.clone()) == Some(body) {
            wrong.push(format!("said twice: {marker}"));
        }
    }
}

/// The newest release runs everywhere, with its own digest, and the host shows it.
fn wrong_end(yard: &Yard, seen: &Seen, push: &Push, wrong: &mut Vec<String>) {
    let made = |e: &&Event| e.kind == "release_created" && e.text("commit") == push.after;
    let releases: Vec<&Event> = seen.events.iter().filter(made).collect();
    let [release] = releases.as_slice() else {
        wrong.push(format!("{} releases of {}", releases.len(), push.after));
        return;
    };
    let digest = digest_of(seen, &release.stream, release.release);
    for stage in STAGES {
        let live = yard.live(&push.repository, stage);
        if Some(&live) != digest.as_ref() {
            wrong.push(format!("{stage} of {} runs {live}, not {digest:?}", push.repository));
        }
    }
    let statuses = yard.statuses(push);
    let wanted = yard.plan.rules.statuses.iter().map(|context| format!("{context} success"));
    if !wanted.eq(statuses.iter().cloned()) {
        wrong.push(format!("the host shows {statuses:?} for {}", push.repository));
    }
    let sealed: BTreeSet<i64> = seen
        .events
        .iter()
        .filter(|e| e.kind == "tag_seen" && e.stream == release.stream)
        .map(|e| e.release)
        .collect();
    let tags = yard.tags(&push.repository);
    if tags.len() < sealed.len() {
        wrong.push(format!("{} releases with a tag, and the tags {tags:?}", sealed.len()));
    }
}
