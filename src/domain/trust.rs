//! What a branch beside the default one may release (SEMANTICS §3, THREATS T29): the manifest on the default branch says
//! which branches are listened to, which stages there are and what these are given. A branch's own manifest says how its
//! commit is built and deployed, and can only tighten the rest: whoever may push some branch cannot let it in.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::domain::markdown::inline_code;
use crate::domain::name::{PipelineName, RefName, RoleName, StageName};
use crate::domain::pipeline::step::Action;
use crate::domain::pipeline::{Duty, Network, Pipeline, Stage};
use crate::domain::publication::Publish;
use crate::domain::variable::linked;

/// Why a branch releases nothing of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distrust {
    /// The default branch's manifest does not listen to it.
    Unheard(String),
    /// It is listened to, and its manifest asks for more than the default branch's gives.
    Wider(String),
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unheard(why) | Self::Wider(why) => f.write_str(why),
        }
    }
}

/// What is wrong with releasing this pipeline from the branch, by what the default branch declares.
pub fn distrust(
    pipeline: &Pipeline,
    declared: &[Pipeline],
    (branch, default): (&RefName, &RefName),
) -> Option<Distrust> {
    if branch == default {
        return None;
    }
    let on = inline_code(default.as_str());
    let head = match named(declared, &pipeline.name, &on) {
        Ok(head) => head,
        Err(unheard) => return Some(unheard),
    };
    let pushed =
        |pipeline: &Pipeline| pipeline.triggers.push.as_ref().is_some_and(|push| push.takes(branch, default));
    // Builds of builds, as far as they go.
    let (mut open, mut known, mut listens) = (vec![head], BTreeSet::new(), false);
    while let Some(one) = open.pop() {
        listens |= pushed(one);
        let from = one.triggers.builds.iter().flat_map(|builds| &builds.from);
        let from = from.filter_map(|name| named(declared, name, &on).ok());
        open.extend(from.filter(|one| known.insert(&one.name)));
    }
    if !listens {
        let why = format!(
            "{} listens to no push to {}, by the manifest on {on}",
            head.name,
            inline_code(branch.as_str())
        );
        return Some(Distrust::Unheard(why));
    }
    wider(pipeline, head).map(|(what, lack)| {
        let cure = match lack {
            Lack::There => "merge it there first",
            Lack::Here => "take that over from there first",
        };
        Distrust::Wider(format!("{what} on {on}: {cure}"))
    })
}

/// What is wrong with releasing an older commit of the default branch: who may push a tag, hand something in or run a
/// workflow again decides nothing else.
pub fn outdated(pipeline: &Pipeline, declared: &[Pipeline], default: &RefName) -> Option<Distrust> {
    let on = inline_code(default.as_str());
    let head = match named(declared, &pipeline.name, &on) {
        Ok(head) => head,
        Err(unheard) => return Some(unheard),
    };
    wider(pipeline, head).map(|(what, _)| Distrust::Wider(format!("{what} on {on}: release a newer commit")))
}

/// The pipeline of this name on the default branch.
fn named<'p>(declared: &'p [Pipeline], name: &PipelineName, on: &str) -> Result<&'p Pipeline, Distrust> {
    let unheard = || Distrust::Unheard(format!("the manifest on {on} has no pipeline {name}"));
    declared.iter().find(|pipeline| pipeline.name == *name).ok_or_else(unheard)
}

/// Which of the two manifests lacks what the other has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// That of the default branch.
    There,
    /// That of the commit.
    Here,
}

/// What a pipeline may that the one it is held against may not, as a sentence that goes on with where that one is.
fn wider(pipeline: &Pipeline, head: &Pipeline) -> Option<(String, Lack)> {
    if let Some(more) = wider_build(pipeline, head) {
        return Some((more, Lack::There));
    }
    pipeline.stages.iter().find_map(|stage| {
        let Some(known) = head.stage(&stage.name) else {
            let name = inline_code(stage.name.as_str());
            return Some((format!("stage {name} is not in the manifest"), Lack::There));
        };
        let (ours, theirs) = ((pipeline, stage), (head, known));
        let not_awaited = || {
            let earlier = not_awaited(ours, theirs)?;
            Some((format!("stage {} does not wait for {earlier}, which it does", stage.name), Lack::Here))
        };
        wider_stage(ours, theirs).map(|more| (more, Lack::There)).or_else(not_awaited)
    })
}

