//! The commands of a transcript.

use liftlock::domain::check::course::Course;
use liftlock::domain::command::parse::{Parsed, Spelling, parse};
use liftlock::domain::decide::{Command, Ended, Spoken, StageEnd, Work};
use liftlock::domain::effect::{Effect, Place};
use liftlock::domain::event::{Event, Unlisted, Withdrawal};
use liftlock::domain::evidence::chain::{link_name, links};
use liftlock::domain::evidence::statement::{Origin, statements};
use liftlock::domain::evidence::{Attested, Evidence, Matter};
use liftlock::domain::name::{Digest, TargetName};
use liftlock::domain::pause::Question;
use liftlock::domain::person::{Account, Visibility};
use liftlock::domain::pipeline::Strategy;
use liftlock::domain::pipeline::step::Silence;
use liftlock::domain::plan::Lane;
use liftlock::domain::probe::{Answer, Reading};
use liftlock::domain::progress::{Phase, Progress};
use liftlock::domain::refusal::Refusal;
use liftlock::domain::retention::{Retention, has_bytes, kept};
use liftlock::domain::rollout::{Chosen, Said};
use liftlock::domain::slot;
use liftlock::domain::state::{Live, State};
use liftlock::domain::time::{Span, Timestamp};
use liftlock::domain::view;

use super::world::{Step, World, failure, sha};
use super::{notation, print};

/// Plays one command and gives what happened, one line per event.
pub(crate) fn play(world: &mut World, command: &str) -> String {
    let mut rang = Vec::new();
    let at_once = command.strip_prefix("at once ");
    // What comes right after a silent jump is heard before any timer has rung.
    if at_once.is_none() && !world.unrung {
        let now = world.now.plus(Span::seconds(2));
        world.wait_until(now, |w, events| rang.extend(lines(&w.state, events)));
    }
    let command = at_once.unwrap_or(command);
    let mut out: Vec<String> = rang.into_iter().map(|l| format!("(by the clock) {l}")).collect();
    out.extend(act(world, command));
    let made = world.make();
    out.extend(lines(&world.state, &made));
    let shown = world.settle_host();
    let confirmed = std::mem::take(&mut world.confirmed);
    out.extend(lines(&world.state, &confirmed));
    out.extend(shown.iter().filter_map(print::note));
    out.join("\n")
}

fn lines(state: &State, events: &[Event]) -> Vec<String> {
    events.iter().filter_map(|e| print::event(state, e)).collect()
}

fn told(world: &World, step: Step) -> Vec<String> {
    match step {
        Ok(events) if events.is_empty() => vec!["nothing new".to_owned()],
        Ok(events) => lines(&world.state, &events),
        Err(refusal) => vec![format!("refused {}: {refusal}", refusal.code())],
    }
}

