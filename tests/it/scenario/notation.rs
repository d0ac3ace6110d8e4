//! The short notation in which transcripts declare pipelines: `web: test, prod (approval 1 of maintain, soak 1h)`.

use std::collections::{BTreeMap, BTreeSet};

use liftlock::domain::channel::Channel;
use liftlock::domain::check::{Check, CheckKind, Each, Gates, OnTimeout, Order, Reuse, Verify};
use liftlock::domain::contract::{Asset, Contract};
use liftlock::domain::demand::{Button, Timed, Train};
use liftlock::domain::input::Input;
use liftlock::domain::join::{Builds, Inherited, Need};
use liftlock::domain::name::{Alias, PipelineName, StageName};
use liftlock::domain::notice::{Audience, Notify, Topic};
use liftlock::domain::pipeline::rollback::{Rollback, Trigger};
use liftlock::domain::pipeline::strategy::{BlueGreen, Portion, Strategy};
use liftlock::domain::pipeline::target::{Rolling, Targets};
use liftlock::domain::pipeline::{
    About, Agent, ApprovalRule, Artifact, Bind, Branches, Build, Checkout, Contexts, Duty, Environment,
    Exclusion, Hooks, Members, NamedTeam, Naming, Network, OverrideRule, Pipeline, QueuePolicy, Requirement,
    Role, Stage, Start, Step, Triggers, Who,
};
use liftlock::domain::policy::server::{Rule, StagePolicy};
use liftlock::domain::probe::Probe;
use liftlock::domain::reuse::Reuse as Reused;
use liftlock::domain::runbook::Runbook;
use liftlock::domain::schedule::Schedule;
use liftlock::domain::time::Span;
use liftlock::domain::variable::{Scope, Variable};
use liftlock::domain::window::{Deny, Weekday, Weekly, Windows};

/// Reads a pipeline.
pub(crate) fn pipeline(text: &str) -> Pipeline {
    let (name, stages) = text.split_once(':').expect("`name: stage, stage (option, …)`");
    let mut out: Vec<Stage> = Vec::new();
    for part in split_outside(stages) {
        let before = out.last().map(|s| s.name.clone());
        out.push(stage(&part, before));
    }
    Pipeline {
        name: name.trim().parse().unwrap(),
        contexts: Contexts::Short,
        about: About::default(),
        triggers: Triggers::default(),
        build: Build {
            cache: Vec::new(),
            steps: vec![step("make dist")],
            environment: BTreeMap::new(),
            buildspec: None,
            image: None,
            network: Network::None,
            secrets: BTreeSet::new(),
            timeout: Span::minutes(30),
            reuse: Reused::Never,
            checkout: Checkout::Files,
        },
        artifacts: vec![Artifact { alias: "app".parse().unwrap(), path: "dist".to_owned(), image: None }],
        inherits: Vec::new(),
        primary: None,
        withheld: BTreeSet::new(),
        uploads: BTreeSet::new(),
        workflow: None,
        sources: Vec::new(),
        feeds: BTreeSet::new(),
        release: Naming::default(),
        variables: BTreeMap::new(),
        groups: Vec::new(),
        channels: Vec::new(),
        notify: Vec::new(),
        retention: None,
        stages: out,
        runbooks: Vec::new(),
    }
}

/// `service`, `dry-run yes|no`, `older-than 7d`: one that must be given, one with choices, one with a default.
fn input(text: &str) -> (String, Input) {
    let (name, value) = text.split_once(' ').unwrap_or((text, ""));
    let input = match value {
        "" => Input { required: true, ..Input::default() },
        choices if choices.contains('|') => {
            let choices = choices.split('|').map(str::to_owned).collect();
            Input { required: true, choices, default: None }
        }
        default => Input { default: Some(default.to_owned()), ..Input::default() },
    };
    (name.to_owned(), input)
}

