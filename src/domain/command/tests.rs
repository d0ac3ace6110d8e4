//! The vectors, the table against the parser, and what may never be a command.

use proptest::prelude::*;
use serde::Deserialize;

use super::parse::{Command, Hint, LONGEST_BODY, ParseError, Parsed, Spelling, parse};
use super::prefix::Prefix;
use super::*;

#[derive(Deserialize)]
struct Vector {
    name: String,
    body: Option<String>,
    expect: Expect,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    commands: Vec<Said>,
    error: Option<String>,
    hint: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    verb: String,
    stage: Option<String>,
    release: Option<String>,
    note: Option<String>,
}

impl Expect {
    fn of(parsed: &Parsed) -> Self {
        let mut answer = Self { commands: Vec::new(), error: None, hint: None };
        match parsed {
            Parsed::Commands(commands) => {
                answer.commands = commands.iter().map(|c| Said::of(&c.ask)).collect();
            }
            Parsed::Refused(error) => answer.error = Some(error.code().to_owned()),
            Parsed::Nothing { hint } => answer.hint = hint.map(|h| h.code().to_owned()),
        }
        answer
    }
}

impl Said {
    fn of(ask: &Ask) -> Self {
        Self {
            verb: ask.verb().to_string(),
            stage: ask.stage().map(ToString::to_string),
            release: ask.release().map(ToString::to_string),
            note: ask.reason().map(ToString::to_string),
        }
    }
}

fn commands(body: &str) -> Vec<Command> {
    match parse(Some(body), Spelling::Bare) {
        Parsed::Commands(commands) => commands,
        other @ (Parsed::Refused(_) | Parsed::Nothing { .. }) => panic!("{body:?} gives {other:?}"),
    }
}

fn ask(body: &str) -> Ask {
    let mut all = commands(body);
    assert_eq!(all.len(), 1, "{body:?}");
    all.remove(0).ask
}

fn refused(body: &str) -> ParseError {
    match parse(Some(body), Spelling::Bare) {
        Parsed::Refused(error) => error,
        other @ (Parsed::Commands(_) | Parsed::Nothing { .. }) => panic!("{body:?} gives {other:?}"),
    }
}

fn nothing(body: &str) -> Option<Hint> {
    match parse(Some(body), Spelling::Bare) {
        Parsed::Nothing { hint } => hint,
        other @ (Parsed::Commands(_) | Parsed::Refused(_)) => panic!("{body:?} gives {other:?}"),
    }
}

fn stage(text: &str) -> StageRef {
    text.parse().unwrap()
}

#[test]
fn t13_the_vectors() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../../../fixtures/comments.json")).unwrap();
    assert_eq!(vectors.len(), 48);
    for vector in vectors {
        let got = Expect::of(&parse(vector.body.as_deref(), Spelling::Bare));
        assert_eq!(got, vector.expect, "{}", vector.name);
    }
}

/// The usage with every optional part, and with none.
fn examples(usage: &str) -> [String; 2] {
    let full = usage.replace(['[', ']', '<', '>'], "");
    let mut bare = usage.to_owned();
    while let Some((before, rest)) = bare.split_once(" [") {
        bare = format!("{before}{}", rest.split_once(']').unwrap().1);
    }
    let filled = |text: &str| {
        text.replace(['<', '>'], "")
            .replace(" stage|*", " prod")
            .replace("until=DATE", "until=2026-12-18")
            .replace(" stage", " prod")
            .replace(" release", " v1.4.2")
            .replace(" runbook", " clean-images")
            .replace(" key=value…", " dry-run=no older-than=7d")
            .replace(" check", " soak")
            .replace(" note", " looks good")
            .replace(" reason", " vendor outage INC-42")
    };
    [filled(&full), filled(&bare)]
}

