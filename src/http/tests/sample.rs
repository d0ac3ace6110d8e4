//! A believable week of two pipelines, to test pages with and to look at.

use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::domain::name::Login;
use crate::domain::queue::Progress;
use crate::domain::simulate::ahead::{Act, Ahead};
use crate::domain::time::{Span, Timestamp};
use crate::http::about::{About, ButtonForm, ChannelLine, InputField, StageAbout, WaitLine};
use crate::http::api::{Acts, Apply, Ask, Comment, Reader, Reply};
use crate::http::approvals::AskedLine;
use crate::http::builds::{BuildRow, WhichBuilds};
use crate::http::digests::{DigestPage, DigestUse};
use crate::http::evidence::{EvidenceList, FileBytes, Form};
use crate::http::notes::{NotesText, Written};
use crate::http::published::{PublicationLine, PublishedFile};
use crate::http::queue::{Cancel, QueueLine};
use crate::http::resources::Resource;
use crate::http::retention::{Deleted, RetentionLine};
use crate::http::runbooks::{BookLine, MissedLine, RunLine, RunbooksPage};
use crate::http::session::Caller;
use crate::http::view::{
    ApprovalLine, ArtifactLine, AskedRow, AskedTable, BuildBox, ChangeLine, CheckRow, EventLine, FileLine,
    Light, Link, Mark, NextLine, OverrideLine, ReleaseHead, ReleasePage, ReusedLine, SaidLine, StageBox,
    StageVariables, StageWhy, VariableLine, WhyLine,
};
use crate::store::Store;
use crate::store::delivery::NewDelivery;
use crate::store::model::{PipelineRow, ReleaseRow, Row, StageRow};
use crate::store::step::Step;
use crate::store::stream::{Append, NewEvent};
use crate::trouble::{Outcome, Trouble};

pub(crate) const STREAM: &str = "github:4211/api";

/// The engine of the tests: one page, and commands that are refused when they do not begin with a slash.
pub(crate) struct Engine;

impl Reader for Engine {
    fn builds<'a>(&'a self, which: &'a WhichBuilds) -> BoxFuture<'a, Outcome<Vec<BuildRow>>> {
        Box::pin(async move { Ok(vec![build(); usize::from(which.stream.is_none())]) })
    }

    fn runbooks_page<'a>(&'a self, stream: &'a str) -> BoxFuture<'a, Outcome<RunbooksPage>> {
        Box::pin(async move {
            if stream == STREAM {
                Ok(runbooks())
            } else {
                Err(Trouble::not_found("there is no such pipeline"))
            }
        })
    }

    fn asked<'a>(&'a self, person: Option<&'a Login>) -> BoxFuture<'a, Outcome<Vec<AskedLine>>> {
        Box::pin(async move {
            let all = asked();
            Ok(all.into_iter().filter(|_| person.is_none_or(|who| who.as_str() == "ana")).collect())
        })
    }

    fn queue<'a>(&'a self, stream: Option<&'a str>) -> BoxFuture<'a, Outcome<Vec<QueueLine>>> {
        Box::pin(async move {
            if stream.is_none_or(|stream| stream == STREAM) {
                Ok(queue())
            } else {
                Err(Trouble::not_found("there is no such pipeline"))
            }
        })
    }

    fn digest<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Outcome<DigestPage>> {
        Box::pin(async move {
            let page = digest();
            if page.digest == text { Ok(page) } else { Err(Trouble::not_found("nothing here has it")) }
        })
    }

    fn evidence<'a>(&'a self, _: &'a str, _: u32) -> BoxFuture<'a, Outcome<EvidenceList>> {
        Box::pin(async { Err(Trouble::not_found("nothing is sealed here")) })
    }

