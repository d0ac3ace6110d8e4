//! Publishing images: copied to a registry at their digest, under the release's version, and read back.

use std::path::PathBuf;

use super::{At, Halt, stopped};
use crate::domain::image::tag_of;
use crate::domain::publication::Item;
use crate::publish::{Seen, Taken};
use crate::runner::registry::{CLIENT, Registry};
use crate::runner::{Ended, Job, Limits, Program, Report, Sandbox};
use crate::service::blocking;
use crate::service::images::read_back;
use crate::service::stage::Walk;
use crate::service::stage::roll::Left;
use crate::service::steps::{KeptLog, PATH, StepsEnd};

/// What registries say when there is no such image, as the client repeats it (OCI distribution spec, "Error Codes").
const NOT_THERE: &[&str] = &["manifest unknown", "name unknown", "not found", "repository name not known"];

impl Walk<'_> {
    /// What the registry has under each tag.
    pub(super) async fn look_in_registry(
        &self,
        at: &mut At<'_>,
        registry: &Registry,
        left: Left<'_>,
        kept: &mut KeptLog,
    ) -> Result<(), Halt> {
        let (work, login) = (self.publishing(), registry.clone());
        blocking(move || login.prepare(&work)).await?;
        for item in at.items.clone() {
            let seen = self.in_registry(at, (registry, &item), left, kept).await?;
            at.found.insert(item.name.clone(), seen.of(&item));
        }
        Ok(())
    }

    /// Copies one image as it was sealed; pushing what is there already moves nothing.
    pub(super) async fn put_into_registry(
        &self,
        at: &mut At<'_>,
        (registry, item): (&Registry, &Item),
        left: Left<'_>,
        kept: &mut KeptLog,
    ) -> Result<Taken, Halt> {
        let release = self.course.release;
        let tag = tag_of(&release.created.version);
        let mut images = release
            .artifacts
            .iter()
            .filter_map(|sealed| Some((&sealed.alias, sealed.image.as_ref()?.name.here())));
        let Some((alias, name)) = images.find(|(_, name)| item.name == format!("{name}:{tag}")) else {
            return Err(Halt::Stop(stopped(format!("the release has no image {}", item.name), at.there())));
        };
        let push = registry.push(alias.as_str(), &name, &tag);
        let report = self.registry_client(at, (registry, push, &self.course.artifacts), left, kept).await?;
        if report.ended == Ended::Exited(0) {
            return Ok(Taken::Yes);
        }
        let how = format!("{CLIENT} for {} {}", registry.host(), report.ended);
        at.tail = report.tail;
        Err(Halt::Stop(stopped(how, at.there())))
    }

    /// What everybody gets under a tag.
    pub(super) async fn in_registry(
        &self,
        at: &mut At<'_>,
        (registry, item): (&Registry, &Item),
        left: Left<'_>,
        kept: &mut KeptLog,
    ) -> Result<Seen, Halt> {
        let work = self.publishing();
        let read = registry.read_back(&format!("{}/{}", registry.address, item.name));
        let report = self.registry_client(at, (registry, read, &work), left, kept).await?;
        if report.ended == Ended::Exited(0) {
            return Ok(Seen::Is(read_back(&work).await?.to_string()));
        }
        let says = |line: &String| NOT_THERE.iter().any(|phrase| line.contains(phrase));
        if report.tail.iter().any(says) {
            return Ok(Seen::Nothing);
        }
        let how = format!("{CLIENT} for {} {}", registry.host(), report.ended);
        at.tail = report.tail;
        Err(Halt::Stop(stopped(how, at.there())))
    }

    async fn registry_client(
        &self,
        at: &At<'_>,
        (registry, program, tree): (&Registry, Program, &PathBuf),
        left: Left<'_>,
        kept: &mut KeptLog,
    ) -> Result<Report, Halt> {
        let job = Job {
            program,
            tree: tree.clone(),
            folder: PathBuf::new(),
            environment: Registry::environment(&self.publishing(), PATH),
            limits: Limits { wall: left(), ..Limits::default() },
            sandbox: Sandbox::Plain,
        };
        let report = self.service.runner().run(&job, &mut kept.log, self.course.lease.stops()).await?;
        match report.ended {
            Ended::Cancelled => Err(Halt::End(StepsEnd::Stopped)),
            Ended::Lost => Err(Halt::End(StepsEnd::Lost)),
            Ended::TimedOut { .. } | Ended::Killed { .. } | Ended::OutputLimit { .. } => {
                let how = format!("{CLIENT} for {} {}", registry.host(), report.ended);
                Err(Halt::Stop(stopped(how, at.there())))
            }
            Ended::Exited(_) => Ok(report),
        }
    }
}
