//! Precedence, macros, the shell's quotes and the environment, on levels written in one line each.

use super::*;
use crate::domain::manifest;
use crate::domain::pipeline::step::Shell;

type Sources<'t> = &'t [(Rank, &'t str, &'t [(&'t str, &'t str)])];

fn name(text: &str) -> VariableName {
    text.parse().unwrap()
}

fn levels(sources: Sources<'_>) -> Vec<Level<'static>> {
    let level = |(rank, source, values): &(Rank, &str, &[(&str, &str)])| {
        let value = |text: &str| match text.strip_prefix("secret:") {
            Some(reference) => Value::Secret(reference.to_owned()),
            None => Value::Plain(text.to_owned()),
        };
        let values: BTreeMap<_, _> = values.iter().map(|(n, v)| (name(n), value(v))).collect();
        Level { rank: *rank, source: (*source).to_owned(), values: Cow::Owned(values) }
    };
    sources.iter().map(level).collect()
}

/// The text with the release's variables.
fn expand(values: &[(&str, &str)], text: &str) -> String {
    let levels = levels(&[(Rank::Release, "release", values)]);
    let expanded = Resolution::of(&levels).unwrap().expand(text, "a test", &hidden);
    expanded.unwrap_or_else(|problem| format!("! {problem}"))
}

fn shell(values: &[(&str, &str)], text: &str) -> String {
    read_by(Shell::Sh, values, text)
}

fn read_by(shell: Shell, values: &[(&str, &str)], text: &str) -> String {
    let levels = levels(&[
        (Rank::Release, "release", values),
        (Rank::Predefined, "predefined", &[("Build.SourceVersion", "c1")]),
    ]);
    let given = ["Step.Output".parse().unwrap()].into();
    let script = ShellText { text, shell, given: &given };
    let expanded = Resolution::of(&levels).unwrap().expand_shell(&script, "a step");
    expanded.unwrap_or_else(|problem| format!("! {problem}"))
}

#[test]
fn a13_the_stronger_level_wins_and_the_losers_are_known() {
    let levels = levels(&[
        (Rank::Predefined, "predefined", &[("Mode", "engine")]),
        (Rank::Release, "release", &[("mode", "release"), ("Only", "here")]),
        (Rank::Stage, "prod", &[("MODE", "stage")]),
    ]);
    let resolution = Resolution::of(&levels).unwrap();
    assert_eq!(resolution.get(&name("mode")).unwrap().source, "prod");
    assert_eq!(resolution.get(&name("only")).unwrap().source, "release");
    assert!(resolution.get(&name("none")).is_none());
    let sources: Vec<&str> = resolution.candidates(&name("Mode")).iter().map(|c| c.source).collect();
    assert_eq!(sources, ["prod", "release", "predefined"]);
    let names: Vec<&str> = resolution.all().iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["MODE", "Only"]);
}

#[test]
fn a17_the_same_key_twice_in_one_level_names_both_used_or_not() {
    let levels = levels(&[
        (Rank::Stage, "prod", &[("Key", "wins")]),
        (Rank::Release, "one", &[("key", "1")]),
        (Rank::Release, "two", &[("KEY", "2")]),
    ]);
    let problem = Resolution::of(&levels).unwrap_err().to_string();
    assert_eq!(problem, "`key` stands in one and in two, and neither is stronger");
}

#[test]
fn a14_a30_macros_lead_to_macros() {
    let path = [
        ("System.DefaultWorkingDirectory", "/srv/7"),
        ("ArtifactsPath", "$(system.defaultworkingdirectory)/InvictusFramework/Framework"),
        ("ArtifactsPathScripts", "$(ArtifactsPath)"),
    ];
    assert_eq!(expand(&path, "$(ArtifactsPath)/Deploy.ps1"), "/srv/7/InvictusFramework/Framework/Deploy.ps1");
    assert_eq!(expand(&path, "$(ArtifactsPathScripts)"), expand(&path, "$(ArtifactsPath)"));
}