fn act(world: &mut World, command: &str) -> Vec<String> {
    let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
    match word {
        "pipeline" => {
            world.pipeline = Some(notation::pipeline(rest));
            Vec::new()
        }
        "builds" | "button" | "schedule" | "variable" | "step" | "name" | "version" | "channel"
        | "contract" | "notify" | "runbook" | "reuse" | "build-variable" | "build-secret" => {
            notation::declare(world.pipeline.as_mut().expect("a pipeline first"), word, rest);
            Vec::new()
        }
        "head" => {
            let (at, text) = rest.split_once(' ').unwrap();
            let pipeline = Box::new(notation::pipeline(text));
            world.pipeline = Some(*pipeline.clone());
            let step = world.decide(&Command::SeePolicy { commit: sha(at), pipeline });
            told(world, step)
        }
        "push" => push(world, rest),
        "starts" | "built" | "waits" => upstream(world, word, rest),
        "tag" => tag(world, rest),
        "check" => check(world, rest),
        "rules" => rules(world, rest),
        "server" => {
            let step = world.decide(&Command::SeeServerPolicy { policies: notation::server_policies(rest) });
            told(world, step)
        }
        "clock" => clock(world, rest),
        "build" => work(world, Lane::Build, rest),
        "work" => work(world, Lane::Deploy, rest),
        "leg" => leg(world, rest),
        "legs" => legs(world, rest),
        "gate" => gate(world, rest),
        "sample" => sample(world),
        "stale" => stale(world),
        "race" => race(world),
        "retention" => retention(world, rest),
        "host" => host(world, rest),
        "comment" => comment(world, rest),
        "wait" => {
            let until = world.now.plus(rest.parse().expect("a span: 2h"));
            let mut out = Vec::new();
            world.wait_until(until, |w, events| {
                let rang = lines(&w.state, events);
                if !rang.is_empty() {
                    out.push(format!("at {}:", w.now.minute()));
                }
                out.extend(rang.into_iter().map(|l| format!("  {l}")));
            });
            out
        }
        "jump" => {
            let silent = rest.strip_suffix(" silently");
            let span = silent.unwrap_or(rest);
            let back = span.strip_prefix("back ");
            let ms = i64::try_from(back.unwrap_or(span).parse::<Span>().unwrap().as_millis()).unwrap();
            let events = world.jump(if back.is_some() { -ms } else { ms }, silent.is_none());
            lines(&world.state, &events)
        }
        "why" | "statuses" | "status" | "owed" | "sticky" | "said" | "releases" | "names" | "channels" => {
            look(world, word, rest)
        }
        "notices" => notices(world),
        "inbox" => {
            let of = rest.strip_prefix("for ").map(|login| world.person(login).clone());
            print::inbox(&world.state, of.as_ref(), world.now)
        }
        "sign" => sign(world, rest),
        _ => speech(world, command),
    }
}

/// What other pipelines do: `starts c1: studio runtime`, `built studio c1 by bo`, `built studio c1 fails: why`; those of
/// other repositories with `in acme/studio` behind the commit, and `of ours` when what they built is made of builds of
/// this pipeline; and what is waited for of them.
fn upstream(world: &mut World, word: &str, rest: &str) -> Vec<String> {
    let step = match word {
        "starts" => {
            let (commit, started) = rest.split_once(": ").expect("starts <commit>: <pipeline> <pipeline>");
            let (commit, there) =
                commit.split_once(" in ").map_or((commit, None), |(c, name)| (c, Some(name)));
            world.starts((commit, there), &started.split(' ').collect::<Vec<_>>())
        }
        "built" => {
            let (head, failed) = rest.split_once(" fails: ").map_or((rest, None), |(h, why)| (h, Some(why)));
            let words: Vec<&str> = head.split(' ').collect();
            let said =
                |word: &str| words.iter().position(|w| *w == word).and_then(|at| words.get(at + 1)).copied();
            let there = said("in").map(|name| (name, said("of").is_some()));
            world.built((words[0], words[1]), there, failed, said("by").unwrap_or("bo"))
        }
        _ => {
            let line = |wait: view::join::Wait| match wait.next {
                Some(next) => format!("{}; {next}", wait.text),
                None => wait.text,
            };
            return or_nothing(view::join::waits(&world.state).into_iter().map(line).collect());
        }
    };
    told(world, step)
}

/// `v1.4.0 on c2 by bo`.
fn tag(world: &mut World, text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split(' ').collect();
    let [tag, "on", at, "by", by] = words[..] else { panic!("tag <version> on <commit> by <login>") };
    let step = world.tag(tag, at, by);
    told(world, step)
}

/// What is to be signed now is signed, in the order in which it is owed; `without links` as it once was.
fn sign(world: &mut World, how: &str) -> Vec<String> {
    let mut out = Vec::new();
    for owed in world.plan().owed {
        let Effect::Attest { release: no, what } = owed.effect else { continue };
        let id = world.state.id.clone();
        let origin =
            Origin { pipeline: &id, repository: "acme/web", commit_url: None, server: "https://l.example" };
        let as_before = how == "without links";
        if as_before && what == Matter::Links {
            continue;
        }
        let release = &world.state.releases[&no];
        let links = if as_before { Vec::new() } else { links(release, &what, origin) };
        let links = links.into_iter().map(|(step, link)| (link_name(&step, "01234567"), link));
        let files: Vec<_> = statements(release, &what, origin).into_iter().chain(links).collect();
        let over = files.iter().filter_map(|(_, said)| said["predicate"]["takenOver"].as_array()).flatten();
        let over: Vec<String> = over.map(|said| format!("  taken over: {said}")).collect();
        let files = files.into_iter().map(|(name, statement)| {
            let text = statement.to_string();
            Evidence { name, digest: Digest::of_text(&text), size: text.len().try_into().unwrap() }
        });
        let attested = Attested { release: no, what, files: files.collect() };
        let step = world.decide(&Command::Attest(Box::new(attested)));
        out.extend(told(world, step));
        out.extend(over);
    }
    or_nothing(out)
}