#[test]
fn every_usage_in_the_table_parses_and_prints_back() {
    for row in VERBS {
        for example in examples(row.usage) {
            let ask = ask(&example);
            assert_eq!(ask.verb(), row.verb, "{example}");
            assert_eq!(ask.line(), example);
            let prefix: Prefix = "lift".parse().unwrap();
            let line = prefix.line(&example);
            let read = Parsed::Commands(vec![Command { ask, line: line.clone() }]);
            assert_eq!(parse(Some(&line), prefix.required()), read);
            assert_eq!(parse(Some(&line), prefix.optional()), read);
        }
        assert_eq!(Verb::of_word(row.word), Some(row.verb));
        assert!(row.usage.starts_with(&format!("/{}", row.word)));
        assert_eq!(row.verb.row(), *row);
    }
    assert!(VERBS.windows(2).all(|pair| pair[0].verb < pair[1].verb), "each verb once");
}

#[test]
fn a_verb_without_what_it_needs_is_refused_with_the_line_to_write() {
    for row in VERBS {
        let naked = format!("/{}", row.word);
        if row.usage.contains("<stage>") {
            let error = refused(&naked);
            assert_eq!(error.code(), "missing_stage");
            assert!(error.paste.starts_with(&format!("/{} <stage>", row.word)), "{error}");
        }
        if row.verb.needs_reason() {
            let args = if row.verb == Verb::Override { " prod soak" } else { " prod" };
            for end in ["", " --", " --  ", " -- \u{200b}\u{202e}"] {
                let error = refused(&format!("{naked}{args}{end}"));
                assert_eq!(error.code(), "missing_reason");
                assert_eq!(error.paste, format!("{naked}{args} -- reason"));
            }
        }
    }
    assert_eq!(
        refused("/approve prod please").to_string(),
        "`please` is not a release: it is a version with a digit in it, 7 to 64 digits of a commit, or \
         `sha256:` and at least 12 digits; a note goes behind ` -- `. Nothing in this comment was done. \
         Write `/approve prod`."
    );
    assert_eq!(
        refused("/signoff").to_string(),
        "Which team? `signoff` needs its name. Nothing in this comment was done. Write `/signoff <team>`."
    );
    assert_eq!(refused("/signoff a/b/c").code(), "bad_team");
    assert_eq!(refused("/signoff qa Prod!").paste, "/signoff qa");
    assert_eq!(refused("/override prod").code(), "missing_check");
    assert_eq!(refused("/help me").code(), "too_many_arguments");
    assert_eq!(refused("/cancel prod now").code(), "bad_release_or_extra_words");
    assert_eq!(refused("/override prod soak now -- it is known").code(), "bad_release_or_extra_words");
    assert_eq!(refused("/retry prod verify v1.4.2").code(), "too_many_arguments");
    assert_eq!(
        refused("/retry prod smoke").to_string(),
        "`smoke` is no release and no part of a stage: `verify` runs its checks alone again. Nothing in this \
         comment was done. Write `/retry prod`."
    );
    assert_eq!(refused("/approve prod\n/approve").code(), "missing_stage");
}

#[test]
fn a_stage_may_name_its_pipeline_and_hold_may_name_none() {
    assert_eq!(ask("/approve Acme.Web/PROD v1").stage().map(ToString::to_string).unwrap(), "Acme.Web/prod");
    assert_eq!(refused("/approve a/b/prod").code(), "bad_stage");
    let frozen = ask("/freeze * until=2026-12-18 -- year end");
    let until = "2026-12-18".parse().ok();
    assert_eq!(frozen, Ask::Freeze { stage: None, until, reason: Reason::of("year end").unwrap() });
    assert_eq!(ask("/unfreeze PROD"), Ask::Unfreeze { stage: Some(stage("prod")) });
    assert_eq!(refused("/freeze -- year end").code(), "missing_stage");
    assert_eq!(refused("/unfreeze").code(), "missing_stage");
    assert_eq!(refused("/freeze prod until=18.12. -- year end").code(), "bad_until");
    assert_eq!(refused("/freeze prod 2026-12-18 -- year end").code(), "too_many_arguments");
    let all = ask("/hold * -- db migration");
    assert_eq!(all, Ask::Hold { stage: None, reason: Reason::of("db migration").unwrap() });
    assert_eq!(ask("/hold -- db migration"), all);
    assert_eq!(ask("/unhold"), ask("/unhold *"));
    assert_eq!(ask("/status"), Ask::Status { stage: None });
    assert_eq!(refused("/approve *").code(), "bad_stage");
    assert!(stage("web/prod").may_be(&stage("prod")));
    assert!(!stage("web/prod").may_be(&stage("api/prod")));
}