fn wider_build(pipeline: &Pipeline, head: &Pipeline) -> Option<String> {
    if let Some(secret) = pipeline.build.secrets.difference(&head.build.secrets).next() {
        return Some(format!("the build takes the secret {}, which it does not", inline_code(secret)));
    }
    if pipeline.build.network == Network::Host && head.build.network == Network::None {
        return Some("the build has the network of the machine, which it has not".to_owned());
    }
    let known: BTreeSet<&str> = head.sources.iter().map(|source| source.repository.as_str()).collect();
    let more = pipeline.sources.iter().find(|source| !known.contains(source.repository.as_str()))?;
    Some(format!("the build takes the repository {}, which it does not", inline_code(&more.repository)))
}

fn wider_stage((pipeline, stage): (&Pipeline, &Stage), (head, known): (&Pipeline, &Stage)) -> Option<String> {
    if stage.environment != known.environment {
        return Some(format!(
            "stage {} deploys to {}, and to {}",
            stage.name,
            inline_code(stage.environment.as_str()),
            inline_code(known.environment.as_str())
        ));
    }
    if let Some(more) = given(pipeline, stage).difference(&given(head, known)).next() {
        return Some(format!("stage {} takes {more}, which it does not", stage.name));
    }
    let more = roles(stage).filter(|ours| !within(ours, roles(known)))?;
    let which = if more.is_empty() { "all targets".to_owned() } else { format!("targets of {}", list(more)) };
    Some(format!("stage {} deploys to {which}, which it does not", stage.name))
}

/// The stages before one that must have succeeded on the default branch, and that it does not wait for here: without them
/// their checks, approvals and soaks would be left out with them.
fn not_awaited((pipeline, stage): (&Pipeline, &Stage), (head, known): (&Pipeline, &Stage)) -> Option<String> {
    let (required, any) = required(head, known);
    let before = awaited(pipeline).remove(&stage.name).unwrap_or_default();
    if let Some(name) = required.iter().find(|name| !before.contains(**name)) {
        return Some(inline_code(name.as_str()));
    }
    let here: BTreeSet<&StageName> = stage.needs_any.iter().collect();
    // One that may fail lets a stage go on that needs it by name, and not one that needs one of several.
    let surely = |name: &&StageName| before.contains(*name) && is_mandatory(head, name);
    let waits =
        |any: &BTreeSet<&StageName>| any.iter().any(surely) || (!here.is_empty() && here.is_subset(any));
    any.into_iter().find(|any| !waits(any)).map(|any| format!("one of {}", list(any)))
}

fn is_mandatory(pipeline: &Pipeline, stage: &StageName) -> bool {
    pipeline.stage(stage).is_some_and(|stage| stage.duty == Duty::Mandatory)
}

/// The stages that one waits for by name, and those of which it waits for one; what an optional stage waits for counts in
/// its place, as its failure is passed over and what came before it is not.
fn required<'p>(
    pipeline: &'p Pipeline,
    stage: &'p Stage,
) -> (BTreeSet<&'p StageName>, Vec<BTreeSet<&'p StageName>>) {
    let (mut names, mut any, mut seen) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
    let mut open = vec![stage];
    while let Some(stage) = open.pop() {
        if !stage.needs_any.is_empty() {
            any.push(stage.needs_any.iter().collect());
        }
        for need in &stage.needs {
            match pipeline.stage(need).filter(|need| need.duty == Duty::Optional) {
                Some(optional) if seen.insert(need) => open.push(optional),
                Some(_) => {}
                None => drop(names.insert(need)),
            }
        }
    }
    (names, any)
}

/// What each stage waits for, also through others; of several of which one is enough, what all of them wait for.
fn awaited(pipeline: &Pipeline) -> BTreeMap<&StageName, BTreeSet<&StageName>> {
    let mut all: BTreeMap<&StageName, BTreeSet<&StageName>> = BTreeMap::new();
    // Each round carries it a stage further, and no way is longer than there are stages.
    for _ in &pipeline.stages {
        for stage in &pipeline.stages {
            let through = |name| {
                let mut before = all.get(name).cloned().unwrap_or_default();
                before.insert(name);
                before
            };
            let mut now: BTreeSet<&StageName> = stage.needs.iter().flat_map(through).collect();
            let common = stage.needs_any.iter().map(through).reduce(|a, b| &a & &b);
            now.extend(common.unwrap_or_default());
            all.insert(&stage.name, now);
        }
    }
    all
}

