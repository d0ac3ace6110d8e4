//! Many people at once, dates that lie, and answers fed back: what a transcript would be too long for.

use liftlock::domain::command::parse::{Parsed, Spelling, parse};
use liftlock::domain::effect::Effect;
use liftlock::domain::event::Event;

use crate::scenario::{World, speak};

/// A release that waits for an approval in `prod`.
fn waiting(rule: &str) -> World {
    let mut world = World::new();
    speak::play(&mut world, &format!("pipeline web: prod ({rule})"));
    speak::play(&mut world, "push c1 as #7 by bo: feat: one");
    speak::play(&mut world, "build ok");
    world
}

#[test]
fn t56_fifty_approvals_make_one_promotion() {
    let mut world = waiting("approval 1 of maintain");
    for n in 0..50 {
        speak::play(&mut world, &format!("m{n} (maintain) on #7: /approve prod"));
    }
    let deploys = world.plan().owed.iter().filter(|o| matches!(o.effect, Effect::Deploy { .. })).count();
    assert_eq!(deploys, 1);
    speak::play(&mut world, "work");
    for n in 50..60 {
        speak::play(&mut world, &format!("m{n} (maintain) on #7: /approve prod v0.1.0-rc.1"));
    }
    assert_eq!(speak::play(&mut world, "work"), "nothing to do");
}

#[test]
fn t22_a_hundred_commands_of_a_stranger_get_one_answer() {
    let mut world = waiting("approval 1 of maintain");
    for n in 0..100 {
        let verb = ["approve prod", "promote prod", "why prod", "rollback prod v9"][n % 4];
        speak::play(&mut world, &format!("eve (none) on #7: /{verb} -- try {n}"));
    }
    let replies = world.log.iter().filter(|(_, e)| matches!(e, Event::Heard(h) if h.reply.is_some())).count();
    assert_eq!(replies, 1);
}

#[test]
fn t14_two_bots_that_answer_each_other_run_dry() {
    let mut world = waiting("approval 1 of maintain");
    for n in 0..30 {
        speak::play(&mut world, &format!("bo (write) on #7: /approve prod v{n}.0.0"));
    }
    let replies = world.log.iter().filter(|(_, e)| matches!(e, Event::Heard(h) if h.reply.is_some())).count();
    assert_eq!(replies, 5, "the budget of a thread");
}

#[test]
fn t14_no_text_of_ours_is_a_command() {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/scenarios")).unwrap();
    for file in folder.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        let text = std::fs::read_to_string(file).unwrap();
        let mut world = World::new();
        for command in text.lines().filter_map(|l| l.strip_prefix("> ")) {
            speak::play(&mut world, command);
            for owed in world.plan().owed {
                let (Effect::Sticky { body, .. }
                | Effect::Note { body, .. }
                | Effect::Reply { body: Some(body), .. }) = owed.effect
                else {
                    continue;
                };
                assert!(matches!(parse(Some(&body), Spelling::Bare), Parsed::Nothing { .. }), "{body}");
            }
        }
    }
}

#[test]
fn t19_dates_in_commits_decide_nothing() {
    let story = |epoch_s| {
        let mut world = World::new();
        world.epoch_s = epoch_s;
        let text = include_str!("../../fixtures/scenarios/supersede.txt");
        let said: Vec<String> =
            text.lines().filter_map(|l| l.strip_prefix("> ")).map(|c| speak::play(&mut world, c)).collect();
        said
    };
    assert_eq!(story(1_772_000_000), story(0));
    assert_eq!(story(1_772_000_000), story(i64::MAX));
}

#[test]
fn t26_an_approval_belongs_to_an_id_and_not_to_a_login() {
    let mut world = waiting("approval 2 of maintain");
    speak::play(&mut world, "ana (maintain) on #7: /approve prod");
    let mut renamed = world.people["ana"].clone();
    renamed.person.login = "ana2".parse().unwrap();
    world.people.insert("ana2".to_owned(), renamed);
    assert_eq!(speak::play(&mut world, "ana2 on #7: /approve prod"), "👍 ok");
    assert_eq!(speak::play(&mut world, "work"), "nothing to do");
    let mut other = world.people["bo"].clone();
    other.person.login = "ana".parse().unwrap();
    world.people.insert("other".to_owned(), other);
    let said = speak::play(&mut world, "other (maintain) on #7: /approve prod");
    assert!(said.contains("prod: queued"), "another person with a login that was used before: {said}");
}