#[test]
fn a31_a_composite_resolves_and_an_unresolved_macro_is_an_error() {
    let infra = [
        ("Infra.Environment.ShortName", "dev"),
        ("Infra.Environment.Region.Primary.ShortName", "weu"),
        ("Infra.Environment.Customer.ShortName", "acme"),
    ];
    let composite = "$(Infra.Environment.ShortName)-$(Infra.Environment.Region.Primary.ShortName)-\
                     $(Infra.Environment.Customer.ShortName)";
    assert_eq!(expand(&infra, composite), "dev-weu-acme");
    assert_eq!(
        expand(&infra[..2], composite),
        "! `$(Infra.Environment.Customer.ShortName)` in a test names no variable"
    );
}

#[test]
fn what_is_no_macro_and_what_never_ends() {
    assert_eq!(expand(&[("a", "1")], "$$(a) $a (a) $ $(a)$"), "$(a) $a (a) $ 1$");
    assert_eq!(expand(&[("a", "$$(b)")], "x$(a)"), "x$(b)", "a literal is not looked at again");
    assert_eq!(expand(&[], "$(git log)"), "! `$(git log)` in a test names no variable");
    assert_eq!(expand(&[], "$(a"), "! `$()` in a test names no variable");
    assert_eq!(expand(&[("a", "$(b)")], "$(a)"), "! `$(b)` in variable `a` names no variable");
    assert_eq!(
        expand(&[("a", "$(b)"), ("b", "$(A)")], "$(a)"),
        "! `$(a)` in a test leads on for more than 10 steps".replace("$(a)", "$(A)")
    );
    let empty = [("a", "$(b)$(b)$(b)$(b)"), ("b", "$(c)$(c)$(c)$(c)"), ("c", "$(d)$(d)$(d)$(d)")];
    let rest = [("d", "$(e)$(e)$(e)$(e)"), ("e", "$(f)$(f)$(f)$(f)"), ("f", "$(g)$(g)$(g)$(g)")];
    let last = [("g", "$(h)$(h)$(h)$(h)"), ("h", "")];
    let all: Vec<_> = empty.into_iter().chain(rest).chain(last).collect();
    assert!(expand(&all, "$(a)").contains("leads on"), "4^7 macros of nothing are too many");
    let long = "x".repeat(expand::MAX_BYTES / 2 + 1);
    assert_eq!(expand(&[("a", &long)], "$(a)$(a)"), "! a test is more than 128 KiB with its variables");
}

#[test]
fn t20_in_a_shell_a_value_is_a_variable_of_the_environment_never_code() {
    let values = [("Artifacts.Path", "x; rm -rf /"), ("B-c", "$(touch /tmp/x)")];
    for (text, told) in [
        ("./deploy.sh $(Artifacts.Path)", "./deploy.sh ${ARTIFACTS_PATH}"),
        ("\"$(artifacts.path)/Deploy.ps1\" \"$(b-C)\"", "\"${ARTIFACTS_PATH}/Deploy.ps1\" \"${B_C}\""),
        ("echo $(cat $(Artifacts.Path)/x) $((1 + 2))", "echo $(cat ${ARTIFACTS_PATH}/x) $((1 + 2))"),
        ("echo $$(date) \\$(Artifacts.Path)", "echo $(date) \\$(Artifacts.Path)"),
        ("# don't say $(Nothing)\necho \"it's $(B-c)\"", "# don't say $(Nothing)\necho \"it's ${B_C}\""),
        ("awk '{print $$(NF)}'", "awk '{print $(NF)}'"),
        ("echo \"$(cat 'a b')\" '$'", "echo \"$(cat 'a b')\" '$'"),
        (
            "echo '$(Artifacts.Path)'",
            "! `$(Artifacts.Path)` in a step stands in single quotes; double quotes let the shell see it",
        ),
        ("echo $(date)", "! `$(date)` in a step names no variable"),
        (
            "echo \"$(echo '$(B-c)')\"",
            "! `$(B-c)` in a step stands in single quotes; double quotes let the shell see it",
        ),
    ] {
        assert_eq!(shell(&values, text), told);
    }
    // While nobody declares variables, a word is a command, as it always was.
    assert_eq!(
        shell(&[], "cd $(pwd) && git show $(Build.SourceVersion)"),
        "cd $(pwd) && git show ${BUILD_SOURCEVERSION}"
    );
    assert_eq!(shell(&[], "echo $(Build.Nothing)"), "! `$(Build.Nothing)` in a step names no variable");
}