/// `clean (from maintain, approval 1 of write, not initiator, on prod, at 0 3 * * *, takes dry-run yes|no)`.
fn runbook(text: &str) -> Runbook {
    let (name, options) = text.split_once(" (").expect("`name (option, …)`");
    let mut book = Runbook {
        name: name.parse().unwrap(),
        steps: vec![step("./runbook.sh")],
        schedule: None,
        from: vec![Who::Role(Role::Maintain)],
        approval: None,
        inputs: BTreeMap::new(),
        stages: Vec::new(),
        environment_variables: BTreeMap::new(),
        secrets: BTreeSet::new(),
        timeout: Span::hours(1),
    };
    for option in options.trim_end_matches(')').split(", ") {
        let (word, rest) = option.split_once(' ').unwrap_or((option, ""));
        match word {
            "from" => book.from = rest.split(" or ").map(who).collect(),
            "approval" => {
                let (min, from) = rest.split_once(" of ").unwrap();
                let mut rule = liftlock::domain::approval::default_rule(min.parse().unwrap());
                rule.from = from.split(" or ").map(who).collect();
                book.approval = Some(rule);
            }
            "not" => {
                book.approval.as_mut().unwrap().exclude.insert(Exclusion::Initiator);
            }
            "on" => book.stages.push(rest.parse().unwrap()),
            "at" => book.schedule = Some(Schedule::new(rest, "UTC").unwrap()),
            "takes" => {
                book.inputs.extend([input(rest)]);
            }
            other => panic!("no option {other}"),
        }
    }
    book
}

/// `name $(prefix)-$(Rev:r)`, `version 8.0.$(Rev:r)`, `variable Name = text`, `variable Name in prod = text`, `step of
/// prod: ./deploy.sh`.
pub(crate) fn declare(pipeline: &mut Pipeline, word: &str, text: &str) {
    let stage = |pipeline: &mut Pipeline, name: &str| {
        pipeline.stages.iter().position(|s| s.name.as_str() == name).expect("a stage of the pipeline")
    };
    if word == "runbook" {
        pipeline.runbooks.push(runbook(text));
        return;
    }
    if word == "name" {
        pipeline.release.name = Some(text.parse().unwrap());
        return;
    }
    if word == "version" {
        pipeline.release.version = Some(text.parse().unwrap());
        return;
    }
    if matches!(word, "reuse" | "build-variable" | "build-secret") {
        return declare_build(&mut pipeline.build, word, text);
    }
    if word == "contract" {
        pipeline.release.contract = Some(contract(text));
        return;
    }
    if word == "button" {
        pipeline.triggers.button = Some(button(text));
        return;
    }
    if word == "schedule" {
        let (cron, channel) = text.split_once(" as ").unwrap_or((text, ""));
        let schedule = Schedule::new(cron, "UTC").unwrap();
        pipeline.triggers.schedule.push(Timed { schedule, channel: channel.parse().ok() });
        return;
    }
    if word == "builds" {
        builds(pipeline, text);
        return;
    }
    if word == "channel" {
        pipeline.channels.push(channel(text));
        return;
    }
    if word == "notify" {
        let mut words = text.split(' ');
        let to = words.next().unwrap().parse().unwrap();
        let (audience, events) = match text.split_once(" as ") {
            Some((_, word)) => (Audience::of_word(word).unwrap(), text.split(" as ").next().unwrap()),
            None => (Audience::default(), text),
        };
        let topic = |word: &&str| *Topic::ALL.iter().find(|t| t.word() == *word).unwrap();
        let events = events.split(' ').skip(1).collect::<Vec<_>>().iter().map(topic).collect();
        pipeline.notify.push(Notify { to, events, audience });
        return;
    }
    if word == "step" {
        let (of, run) = text.split_once(": ").expect("step of <stage>: <command>");
        let at = stage(pipeline, of.strip_prefix("of ").unwrap());
        pipeline.stages[at].deploy = vec![step(run)];
        return;
    }
    let (name, value) = text.split_once(" = ").expect("variable <name> = <text>");
    let (value, settable) = value.strip_suffix(" (settable)").map_or((value, false), |value| (value, true));
    let variable = Variable { value: value.to_owned(), scope: Scope::Release, settable };
    let variables = match name.split_once(" in ") {
        Some((_, of)) => {
            let at = stage(pipeline, of);
            &mut pipeline.stages[at].variables
        }
        None => &mut pipeline.variables,
    };
    variables.insert(name.split(' ').next().unwrap().parse().unwrap(), variable);
}

/// `service, region eu`, `service per service`.
fn button(text: &str) -> Button {
    let (text, per) = text.split_once(" per ").map_or((text, None), |(text, per)| (text, Some(per)));
    let inputs = text.split(", ").map(input).collect();
    Button { title: None, inputs, per: per.map(str::to_owned) }
}

/// `reuse commit`, `build-variable MODE = fast`, `build-secret TOKEN`: what its build shares, and is told.
fn declare_build(build: &mut Build, word: &str, text: &str) {
    if word == "reuse" {
        build.reuse = Reused::of_word(text);
        return;
    }
    if word == "build-secret" {
        build.secrets.insert(text.to_owned());
        return;
    }
    let (name, value) = text.split_once(" = ").expect("build-variable <name> = <value>");
    build.environment.insert(name.to_owned(), value.to_owned());
}