    fn proof<'a>(&'a self, _: &'a str, _: u32, _: &'a str) -> BoxFuture<'a, Outcome<String>> {
        Box::pin(async { Err(Trouble::not_found("nothing is sealed here")) })
    }

    fn notes<'a>(&'a self, _: &'a str, _: u32) -> BoxFuture<'a, Outcome<NotesText>> {
        Box::pin(async { Err(Trouble::not_found("there is no such release")) })
    }

    fn metadata<'a>(&'a self, _: &'a str, _: u32) -> BoxFuture<'a, Outcome<Value>> {
        Box::pin(async { Err(Trouble::not_found("there is no such release")) })
    }

    fn keys(&self, _: Form) -> BoxFuture<'_, Outcome<String>> {
        Box::pin(async { Ok(String::new()) })
    }

    fn file<'a>(&'a self, _: &'a str, _: u32, _: &'a str) -> BoxFuture<'a, Outcome<FileBytes>> {
        Box::pin(async { Err(Trouble::not_found("nothing is sealed here")) })
    }

    fn retention(&self) -> BoxFuture<'_, Outcome<Vec<RetentionLine>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn release_page<'a>(&'a self, stream: &'a str, no: u32) -> BoxFuture<'a, Outcome<ReleasePage>> {
        Box::pin(async move {
            if stream == STREAM && no == 142 {
                Ok(page())
            } else {
                Err(Trouble::not_found("there is no such release"))
            }
        })
    }

    fn ahead<'a>(&'a self, _: &'a str, act: Act) -> BoxFuture<'a, Outcome<Ahead>> {
        Box::pin(async move { Ok(looked_ahead(&act)) })
    }

    fn about<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Outcome<About>> {
        Box::pin(async { Ok(about()) })
    }

    fn resources<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Outcome<Vec<Resource>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn pending_apply<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Outcome<Option<String>>> {
        Box::pin(async {
            Ok(Some("pending apply: the manifest of main at 9fceb02 does not load".to_owned()))
        })
    }
}

/// More than one page of approvals, and a run of a runbook that has waited longest.
pub(crate) fn asked() -> Vec<AskedLine> {
    let line = |no: Option<u32>, what| AskedLine {
        pipeline: STREAM.to_owned(),
        no,
        version: no.map_or_else(|| "run 3".to_owned(), |no| format!("v1.4.{no}")),
        stage: if no.is_some() { "prod".to_owned() } else { "clean-images".to_owned() },
        what,
        since: hours(2),
        who: "1 of release (acme/release-team)".to_owned(),
        why: "v1.4.142 waits: 0 of 1 approvals".to_owned(),
        line: "/approve prod v1.4.142".to_owned(),
    };
    let rest = (100..152).map(|no| line(Some(no), "approve"));
    std::iter::once(line(None, "approve")).chain(rest).collect()
}

/// One run that has begun, one that is next, one that waits.
pub(crate) fn queue() -> Vec<QueueLine> {
    let line = |(no, what, state): (u32, &str, Progress), line: &str| QueueLine {
        id: format!("{STREAM}/{no}/{what}/1"),
        pipeline: STREAM.to_owned(),
        no,
        version: format!("v1.4.{no}"),
        what: what.to_owned(),
        state,
        line: line.to_owned(),
        since: hours(1),
    };
    vec![
        line((141, "prod", Progress::Running), "Deploying v1.4.141"),
        line((142, "build", Progress::Queued), "v1.4.142 waits for a worker"),
        line((140, "test", Progress::Waiting), "Waits for `/promote test`"),
    ]
}

pub(crate) fn looked_ahead(act: &Act) -> Ahead {
    Ahead {
        schema: 1,
        pipeline: "api".to_owned(),
        from: "2026-03-08 12:00 UTC".to_owned(),
        act: act.to_string(),
        release: None,
        refused: Some("nothing waits for prod now".to_owned()),
        stages: Vec::new(),
    }
}

