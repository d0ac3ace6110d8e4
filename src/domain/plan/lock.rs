//! Which locks a pipeline has: those of the environments that its stages and runbooks occupy.

use std::collections::BTreeMap;

use crate::domain::name::EnvironmentName;
use crate::domain::state::State;

/// Who has each lock, in words, by its name: the group of the effects that need it, or what that begins with (SEMANTICS
/// §8). The tracks of a pipeline share a lock; what another pipeline does is of none of them and waits for all.
pub fn locks(state: &State) -> BTreeMap<String, String> {
    let mut locks: BTreeMap<String, String> = BTreeMap::new();
    for release in state.open() {
        for (name, runs) in &release.stages {
            let occupies = runs.last().is_some_and(|run| run.state.occupies());
            if let Some(rule) = release.rule(name).filter(|_| occupies) {
                let holder = format!("{} {} in {name}", state.id.name, release.created.version);
                let lock = locks.entry(rule.lock_group(&state.id.repo)).or_default();
                if !lock.is_empty() {
                    lock.push_str(", ");
                }
                lock.push_str(&holder);
            }
        }
    }
    for run in state.runbooks.at_work() {
        for environment in &run.asked.environments {
            locks.insert(name(state, environment), format!("{} of {}", run.title(), state.id.name));
        }
    }
    locks
}

/// The name of an environment's lock, as the pipeline has it now.
pub(super) fn name(state: &State, environment: &EnvironmentName) -> String {
    let pipeline = state.pipeline();
    let stage = pipeline.as_ref().and_then(|p| p.stages.iter().find(|stage| stage.lock() == environment));
    stage.map_or_else(
        || format!("environment:{}:{environment}", state.id.repo),
        |stage| stage.lock_group(&state.id.repo),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::name::PipelineId;

    /// Two repositories may call their pipelines and environments the same; each has its own.
    #[test]
    fn an_environment_belongs_to_the_repository_of_its_pipeline() {
        let [one, two] = ["github:1/web", "github:2/web"].map(|id| id.parse::<PipelineId>().unwrap());
        assert_eq!(one.name, two.name);
        assert_ne!(one, two);
        let prod = "prod".parse().unwrap();
        let [one, two] = [one, two].map(|id| name(&State::new(id), &prod));
        assert_eq!((one.as_str(), two.as_str()), ("environment:github:1:prod", "environment:github:2:prod"));
    }
}