/// Notices that were not owed when they were last looked at.
fn notices(world: &mut World) -> Vec<String> {
    let mut out = Vec::new();
    for owed in world.plan().owed {
        let Effect::Notify(notice) = &owed.effect else { continue };
        if world.noticed.insert(owed.key) {
            let said =
                view::notice::message(&world.state, notice.topic, &notice.fact, notice.audience).unwrap();
            out.push(format!("{}, {}: {}", notice.to, notice.audience.word(), said.title));
            out.extend(said.lines.iter().map(|line| format!("  - {line}")));
            out.extend(said.comment.iter().map(|line| format!("  - comment: {line}")));
        }
    }
    or_nothing(out)
}

/// The declared pipeline is now what the default branch's head says.
fn rules(world: &mut World, at: &str) -> Vec<String> {
    let pipeline = Box::new(world.pipeline.clone().expect("a pipeline first"));
    let step = world.decide(&Command::SeePolicy { commit: sha(at), pipeline });
    told(world, step)
}

/// The clock shows this, whatever it showed before.
fn clock(world: &mut World, time: &str) -> Vec<String> {
    world.now = Timestamp::parse(time).expect("a time");
    let step = world.decide(&Command::Tick);
    told(world, step)
}

/// `c1 by bo: feat: login`, `c1 as #7 by bo, written by ana: …`, `c1 before c2 by bo: …`, `c1 to release/8 by bo: …`.
fn push(world: &mut World, text: &str) -> Vec<String> {
    let (head, subject) = text.split_once(": ").expect("push <commit> by <login>: <subject>");
    let words: Vec<&str> = head.split([' ', ',']).filter(|w| !w.is_empty()).collect();
    let after = |word: &str| words.iter().position(|w| *w == word).and_then(|at| words.get(at + 1)).copied();
    let alias = words[0];
    if let Some(thread) = after("as") {
        world.merged.insert(sha(alias), thread.trim_start_matches('#').to_owned());
    }
    let by = after("by").expect("by whom");
    let author = head.split_once("written by ").map_or(by, |(_, author)| author);
    let unlisted = after("behind").map(|count| unlisted(count, after("of").expect("of whom")));
    let place = (after("to").unwrap_or("main"), after("before"));
    let step = world.push(alias, place, by, (subject, author, unlisted.unwrap_or_default()));
    told(world, step)
}

/// Commits that the release does not list: `behind 12 of ana`, `of ?` whom the host does not know, `of everybody` when
/// there are more than are looked through.
fn unlisted(count: &str, author: &str) -> Unlisted {
    let mut unlisted = Unlisted { commits: count.parse().unwrap(), ..Unlisted::default() };
    match author {
        "everybody" => unlisted.authors_left_out = true,
        "?" => unlisted.wrote(None, "long@gone.example"),
        login => unlisted.wrote(Some(&login.parse().unwrap()), ""),
    }
    unlisted
}

/// `#9 at c5`, `#9 at c5 again`, `#9 at c5 refused: a fork`.
fn check(world: &mut World, text: &str) -> Vec<String> {
    let (head, refused) = text.split_once(" refused: ").map_or((text, None), |(h, r)| (h, Some(r)));
    let words: Vec<&str> = head.split(' ').collect();
    let step = world.check(words[0].trim_start_matches('#'), words[2], words.contains(&"again"), refused);
    told(world, step)
}