#[test]
fn t20_tokens_for_a_shell_are_neither_stage_nor_release() {
    let tokens = [
        "-x",
        "--help",
        "$(id)",
        ";id",
        "&&",
        "|",
        "`id`",
        "{curl,-sS,x}",
        "$TOKEN",
        "a&&id",
        "'a",
        "\"a\"",
        "a=b",
        "%0a1",
        "~root1",
        "*1",
        "?1",
        "!1",
        "\\1",
        "<1",
        ">1",
        "(1)",
        "--output=x1",
        "-1",
    ];
    for token in tokens {
        assert_eq!(refused(&format!("/approve {token}")).code(), "bad_stage", "{token}");
        assert_eq!(
            refused(&format!("/approve prod {token}")).code(),
            "bad_release_or_extra_words",
            "{token}"
        );
        assert_eq!(refused(&format!("/override prod {token} -- vendor outage")).code(), "not_overridable");
    }
}

#[test]
fn t21_revision_syntax_is_no_release_and_hex_is_a_commit_to_look_up() {
    for text in
        [":/msg1", "main@{1}", "HEAD^{/x1}", "HEAD~1", "v1..v2^", "refs/tags/v1", "sha256:0f1e2d3c4b5", "@1"]
    {
        assert_eq!(refused(&format!("/approve prod {text}")).code(), "bad_release_or_extra_words", "{text}");
    }
    let release = |text: &str| ask(&format!("/approve prod {text}")).release().unwrap().clone();
    assert_eq!(release("7B9BC25"), ReleaseRef::Commit("7b9bc25".into()));
    assert_eq!(release("20260308"), ReleaseRef::Commit("20260308".into()));
    assert_eq!(release("2026.3.8"), ReleaseRef::Version("2026.3.8".into()));
    assert_eq!(release("v1.4.2-rc.1+B5"), ReleaseRef::Version("v1.4.2-rc.1+B5".into()));
    assert_eq!(release("abc12"), ReleaseRef::Version("abc12".into()));
    assert_eq!(release("SHA256:0F1E2D3C4B5A"), ReleaseRef::Digest("0f1e2d3c4b5a".into()));
    let zeros = "0".repeat(65);
    assert_eq!(refused(&format!("/approve prod {zeros}")).code(), "bad_release_or_extra_words");
}

#[test]
fn t16_an_error_names_code_points_and_echoes_none() {
    let bodies =
        ["/approve \u{440}rod", "/approve pr\u{200b}od", "/approve \u{202e}dorp", "/approve\u{a0}prod"];
    for (body, point) in bodies.into_iter().zip(["U+0440", "U+200B", "U+202E", "U+00A0"]) {
        let error = refused(body);
        assert_eq!(error.code(), "bad_character");
        assert!(error.to_string().contains(point), "{error}");
        assert!(error.to_string().is_ascii(), "{error}");
    }
    assert_eq!(nothing("/\u{430}pprove prod"), None, "a Cyrillic verb is no verb of ours");
    assert_eq!(refused("/approve prod\r/approve qa").code(), "bad_character");
    assert_eq!(refused("/approve prod\u{c}").code(), "bad_character");
}