pub(crate) fn runbooks() -> RunbooksPage {
    let book = BookLine {
        name: "clean-images".to_owned(),
        commands: vec!["./clean.sh <now>".to_owned()],
        from: vec!["maintain".to_owned()],
        approvals: 1,
        inputs: vec!["dry-run=yes".to_owned()],
        stages: vec!["prod".to_owned()],
        schedule: Some("0 3 * * * (UTC)".to_owned()),
        next_at: Some(noon().plus(Span::hours(15))),
    };
    let run = RunLine {
        run: 3,
        runbook: "clean-images".to_owned(),
        state: "failed".to_owned(),
        light: Light::Bad,
        line: "failed at \"`list`\": exit 1 <b>".to_owned(),
        by: Some("ana".to_owned()),
        approved_by: vec!["bo".to_owned()],
        inputs: vec!["dry-run=no".to_owned()],
        commit: "a".repeat(40),
        asked_at: before(Span::hours(2)),
        moved_at: before(Span::hours(1)),
        log: format!("{STREAM}/runbook-3/1"),
    };
    let why = "nobody was there".to_owned();
    let missed = MissedLine { runbook: "clean-images".to_owned(), due: before(Span::days(1)), why };
    RunbooksPage {
        stream: STREAM.to_owned(),
        pipeline: "web".to_owned(),
        runbooks: vec![book],
        runs: vec![run],
        missed: vec![missed],
    }
}

pub(crate) fn build() -> BuildRow {
    BuildRow {
        repo: "acme/payments".to_owned(),
        stream: STREAM.to_owned(),
        pipeline: "api".to_owned(),
        no: 142,
        version: "v2.14.0".to_owned(),
        number: "20260306.3".to_owned(),
        commit: "c".repeat(40),
        branch: "main".to_owned(),
        reused: Some(ReusedLine {
            of: "v2.14.0-rc.2".to_owned(),
            path: format!("/releases/{STREAM}/141"),
            commit: "9".repeat(40),
            tree: Some("7".repeat(40)),
        }),
        artifacts: vec![ArtifactLine {
            alias: "app".to_owned(),
            file: "app.tar.zst".to_owned(),
            digest: format!("sha256:{}", "d".repeat(64)),
            size: 4_096,
            image: None,
            from: Some("studio v0.1.0-rc.2".to_owned()),
            made: None,
            ships: true,
        }],
        channels: vec!["Candidate Validation".to_owned()],
        released: true,
        state: "released".to_owned(),
        at: before(Span::hours(2)),
    }
}

impl Acts for Engine {
    fn admit_upload<'a>(
        &'a self,
        _: &'a str,
        _: &'a Login,
        _: Caller,
    ) -> BoxFuture<'a, Outcome<crate::http::upload::Admitted>> {
        Box::pin(async { Err(Trouble::refused("nothing is handed in here")) })
    }

    fn end_upload<'a>(
        &'a self,
        _: &'a str,
        _: crate::artifact::store::Incoming,
        _: (crate::domain::name::Alias, crate::domain::name::Digest, Option<crate::domain::name::CommitSha>),
        _: crate::domain::person::Standing,
    ) -> BoxFuture<'a, Outcome<Reply>> {
        Box::pin(async { Ok(Reply { accepted: false, text: String::new() }) })
    }

    fn say(&self, comment: Comment, caller: Caller) -> BoxFuture<'_, Outcome<Reply>> {
        Box::pin(async move {
            let text = format!("{} via {} at {}: {}", comment.by, caller.name, comment.place, comment.body);
            Ok(Reply { accepted: true, text })
        })
    }

    fn act(&self, ask: Ask, _: Caller) -> BoxFuture<'_, Outcome<Reply>> {
        Box::pin(async move { Ok(Reply { accepted: ask.line.starts_with('/'), text: ask.line }) })
    }

    fn write_notes<'a>(&'a self, _: (&'a str, u32), _: Written, _: Caller) -> BoxFuture<'a, Outcome<Reply>> {
        Box::pin(async { Err(Trouble::refused("notes are not written here")) })
    }

    fn retain(&self, _: Caller) -> BoxFuture<'_, Outcome<Deleted>> {
        Box::pin(async { Ok(Deleted::default()) })
    }

    fn cancel(&self, cancel: Cancel, _: Caller) -> BoxFuture<'_, Outcome<Reply>> {
        Box::pin(async move {
            let accepted = cancel.force || !cancel.run.contains("/prod/");
            Ok(Reply { accepted, text: format!("{} by {}", cancel.run, cancel.by) })
        })
    }

    fn apply(&self, apply: Apply, _: Caller) -> BoxFuture<'_, Outcome<Reply>> {
        Box::pin(async move { Ok(Reply { accepted: true, text: apply.repo }) })
    }
}

