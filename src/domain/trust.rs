//! What a branch beside the default one may release (SEMANTICS §3, THREATS T29): the manifest on the default branch says
//! which branches are listened to, which stages there are and what these are given. A branch's own manifest says how its
//! commit is built and deployed, and can only tighten the rest: whoever may push some branch cannot let it in.

use std::collections::BTreeSet;
use std::fmt;

use crate::domain::markdown::inline_code;
use crate::domain::name::{PipelineName, RefName, RoleName};
use crate::domain::pipeline::step::Action;
use crate::domain::pipeline::{Pipeline, Stage};
use crate::domain::publication::Publish;

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
    wider(pipeline, head).map(|what| Distrust::Wider(format!("{what} on {on}: merge it there first")))
}

/// What is wrong with releasing an older commit of the default branch: who may push a tag decides nothing else.
pub fn outdated(pipeline: &Pipeline, declared: &[Pipeline], default: &RefName) -> Option<Distrust> {
    let on = inline_code(default.as_str());
    let head = match named(declared, &pipeline.name, &on) {
        Ok(head) => head,
        Err(unheard) => return Some(unheard),
    };
    wider(pipeline, head).map(|what| Distrust::Wider(format!("{what} on {on}: tag a newer commit")))
}

/// The pipeline of this name on the default branch.
fn named<'p>(declared: &'p [Pipeline], name: &PipelineName, on: &str) -> Result<&'p Pipeline, Distrust> {
    let unheard = || Distrust::Unheard(format!("the manifest on {on} has no pipeline {name}"));
    declared.iter().find(|pipeline| pipeline.name == *name).ok_or_else(unheard)
}

/// What a pipeline has that the one it is held against has not, as a sentence that goes on with where that one is.
fn wider(pipeline: &Pipeline, head: &Pipeline) -> Option<String> {
    if let Some(secret) = pipeline.build.secrets.difference(&head.build.secrets).next() {
        return Some(format!("the build takes the secret {}, which it does not", inline_code(secret)));
    }
    for stage in &pipeline.stages {
        let Some(known) = head.stage(&stage.name) else {
            return Some(format!("stage {} is not in the manifest", inline_code(stage.name.as_str())));
        };
        if stage.environment != known.environment {
            return Some(format!(
                "stage {} deploys to {}, and to {}",
                stage.name,
                inline_code(stage.environment.as_str()),
                inline_code(known.environment.as_str())
            ));
        }
        if let Some(more) = given((pipeline, stage)).difference(&given((head, known))).next() {
            return Some(format!("stage {} takes {more}, which it does not", stage.name));
        }
        if let Some(roles) = roles(stage).filter(|ours| !within(ours, roles(known))) {
            let names: Vec<String> = roles.iter().map(|role| inline_code(role.as_str())).collect();
            let which = if names.is_empty() {
                "all targets".to_owned()
            } else {
                format!("targets of {}", names.join(", "))
            };
            return Some(format!("stage {} deploys to {which}, which it does not", stage.name));
        }
    }
    None
}

/// What a stage is given of the server's, as people read it.
fn given((pipeline, stage): (&Pipeline, &Stage)) -> BTreeSet<String> {
    let mut given: BTreeSet<String> =
        stage.secrets.iter().map(|secret| format!("the secret {}", inline_code(secret))).collect();
    for step in stage.all_steps() {
        given
            .extend(step.terms.connection.iter().map(|name| format!("the connection {}", inline_code(name))));
        if let Action::Publish(Publish::Files { to, .. }) = &step.action {
            given.insert(format!("the outlet {}", inline_code(to.as_str())));
        }
    }
    let of_pipeline =
        pipeline.groups.iter().filter(|link| link.stages.is_empty() || link.stages.contains(&stage.name));
    for link in of_pipeline.chain(&stage.groups) {
        let name = spelled((pipeline, stage), &link.name);
        given.insert(format!("the group {}{name}", inline_code(&link.name)));
        given.extend(link.secrets.values().map(|at| format!("the secret {}", inline_code(&at.to_string()))));
    }
    given
}

/// The values of the variables that a name is made of: with others it is another name.
fn spelled((pipeline, stage): (&Pipeline, &Stage), name: &str) -> String {
    let all = pipeline.variables.iter().chain(&stage.variables);
    let used = all.filter(|(variable, _)| name.contains(&format!("$({variable})")));
    let said: Vec<String> =
        used.map(|(variable, said)| format!(" with {variable} {}", inline_code(&said.value))).collect();
    said.concat()
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
        let tag = "stage prod takes the secret `KEY`, which it does not on `main`: tag a newer commit";
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
        // Fewer stages, other commands and stricter rules are a branch's own.
        let less = MAIN
            .replace("approval: 2", "approval: 3")
            .replace("[make]", "[make all]")
            .replace("stages: [test,", "stages: [");
        assert_eq!(told(&less, "release/8").len(), 1, "quiet alone");
    }
}