#[test]
fn t23_with_a_prefix_word_only_prefixed_lines_are_ours() {
    let with = |body: &str| parse(Some(body), Spelling::Prefixed("liftlock"));
    assert_eq!(with("/approve prod"), Parsed::Nothing { hint: None });
    assert_eq!(with("/liftlockapprove prod"), Parsed::Nothing { hint: None });
    assert_eq!(with("/liftlock"), Parsed::Nothing { hint: None });
    assert_eq!(with("/liftlock lgtm"), Parsed::Nothing { hint: None });
    assert_eq!(with("hi\n/liftlock approve prod"), Parsed::Nothing { hint: Some(Hint::NotAtTop) });
    let Parsed::Commands(found) = with("/LiftLock  Approve prod\r\n/liftlock hold qa -- x\r\nbye") else {
        panic!("not read")
    };
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].ask, ask("/approve prod"));
    assert_eq!(found[1].line, "/liftlock hold qa -- x");
    let Parsed::Refused(error) = with("/liftlock approve") else { panic!("not refused") };
    assert_eq!(error.paste, "/approve <stage>", "what shows it puts the word in");
    for unknown in ["/lgtm", "/thaw prod -- x", "/running db", "/approved prod", "/approve-all"] {
        assert_eq!(nothing(unknown), None, "{unknown}");
    }
}

#[test]
fn t23_where_nobody_else_listens_the_prefix_may_be_left_out() {
    let either = |body: &str| parse(Some(body), Spelling::Either("liftlock"));
    let Parsed::Commands(found) = either("/approve prod\n/liftlock hold qa -- x\n/unhold test") else {
        panic!("not read")
    };
    let lines: Vec<&str> = found.iter().map(|command| command.line.as_str()).collect();
    assert_eq!(lines, ["/approve prod", "/liftlock hold qa -- x", "/unhold test"]);
    assert_eq!(either("/liftlock lgtm"), Parsed::Nothing { hint: None });
    assert_eq!(either("/other approve prod"), Parsed::Nothing { hint: None });
    assert_eq!(either("hi\n/approve prod"), Parsed::Nothing { hint: Some(Hint::NotAtTop) });
}

#[test]
fn one_comment_moves_a_stage_one_way() {
    for body in [
        "/approve prod\n/revoke prod",
        "/approve prod v1\n/approve prod v2",
        "/approve prod\n/reject web/prod -- no",
        "/hold * -- wait\n/approve prod",
        "/hold prod -- a\n/unhold",
        "/retry prod\n/cancel prod",
        "/rollback prod -- broken\n/promote prod",
        "/rollback prod v1 -- broken\n/rollback prod v2 -- broken",
    ] {
        assert_eq!(refused(body).code(), "conflicting_commands", "{body}");
    }
    for body in [
        "/approve prod\n/reject qa -- no",
        "/approve web/prod\n/reject api/prod -- no",
        "/approve prod\n/promote prod",
        "/override prod soak -- vendor outage\n/override prod deps -- vendor outage",
        "/rollback prod -- broken\n/hold prod -- broken",
        "/signoff qa prod\n/signoff security prod",
        "/signoff qa prod\n/approve prod",
        "/status prod\n/approve prod",
        "/approve prod\n/help",
    ] {
        assert_eq!(commands(body).len(), 2, "{body}");
    }
    let six = refused("/hold a -- x\n/hold b -- x\n/hold c -- x\n/hold d -- x\n/hold e -- x\n/hold f -- `x`");
    assert_eq!(six.paste, "/hold f -- reason");
    let error = refused("/approve prod\n/reject prod -- `no` @org/team");
    assert_eq!(
        error.to_string(),
        "`/approve prod` and `/reject prod` in one comment contradict each other. \
         Nothing in this comment was done. Write `/approve prod`."
    );
}

#[test]
fn t31_integrity_checks_cannot_be_overridden() {
    for check in ["digest", "signature", "contract", "lock", "self-approval", "approvals", "*"] {
        assert_eq!(refused(&format!("/override prod {check} -- vendor outage")).code(), "not_overridable");
    }
    assert_eq!(refused("/override prod soak -- too short").code(), "reason_too_short");
    assert_eq!(
        ask("/override prod SOAK -- vendor outage"),
        Ask::Override {
            stage: stage("prod"),
            check: Overridable::Soak,
            release: None,
            reason: Reason::of("vendor outage").unwrap()
        }
    );
}

