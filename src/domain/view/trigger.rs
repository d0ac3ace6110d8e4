//! What starts a pipeline, in sentences made of its manifest (row B02).

use crate::domain::glob::Glob;
use crate::domain::join::{Builds, Need};
use crate::domain::name::{Alias, PipelineName};
use crate::domain::pipeline::{Pipeline, PullRequestTrigger, PushTrigger};

/// One sentence for each way a release of it begins.
pub fn sentences(pipeline: &Pipeline) -> Vec<String> {
    let triggers = &pipeline.triggers;
    let push = triggers.push.as_ref().map(push);
    let tags = (!triggers.tags.is_empty()).then(|| format!("A pushed tag {}.", listed(&triggers.tags, "or")));
    let builds = triggers.builds.as_ref().map(builds);
    let pull_request = triggers.pull_request.as_ref().map(pull_request);
    let button = triggers.button.as_ref().map(|button| {
        let inputs: Vec<&str> = button.inputs.keys().map(String::as_str).collect();
        let given =
            if inputs.is_empty() { String::new() } else { format!(", who gives {}", joined(&inputs, "and")) };
        let per =
            button.per.as_ref().map_or_else(String::new, |per| format!("; each {per} goes its own way"));
        format!("Somebody with write{given}{per}.")
    });
    let times = triggers.schedule.iter().map(|timed| {
        let channel =
            timed.channel.as_ref().map_or_else(String::new, |name| format!(", of the channel {name}"));
        format!("{}, when the branch has changed{channel}.", timed.schedule)
    });
    let uploads: Vec<&str> = pipeline.uploads.iter().map(Alias::as_str).collect();
    let uploads = (!uploads.is_empty()).then(|| match &pipeline.workflow {
        Some(workflow) => format!("A run of {} that leaves {}.", workflow.file, joined(&uploads, "and")),
        None => format!("{} handed in by API, with its digest.", joined(&uploads, "and")),
    });
    let once = uploads.into_iter().chain(push).chain(tags).chain(builds).chain(button);
    once.chain(times).chain(pull_request).collect()
}

fn push(trigger: &PushTrigger) -> String {
    let branches = if trigger.branches.is_empty() {
        "the default branch".to_owned()
    } else {
        listed(&trigger.branches, "or")
    };
    format!("A push to {branches}{}.", changing(&trigger.paths))
}

fn pull_request(trigger: &PullRequestTrigger) -> String {
    format!("A pull request{} gets a quality build.", changing(&trigger.paths))
}

fn changing(paths: &[Glob]) -> String {
    if paths.is_empty() { String::new() } else { format!(" that changes {}", listed(paths, "or")) }
}

fn builds(builds: &Builds) -> String {
    let names: Vec<&str> = builds.from.iter().map(PipelineName::as_str).collect();
    let settle = if builds.settle.as_millis() == 0 {
        String::new()
    } else {
        format!("; builds that end within {} go into one release", builds.settle)
    };
    match builds.need {
        Need::Any => {
            format!("A build of {}, with the last of the others{settle}.", joined(&names, "or"))
        }
        Need::AllOfCommit => format!("All builds of {} that a commit starts{settle}.", joined(&names, "and")),
        Need::AllNewest => {
            format!("A new build of each of {} since the release before{settle}.", joined(&names, "and"))
        }
    }
}

/// `a or b, but not c`.
fn listed(patterns: &[Glob], word: &str) -> String {
    let texts = |excluded: bool| {
        let these = patterns.iter().filter(|pattern| pattern.excludes() == excluded);
        let texts: Vec<String> = these.map(ToString::to_string).collect();
        let bare = texts.iter().map(|text| text.strip_prefix('!').unwrap_or(text));
        joined(&bare.collect::<Vec<_>>(), word)
    };
    match (texts(false), texts(true)) {
        (named, excluded) if excluded.is_empty() => named,
        (named, excluded) if named.is_empty() => format!("anything but {excluded}"),
        (named, excluded) => format!("{named}, but not {excluded}"),
    }
}

/// `a, b or c`.
fn joined(words: &[&str], word: &str) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::{NATIVE_PATHS, load};

    /// What starts each pipeline of a fixture.
    fn told(manifest: &str) -> Vec<String> {
        let files = [(NATIVE_PATHS[0].to_owned(), manifest.to_owned())].into();
        let loaded = load(&files, &"acme/shop".parse().unwrap()).unwrap();
        let line = |pipeline: &Pipeline| format!("{}: {}", pipeline.name, sentences(pipeline).join(" "));
        loaded.pipelines.iter().map(line).collect()
    }

    #[test]
    fn b02_several_pipelines_say_which_pushes_and_pull_requests_are_theirs() {
        assert_eq!(
            told(include_str!("../../../fixtures/manifests/good/several-pipelines.yml")),
            [
                "studio: A push to master that changes studio/**, but not studio/docs/**. A pull request gets a \
                 quality build.",
                "runtime: A push to master that changes runtime/**. A pull request gets a quality build.",
            ]
        );
        let branches = "triggers: {push: {branches: [\"!wip/*\", \"!old\"]}}";
        assert_eq!(
            told(&format!("version: 1\n{branches}\nstages: [test]\n")),
            ["shop: A push to anything but wip/* or old."]
        );
        assert_eq!(told("version: 1\nstages: [test]\n"), ["shop: A push to the default branch."]);
    }

    #[test]
    fn b02_builds_of_other_pipelines_are_named_with_how_many_it_takes() {
        assert_eq!(
            told(include_str!("../../../fixtures/manifests/good/builds.yml")),
            [
                "studio: A push to master that changes studio/**.",
                "runtime: A push to master that changes runtime/**.",
                "release: A build of studio or runtime, with the last of the others; builds that end within 2m go \
                 into one release.",
                "nightly: A push to the default branch that changes nightly/**. A new build of each of runtime since \
                 the release before; builds that end within 10m go into one release.",
                "studio-copy: All builds of studio that a commit starts.",
            ]
        );
    }

    #[test]
    fn b02_buttons_uploads_workflows_and_times_are_named() {
        let starts = told(include_str!("../../../fixtures/manifests/good/starts.yml"));
        assert_eq!(starts, ["shop: Somebody with write, who gives note, region and service."]);
        let uploads = told(include_str!("../../../fixtures/manifests/good/uploads.yml"));
        assert_eq!(uploads, ["package: App and Symbols handed in by API, with its digest."]);
        let workflows = told(include_str!("../../../fixtures/manifests/good/workflows.yml"));
        assert_eq!(workflows, ["package: A run of build.yml that leaves App and Docs."]);
        let trains = told(include_str!("../../../fixtures/manifests/good/trains.yml"));
        let [trains] = trains.as_slice() else { panic!("{trains:?}") };
        assert!(trains.starts_with("shop: A push to the default branch. Somebody with write. "), "{trains}");
        assert!(trains.contains("when the branch has changed, of the channel servicing."), "{trains}");
    }
}
