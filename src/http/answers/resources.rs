//! What a pipeline works with, from its rules in force and the server's config.

use crate::domain::name::PipelineId;
use crate::domain::notice::Route;
use crate::domain::pipeline::{Pipeline, Stage};
use crate::http::answers::{Answers, named};
use crate::http::resources::Resource;
use crate::secret::Asking;
use crate::trouble::{Outcome, Trouble};

impl Answers {
    /// In the order in which a release meets them; `NotFound` when there is no such pipeline.
    pub(super) async fn resources_of(&self, stream: &str) -> Outcome<Vec<Resource>> {
        let missing = || Trouble::not_found(format!("there is no pipeline {stream}"));
        let row = self.service.store().pipeline(stream).await?.ok_or_else(missing)?;
        let id: PipelineId = named(stream)?;
        let pipeline = self.service.journal().load(&id).await?.pipeline().ok_or_else(missing)?;
        let mut all = vec![self.webhook(&id)];
        for stage in &pipeline.stages {
            let asking = Asking { repository: &row.repo_name, pipeline: &id.name, stage: &stage.name };
            for found in self.of_stage(asking, stage) {
                add(&mut all, found, stage);
            }
        }
        all.extend(self.routes(&pipeline));
        Ok(all)
    }

    /// Where its host tells of pushes and comments.
    fn webhook(&self, id: &PipelineId) -> Resource {
        let host = id.repo.as_str().split(':').next().unwrap_or_default();
        let url = format!("{}/webhook/{host}", self.service.settings().notify.public_url);
        Resource { at: Some(url), ..resource("webhook", host) }
    }

    fn of_stage(&self, asking: Asking<'_>, stage: &Stage) -> Vec<Resource> {
        let environment =
            Resource { at: stage.around.url.clone(), ..resource("environment", stage.environment.as_str()) };
        let targets = self.service.targets_in(asking, (stage, &stage.environment));
        let targets = targets.into_iter().map(|target| Resource {
            at: Some(target.address()),
            ..resource("target", target.name.as_str())
        });
        let connections = stage.all_steps().filter_map(|step| step.terms.connection.as_ref());
        let connections = connections.map(|name| Resource {
            lacks: self.service.connection(asking, name).err(),
            ..resource("connection", name)
        });
        [environment].into_iter().chain(targets).chain(connections).collect()
    }

    /// Where it is told of. Their addresses are secrets.
    fn routes(&self, pipeline: &Pipeline) -> Vec<Resource> {
        let known = &self.service.settings().notify.routes;
        let mut all: Vec<Resource> = Vec::new();
        for notify in &pipeline.notify {
            let Route::Server(name) = &notify.to else { continue };
            let lacks = "the server's config has no such route, so nobody is told there";
            let lacks = (!known.contains_key(name)).then(|| lacks.to_owned());
            let route = Resource { lacks, ..resource("route", name.as_str()) };
            if !all.contains(&route) {
                all.push(route);
            }
        }
        all
    }
}

fn resource(kind: &'static str, name: &str) -> Resource {
    Resource { kind, name: name.to_owned(), at: None, stages: Vec::new(), lacks: None }
}

/// What several stages use is listed once.
fn add(all: &mut Vec<Resource>, found: Resource, stage: &Stage) {
    let name = stage.name.to_string();
    let same = |known: &&mut Resource| {
        (known.kind, &known.name, &known.at, &known.lacks)
            == (found.kind, &found.name, &found.at, &found.lacks)
    };
    match all.iter_mut().find(same) {
        Some(known) if known.stages.contains(&name) => {}
        Some(known) => known.stages.push(name),
        None => all.push(Resource { stages: vec![name], ..found }),
    }
}