fn list<T: fmt::Display>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| inline_code(&name.to_string())).collect();
    names.join(", ")
}

/// What a stage is given of the server's, and what it is let do outside its environment, as people read it.
fn given(pipeline: &Pipeline, stage: &Stage) -> BTreeSet<String> {
    let mut given: BTreeSet<String> =
        stage.secrets.iter().map(|secret| format!("the secret {}", inline_code(secret))).collect();
    for step in stage.all_steps() {
        given
            .extend(step.terms.connection.iter().map(|name| format!("the connection {}", inline_code(name))));
        if let Action::Publish(publish) = &step.action {
            given.insert(match publish {
                Publish::Files { to, .. } => format!("the outlet {}", inline_code(to.as_str())),
                Publish::Tags | Publish::FinalTags | Publish::HostRelease { .. } => {
                    format!("the right to publish {publish}")
                }
            });
        }
    }
    // By the names that they come to: the variables in them are the commit's own.
    let links = match linked(pipeline, stage) {
        Ok(links) => links,
        Err(problem) => {
            given.insert(format!("groups that nobody can tell ({problem})"));
            Vec::new()
        }
    };
    for link in links {
        let group = inline_code(link.name.as_str());
        if link.write {
            given.insert(format!("the right to write into the group {group}"));
        }
        given.insert(format!("the group {group}"));
        given.extend(link.secrets.values().map(|at| format!("the secret {}", inline_code(&at.to_string()))));
    }
    given
}

/// The roles of the targets that a stage deploys to; nothing for one that deploys to no targets.
fn roles(stage: &Stage) -> Option<&BTreeSet<RoleName>> {
    stage.targets.as_ref().map(|targets| &targets.roles)
}

