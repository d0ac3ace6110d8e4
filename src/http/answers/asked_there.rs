//! What a running stage waits for that nobody can say here: a yes where its job runs.

use crate::domain::gate::Mark as Sign;
use crate::domain::release::Release;
use crate::domain::rollout;
use crate::http::view::{StageWhy, WhyLine};

/// The stages of a release whose jobs wait for somebody where they run.
pub(super) fn asked_there(release: &Release) -> impl Iterator<Item = StageWhy> {
    release.rules.stages.iter().filter_map(|rule| {
        let asked = release.run(&rule.name).into_iter().flat_map(rollout::asked_there);
        let lines: Vec<WhyLine> = asked
            .map(|line| WhyLine {
                mark: super::mark(Sign::Wait),
                text: line.text,
                next: line.page.map(|page| format!("say so at {page}")),
                until: None,
            })
            .collect();
        (!lines.is_empty()).then(|| StageWhy { stage: rule.name.to_string(), lines })
    })
}