/// `ok`, `fails at "smoke": exit 1`, `times out at "smoke"`, `errors: text`, `stops`, `finds changed bytes`.
fn end(text: &str) -> StageEnd {
    let quoted = || text.split('"').nth(1).expect("a step in quotes");
    let after = || text.split_once(": ").map_or("", |(_, why)| why).to_owned();
    match text.split(' ').next().unwrap_or_default() {
        "" | "ok" => {
            let took = text.strip_prefix("ok after ").map(|span| span.parse::<Span>().unwrap());
            StageEnd::Passed { took_ms: took.map_or(3_000, Span::as_millis) }
        }
        "fails" => StageEnd::Failed(failure(quoted(), &after())),
        "times" => StageEnd::TimedOut(failure(quoted(), "ran longer than 1h")),
        "stops" => StageEnd::Stopped,
        "asks" => StageEnd::Paused(Box::new(question(text, &after(), quoted()))),
        "finds" => StageEnd::Tampered("the artifact no longer matches its digest".to_owned()),
        _ => StageEnd::Errored(after()),
    }
}

/// `asks "look": read the report`, `asks "look" for 1h: …`, and `… then goes on: …` when silence is a yes.
fn question(text: &str, instructions: &str, step: &str) -> Question {
    let head = text.split_once(": ").map_or(text, |(head, _)| head);
    let wait = head.split_once(" for ").map(|(_, rest)| rest.split(' ').next().unwrap().parse().unwrap());
    let silence = if head.ends_with("then goes on") { Silence::Resume } else { Silence::Reject };
    Question {
        hold: None,
        phase: Phase::Deploy,
        steps: 1,
        step: step.to_owned(),
        instructions: instructions.to_owned(),
        wait: wait.unwrap_or(Span::days(7)),
        silence,
    }
}

/// Takes what is owed now, once; or only begins it, ends what was begun, or loses it.
fn work(world: &mut World, lane: Lane, text: &str) -> Vec<String> {
    let mine = |w: &Work| matches!(w, Work::Deploy { .. } | Work::Runbook { .. }) == (lane == Lane::Deploy);
    let running: Vec<(Work, u64)> = world.running.iter().filter(|(w, _)| mine(w)).cloned().collect();
    let mut out = Vec::new();
    if let Some(said) = text.strip_prefix("rolls ") {
        for (work, fence) in running {
            let said = if said == "to a slot" { chosen(world, &work) } else { rolled(said) };
            let step = world.decide(&Command::Roll { work, fence, said });
            out.extend(told(world, step));
        }
        return or_nothing(out);
    }
    if text == "holds" {
        for (work, fence) in running {
            let end = StageEnd::Paused(Box::new(held(world, &work)));
            let step = world.finish((&work, fence), &end);
            out.extend(told(world, step));
        }
        return or_nothing(out);
    }
    if let Some(how) = text.strip_prefix("ends ") {
        for (work, fence) in running {
            let step = world.finish((&work, fence), &end(how));
            out.extend(told(world, step));
        }
        return or_nothing(out);
    }
    let nothing = Progress::at(Phase::Before, 1);
    let progress = text.strip_prefix("writes ").map(|written| {
        let (name, value) = written.split_once('=').expect("`writes name=value`");
        Progress { outputs: [(name.parse().unwrap(), value.to_owned())].into(), ..nothing.clone() }
    });
    let deployed = Progress { phase: Phase::After, steps: 0, deployed: true, ..nothing };
    if let Some(progress) = progress.or((text == "deploys").then_some(deployed)) {
        for (work, fence) in running {
            let progress = Box::new(progress.clone());
            let step = world.decide(&Command::Progress { work, fence, progress });
            out.extend(told(world, step));
        }
        return or_nothing(out);
    }
    if text == "is lost" {
        for (work, fence) in running {
            world.lost.push((work.clone(), fence));
            let step = world.begin(&work);
            out.extend(told(world, step));
        }
        world.running.retain(|(w, _)| !mine(w));
        return or_nothing(out);
    }
    for work in world.owed_work(lane) {
        let step = world.begin(&work);
        out.extend(told(world, step));
        let begun = world.running.iter().find(|(w, _)| *w == work).map(|(_, fence)| *fence);
        if let (Some(fence), false) = (begun, text == "begins") {
            let step = world.finish((&work, fence), &end(text));
            out.extend(told(world, step));
        }
    }
    or_nothing(out)
}