pub(crate) fn noon() -> Timestamp {
    Timestamp::parse("2026-03-06T12:00:00Z").unwrap()
}

fn before(span: Span) -> Timestamp {
    Timestamp(noon().0 - i64::try_from(span.as_millis()).unwrap())
}

fn hours(n: u64) -> Timestamp {
    before(Span::hours(n))
}

fn release(stream: &str, no: u32, facts: (&str, &str, &str), at: Timestamp) -> Row {
    let (version, state, title) = facts;
    Row::Release(ReleaseRow {
        stream: stream.to_owned(),
        no,
        seq: i64::from(no),
        version: version.to_owned(),
        commit: format!("{:08x}", no.wrapping_mul(2_654_435_761)).repeat(5),
        digest: Some("0f1e2d3c".repeat(8)),
        state: state.to_owned(),
        title: title.to_owned(),
        created_at: at,
        updated_at: at,
        summary: "{}".to_owned(),
    })
}

fn stages(stream: &str, no: u32, rows: &[(&str, &str, &str, u64)]) -> Vec<Row> {
    let row = |(position, (stage, state, line, ago)): (u32, &(&str, &str, &str, u64))| {
        Row::Stage(StageRow {
            stream: stream.to_owned(),
            no,
            stage: (*stage).to_owned(),
            position,
            attempt: 1,
            state: (*state).to_owned(),
            digest: None,
            line: (*line).to_owned(),
            next_at: None,
            updated_at: hours(*ago),
        })
    };
    (0..).zip(rows).map(row).collect()
}

/// Two pipelines with releases in every state.
#[expect(clippy::too_many_lines, reason = "it is data")]
pub(crate) fn rows() -> Vec<Row> {
    let pipeline = |stream: &str, repo: &str, name: &str| {
        Row::Pipeline(PipelineRow {
            stream: stream.to_owned(),
            repo_id: stream.split('/').next().unwrap().to_owned(),
            repo_name: repo.to_owned(),
            name: name.to_owned(),
            settings: "{}".to_owned(),
        })
    };
    let web = "github:4212/web";
    let mut all = vec![
        pipeline(STREAM, "acme/payments", "api"),
        pipeline(web, "acme/storefront", "web"),
        pipeline("github:4213/docs", "acme/handbook", "docs"),
        release(
            STREAM,
            143,
            ("1.24.1", "building", "Retry card captures that time out"),
            before(Span::minutes(2)),
        ),
        release(STREAM, 142, ("1.24.0", "active", "Idempotency keys for refunds (#812)"), hours(3)),
        release(STREAM, 141, ("1.23.3", "superseded", "Bump rustls to 0.23.31"), hours(7)),
        release(STREAM, 140, ("1.23.2", "released", "Round half to even in settlement totals"), hours(74)),
        release(web, 58, ("2.9.1", "failed", "Checkout: show the delivery day"), before(Span::minutes(9))),
        release(
            web,
            57,
            ("2.9.0", "active", "Search as you type, with keyboard support throughout"),
            hours(26),
        ),
        release(web, 56, ("2.8.4", "released", "Fix the cart badge on Safari"), hours(220)),
    ];
    all.extend(stages(
        STREAM,
        143,
        &[
            ("dev", "waiting", "waits for the build", 0),
            ("staging", "waiting", "dev has not succeeded", 0),
            ("prod", "waiting", "staging has not succeeded", 0),
        ],
    ));
    all.extend(stages(
        STREAM,
        142,
        &[
            ("dev", "live", "deployed and tested in 1m12s", 3),
            ("staging", "live", "deployed and tested in 4m12s", 2),
            ("prod", "waiting", "1 of 2 approvals; missing: 1 of acme/release", 1),
        ],
    ));
    all.extend(stages(
        STREAM,
        141,
        &[
            ("dev", "live", "deployed and tested in 1m09s", 7),
            ("staging", "superseded", "1.24.0 includes it", 5),
            ("prod", "superseded", "1.24.0 includes it", 5),
        ],
    ));
    all.extend(stages(
        STREAM,
        140,
        &[
            ("dev", "live", "deployed and tested in 1m15s", 74),
            ("staging", "live", "deployed and tested in 4m01s", 73),
            ("prod", "live", "approved by ana and bo", 72),
        ],
    ));
    all.extend(stages(
        web,
        58,
        &[
            ("preview", "failed", "`npm test` said no (exit 1)", 0),
            ("canary", "skipped_upstream", "", 0),
            ("prod", "skipped_upstream", "", 0),
        ],
    ));
    all.extend(stages(
        web,
        57,
        &[
            ("preview", "live", "", 26),
            ("canary", "running", "deploying to eu-west, step 2 of 3", 0),
            ("prod", "awaiting_signoff", "held by ann: \"Black Friday\"", 20),
        ],
    ));
    all.extend(stages(
        web,
        56,
        &[("preview", "live", "", 220), ("canary", "live", "", 219), ("prod", "live", "", 216)],
    ));
    all
}

