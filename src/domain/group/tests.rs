//! Groups: changes, history words, who may, and what a step may write.

use std::collections::BTreeSet;

use super::write::parse;
use super::*;

fn name(text: &str) -> GroupName {
    text.parse().unwrap()
}

fn var(text: &str) -> VariableName {
    text.parse().unwrap()
}

fn set(name: &str, value: &str) -> Change {
    Change::Set { name: var(name), value: Value::Plain(value.to_owned()) }
}

fn secret(name: &str) -> Change {
    let value = Value::Secret(SecretRef { at: "sealed:acme.test/KEY".parse().unwrap(), version: 0 });
    Change::Set { name: var(name), value }
}

fn grant(who: &str, role: GroupRole) -> Change {
    Change::Granted { to: who.parse().unwrap(), role }
}

fn person(login: &str, teams: &[&str]) -> Asker {
    let teams: BTreeSet<_> = teams.iter().map(|t| t.parse().unwrap()).collect();
    Asker::Person { login: login.parse().unwrap(), teams, admin: false }
}

fn group() -> Group {
    Group::create(name("acme.Invictus.test"), Some("ana".parse().unwrap()))
}

fn after(group: &Group, changes: Vec<Change>) -> Group {
    group.changed(changes).unwrap().0
}

#[test]
fn every_change_is_a_version_and_no_change_is_none() {
    let one = after(&group(), vec![set("Invictus.Secrets.ApiKey1.Name", "apikey1")]);
    assert_eq!(one.version, 2);
    let (same, made) = one.changed(vec![set("Invictus.Secrets.ApiKey1.Name", "apikey1")]).unwrap();
    assert_eq!((same.version, made), (2, Vec::new()));
    let snapshot = one.snapshot();
    assert_eq!((snapshot.version, snapshot.values.len()), (2, 1));
}

#[test]
fn two_spellings_of_one_name_never_stand_side_by_side() {
    let one = after(&group(), vec![set("ApiKey", "a"), set("APIKEY", "b")]);
    assert_eq!(one.values.keys().map(VariableName::as_str).collect::<Vec<_>>(), ["APIKEY"]);
    assert!(after(&one, vec![Change::Unset { name: var("apikey") }]).values.is_empty());
    let gone = one.changed(vec![Change::Unset { name: var("other") }]).unwrap_err();
    assert_eq!(gone.code(), "group_no_variable");
}

#[test]
fn a_secret_set_again_is_another_version_of_it() {
    let one = after(&group(), vec![secret("KEY")]);
    let two = after(&one, vec![secret("KEY")]);
    let version = |group: &Group| match group.get(&var("KEY")).unwrap().1 {
        Value::Secret(secret) => secret.version,
        Value::Plain(text) => panic!("{text} is plain"),
    };
    assert_eq!((version(&one), version(&two)), (2, 3));
    assert_eq!(secret("KEY").to_string(), "set the secret KEY, kept at sealed:acme.test/KEY");
}

#[test]
fn a_group_is_bounded() {
    let long = "x".repeat(LONGEST_VALUE + 1);
    assert_eq!(group().changed(vec![set("A", &long)]).unwrap_err().code(), "group_bad_value");
    assert_eq!(group().changed(vec![set("A", "a\0b")]).unwrap_err().code(), "group_bad_value");
    let many = (0..=MOST_VARIABLES).map(|n| set(&format!("V{n}"), "x")).collect();
    assert_eq!(group().changed(many).unwrap_err().code(), "group_full");
}

#[test]
fn a08_reader_user_and_administrator_for_users_teams_and_pipelines() {
    let pipeline: PipelineId = "plain:demo/web".parse().unwrap();
    let group = after(
        &group(),
        vec![
            grant("Bo", GroupRole::Reader),
            grant("acme/platform", GroupRole::User),
            grant("pipeline:plain:demo/web", GroupRole::User),
        ],
    );
    let role = |asker: &Asker| group.access.role_of(asker);
    assert_eq!(role(&person("ANA", &[])), Some(GroupRole::Administrator));
    assert_eq!(role(&person("bo", &[])), Some(GroupRole::Reader));
    assert_eq!(role(&person("bo", &["acme/platform"])), Some(GroupRole::User));
    assert_eq!(role(&person("cy", &["acme/other"])), None);
    assert_eq!(role(&Asker::Pipeline(pipeline.clone())), Some(GroupRole::User));
    // A pipeline of the same name in another repository is another pipeline.
    assert_eq!(role(&Asker::Pipeline("plain:evil/web".parse().unwrap())), None);
    assert_eq!(role(&Asker::Server { name: "token 1".to_owned() }), Some(GroupRole::Reader));

    group.authorize(&Asker::Pipeline(pipeline.clone()), GroupRole::User).unwrap();
    let refused = group.authorize(&Asker::Pipeline(pipeline), GroupRole::Administrator).unwrap_err();
    assert_eq!(refused.code(), "group_role");
    assert_eq!(
        refused.to_string(),
        "pipeline:plain:demo/web needs the role administrator on the group `acme.Invictus.test` and has only user; \
         an administrator of it gives it: \
         `liftlock group security acme.Invictus.test grant pipeline:plain:demo/web administrator`"
    );
    let server = Asker::Server { name: "loopback".to_owned() };
    assert!(group.authorize(&server, GroupRole::Administrator).is_err());
}