/// The slot that a run goes to, as the log has it.
fn chosen(world: &World, work: &Work) -> Said {
    let Work::Deploy { release, stage, .. } = work else { panic!("only a deploy has a slot") };
    let found = world.state.release(*release).unwrap();
    let rule = found.rule(stage).unwrap();
    let Some(Strategy::BlueGreen(blue_green)) = &rule.strategy else { panic!("{stage} has no slots") };
    let known = world.state.slots.get(&found.site(rule)).cloned().unwrap_or_default();
    Said::Slot(slot::Said::Chosen(known.choose(*release, &blue_green.slots).unwrap()))
}

/// What the run is held for next.
fn held(world: &World, work: &Work) -> Question {
    let Work::Deploy { release, stage, .. } = work else { panic!("only a deploy is held") };
    let release = world.state.release(*release).unwrap();
    let (steps, run) = release.rule(stage).zip(release.run(stage)).unwrap();
    if let (Some(Strategy::BlueGreen(rule)), Some(at)) = (&steps.strategy, &run.rollout.slot) {
        return Question::kept(&at.choice.slot, rule).unwrap();
    }
    Question::next(steps, run.kind, run.pauses.last().map(|last| last.question.place())).unwrap()
}

/// `over web-1 web-2`, `to 10`, `at web-1`, `done web-1`, `failed web-1: exit 1`, `unhealthy: 502`.
fn rolled(text: &str) -> Said {
    let (text, how) = text.split_once(": ").map_or((text, None), |(text, how)| (text, Some(how.to_owned())));
    let (word, names) = text.split_once(' ').unwrap_or((text, ""));
    if word == "to" {
        return Said::Portion(names.parse().unwrap());
    }
    let names: Vec<TargetName> = names.split(' ').filter_map(|name| name.parse().ok()).collect();
    match (word, names.first().cloned()) {
        ("over", _) => {
            let chosen = |name| Chosen { name, roles: std::collections::BTreeSet::new() };
            Said::Chosen(names.into_iter().map(chosen).collect())
        }
        ("filled", None) => Said::Slot(slot::Said::Filled),
        ("switching", Some(to)) => Said::Slot(slot::Said::Switching(to.as_str().parse().unwrap())),
        ("switched", Some(to)) => Said::Slot(slot::Said::Switched(to.as_str().parse().unwrap())),
        ("unswitched", Some(to)) => {
            let (to, how) = (to.as_str().parse().unwrap(), how.unwrap());
            Said::Slot(slot::Said::Unswitched { to, how })
        }
        ("at", Some(name)) => Said::Started(name),
        ("done", Some(target)) => Said::Ended { target, failed: None },
        ("failed", Some(target)) => Said::Ended { target, failed: how },
        ("unhealthy", None) => Said::Unhealthy(how.unwrap()),
        other => panic!("a rollout does not {other:?}"),
    }
}

/// `passes`, `fails: 3 findings`, `cannot tell: no data`, `errors: no route`.
fn reading(text: &str) -> Reading {
    let (how, detail) = text.split_once(": ").unwrap_or((text, ""));
    let (answer, usual) = match how {
        "passes" => (Answer::Pass, "fine"),
        "fails" => (Answer::Fail, "exit 1"),
        "cannot tell" => (Answer::Inconclusive, "no data"),
        "errors" => (Answer::Error, "no route to host"),
        other => panic!("a check does not {other}"),
    };
    Reading::new(answer, if detail.is_empty() { usual } else { detail })
}

/// `smoke passes`, `sdl@Config passes`: the leg of that name answers, in whatever stage it is asked.
fn leg(world: &mut World, text: &str) -> Vec<String> {
    let (name, how) = text.split_once(' ').unwrap();
    let mut out = Vec::new();
    for work in world.owed_answers() {
        if !matches!(&work, Work::Leg { leg, .. } if leg.name('@') == name) {
            continue;
        }
        let reading = reading(how);
        let tail = if reading.answer == Answer::Fail { vec![format!("{name}: bad")] } else { Vec::new() };
        let step = world.answer(&work, Ended::Leg { reading, tail });
        out.extend(told(world, step));
    }
    or_nothing(out)
}