/// `app, app/*.zip`.
fn contract(text: &str) -> Contract {
    let assets = text.split(", ").map(|asset| {
        let (artifact, files) = asset.split_once('/').map_or((asset, None), |(a, f)| (a, Some(f)));
        Asset { files: files.map(|files| files.parse().unwrap()), ..Asset::of(artifact.parse().unwrap()) }
    });
    Contract { assets: assets.collect(), ..Contract::default() }
}

/// `any studio runtime settle 2m`, `all of a commit: …`, `all anew: …`: builds of others, and nothing of its own.
fn builds(pipeline: &mut Pipeline, text: &str) {
    let (text, settle) = text.split_once(" settle ").unwrap_or((text, "2m"));
    let (need, names) = if let Some(names) = text.strip_prefix("any ") {
        (Need::Any, names)
    } else if let Some(names) = text.strip_prefix("all of a commit ") {
        (Need::AllOfCommit, names)
    } else {
        (Need::AllNewest, text.strip_prefix("all anew ").unwrap())
    };
    let from: Vec<PipelineName> = names.split(' ').map(|name| name.parse().unwrap()).collect();
    pipeline.build.steps.clear();
    pipeline.artifacts.clear();
    let take = |name: &PipelineName| {
        let alias: Alias = name.as_str().parse().unwrap();
        Inherited {
            artifact: alias.clone(),
            alias,
            pipeline: name.clone(),
            is_image: false,
            image: None,
            abroad: None,
        }
    };
    pipeline.inherits = from.iter().map(take).collect();
    pipeline.triggers.builds =
        Some(Builds { need, from, abroad: BTreeSet::new(), settle: settle.parse().unwrap() });
}

/// `servicing default, branch release/*, version prerelease:^preview, stage prep`.
fn channel(text: &str) -> Channel {
    let mut parts = text.split([' ', ',']).filter(|p| !p.is_empty());
    let name = parts.next().unwrap().parse().unwrap();
    let mut channel =
        Channel { name, default: false, branches: Vec::new(), version: None, stages: BTreeSet::new() };
    while let Some(word) = parts.next() {
        match word {
            "default" => channel.default = true,
            "branch" => channel.branches.push(parts.next().unwrap().parse().unwrap()),
            "version" => channel.version = parts.next().unwrap().parse().ok(),
            "stage" => {
                channel.stages.insert(parts.next().unwrap().parse().unwrap());
            }
            other => panic!("a channel has no {other}"),
        }
    }
    channel
}

/// Splits at commas that stand outside of parentheses.
fn split_outside(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(c);
    }
    parts.into_iter().map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()).collect()
}

fn stage(text: &str, before: Option<StageName>) -> Stage {
    let (name, options) = text.split_once('(').unwrap_or((text, ")"));
    let name = name.trim();
    let mut stage = Stage {
        name: name.parse().unwrap(),
        about: About::default(),
        channels: BTreeSet::new(),
        branches: Branches::default(),
        environment: name.parse().unwrap(),
        around: Environment::default(),
        needs: before.into_iter().collect(),
        needs_any: Vec::new(),
        duty: Duty::Mandatory,
        start: Start::Auto,
        train: None,
        approval: None,
        signoff: None,
        soak: Span::ZERO,
        hold_during_soak: false,
        queue: QueuePolicy::Latest,
        agent: Agent::Local,
        agents: BTreeSet::new(),
        hooks: Hooks::default(),
        targets: None,
        strategy: None,
        deploy: vec![step("./deploy.sh")],
        deployments: Vec::new(),
        test_commands: vec![step("./smoke.sh")],
        environment_variables: BTreeMap::new(),
        variables: BTreeMap::new(),
        groups: Vec::new(),
        secrets: BTreeSet::new(),
        oauth_token: false,
        retries: 0,
        timeout: Span::hours(1),
        rollback_approvals: 1,
        rollback: Rollback::default(),
        verify: Verify::default(),
        gates: Gates::default(),
        windows: Vec::new(),
        rollback_ignores_windows: true,
        overriding: OverrideRule::default(),
    };
    let options = options.trim().strip_suffix(')').expect("a closing parenthesis");
    for option in options.split(',').map(str::trim).filter(|o| !o.is_empty()) {
        set(&mut stage, option);
    }
    stage
}

