//! `[[upstream]]`: builds of one repository that pipelines of others may take, and which.

use serde::Deserialize;

use super::{BUILDS, Reading};
use crate::domain::name::{PipelineName, RepoName};
use crate::secret::Allowed;
use crate::upstream::Upstream;

/// One pipeline as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    name: PipelineName,
    repository: RepoName,
    pipeline: PipelineName,
    #[serde(default)]
    allow: Vec<Allowed>,
    #[serde(default)]
    tag: Vec<Allowed>,
}

impl Reading<'_> {
    pub(super) fn upstreams(&mut self, given: Vec<Entry>) -> Vec<Upstream> {
        let mut upstreams: Vec<Upstream> = Vec::new();
        for Entry { name, repository, pipeline, allow, tag } in given {
            if upstreams.iter().any(|known| known.name == name) {
                self.problem(format!("two upstreams are called {name}"));
            }
            self.for_somebody(&format!("upstream {name}"), &allow, BUILDS);
            upstreams.push(Upstream { name, repository, pipeline, allow, tag });
        }
        upstreams
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::read;
    use crate::secret::Asking;

    const CONFIG: &str = "[[upstream]]\nname = \"runtime\"\nrepository = \"acme/runtime\"\npipeline = \"ci\"\n\
                          allow = [\"acme/sdk:*/build\"]\n";

    #[test]
    fn b09_a_build_of_another_repository_has_a_name_and_is_for_the_pipelines_it_names() {
        let config = read(CONFIG).unwrap();
        let upstream = config.upstreams.first().unwrap();
        assert_eq!((upstream.repository.as_str(), upstream.pipeline.as_str()), ("acme/runtime", "ci"));
        let allows = |repository: &str| {
            let (pipeline, stage) = ("ship".parse().unwrap(), "build".parse().unwrap());
            upstream.allows(Asking { repository, pipeline: &pipeline, stage: &stage })
        };
        assert!(allows("acme/sdk") && !allows("acme/web"));
    }

    #[test]
    fn t40_d41_whoever_takes_a_build_may_not_write_there_unless_the_config_says_so() {
        let (pipeline, stage) = ("sdk".parse().unwrap(), "prod".parse().unwrap());
        let asking = Asking { repository: "acme/sdk", pipeline: &pipeline, stage: &stage };
        let tags = |config: &str| read(config).unwrap().upstreams[0].is_tagged_by(asking);
        assert!(!tags(&CONFIG.replace("*/build", "*/*")));
        assert!(tags(&format!("{CONFIG}tag = [\"acme/sdk:sdk/prod\"]\n")));
        assert!(!tags(&format!("{CONFIG}tag = [\"acme/sdk:sdk/test\"]\n")));
    }

    #[test]
    fn a_build_for_nobody_and_a_name_that_is_taken_are_problems() {
        let problems = read(&CONFIG.replace("allow = [\"acme/sdk:*/build\"]\n", "")).unwrap_err();
        assert!(problems.contains("upstream runtime is for nobody"), "{problems}");
        let problems = read(&CONFIG.repeat(2)).unwrap_err();
        assert!(problems.contains("two upstreams are called runtime"), "{problems}");
    }
}