/// `pass`: every leg that is owed now answers so, round after round.
fn legs(world: &mut World, how: &str) -> Vec<String> {
    let mut out = Vec::new();
    for _ in 0..9 {
        let owed = world.owed_answers();
        let owed: Vec<Work> = owed.into_iter().filter(|w| matches!(w, Work::Leg { .. })).collect();
        for work in &owed {
            let step = world.answer(work, Ended::Leg { reading: reading(how), tail: Vec::new() });
            out.extend(told(world, step));
        }
        if owed.is_empty() {
            break;
        }
    }
    or_nothing(out)
}

/// `health fails: 502`: what the gate of that name says from now on.
fn gate(world: &mut World, text: &str) -> Vec<String> {
    let (name, how) = text.split_once(' ').unwrap();
    world.gates.insert(name.to_owned(), reading(how));
    Vec::new()
}

/// Every sample that is owed now is taken once.
fn sample(world: &mut World) -> Vec<String> {
    let mut out = Vec::new();
    for work in world.owed_answers() {
        let Work::Gates { release, stage, side, .. } = &work else { continue };
        let found = world.state.release(*release).unwrap();
        let (rule, run) = found.rule(stage).zip(found.run(stage)).unwrap();
        let course = Course { repo: &world.state.id.repo, release: found, stage: rule, run };
        let gates = course.gates(*side);
        let readings = gates.into_iter().map(|(gate, _)| (gate.clone(), world.says(&gate))).collect();
        let step = match world.answer(&work, Ended::Gates(readings)) {
            Err(Refusal::NothingNew) => Ok(Vec::new()),
            step => step,
        };
        out.extend(told(world, step));
    }
    or_nothing(out)
}

fn or_nothing(out: Vec<String>) -> Vec<String> {
    if out.is_empty() { vec!["nothing to do".to_owned()] } else { out }
}

/// The worker that had vanished reports success after all.
fn stale(world: &mut World) -> Vec<String> {
    let (work, fence) = world.lost.last().cloned().expect("something was lost");
    let step = world.finish((&work, fence), &end("ok"));
    told(world, step)
}

/// Workers begin everything that is queued, as if each had read the plan at another time.
fn race(world: &mut World) -> Vec<String> {
    let mut out = Vec::new();
    for work in world.queued() {
        let step = world.begin(&work);
        out.extend(told(world, step));
    }
    or_nothing(out)
}

/// What changes on the host: `ana is read`, `takes no comments`, `takes comments`, `tag v1 at c9`, `tag v1 gone`,
/// `branch rewritten`, `branch restored`, `comment k1 changed`, `bytes of v1 changed`, `tree of c2 is c1`.
fn host(world: &mut World, text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split(' ').collect();
    match words.as_slice() {
        ["takes", "no", "comments"] => world.host = false,
        ["takes", "comments"] => world.host = true,
        ["repository", "public"] => world.visibility = Visibility::Public,
        ["repository", "private"] => world.visibility = Visibility::Private,
        ["can", "run", "again"] => world.cannot_start = None,
        ["cannot", "run", ..] => world.cannot_start = text.strip_prefix("cannot run ").map(str::to_owned),
        ["branch", how] => world.rewritten = *how == "rewritten",
        ["bytes", "of", version, "changed"] => {
            let no = world.release(version);
            world.rotten.insert(no);
        }
        ["tree", "of", commit, "is", tree] => {
            world.trees.insert((*commit).to_owned(), sha(tree).as_str().parse().unwrap());
        }
        ["comment", id, "changed"] => {
            world.changed.insert(id.parse().unwrap());
        }
        ["tag", tag, "gone"] => {
            world.tags.insert((*tag).to_owned(), None);
        }
        ["tag", tag, "at", at] => {
            world.tags.insert((*tag).to_owned(), Some(sha(at)));
        }
        ["tells", tag] => {
            let commit = world.tags.get(*tag).cloned().flatten();
            let release = world.release(tag);
            let now = liftlock::domain::tag::TagNow { tag: tag.parse().unwrap(), commit, object: None };
            let learned = liftlock::domain::decide::Learned::Tag { release, now };
            let step = world.decide(&Command::Learn(learned));
            return told(world, step);
        }
        [login, "leaves", team] => {
            world.person(login).teams.remove(&team.parse().unwrap());
        }
        [login, "is", role] => world.person(login).role = notation::role(role).unwrap(),
        _ => panic!("the host knows nothing of {text}"),
    }
    Vec::new()
}