fn set(stage: &mut Stage, option: &str) {
    if let Some(asked) = option.strip_prefix("after ") {
        // The same words, for after the deploy.
        std::mem::swap(&mut stage.approval, &mut stage.signoff);
        set(stage, asked);
        std::mem::swap(&mut stage.approval, &mut stage.signoff);
        return;
    }
    let (word, rest) = option.split_once(' ').unwrap_or((option, ""));
    match word {
        "approval" => {
            let (min, from) = rest.split_once(" of ").unwrap_or((rest, "maintain"));
            let rule = rule(stage);
            rule.min = min.parse().unwrap();
            rule.from = if from == "anyone" { Vec::new() } else { from.split(" or ").map(who).collect() };
        }
        "require" => {
            let (min, of) = rest.split_once(" of ").unwrap();
            let requirement = Requirement { who: who(of), min: min.parse().unwrap() };
            // As a manifest without `from` reads: whoever a group asks for counts.
            let rule = stage.approval.get_or_insert_with(|| {
                let nobody = liftlock::domain::approval::default_rule(1);
                ApprovalRule { from: Vec::new(), ..nobody }
            });
            if !rule.from.contains(&who("maintain")) {
                rule.from.push(requirement.who.clone());
            }
            rule.require.push(requirement);
        }
        "distinct" => rule(stage).distinct = true,
        "not" => {
            rule(stage).exclude.insert(match rest {
                "initiator" => Exclusion::Initiator,
                "authors" => Exclusion::CommitAuthors,
                "pusher" => Exclusion::Pusher,
                other => panic!("nobody is called {other}"),
            });
        }
        "reuse" => rule(stage).reuse_from = rest.split('+').map(|n| n.parse().unwrap()).collect(),
        "bound" => rule(stage).bind = Bind::Version,
        "says" => rule(stage).instructions = Some(rest.replace("\\n", "\n")),
        "valid" => rule(stage).valid_for = rest.parse().unwrap(),
        "timeout" => rule(stage).timeout = rest.parse().unwrap(),
        "soak" => stage.soak = rest.parse().unwrap(),
        "guarded" => stage.hold_during_soak = true,
        "queue" => stage.queue = queue(rest),
        "by" => stage.start = Start::Manual,
        "train" => stage.train = Some(train(rest)),
        "takes" => stage.branches = Branches::of(rest.split('+').map(|n| n.parse().unwrap()).collect()),
        "needs" => needs(stage, rest),
        "optional" => stage.duty = Duty::Optional,
        "retries" => stage.retries = rest.parse().unwrap(),
        "channel" => stage.channels = BTreeSet::from([rest.parse().unwrap()]),
        "environment" => stage.environment = rest.parse().unwrap(),
        "override" => {
            let (min, from) = rest.split_once(" of ").unwrap();
            let from = from.split(" or ").map(who).collect();
            stage.overriding = OverrideRule { from: BTreeSet::from([from]), min: min.parse().unwrap() };
        }
        "window" => windows(stage, rest).allow.push(weekly(rest.split_once(' ').unwrap().1)),
        "deny" => {
            let words: Vec<&str> = rest.split(' ').collect();
            let [from, to] = [words[0], words[1]].map(|day| day.parse().unwrap());
            windows(stage, "UTC").deny.push(Deny::Days { name: words[2].to_owned(), from, to });
        }
        "finishes" => windows(stage, "UTC").must_finish = true,
        "patience" => windows(stage, "UTC").timeout = rest.parse().ok(),
        _ => set_checks(stage, (word, rest)),
    }
}

/// `nothing`, `qa+load` for all of them, or `eu/us` for one of them.
fn needs(stage: &mut Stage, text: &str) {
    let names = |by: char| text.split(by).map(|n| n.parse().unwrap()).collect();
    (stage.needs, stage.needs_any) = match text {
        "nothing" => (Vec::new(), Vec::new()),
        _ if text.contains('/') => (Vec::new(), names('/')),
        _ => (names('+'), Vec::new()),
    };
}

/// `0 16 * * tue from staging`, with `anyway` for one that leaves with what is there already, and with a `cut-off 2h`.
fn train(text: &str) -> Train {
    let (text, cut_off) =
        text.split_once(" cut-off ").map_or((text, None), |(text, span)| (text, Some(span)));
    let cut_off = cut_off.map(|span| span.parse().unwrap());
    let (cron, from) = text.rsplit_once(" from ").unwrap();
    let anyway = cron.strip_suffix(" anyway");
    let schedule = Schedule::new(anyway.unwrap_or(cron), "UTC").unwrap();
    Train { schedule, from: from.parse().unwrap(), if_changed: anyway.is_none(), cut_off }
}

