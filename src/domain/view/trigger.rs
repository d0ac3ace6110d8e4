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

fn listed(patterns: &[Glob], word: &str) -> String {
    let texts: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    joined(&texts.iter().map(String::as_str).collect::<Vec<_>>(), word)
}

/// `a, b or c`.
fn joined(words: &[&str], word: &str) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} {word} {last}", first.join(", ")),
    }
}