/// `k1 edited`, `k1 deleted`, `k1 again`.
fn comment(world: &mut World, text: &str) -> Vec<String> {
    let (id, how) = text.split_once(' ').unwrap();
    let id = id.parse().unwrap();
    if how == "again" {
        let said: Vec<Spoken> =
            world.comments.iter().filter(|(k, _)| *k == id).map(|(_, s)| s.clone()).collect();
        let mut out = Vec::new();
        for spoken in said {
            let step = world.decide(&Command::Speak(Box::new(spoken)));
            out.extend(told(world, step));
        }
        return out;
    }
    let why = if how == "edited" { Withdrawal::Edited } else { Withdrawal::Deleted };
    let step = world.decide(&Command::Unspeak { comment: id, why });
    told(world, step)
}

/// `ana (maintain, acme/qa) on #7: /approve prod`; `\n` separates lines; `by api` has no comment;
/// `(a minute ago)` is when it was written.
fn speech(world: &mut World, text: &str) -> Vec<String> {
    let (head, body) = text.split_once(": ").unwrap_or_else(|| panic!("not a command: {text}"));
    let (who, place) = head.split_once(" on ").unwrap_or((head.trim_end_matches(" by api"), "api"));
    let mut said_before = Span::ZERO;
    let (login, traits) = who.split_once(" (").unwrap_or((who, ""));
    {
        let person = world.person(login);
        for word in traits.trim_end_matches(')').split(", ").filter(|w| !w.is_empty()) {
            match notation::role(word) {
                Some(role) => person.role = role,
                None if word == "bot" => person.kind = Account::Bot,
                None if word == "a minute ago" => said_before = Span::minutes(1),
                None => {
                    person.teams.insert(word.parse().unwrap());
                }
            }
        }
    }
    let standing = world.person(login).clone();
    let place = match place.strip_prefix('#') {
        Some(thread) => Some(Place::Thread(thread.parse().unwrap())),
        None if place == "api" => None,
        None => Some(Place::Commit(sha(place))),
    };
    let commands = match parse(Some(&body.replace("\\n", "\n")), Spelling::Bare) {
        Parsed::Commands(commands) => commands,
        Parsed::Refused(error) => {
            let states = [std::sync::Arc::new(world.state.clone())];
            let text = view::misread::misread(&states, place.as_ref(), &error, world.now);
            return vec![format!("😕 {}: {text}", error.code())];
        }
        Parsed::Nothing { .. } => return vec!["not a command".to_owned()],
    };
    let comment = place.as_ref().map(|_| {
        let ids: std::collections::BTreeSet<_> = world.comments.iter().map(|(k, _)| k.clone()).collect();
        format!("k{}", ids.len() + 1).parse().unwrap()
    });
    let mut out = Vec::new();
    for command in commands {
        let spoken = Spoken {
            ask: command.ask,
            line: command.line,
            comment: comment.clone(),
            place: place.clone(),
            at: Timestamp(world.now.0 - i64::try_from(said_before.as_millis()).unwrap()),
            body: Digest::of_hex(&"b".repeat(64)).unwrap(),
            standing: standing.clone(),
            visibility: world.visibility,
        };
        if let Some(id) = &comment {
            world.comments.push((id.clone(), spoken.clone()));
        }
        let step = world.decide(&Command::Speak(Box::new(spoken)));
        out.extend(told(world, step));
    }
    out
}