/// `all`, `manual`, or `batch 3 1h`.
fn queue(text: &str) -> QueuePolicy {
    match text.split(' ').collect::<Vec<_>>().as_slice() {
        ["all"] => QueuePolicy::All,
        ["manual"] => QueuePolicy::Manual,
        ["batch", max, window] => {
            QueuePolicy::Batch { max: max.parse().unwrap(), window: window.parse().unwrap() }
        }
        _ => panic!("no queue {text}"),
    }
}

/// What is done and asked around the deploy.
fn set_checks(stage: &mut Stage, (word, rest): (&str, &str)) {
    match word {
        "hooked" => {
            stage.hooks.before = vec![step("stop")];
            let mut start = step("start");
            start.terms.always = true;
            stage.hooks.after = vec![start];
        }
        "verify" => stage.verify.parallel = rest.split(' ').map(check).collect(),
        "then" => stage.verify.then = rest.split(' ').map(check).collect(),
        "pre" => stage.gates.pre = rest.split(' ').map(check).collect(),
        "post" => stage.gates.post = rest.split(' ').map(check).collect(),
        "delay" => stage.gates.delay = rest.parse().unwrap(),
        "every" => stage.gates.every = Some(rest.parse().unwrap()),
        "for" => stage.gates.timeout = Some(rest.parse().unwrap()),
        "consecutive" => stage.gates.consecutive = Some(rest.parse().unwrap()),
        "over" => stage.gates.on_timeout = Some(on_timeout(rest)),
        "beside" => stage.gates.order = Order::Parallel,
        "watch" => stage.gates.watch = rest.parse().unwrap(),
        _ => set_rollback(stage, (word, rest)),
    }
}

/// Where it goes, and how it is taken back.
fn set_rollback(stage: &mut Stage, (word, rest): (&str, &str)) {
    match word {
        "rollbacks" if rest == "wait" => stage.rollback_ignores_windows = false,
        "rolling" => {
            let (batch, failed) = rest.split_once(" forgives ").unwrap_or((rest, "0"));
            let rolling = Rolling { batch: batch.parse().unwrap(), max_unavailable: failed.parse().unwrap() };
            stage.targets = Some(Targets { roles: BTreeSet::new(), health: None, rolling });
        }
        "slots" => {
            // `1h:health`: how long the other slot is kept, and what is asked meanwhile.
            let (keep, gates) =
                rest.split_once(':').map_or((rest, None), |(keep, gates)| (keep, Some(gates)));
            stage.strategy = Some(Strategy::BlueGreen(Box::new(BlueGreen {
                slots: ["blue", "green"].map(|name| name.parse().unwrap()),
                switch: step("./switch.sh"),
                before: Vec::new(),
                gates: gates.into_iter().flat_map(|names| names.split('+')).map(check).collect(),
                keep: keep.parse().ok(),
            })));
        }
        "canary" => {
            let portion = |text: &str| {
                let mut parts = text.split(':');
                Portion {
                    percent: parts.next().unwrap().parse().unwrap(),
                    hold: parts.next().map(|span| span.parse().unwrap()),
                    gates: parts.next().into_iter().flat_map(|names| names.split('+')).map(check).collect(),
                }
            };
            stage.strategy = Some(Strategy::Canary(rest.split(' ').map(portion).collect()));
        }
        "locks" => stage.around.lock = Some(rest.parse().unwrap()),
        "url" => stage.around.url = Some(rest.to_owned()),
        "back" => stage.rollback.auto = rest.split(' ').map(|w| Trigger::of_word(w).unwrap()).collect(),
        "agreed" => stage.rollback.approvals = rest.parse().unwrap(),
        "unsafe" => stage.rollback.safe = false,
        "rollback" => stage.rollback_approvals = rest.parse().unwrap(),
        other => panic!("no option {other}"),
    }
}

fn on_timeout(word: &str) -> OnTimeout {
    let words = [OnTimeout::Continue, OnTimeout::Pause, OnTimeout::Reject];
    words.into_iter().find(|w| w.word() == word).unwrap()
}