fn why() -> Vec<StageWhy> {
    let line = |mark, text: &str, next: Option<&str>, until| WhyLine {
        mark,
        text: text.to_owned(),
        next: next.map(str::to_owned),
        until,
    };
    vec![StageWhy {
        stage: "prod".to_owned(),
        lines: vec![
            line(Mark::Pass, "same artifact as staging, sha256:0f1e2d3c4b5a", None, None),
            line(Mark::Pass, "staging soaked for 1h of 1h", None, None),
            line(
                Mark::Stop,
                "1 of 2 approvals: ana; bo wrote commit 4be1c2a, so bo does not count",
                Some("A member of acme/release comments `/approve prod`."),
                None,
            ),
            line(
                Mark::Wait,
                "the window opens Mon 09:00 Europe/Oslo",
                None,
                Some(noon().plus(Span::hours(68))),
            ),
        ],
    }]
}

/// What the pipeline says about itself.
pub(crate) fn about() -> About {
    let stage =
        |name: &str| StageAbout { stage: name.to_owned(), runs_commands: true, ..StageAbout::default() };
    About {
        title: Some("Payments API".to_owned()),
        description: Some("Takes money.".to_owned()),
        docs_url: Link::new("https://example.com/release-validation.md"),
        stages: vec![
            stage("dev"),
            StageAbout {
                title: Some("Staging Ring".to_owned()),
                docs_url: Link::new("https://example.com/staging.md"),
                channels: vec!["Candidate Validation".to_owned()],
                runs_commands: false,
                ..stage("staging")
            },
            StageAbout { url: Link::new("https://pay.example.com"), production: true, ..stage("prod") },
        ],
        channels: vec![channel_line()],
        starts: vec!["A push to main.".to_owned()],
        button: Some(ButtonForm {
            title: "Publish service".to_owned(),
            inputs: vec![
                InputField {
                    name: "service".to_owned(),
                    required: true,
                    default: String::new(),
                    choices: Vec::new(),
                },
                InputField {
                    name: "region".to_owned(),
                    required: false,
                    default: "eu".to_owned(),
                    choices: vec!["eu".to_owned(), "us".to_owned()],
                },
            ],
        }),
        waits: vec![WaitLine {
            text: "7a81c02 on main: waits for the build of runtime at 7a81c02".to_owned(),
            next: Some("somebody with write pushes a fix".to_owned()),
        }],
        unrouted: vec!["slack:#release".to_owned()],
    }
}