#[test]
fn a08_somebody_always_administers_a_group() {
    let take = vec![Change::Revoked { from: "ana".parse().unwrap() }];
    assert_eq!(group().changed(take.clone()).unwrap_err().code(), "group_last_administrator");
    let pipeline_only =
        [vec![grant("pipeline:plain:demo/web", GroupRole::Administrator)], take.clone()].concat();
    assert_eq!(group().changed(pipeline_only).unwrap_err().code(), "group_last_administrator");
    let another = [vec![grant("acme/platform", GroupRole::Administrator)], take].concat();
    let changed = after(&group(), another);
    assert_eq!(changed.access.roles.keys().map(Principal::to_string).collect::<Vec<_>>(), ["acme/platform"]);
}

#[test]
fn a_group_is_stored_as_text_and_reads_back() {
    let group = after(&group(), vec![set("A", "x"), secret("K"), grant("acme/platform", GroupRole::User)]);
    let text = serde_json::to_string(&group).unwrap();
    assert_eq!(serde_json::from_str::<Group>(&text).unwrap(), group);
    assert!(text.contains(r#""acme/platform":"user""#), "{text}");
}

#[test]
fn a04_a_step_writes_lines_and_all_of_them_or_none() {
    let writes = parse("acme.Infra/Region=eu\n\nacme.Infra/REGION=us=1\nother/X=\n").unwrap();
    let shown: Vec<String> = writes
        .iter()
        .flat_map(|(group, values)| {
            values.iter().map(move |(name, value)| format!("{group} {name} [{value}]"))
        })
        .collect();
    assert_eq!(shown, ["acme.Infra REGION [us=1]", "other X []"]);
    for (text, why) in [
        ("a/B=1\nnonsense", "line 2 of $LIFTLOCK_GROUP_WRITES has no `=`; a line is `group/NAME=value`"),
        ("B=1", "line 1 of $LIFTLOCK_GROUP_WRITES names no group: `B`; a line is `group/NAME=value`"),
        ("../a/B=1", "line 1 of $LIFTLOCK_GROUP_WRITES names no group"),
        ("a/1B=x", "line 1 of $LIFTLOCK_GROUP_WRITES names no variable"),
    ] {
        let bad = parse(text).unwrap_err().to_string();
        assert!(bad.starts_with(why), "{bad}");
    }
    let many: Vec<String> = (0..=write::MOST_WRITES).map(|n| format!("a/V{n}=x")).collect();
    assert_eq!(parse(&many.join("\n")).unwrap_err().line, write::MOST_WRITES + 1);
}

#[test]
fn a05_a06_a_template_names_one_group_for_each_stage() {
    let text = "version: 1\nname: Framework\nbuild: make\ndeploy: ./d\nstages: [test, prod]\n";
    let files = [(".github/liftlock.yml".to_owned(), text.to_owned())].into();
    let loaded = crate::domain::manifest::load(&files, &"acme/shop".parse().unwrap()).unwrap();
    let pipeline = loaded.pipelines.into_iter().next().unwrap();
    let with = BTreeMap::from([("Prefix".to_owned(), "acme".to_owned())]);
    let shown = |template: &str| match template::names(template, &pipeline, &with) {
        Ok(names) => names.iter().map(GroupName::as_str).collect::<Vec<_>>().join(" "),
        Err(bad) => bad.to_string(),
    };
    assert_eq!(shown("$(prefix).Invictus.$(stage)"), "acme.Invictus.test acme.Invictus.prod");
    assert_eq!(shown("$(pipeline)-$(STAGE)"), "Framework-test Framework-prod");
    assert_eq!(
        shown("acme.Invictus"),
        "the template has no `$(stage)`, so every stage would get the same group"
    );
    assert_eq!(
        shown("$(suffix).$(stage)"),
        "nothing says what `$(suffix)` is; add `--with suffix=…`, or write its value into the template"
    );
    assert_eq!(shown("a.$(stage"), "the template has a `$(` without its `)`");
    assert!(shown("../$(stage)").contains("is not a group name"));
}