#[test]
fn t24_retry_names_a_release_or_nothing_and_never_what_git_calls_it() {
    assert_eq!(ask("/retry prod"), Ask::Retry { stage: stage("prod"), release: None, part: None });
    assert_eq!(ask("/retry prod Verify").release(), None);
    for release in ["v2", "9fceb02", "sha256:0f1e2d3c4b5a"] {
        let line = format!("/retry prod {release} verify");
        let named = Ask::Retry {
            stage: stage("prod"),
            release: Some(release.parse().unwrap()),
            part: Some(Part::Verify),
        };
        assert_eq!((ask(&line), named.line()), (named.clone(), line));
    }
    for release in ["main", "HEAD^{tree}", ":/fix"] {
        assert_eq!(refused(&format!("/retry prod {release}")).code(), "bad_part");
    }
}

#[test]
fn a_reason_is_one_visible_line_of_at_most_500_characters() {
    let note = |text: &str| ask(&format!("/approve prod -- {text}")).reason().unwrap().to_string();
    assert_eq!(note("a\tb \u{202e}c\u{200b}d\u{7} -- é"), "a b cd -- é");
    assert_eq!(note(&"ä".repeat(500)), "ä".repeat(500));
    assert_eq!(refused(&format!("/approve prod -- {}", "ä".repeat(501))).code(), "reason_too_long");
    assert_eq!(ask("/approve prod --").reason(), None);
    assert_eq!(refused("/approve prod --note").code(), "bad_release_or_extra_words");
}

#[test]
fn t13_hidden_or_quoted_lines_are_no_commands_and_give_no_hint() {
    for body in [
        "text <!-- hidden\n/approve prod\n-->",
        "<script>\n\n/approve prod\n</script>",
        "<div>\n/approve prod\n</div>",
        "> quoted\n/approve prod",
        "    /approve prod",
        "\t/approve prod",
        "- /approve prod",
        "```sh\n/approve prod\n~~~\n/approve prod\n```",
        "[![x](y)](/approve prod)",
    ] {
        assert_eq!(nothing(body), None, "{body}");
    }
    for body in [
        "Hi team\n/approve prod",
        "```\nlog\n```\n/approve prod",
        "<!-- template -->\n\n/approve prod",
        "<!--\ntemplate\n-->\n/approve prod",
        "> quoted\n\n/approve prod",
        "/lgtm\n/approve prod",
        "<pre>x</pre>\n\n   /Approve prod -- now",
    ] {
        assert_eq!(nothing(body), Some(Hint::NotAtTop), "{body}");
    }
}

#[test]
fn t14_what_we_say_to_people_is_no_command_when_it_comes_back() {
    let mut replies = vec![Hint::NotAtTop.to_string()];
    for body in [
        "/approve",
        "/approve p;d",
        "/approve prod x",
        "/hold prod",
        "/override prod digest -- x",
        "/retry p x",
    ] {
        replies.push(refused(body).to_string());
    }
    for row in VERBS {
        replies.push(format!("`{}` — {}", row.usage, row.meaning));
    }
    for reply in replies {
        assert_eq!(nothing(&reply), None, "{reply}");
    }
}

#[test]
fn the_longest_comment_counts_characters_not_bytes() {
    let body = |filler: usize| format!("/approve prod\n{}", "ä".repeat(filler));
    let head = "/approve prod\n".len();
    assert_eq!(commands(&body(LONGEST_BODY - head)).len(), 1);
    assert_eq!(nothing(&body(LONGEST_BODY - head + 1)), None);
}