fn channel_line() -> ChannelLine {
    ChannelLine {
        channel: "Candidate Validation".to_owned(),
        version: "v2.14.0".to_owned(),
        path: format!("/releases/{STREAM}/142"),
        since: hours(2),
    }
}

pub(crate) fn digest() -> DigestPage {
    let used = DigestUse {
        repo: "acme/payments".to_owned(),
        stream: STREAM.to_owned(),
        pipeline: "api".to_owned(),
        no: 142,
        version: "v2.14.0".to_owned(),
        commit: "c".repeat(40),
        what: "the file `dist.tar.zst`".to_owned(),
        deleted: false,
        stages: page_stages(),
        verify: vec!["liftlock verify 'dist.tar.zst' --keys keys.pem".to_owned()],
    };
    DigestPage { digest: format!("sha256:{}", "d".repeat(64)), found: vec![used] }
}

fn page_stages() -> Vec<StageBox> {
    let stage = |name: &str, state: &str, line: &str, ago, log: Option<&str>| StageBox {
        stage: name.to_owned(),
        attempt: if name == "staging" { 2 } else { 1 },
        state: state.to_owned(),
        light: Light::of(state),
        succeeded_with_issues: state == "live with issues",
        line: line.to_owned(),
        updated_at: hours(ago),
        next_at: None,
        log: log.map(str::to_owned),
        about: about().stages.into_iter().find(|about| about.stage == name).unwrap(),
    };
    vec![
        stage(
            "dev",
            "live with issues",
            "Deployed and tested in 1m12s.",
            3,
            Some("github:4211/api/142/dev/1"),
        ),
        stage(
            "staging",
            "live",
            "Deployed and tested in 4m12s; attempt 1 failed at \"smoke\".",
            2,
            Some("github:4211/api/142/staging/2"),
        ),
        stage("prod", "waiting", "1 of 2 approvals; then the window, Mon 09:00 Europe/Oslo.", 1, None),
    ]
}