/// `days 30 keep 1 failed 7` says what is kept and why; with `and delete` behind it, what is due is retired.
fn retention(world: &mut World, text: &str) -> Vec<String> {
    let (text, delete) = text.strip_suffix(" and delete").map_or((text, false), |rest| (rest, true));
    let words: Vec<&str> = text.split(' ').collect();
    let number = |at: usize| words[at].parse().unwrap();
    let rule = Retention { days: number(1), keep: number(3), failed_days: number(5) };
    let state = world.state.clone();
    let mut out = Vec::new();
    for release in state.in_order().into_iter().filter(|release| has_bytes(release)) {
        let version = &release.created.version;
        match kept(&state, release, Some(&rule), world.now) {
            Some(why) => out.push(format!("{version} is kept: {why}")),
            None if delete => {
                let step = world.decide(&Command::Retire { release: release.no(), rule });
                out.extend(told(world, step));
            }
            None => out.push(format!("{version} is due")),
        }
    }
    for commit in liftlock::domain::reuse::due(&state, world.now) {
        let step = world.decide(&Command::RetireCheck { commit });
        out.extend(told(world, step));
    }
    out
}

fn look(world: &World, word: &str, rest: &str) -> Vec<String> {
    let state = &world.state;
    match word {
        "why" => {
            let (stage, version) = rest.split_once(' ').map_or((rest, None), |(s, v)| (s, Some(v)));
            let stage = stage.parse().unwrap();
            let release = match version {
                Some(version) => state.release(world.release(version)),
                None => state.in_order().into_iter().rfind(|r| r.run(&stage).is_some()),
            };
            vec![view::why_text(state, release.expect("a release"), &stage, world.now)]
        }
        "statuses" => statuses(world, rest),
        "names" => state
            .releases
            .values()
            .map(|r| {
                let names = &r.created.names;
                format!("{}: {}, build {}", r.created.version, names.name, names.build_number)
            })
            .collect(),
        "channels" => {
            let of = state.releases.values().map(|r| {
                let name = r.created.channel.as_ref().map_or("none", |name| name.as_str());
                format!(
                    "{} is of {name}: {:?}",
                    r.created.version,
                    r.created.pipeline.stage_names().collect::<Vec<_>>()
                )
            });
            let listed = state.listed();
            let listed = listed.iter().map(|(label, (r, _))| format!("{label} has {}", r.created.version));
            of.chain(listed).collect()
        }
        "status" => vec![view::status_markdown(state, None, world.now)],
        "owed" => world
            .plan()
            .owed
            .iter()
            .filter(|o| {
                !matches!(o.effect, Effect::Status { .. } | Effect::Sticky { .. } | Effect::Note { .. })
            })
            .filter(|o| !matches!(o.effect, Effect::Reply { .. } | Effect::Notify(_) | Effect::Attest { .. }))
            .map(|o| format!("{}{}", o.key, if o.cancel { " (stop it)" } else { "" }))
            .collect(),
        "sticky" => bodies(world, |e| match e {
            Effect::Sticky { body, release, .. } if state.version_of(*release) == rest => Some(body.clone()),
            _ => None,
        }),
        "said" => bodies(world, |e| match e {
            Effect::Note { body, marker, .. } if marker.starts_with(rest) => Some(body.clone()),
            _ => None,
        }),
        _ => releases(state),
    }
}

fn bodies(world: &World, pick: impl Fn(&Effect) -> Option<String>) -> Vec<String> {
    world.plan().owed.iter().filter_map(|o| pick(&o.effect)).map(|b| print::indent(&b, "| ")).collect()
}

fn statuses(world: &World, only: &str) -> Vec<String> {
    let mut all: Vec<String> = world
        .plan()
        .owed
        .iter()
        .filter_map(|o| match &o.effect {
            Effect::Status { commit, status } if only.is_empty() || *commit == sha(only) => Some(format!(
                "{} {}: {} \"{}\"",
                print::commit(commit),
                status.context,
                status.state.word(),
                status.description
            )),
            _ => None,
        })
        .collect();
    all.sort();
    all
}

fn releases(state: &State) -> Vec<String> {
    let mut out: Vec<String> =
        state.in_order().into_iter().map(|r| format!("{} {}", r.created.version, r.state().word())).collect();
    for ((stage, track), live) in &state.live {
        let stage = track.as_ref().map_or_else(|| stage.to_string(), |track| format!("{stage} ({track})"));
        out.push(match live {
            Live::Release(no, _) => format!("{stage} has {}", state.version_of(*no)),
            Live::Unknown(no) => format!("{stage} is unknown since {}", state.version_of(*no)),
        });
    }
    out
}
