//! Starts by a program and by a package, what pages say of them, and manifests of an older version.

use std::process::Command;

use liftlock::clock;
use liftlock::domain::name::Digest;

use super::{Server, code, err, out, run};

/// What curl says: the answer's text, and its status.
pub(super) fn curl(server: &Server, arguments: &[&str], path: &str) -> (String, String) {
    let address = format!("{}{path}", server.url);
    let done = Command::new("curl")
        .current_dir(server.at())
        .args(["-sS", "--noproxy", "*", "-w", "\n%{http_code}"])
        .args(arguments)
        .arg(&address)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", err(&done));
    let (text, status) = out(&done).rsplit_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    (text, status)
}

/// One pipeline that pushes start, and one that somebody does.
fn two_pipelines(server: &Server) -> String {
    format!(
        "version: 1\npipelines:\n  \
         site:\n    triggers: {{push: {{paths: [\"site/**\", \"!site/drafts/**\"]}}}}\n    deploy: \"true\"\n    stages: [test]\n  \
         services:\n    triggers: {{button: {{title: Publish service, inputs: {{service: {{required: true}}, region: {{choices: [eu, us], default: eu}}}}}}}}\n    \
         deploy: 'echo $(service) $REGION >> {}/published'\n    stages: [test]\n",
        server.at().display()
    )
}

/// The newest release of `services`, as programs read it.
fn newest(server: &Server) -> String {
    out(&server.ask(&["pipeline", "show", "--pipeline", "plain:shop/services", "--json"]))
}

/// Whether the newest release of `services` is this one, and live in its stage.
fn is_live(server: &Server, no: u32) -> bool {
    let page: serde_json::Value = serde_json::from_str(&newest(server)).unwrap_or_default();
    page["no"] == no && page["stages"][0]["state"] == "live"
}