/// The release everybody waits for.
#[expect(clippy::too_many_lines, reason = "it is data")]
pub(crate) fn page() -> ReleasePage {
    let change = |commit: &str, subject: &str, author: &str| ChangeLine {
        commit: commit.to_owned(),
        subject: subject.to_owned(),
        author: author.to_owned(),
        url: Link::new(format!("https://github.com/acme/payments/commit/{commit}")),
    };
    let event = |seq, ago, kind: &str, who: &str, text: &str| EventLine {
        seq,
        at: before(Span::minutes(ago)),
        kind: kind.to_owned(),
        who: who.to_owned(),
        text: text.to_owned(),
    };
    ReleasePage {
        head: ReleaseHead {
            stream: STREAM.to_owned(),
            no: 142,
            version: "1.24.0".to_owned(),
            track: None,
            title: "Idempotency keys for refunds (#812)".to_owned(),
            commit: "9fceb02d0ae598e95dc970b74767f19372d61af8".to_owned(),
            digest: Some(format!("sha256:{}", "0f1e2d3c".repeat(8))),
            state: "active".to_owned(),
            light: Light::Moving,
            created_at: hours(3),
            updated_at: hours(1),
            seq: 2210,
        },
        repo: "acme/payments".to_owned(),
        pipeline: "api".to_owned(),
        channel: Some("servicing".to_owned()),
        channels: vec![channel_line()],
        docs_url: Link::new("https://example.com/release-validation.md"),
        facts: vec![
            ("branch".to_owned(), "main".to_owned()),
            ("started by".to_owned(), "push by bo".to_owned()),
            ("policy".to_owned(), "liftlock.yaml at 9fceb02".to_owned()),
        ],
        commit_url: Link::new(
            "https://github.com/acme/payments/commit/9fceb02d0ae598e95dc970b74767f19372d61af8",
        ),
        files: vec![FileLine {
            path: "Dockerfile".to_owned(),
            url: Link::new(
                "https://github.com/acme/payments/blob/9fceb02d0ae598e95dc970b74767f19372d61af8/Dockerfile",
            ),
        }],
        reused: Some(ReusedLine {
            of: "v1.4.0-rc.2".to_owned(),
            path: "/releases/github:4211/api/141".to_owned(),
            commit: "91aa0c4".repeat(6)[..40].to_owned(),
            tree: Some("0d1f2e3".repeat(6)[..40].to_owned()),
        }),
        build: BuildBox {
            state: "sealed".to_owned(),
            light: Light::Good,
            line: "v1.24.0 sealed, sha256:9f86d081884c".to_owned(),
        },
        build_log: Some("github:4211/api/142/build/1".to_owned()),
        stages: page_stages(),
        why: why(),
        next: vec![
            NextLine { what: "let it go to prod".to_owned(), line: "/approve prod v1.24.0".to_owned() },
            NextLine { what: "stop it there".to_owned(), line: "/reject prod v1.24.0 -- reason".to_owned() },
            NextLine { what: "see what would happen".to_owned(), line: "/preview prod v1.24.0".to_owned() },
        ],
        asked: vec![AskedTable {
            stage: "prod".to_owned(),
            side: "approval".to_owned(),
            instructions: Some("Look at the dashboard first.".to_owned()),
            rows: vec![
                AskedRow { who: "acme/qa".to_owned(), need: 1, by: vec!["ana".to_owned()], lacks: 0 },
                AskedRow { who: "acme/release".to_owned(), need: 1, by: Vec::new(), lacks: 1 },
            ],
        }],
        checks: vec![CheckRow {
            stage: "test".to_owned(),
            check: "sdl".to_owned(),
            state: "passed".to_owned(),
            light: Light::Good,
            text: "Passed: no findings".to_owned(),
            at: Some(hours(1)),
            log: Some("github:1/web/1/test.sdl/1".to_owned()),
        }],
        overrides: vec![OverrideLine {
            stage: "dev".to_owned(),
            attempt: 1,
            check: "soak".to_owned(),
            who: "ana".to_owned(),
            reason: "<b>vendor outage</b>, see INC-42".to_owned(),
            at: hours(3),
            counts: true,
        }],
        approvals: vec![
            ApprovalLine {
                stage: "prod".to_owned(),
                side: "approval".to_owned(),
                who: "ana".to_owned(),
                at: before(Span::minutes(50)),
                counts: true,
                note: "for acme/qa".to_owned(),
                url: Link::new("https://github.com/acme/payments/pull/812#issuecomment-77"),
            },
            ApprovalLine {
                stage: "prod".to_owned(),
                side: "approval".to_owned(),
                who: "bo".to_owned(),
                at: before(Span::minutes(44)),
                counts: false,
                note: "wrote commit 4be1c2a".to_owned(),
                url: None,
            },
        ],
        artifacts: vec![
            ArtifactLine {
                from: None,
                alias: "api".to_owned(),
                file: "api.tar.zst".to_owned(),
                digest: format!("sha256:{}", "5a4b3c2d".repeat(8)),
                size: 18_437_120,
                image: Some(format!("ghcr.io/acme/api@sha256:{}", "6d".repeat(32))),
                made: None,
                ships: true,
            },
            ArtifactLine {
                from: None,
                alias: "migrations".to_owned(),
                file: "migrations".to_owned(),
                digest: format!("sha256:{}", "9e8d7c6b".repeat(8)),
                size: 40_213,
                image: None,
                made: None,
                ships: false,
            },
        ],
        made_in: None,
        publications: vec![PublicationLine {
            outlet: "cdn (checksums)".to_owned(),
            stage: "prod".to_owned(),
            state: "uploaded".to_owned(),
            stopped: Some("<b>cdn</b> answered 503; there: nothing; missing: SHA256SUMS".to_owned()),
            left_out: Vec::new(),
            remark: Some("its text was edited there"),
            address: Link::new("https://cdn.example/v2.14.0/"),
            files: vec![PublishedFile {
                name: "SHA256SUMS".to_owned(),
                is: format!("sha256:{}", "6d".repeat(32)),
            }],
        }],
        changes: vec![
            change("9fceb02d0ae598e95dc970b74767f19372d61af8", "Idempotency keys for refunds (#812)", "bo"),
            change(
                "4be1c2a77b0c9a0f0e1d2c3b4a5968778695a4b3",
                "Reject refunds above the captured amount",
                "bo",
            ),
            change("c0ffee0123456789abcdef0123456789abcdef01", "Document the refund states", "cy"),
        ],
        changes_left_out: 11,
        variables: vec![StageVariables {
            stage: "prod".to_owned(),
            problem: None,
            variables: vec![
                variable("Build.BuildNumber", "predefined", "20260306.1"),
                variable("Prefix", "release", "<b>acme</b>"),
            ],
        }],
        events: vec![
            event(2210, 50, "approved", "ana", "approved prod"),
            event(2204, 60, "stage_moved", "liftlock", "staging is live"),
            event(2198, 95, "stage_opened", "cy", "staging is tried again (attempt 2)"),
            event(2190, 110, "stage_moved", "liftlock", "staging failed at \"smoke\""),
            event(2171, 170, "build_finished", "liftlock", "sealed sha256:0f1e2d3c4b5a"),
            event(2170, 180, "release_created", "bo", "opened by a push to main"),
        ],
    }
}