/// `sdl`, or with its traits: `sdl:cached:each:soft:fixed`, `scan:kept=7d`, `perf:every=5m:consecutive=3:timeout=1h:forgives=2`.
fn check(text: &str) -> Check {
    let mut parts = text.split(':');
    let name = parts.next().unwrap();
    let mut check = Check {
        name: name.parse().unwrap(),
        kind: CheckKind::Run(format!("./{name}.sh")),
        blocking: true,
        overridable: true,
        each: Each::Release,
        reuse: Reuse::Never,
        every: None,
        consecutive: 1,
        delay: Span::ZERO,
        timeout: None,
        on_timeout: OnTimeout::Reject,
        failure_limit: 0,
    };
    for part in parts {
        match part.split_once('=').unwrap_or((part, "")) {
            ("asked", _) => {
                check.kind = CheckKind::Probe(Probe::Issues { query: "is:open".to_owned(), max: 0 });
            }
            ("soft", _) => check.blocking = false,
            ("fixed", _) => check.overridable = false,
            ("each", _) => check.each = Each::Component,
            ("cached", _) => check.reuse = Reuse::Digest,
            ("kept", span) => check.reuse = Reuse::Artifacts { max_age: span.parse().unwrap() },
            ("every", span) => check.every = Some(span.parse().unwrap()),
            ("consecutive", n) => check.consecutive = n.parse().unwrap(),
            ("delay", span) => check.delay = span.parse().unwrap(),
            ("timeout", span) => check.timeout = Some(span.parse().unwrap()),
            ("over", word) => check.on_timeout = on_timeout(word),
            ("forgives", n) => check.failure_limit = n.parse().unwrap(),
            (other, _) => panic!("a check has no trait {other}"),
        }
    }
    check
}

/// The windows of a stage; the first that is said names the zone.
fn windows<'s>(stage: &'s mut Stage, tz: &str) -> &'s mut Windows {
    if stage.windows.is_empty() {
        let tz = tz.split(' ').next().unwrap().parse().unwrap();
        let (allow, deny) = (Vec::new(), Vec::new());
        stage.windows.push(Windows { tz, allow, deny, must_finish: false, timeout: None });
    }
    stage.windows.first_mut().unwrap()
}

/// `mon tue 09:00-17:00`, `weekdays 09:00-17:00`.
fn weekly(text: &str) -> Weekly {
    let (days, hours) = text.rsplit_once(' ').unwrap();
    let days = if days == "weekdays" { "mon tue wed thu fri" } else { days };
    let (from, to) = hours.split_once('-').unwrap();
    Weekly {
        name: None,
        days: days.split(' ').map(|d| Weekday::of_word(d).unwrap()).collect(),
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
    }
}

fn rule(stage: &mut Stage) -> &mut ApprovalRule {
    stage.approval.get_or_insert_with(|| liftlock::domain::approval::default_rule(1))
}

/// A role, a team, `@login`, or a team of the manifest: `qa=acme/qa`, `qa=@ana+@bo`.
fn who(text: &str) -> Who {
    match text.trim() {
        named if named.contains('=') => {
            let (name, members) = named.split_once('=').unwrap();
            let members = match members.strip_prefix('@') {
                Some(users) => Members::Users(users.split("+@").map(|l| l.parse().unwrap()).collect()),
                None => Members::Team(members.parse().unwrap()),
            };
            Who::Named(NamedTeam { name: name.parse().unwrap(), members })
        }
        team if team.contains('/') => Who::Team(team.parse().unwrap()),
        login if login.starts_with('@') => Who::User(login[1..].parse().unwrap()),
        word => Who::Role(role(word).expect("a role, a team or @login")),
    }
}

/// What the server asks: `asks nothing`, or the words of a stage: `prod* (approval 2, not pusher, soak 1h)`.
pub(crate) fn server_policies(text: &str) -> Vec<StagePolicy> {
    let Some((stages, words)) = text.split_once(" (") else { return Vec::new() };
    let asks = Box::new(stage(&format!("any ({words}"), None));
    let mut rules = BTreeSet::from([Rule::Approval]);
    if words.contains("soak") {
        rules.insert(Rule::Soak);
    }
    vec![StagePolicy { stage: stages.parse().unwrap(), rules, asks }]
}

/// A role by its word.
pub(crate) fn role(word: &str) -> Option<Role> {
    [Role::None, Role::Read, Role::Triage, Role::Write, Role::Maintain, Role::Admin]
        .into_iter()
        .find(|r| r.word() == word)
}

fn step(run: &str) -> Step {
    Step::command(run, run)
}