fn any_ask() -> impl Strategy<Value = Ask> {
    let stage = "([A-Za-z0-9][A-Za-z0-9._-]{0,9}/)?[a-z][a-z0-9-]{0,9}".prop_map(|t| stage(&t));
    let release = prop_oneof!["v[0-9]{1,3}\\.[0-9]{1,3}", "[0-9a-f]{7,40}", "sha256:[0-9a-f]{12,64}"]
        .prop_map(|t| Some(t.parse().unwrap()));
    let reason = "[!-~][ -~äé]{0,40}x{10}".prop_map(|t| Reason::of(&t).unwrap());
    (stage, release, reason, 0..VERBS.len()).prop_map(|(stage, release, reason, row)| {
        let check = Overridable::Check("sdl".parse().unwrap());
        match VERBS[row].verb {
            Verb::Approve => Ask::Approve { stage, release, note: Some(reason) },
            Verb::Signoff => Ask::Signoff {
                team: "acme/qa".parse().unwrap(),
                stage: Some(stage),
                release,
                note: Some(reason),
            },
            Verb::Revoke => Ask::Revoke { stage, release },
            Verb::Reject => Ask::Reject { stage, release, reason },
            Verb::Resume => Ask::Resume { stage, release, note: Some(reason) },
            Verb::Hold => Ask::Hold { stage: Some(stage), reason },
            Verb::Unhold => Ask::Unhold { stage: None },
            Verb::Freeze => Ask::Freeze { stage: None, until: "2026-12-18".parse().ok(), reason },
            Verb::Unfreeze => Ask::Unfreeze { stage: Some(stage) },
            Verb::Promote => Ask::Promote { stage, release: None },
            Verb::Retry => Ask::Retry { stage, release, part: Some(Part::Verify) },
            Verb::Cancel => Ask::Cancel { stage, release, exactly: None },
            Verb::Rollback => Ask::Rollback { stage, release, reason },
            Verb::Override => Ask::Override { stage, check, release, reason },
            Verb::Run => {
                let inputs = [("dry-run", "no"), ("older-than", "")];
                let inputs = inputs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
                Ask::Run { runbook: stage, inputs }
            }
            Verb::Start => {
                let inputs = [("service".to_owned(), "checkout".to_owned())].into();
                Ask::Start { pipeline: "acme.Web".parse().unwrap(), inputs }
            }
            Verb::Preview => Ask::Preview { stage, release },
            Verb::Why => Ask::Why { stage },
            Verb::Status => Ask::Status { stage: Some(stage) },
            Verb::Recheck => Ask::Recheck,
            Verb::Help => Ask::Help,
        }
    })
}

proptest! {
    #[test]
    fn t13_only_a_comment_that_starts_with_a_slash_is_a_command(
        body in "(\u{feff}|[ \n>`]{0,2})(/(approve|hold|help|x)([ \t\u{a0}](prod|\\*|--|v1|\u{440})){0,4}[\r]?\n?){0,7}\\PC{0,20}"
    ) {
        if let Parsed::Commands(found) = parse(Some(&body), Spelling::Bare) {
            let text = body.strip_prefix('\u{feff}').unwrap_or(&body);
            prop_assert!(text.starts_with('/'), "{:?}", body);
            prop_assert!(!found.is_empty() && found.len() <= 5);
            for command in found {
                prop_assert!(body.contains(&command.line));
                prop_assert!(command.ask.head().is_ascii());
            }
        }
    }

    #[test]
    fn nothing_that_is_said_makes_it_panic(body in any::<String>(), prefix in proptest::option::of("[a-z]{1,8}")) {
        let slashed = format!("/approve {body}\n/{body}");
        for text in [body.as_str(), slashed.as_str()] {
            let spelling = prefix.as_deref().map_or(Spelling::Bare, Spelling::Prefixed);
            if let Parsed::Refused(error) = parse(Some(text), spelling) {
                prop_assert!(error.to_string().is_ascii() || error.to_string().contains('…'));
            }
        }
    }

    #[test]
    fn what_a_command_prints_reads_as_the_same_command(ask in any_ask()) {
        let line = ask.line();
        prop_assert_eq!(parse(Some(&line), Spelling::Bare), Parsed::Commands(vec![Command { ask, line }]));
    }
}