/// Whether targets are among those of another stage, where no role means all of them.
fn within(ours: &BTreeSet<RoleName>, theirs: Option<&BTreeSet<RoleName>>) -> bool {
    theirs.is_some_and(|theirs| theirs.is_empty() || (!ours.is_empty() && ours.is_subset(theirs)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest;

    const MAIN: &str = "version: 1\npipelines:\n  shop:\n    triggers: {push: {branches: [main, 'release/*']}}\n    \
                        build: {steps: [make], secrets: [NPM]}\n    deploy: ./deploy.sh\n    stages: [test, {name: prod, \
                        environment: production, secrets: [KEY], approval: 2}]\n  \
                        rollout:\n    triggers: {builds: {any: [shop]}}\n    artifacts: [{alias: shop, from: build/shop}]\n    \
                        deploy: ./deploy.sh\n    stages: [live]\n  quiet: {build: make, deploy: ./deploy.sh, stages: [test]}\n";

    fn pipelines(text: &str) -> Vec<Pipeline> {
        let files = [(".github/liftlock.yml".to_owned(), text.to_owned())].into();
        manifest::load(&files, &"acme/shop".parse().unwrap()).unwrap().pipelines
    }

    /// What is said of each pipeline of a branch.
    fn told(text: &str, branch: &str) -> Vec<String> {
        let (main, branch) = ("main".parse().unwrap(), branch.parse().unwrap());
        let (declared, ours) = (pipelines(MAIN), pipelines(text));
        let all = ours.iter().filter_map(|pipeline| distrust(pipeline, &declared, (&branch, &main)));
        all.map(|distrust| distrust.to_string().replace('\\', "")).collect()
    }

    #[test]
    fn t29_the_default_branch_says_which_branches_are_listened_to() {
        assert_eq!(told(MAIN, "main"), [""; 0]);
        let quiet = "quiet listens to no push to `release/8`, by the manifest on `main`";
        assert_eq!(told(MAIN, "release/8"), [quiet], "what is built of a branch may be rolled out");
        let again = "  again:\n    triggers: {builds: {any: [rollout]}}\n    artifacts: [{alias: shop, from: build/rollout}]\n    \
                     deploy: ./deploy.sh\n    stages: [live]\n";
        let chain = pipelines(&format!("{MAIN}{again}"));
        let (main, branch) = ("main".parse().unwrap(), "release/8".parse().unwrap());
        let last = chain.iter().find(|pipeline| pipeline.name.as_str() == "again").unwrap();
        assert_eq!(distrust(last, &chain, (&branch, &main)), None, "and so may what is built of that");
        let evil = MAIN.replace("'release/*'", "evil");
        assert_eq!(told(&evil, "evil").len(), 3, "a branch cannot let itself in");
        let other = "version: 1\nname: other\ntriggers: {push: {branches: ['release/*']}}\nbuild: make\nstages: [{name: x, deploy: id}]\n";
        assert_eq!(told(other, "release/8"), ["the manifest on `main` has no pipeline other"]);
        // On the default branch itself they are whatever was merged.
        assert_eq!(told(other, "main"), [""; 0]);
    }

    #[test]
    fn t29_an_older_commit_gets_no_more_than_the_default_branch_gives_now() {
        let main = "main".parse().unwrap();
        let told = |text: &str, declared: &str| -> Vec<String> {
            let (ours, declared) = (pipelines(text), pipelines(declared));
            let all = ours.iter().filter_map(|pipeline| outdated(pipeline, &declared, &main));
            all.map(|distrust| distrust.to_string().replace('\\', "")).collect()
        };
        assert_eq!(told(MAIN, MAIN), [""; 0]);
        let less = MAIN.replace("secrets: [KEY], ", "");
        let tag = "stage prod takes the secret `KEY`, which it does not on `main`: release a newer commit";
        assert_eq!(told(MAIN, &less), [tag]);
        let gone = MAIN.replace("  quiet:", "  loud:");
        assert_eq!(told(MAIN, &gone), ["the manifest on `main` has no pipeline quiet"]);
    }

    #[test]
    fn t29_a_branch_that_is_listened_to_gets_no_more_than_the_default_branch_gives() {
        let asks = |from: &str, to: &str| told(&MAIN.replace(from, to), "release/8").remove(0);
        assert_eq!(
            asks("stages: [test,", "stages: [test, x,"),
            "stage `x` is not in the manifest on `main`: merge it there first"
        );
        assert_eq!(
            asks("stages: [test,", "stages: [{name: test, environment: production},"),
            "stage test deploys to `production`, and to `test` on `main`: merge it there first"
        );
        assert_eq!(
            asks("stages: [test,", "stages: [{name: test, secrets: [KEY]},"),
            "stage test takes the secret `KEY`, which it does not on `main`: merge it there first"
        );
        assert_eq!(
            asks("secrets: [NPM]", "secrets: [KEY, NPM]"),
            "the build takes the secret `KEY`, which it does not on `main`: merge it there first"
        );
        assert_eq!(
            asks("stages: [test,", "stages: [{name: test, groups: [prod-keys]},"),
            "stage test takes the group `prod-keys`, which it does not on `main`: merge it there first"
        );
        assert_eq!(
            asks("stages: [test,", "stages: [{name: test, deploy: [{run: ./deploy.sh, connection: cloud}]},"),
            "stage test takes the connection `cloud`, which it does not on `main`: merge it there first"
        );
        assert_eq!(
            asks("stages: [test,", "stages: [{name: test, targets: {roles: [web]}},"),
            "stage test deploys to targets of `web`, which it does not on `main`: merge it there first"
        );
        assert_eq!(
            asks("stages: [test,", "stages: [{name: test, deploy: [{uses: git-tags}]},"),
            "stage test takes the right to publish git tags, which it does not on `main`: merge it there first"
        );
        assert_eq!(
            asks("stages: [test, {name: prod,", "stages: [{name: prod,"),
            "stage prod does not wait for `test`, which it does on `main`: take that over from there first"
        );
        assert_eq!(
            asks("secrets: [NPM]", "secrets: [NPM], network: host"),
            "the build has the network of the machine, which it has not on `main`: merge it there first"
        );
        // Fewer stages behind, other commands and stricter rules are a branch's own.
        let less = MAIN
            .replace("approval: 2", "approval: 3")
            .replace("[make]", "[make all]")
            .replace("stages: [test, {", "stages: [test, {agent: none, ");
        assert_eq!(told(&less, "release/8").len(), 1, "quiet alone");
    }

    /// What comes before a stage is there for its checks, its approvals and its soak.
    #[test]
    fn t29_a_branch_cannot_leave_out_what_a_stage_waits_for() {
        let main = "main".parse().unwrap();
        let told = |declared: &str, ours: &str| {
            let manifest = |stages: &str| {
                pipelines(&format!("version: 1\nname: shop\nbuild: make\ndeploy: id\nstages: {stages}\n"))
            };
            let (declared, ours) = (manifest(declared), manifest(ours));
            outdated(&ours[0], &declared, &main).map(|why| why.to_string())
        };
        let all = "[test, {name: perf, optional: true}, stage, prod]";
        assert_eq!(told(all, all), None);
        let missed = |stage: &str, what: &str| {
            Some(format!(
                "stage {stage} does not wait for {what}, which it does on `main`: release a newer commit"
            ))
        };
        assert_eq!(told(all, "[prod]"), missed("prod", "`stage`"));
        assert_eq!(told(all, "[test, stage, {name: prod, needs: []}]"), missed("prod", "`stage`"));
        assert_eq!(told(all, "[test, stage, prod]"), None, "what may fail may be left out");
        assert_eq!(told(all, "[stage, prod]"), missed("stage", "`test`"), "and not what comes before it");
        assert_eq!(told("[test, prod]", "[test]"), None, "and so may what comes behind");
        let through = "[test, stage, {name: prod, needs: [test, stage]}]";
        assert_eq!(told(through, "[test, stage, prod]"), None, "it waits for the first through the second");
        let any = "[a, {name: b, needs: []}, {name: prod, needs: [], needs_any: [a, b]}]";
        assert_eq!(told(any, "[a, {name: prod, needs: [], needs_any: [a]}]"), None);
        assert_eq!(told(any, "[a, prod]"), None);
        let both =
            "[{name: x, needs: [a]}, {name: y, needs: [a]}, {name: prod, needs: [], needs_any: [x, y]}]";
        let through = both.replace("[{name: x", "[a, {name: x");
        assert!(told(&through.replace("needs_any: [x, y]", "needs_any: [x]"), &through).is_some());
        let soft = "[{name: a, optional: true}, {name: b, optional: true, needs: []}, {name: prod, needs: [], needs_any: [a, b]}]";
        let one = "[{name: a, optional: true}, {name: prod, needs: [a]}]";
        assert_eq!(told(soft, one), missed("prod", "one of `a`, `b`"), "its failure would be passed over");
        assert_eq!(
            told(any, "[a, {name: b, needs: []}, {name: prod, needs: []}]"),
            missed("prod", "one of `a`, `b`")
        );
    }

    /// A name in other letters, or made of a name, is not another text to be compared.
    #[test]
    fn t29_a_branch_gets_the_groups_that_their_names_come_to_and_no_others() {
        let main = "main".parse().unwrap();
        let told = |more: &str, link: &str, ours: (&str, &str)| {
            let manifest = |more: &str, link: &str| {
                pipelines(&format!(
                    "version: 1\nname: shop\nbuild: make\ndeploy: id\nvariables: {{{more}}}\nstages: [{{name: prod, groups: \
                     [{link}]}}]\n"
                ))
            };
            let (declared, ours) = (manifest(more, link), manifest(ours.0, ours.1));
            outdated(&ours[0], &declared, &main).map(|why| why.to_string())
        };
        let takes = |what: &str| {
            Some(format!("stage prod takes {what}, which it does not on `main`: release a newer commit"))
        };
        let nested = ("prefix: '$(team)', team: web", "'$(prefix).keys'");
        assert_eq!(told(nested.0, nested.1, nested), None);
        let other = ("prefix: '$(team)', team: payments", "'$(prefix).keys'");
        assert_eq!(told(nested.0, nested.1, other), takes("the group `payments.keys`"));
        let cased = ("team: payments", "'$(TEAM).keys'");
        assert_eq!(told("team: web", "'$(TEAM).keys'", cased), takes("the group `payments.keys`"));
        assert_eq!(told("team: web", "'$(TEAM).keys'", ("team: web", "web.keys")), None);
        let writes = ("team: web", "{name: web.keys, write: true}");
        assert_eq!(
            told("team: web", "web.keys", writes),
            takes("the right to write into the group `web.keys`")
        );
    }
}