/// Puts all of it into a store, with deliveries, events and a log.
pub(crate) async fn fill(store: &Store) {
    let heard = |kind: &str, release, actor: &str| NewEvent {
        kind: kind.to_owned(),
        release: Some(release),
        data: "{\"stage\":\"prod\"}".to_owned(),
        actor: actor.to_owned(),
        cause: "delivery:1".to_owned(),
    };
    let events = vec![
        heard("release_created", 142, "bo"),
        heard("build_finished", 142, "liftlock"),
        heard("stage_moved", 142, "liftlock"),
        heard("approved", 142, "ana"),
    ];
    let append = Append { stream: STREAM.to_owned(), expect: 0, events, at: hours(1) };
    store.commit(Step { rows: rows(), appends: vec![append], ..Step::default() }).await.unwrap();
    for (guid, event, repo) in [
        ("72d3162e-cc78-11e3-81ab-4c9367dc0958", "push", Some("acme/payments")),
        ("8d1c", "issue_comment", None),
        ("9f00", "ping", None),
    ] {
        let new = NewDelivery {
            source: "github".to_owned(),
            guid: guid.to_owned(),
            event: event.to_owned(),
            repo: repo.map(str::to_owned),
            headers: "{\"user-agent\":\"GitHub-Hookshot/044aadd\",\"x-github-hook-id\":\"292430182\"}".to_owned(),
            body: b"{\n  \"ref\": \"refs/heads/main\",\n  \"after\": \"9fceb02d0ae598e95dc970b74767f19372d61af8\"\n}".to_vec(),
            received_at: before(Span::minutes(40)),
        };
        store.put_delivery(new).await.unwrap();
    }
    let lines = [
        "$ cargo build --release",
        "   Compiling api v1.24.0 (/build/api)",
        "    Finished `release` profile [optimized] target(s) in 41.20s",
        "",
        "$ ./deploy staging",
        "10 of 10 healthy",
    ];
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    store.append_log("github:4211/api/142/staging/2", 1, &lines).await.unwrap();
}

fn variable(name: &str, level: &str, value: &str) -> VariableLine {
    VariableLine {
        name: name.to_owned(),
        environment: name.to_uppercase(),
        value: value.to_owned(),
        said: vec![SaidLine {
            level: level.to_owned(),
            source: "`variables`".to_owned(),
            value: value.to_owned(),
        }],
    }
}