#[test]
fn a07_dotted_names_are_exported_and_a_clash_is_an_error() {
    let export = |values: &[(&str, &str)]| {
        let levels = levels(&[(Rank::Release, "release", values)]);
        let all = Resolution::of(&levels).unwrap().environment(&hidden);
        all.map_err(|problem| problem.to_string())
    };
    let told =
        export(&[("Invictus.Secrets.ApiKey1.Name", "apikey1"), ("Key", "secret:vault:kv/x#y")]).unwrap();
    let told: Vec<_> = told.iter().map(|(n, v)| format!("{n}={v}")).collect();
    assert_eq!(told, ["INVICTUS_SECRETS_APIKEY1_NAME=apikey1", "KEY=***"]);
    assert_eq!(
        export(&[("Api.Key", "1"), ("Api_Key", "2")]).unwrap_err(),
        "variable `Api.Key` and variable `Api_Key` both become `API_KEY` in the environment"
    );
    assert_eq!(
        export(&[("path", "/x")]).unwrap_err(),
        "variable `path` becomes `PATH` in the environment, which every step has"
    );
    assert!(export(&[("LiftLock.Version", "1")]).unwrap_err().contains("LIFTLOCK_VERSION"));
    assert_eq!(export(&[("a", "$(b)")]).unwrap_err(), "`$(b)` in variable `a` names no variable");
    let big = "x".repeat(100 * 1024);
    let names: Vec<String> = (0..11).map(|n| format!("v{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|n| (n.as_str(), big.as_str())).collect();
    assert!(export(&many).unwrap_err().contains("a process takes at most 1024 KiB"));
}

#[test]
fn a05_a07_a16_a17_groups_of_a_stage_by_template_and_what_keeps_it_from_starting() {
    let text = "version: 1\nvariables: {prefix: acme}\ndeploy: ./deploy.sh \"$(Key)\"\ngroups: [acme.Infra]\nstages:\n\
                \x20 - {name: test, groups: [$(prefix).Web.$(stage)]}\n\
                \x20 - {name: both, groups: [$(prefix).Web.$(stage), acme.Web.test]}\n\
                \x20 - {name: none, groups: [$(prefix).Web.$(stage)]}\n\
                \x20 - prod\n";
    let files = [(manifest::NATIVE_PATHS[0].to_owned(), text.to_owned())].into();
    let loaded = manifest::load(&files, &"acme/shop".parse().unwrap()).unwrap();
    let pipeline = loaded.pipelines.into_iter().next().unwrap();
    let names: Vec<String> = all_linked(&pipeline).iter().map(ToString::to_string).collect();
    assert_eq!(names, ["acme.Infra", "acme.Web.both", "acme.Web.none", "acme.Web.test"]);
    let mut taken = Taken::default();
    for group in ["acme.Infra", "acme.Web.both", "acme.Web.test"] {
        let name: crate::domain::name::GroupName = group.parse().unwrap();
        let key = if group == "acme.Infra" { "Other" } else { "Key" };
        let values = [(key.parse().unwrap(), crate::domain::group::Value::Plain(group.to_owned()))].into();
        let snapshot = crate::domain::group::GroupSnapshot { name: name.clone(), version: 3, values };
        taken.groups.insert(name, snapshot);
    }
    taken.refused.insert("acme.Web.none".parse().unwrap(), "it is empty".to_owned());
    let problems: Vec<String> = problems(&pipeline, &taken, &BTreeMap::new())
        .iter()
        .map(|(stage, problem)| format!("{stage}: {problem}"))
        .collect();
    assert_eq!(
        problems,
        [
            "both: `Key` stands in group `acme.Web.both` version 3 and in group `acme.Web.test` version 3, and neither is stronger",
            "none: the group `acme.Web.none` cannot be linked: it is empty",
            "prod: `$(Key)` in step \"./deploy.sh \"$(Key)\"\" names no variable",
        ]
    );
}

#[test]
fn t20_every_shell_reads_the_value_from_its_environment() {
    let values = [("Infra.Env", "dev")];
    let text = "echo $(Infra.Env) \"$(step.output)\"";
    assert_eq!(read_by(Shell::Bash, &values, text), "echo ${INFRA_ENV} \"${STEP_OUTPUT}\"");
    assert_eq!(read_by(Shell::Pwsh, &values, text), "echo ${env:INFRA_ENV} \"${env:STEP_OUTPUT}\"");
    assert_eq!(
        read_by(Shell::Pwsh, &values, r"C:\$(Infra.Env) `$(Infra.Env)"),
        r"C:\${env:INFRA_ENV} `$(Infra.Env)"
    );
    assert_eq!(read_by(Shell::Pwsh, &values, "$$(Get-Date) $($x.Name)"), "$(Get-Date) $($x.Name)");
    assert!(read_by(Shell::Pwsh, &values, "'$(Infra.Env)'").contains("stands in single quotes"));
    assert_eq!(read_by(Shell::Python, &values, "print('$(date)')"), "print('$(date)')");
    assert_eq!(
        read_by(Shell::Python, &values, "print('$(infra.env)')"),
        "! `$(infra.env)` in a step means nothing to Python; os.environ[\"INFRA_ENV\"] is its value"
    );
}

#[test]
fn a31_t47_what_checks_ask_is_resolved_and_shows_no_secret() {
    use crate::domain::check::CheckKind;
    use crate::domain::probe::Probe;
    let manifest = "version: 1\nchecks: {ask: {run: curl $(Host) $(Key)}}\n\
                    stages: [{name: prod, deploy: ./d, verify: [ask], variables: {Host: h, Key: k}}]\n";
    let files = [(manifest::NATIVE_PATHS[0].to_owned(), manifest.to_owned())].into();
    let loaded = manifest::load(&files, &"acme/shop".parse().unwrap()).unwrap();
    let check = loaded.pipelines[0].stages[0].verify.parallel[0].clone();
    let asked = |probe: &str, levels: &[Level<'_>]| {
        let kind = match probe {
            "run" => check.kind.clone(),
            _ => CheckKind::Probe(manifest::probe::parse(probe, "probe.yml").unwrap()),
        };
        let check = crate::domain::check::Check { kind, ..check.clone() };
        Resolution::of(levels).unwrap().asked(&check).map_err(|problem| problem.to_string())
    };
    let levels = levels(&[(Rank::Stage, "s", &[("Host", "h.example"), ("Key", "secret:vault:kv/x#y")])]);
    let Ok(CheckKind::Probe(Probe::Http(http))) = asked("{http: 'https://$(host)/up'}", &levels) else {
        panic!("it is a question")
    };
    assert_eq!(http.url, "https://h.example/up");
    let run = asked("run", &levels).unwrap();
    assert_eq!(run, CheckKind::Run("curl ${HOST} ${KEY}".to_owned()));
    assert_eq!(
        asked("{http: 'https://h.example/?$(Key)'}", &levels).unwrap_err(),
        "a secret in check `ask` would be sent and shown as text; ask it with a command"
    );
    assert_eq!(
        asked("{issues: 'label:$(Label)'}", &levels).unwrap_err(),
        "`$(Label)` in check `ask` names no variable"
    );
}