#[test]
fn b02_b24_pipelines_say_what_starts_them_and_a_program_presses_the_button() {
    let server = Server::start();
    server.push(&[(".github/liftlock.yml", &two_pipelines(&server))], "feat: two pipelines");
    // B02: generated from the manifest, for every pipeline.
    let site = "<strong>Starts with:</strong> A push to the default branch that changes site/**, but not site/drafts/**.";
    let services = "<strong>Starts with:</strong> Somebody with write, who gives region and service.";
    server.until("both are listed", |s| {
        let page = s.get("/pipelines");
        page.contains(site) && page.contains(services)
    });

    // B24: what is not asked for in the right way starts nothing.
    let start = |more: &[&str]| server.ask(&[&["start"], more].concat());
    for (wrong, why) in [
        (&["services", "--as", "bo"][..], "`service=…`"),
        (&["services", "service=checkout", "region=mars", "--as", "bo"], "one of `eu`, `us`"),
        (&["services", "service", "--as", "bo"], "`service` is not `key=value`"),
        (&["services", "service=a b", "--as", "bo"], "give every input one word"),
        (&["services", "service=checkout", "--as", "zoe"], "nobody called `zoe`"),
        (&["site", "--as", "bo"], "site is not started by hand"),
        (&["shop", "--as", "bo"], "has no pipeline `shop`"),
    ] {
        let refused = start(wrong);
        assert!(code(&refused) != 0 && err(&refused).contains(why), "{wrong:?}: {}", err(&refused));
    }
    let asked = start(&["services", "service=checkout", "--as", "bo"]);
    assert_eq!(code(&asked), 0, "{}", err(&asked));
    assert!(out(&asked).contains("A release of services is being made"), "{}", out(&asked));
    server.until("it is live", |s| is_live(s, 1));
    assert!(newest(&server).contains(r#"["started by","bo"]"#), "{}", newest(&server));

    let program = |body: &str| {
        let json = ["-H", "content-type: application/json", "--data", body];
        curl(&server, &json, "/api/pipelines/plain:shop/services/start")
    };
    let (text, status) = program(r#"{"inputs": {"service": "basket; reboot"}, "as": "ana"}"#);
    assert_eq!(status, "400", "{text}");
    let (text, status) = program(r#"{"inputs": {"service": "basket;reboot"}, "as": "ana"}"#);
    assert_eq!(status, "422", "{text}");
    let (text, status) = program(r#"{"inputs": {"service": "basket", "region": "us"}, "as": "ana"}"#);
    assert!(status == "202" && text.contains("A release of services is being made"), "{status} {text}");
    server.until("the program's is live", |s| is_live(s, 2));
    let published = std::fs::read_to_string(server.at().join("published")).unwrap();
    assert_eq!(published, "checkout eu\nbasket us\n");
}

/// Who may start what, and what they sign with.
const CALLERS: &str = "[callers.portal]\nsecrets = [\"what the portal will sign with\", \"what the portal signs with\"]\nallow = [\"*:services/start\"]\n\
                       [callers.robot]\nsecrets = [\"what the robot signs with\"]\nallow = [\"*:*/start\"]\n";

/// The lines of the manual as they stand there, changed a little; the answer's text and its status.
fn call(server: &Server, changes: &[(&str, &str)]) -> (String, String) {
    let manual = include_str!("../../../docs/start.md");
    let (_, lines) = manual.split_once("```sh\n").unwrap();
    let mut lines =
        lines.split_once("```").unwrap().0.replace("curl -sS", "curl -sS --noproxy '*' -w '\\n%{http_code}'");
    for (from, to) in changes {
        assert!(lines.contains(from), "{lines}");
        lines = lines.replacen(from, to, 1);
    }
    let done = Command::new("sh")
        .current_dir(server.at())
        .args(["-euc", &lines])
        .envs([("LIFTLOCK_SERVER", server.url.as_str()), ("SECRET_FILE", "portal-secret")])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", err(&done));
    let (text, status) = out(&done).rsplit_once('\n').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    (text, status)
}

#[test]
fn b24_a_page_without_a_token_starts_a_pipeline_by_a_call_that_it_signs() {
    let server = Server::with(CALLERS);
    super::write(server.at(), "portal-secret", "what the portal signs with\n");
    server.push(&[(".github/liftlock.yml", &two_pipelines(&server))], "feat: two pipelines");
    server.until("both are known", |s| s.get("/pipelines").contains("Somebody with write, who gives region"));

    let refused = |changes: &[(&str, &str)], status: &str, why: &str| {
        let (text, got) = call(&server, changes);
        assert!(got == status && text.contains(why), "{changes:?}: {got} {text}");
        text
    };
    // Which part was wrong is not told.
    let body = ("-d \"$body\"", "-d '{\"inputs\": {\"service\": \"basket\"}}'");
    let texts = [
        &[body][..],
        &[("SERVER$path", "SERVER/webhook/start/plain:shop/site")],
        &[("Caller: portal", "Caller: nobody")],
        &[("Caller: portal", "Caller: robot")],
        &[("cat \"$SECRET_FILE\"", "echo some other secret")],
        &[("sha256=$signature", "sha256=")],
    ]
    .map(|changes| refused(changes, "401", "No caller that is known here signed this"));
    let message = |text: &str| text.split("\"request\"").next().unwrap().to_owned();
    assert!(texts.iter().all(|text| message(text) == message(&texts[0])), "{texts:?}");
    for time in ["$(($(date +%s) - 400))", "$(($(date +%s) + 400))"] {
        refused(&[("$(date +%s)", time)], "401", "the call is of another time");
    }
    refused(&[("$(date +%s)", "soon")], "401", "whole seconds since 1970");
    refused(&[("services", "site")], "403", "portal may not start shop:site");
    refused(&[("services", "shop")], "404", "nothing under this address");
    refused(&[("checkout\"}", "checkout\"}, \"as\": \"ana\"")], "400", "unknown field `as`");
    refused(&[("checkout", "a b")], "400", "one word");
    super::write(server.at(), "large", &" ".repeat(70_000));
    refused(&[("-d \"$body\"", "-d @large")], "413", "larger than this address takes");
    assert!(!out(&server.ask(&["deliveries"])).contains("start"), "nothing of it was kept");

    let (text, status) = call(&server, &[]);
    assert!(status == "202" && text.contains("a release is being made"), "{status} {text}");
    server.until("it is live", |s| is_live(s, 1));
    assert!(newest(&server).contains(r#"["started by","portal"]"#), "{}", newest(&server));
    assert!(server.get("/api/events").contains(r#""actor":"portal""#));

    // What the pipeline refuses is said, and the same call again is the same call, whatever becomes of its digits.
    let then = (clock::now().0 / 1000 - 60).to_string();
    let again = ("$(date +%s)", then.as_str());
    let robot =
        [("cat \"$SECRET_FILE\"", "echo what the robot signs with"), ("Caller: portal", "Caller: robot")];
    for (more, why) in [
        (&[("services", "site"), ("{\"service\": \"checkout\"}", "{}")][..], "site is not started by hand"),
        (&[("{\"service\": \"checkout\"}", "{}")], "`service=…`"),
    ] {
        refused(&[&robot, more, &[again]].concat(), "422", why);
        refused(&[&robot, more, &[again]].concat(), "422", why);
    }
    let (text, status) = call(&server, &[again]);
    assert!(status == "202", "{status} {text}");
    let shouted = ("sha256=$signature", "sha256=$(echo $signature | tr a-f A-F)");
    for changes in [&[again][..], &[again, shouted]] {
        let (text, status) = call(&server, changes);
        assert!(status == "200" && text.contains("nothing was started again"), "{status} {text}");
    }
    server.until("the second is live", |s| is_live(s, 2));
    server.until("nothing is left", |s| out(&s.ask(&["queue", "ls"])).is_empty());
    assert!(is_live(&server, 2), "{}", newest(&server));
    let published = std::fs::read_to_string(server.at().join("published")).unwrap();
    assert_eq!(published, "checkout eu\ncheckout eu\n");
}

/// The one who hands packages in, with a token that says so.
const CI: &str =
    "[personal_tokens]\nci = \"a-token-of-the-ci-0123456789\"\n[plain.people.ci]\nid = 3\nrole = \"write\"\n";
const BEARER: &str = "Authorization: Bearer a-token-of-the-ci-0123456789";

#[test]
fn e11_e18_a_package_is_handed_in_with_curl_and_released_without_a_repository_or_of_a_commit() {
    let server = Server::with(CI);
    let manifest = format!(
        "version: 1\nname: package\nartifacts: [{{alias: App, from: upload}}]\n\
         deploy: 'cp \"$LIFTLOCK_ARTIFACT_APP\" {}/$LIFTLOCK_VERSION'\nstages: [test]\n",
        server.at().display()
    );
    let first = server.push(&[(".github/liftlock.yml", &manifest)], "feat: a package");
    server.until("it is known", |s| s.get("/pipelines").contains("App handed in by API, with its digest."));
    let hand_in = |bytes: &str, said: &Digest, more: &str| {
        super::write(server.at(), "app.zip", bytes);
        let path = "/api/pipelines/plain:shop/package/artifacts";
        let query = format!("{path}?alias=App&digest=sha256:{}&{more}", said.hex());
        curl(&server, &["--data-binary", "@app.zip", "-H", BEARER], &query)
    };
    // More than curl sends before it asks whether it may.
    let app = |word: &str| (word.repeat(1 << 20), Digest::of_text(&word.repeat(1 << 20)));
    let ((one, of_one), (two, of_two)) = (app("one"), app("two"));
    let (text, status) = hand_in(&two, &of_one, "as=ci");
    assert!(status != "202" && text.contains("nothing was kept"), "{status} {text}");
    let (text, status) = hand_in(&one, &of_one, "as=ana");
    assert!(status == "422" && text.contains("does not speak for `ana`"), "{status} {text}");

    let (text, status) = hand_in(&one, &of_one, "as=ci");
    assert!(status == "202" && text.contains("a release is being made of it"), "{status} {text}");
    let live = |s: &Server, version: &str| {
        let page: serde_json::Value =
            serde_json::from_str(&out(&s.ask(&["pipeline", "show", "--json"]))).unwrap_or_default();
        page["version"] == version && page["stages"][0]["state"] == "live"
    };
    server.until("it is live", |s| live(s, "v0.1.0-rc.1"));
    assert_eq!(std::fs::read_to_string(server.at().join("v0.1.0-rc.1")).unwrap(), one);
    // E11: it is of no source, and says so; the commit is the one that the branch had, for its deploy commands.
    let independent = format!("none: it was handed in; {} only says how it is deployed", &first[..7]);
    assert!(server.get("/releases/plain:shop/package/1").contains(&independent));

    // Another one, of a commit that is not the newest.
    let second = server.push(&[("page", "hello\n")], "feat: a page");
    let (text, status) = hand_in(&two, &of_two, &format!("as=ci&commit={first}"));
    assert_eq!(status, "202", "{text}");
    server.until("it is live", |s| live(s, "v0.1.0-rc.2"));
    assert_eq!(std::fs::read_to_string(server.at().join("v0.1.0-rc.2")).unwrap(), two);
    assert!(!server.get("/releases/plain:shop/package/2").contains("it was handed in"));

    let root = server.stop();
    let events = out(&run(root.path(), &["events", "--kind", "release_created", "--json"]));
    let created: Vec<serde_json::Value> = events
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["data"].take())
        .collect();
    let [free, bound] = created.as_slice() else { panic!("{created:?}") };
    for (made, digest) in [(free, &of_one), (bound, &of_two)] {
        assert_eq!(made["commit"], first.as_str(), "not {second}");
        assert_eq!(made["uploads"][0]["digest"], digest.to_string());
        assert_eq!(made["initiator"]["login"], "ci");
    }
    let said = |made: &serde_json::Value| made["started_by"]["demand"]["cause"]["upload"]["commit"].clone();
    assert_eq!((said(free), said(bound)), (serde_json::Value::Null, first.into()));
}

#[test]
fn c32_a_manifest_for_an_older_version_releases_and_one_for_a_newer_is_refused() {
    let server = Server::start();
    let pinned = |version: &str| {
        format!(
            "version: 1\ntool_version: {version}\ndeploy: \"true\"\nstages: [{{name: test, test_commands: [cat page]}}]\n"
        )
    };
    let commit =
        server.push(&[(".github/liftlock.yml", &pinned("0.0.1")), ("page", "hello\n")], "feat: a page");
    server.until("it is live", |s| out(&s.ask(&["status", &commit])).contains("test         live"));
    server.push(&[(".github/liftlock.yml", &pinned("9.0.0"))], "chore: what another version knows");
    let refused = server.ask(&["apply", "shop"]);
    assert_eq!(code(&refused), 1);
    let told = "the file is written for liftlock 9.0.0, and this is";
    assert!(
        err(&refused).contains(told) && err(&refused).contains("upgrade the server"),
        "{}",
        err(&refused)
    );
}
