//! Publishing to a feed by its own client: the files in a folder, a command that uploads, one that proves.

use std::path::{Path, PathBuf};

use super::{At, Halt, stopped};
use crate::domain::publication::{Found, Goods, Item, Move, Publish};
use crate::publish::Patience;
use crate::publish::command::{Feed, SOMETHING_ELSE, words};
use crate::runner::{Ended, Job, Limits, Program, Report, Sandbox};
use crate::service::blocking;
use crate::service::publish::Client;
use crate::service::stage::Walk;
use crate::service::stage::roll::Left;
use crate::service::steps::{KeptLog, StepsEnd};
use crate::trouble::{Outcome, Trouble};

impl Walk<'_> {
    /// Does for a feed what is to be found out and done, one command at a time.
    pub(super) async fn look_in_feed(
        &self,
        at: &mut At<'_>,
        feed: &Feed,
        left: Left<'_>,
        kept: &mut KeptLog,
    ) -> Result<(), Halt> {
        self.lay_out(at).await?;
        let report = self.client(at, &feed.validate, left, kept).await?;
        let found = said(&report.ended);
        at.found = at.items.iter().map(|item| (item.name.clone(), found.clone())).collect();
        Ok(())
    }

    /// Uploads all of it; when the client says no, what is there says whether it had been there.
    pub(super) async fn put_into_feed(
        &self,
        at: &mut At<'_>,
        feed: &Feed,
        left: Left<'_>,
        kept: &mut KeptLog,
    ) -> Result<(), Halt> {
        let report = self.client(at, &feed.upload, left, kept).await?;
        if report.ended == Ended::Exited(0) {
            at.found = at.items.iter().map(|item| (item.name.clone(), Found::Same)).collect();
            return Ok(());
        }
        self.look_in_feed(at, feed, left, kept).await?;
        if at.found.values().any(|found| *found == Found::Missing) {
            at.tail = report.tail;
            let how = format!("its `upload` {}", report.ended);
            return Err(Halt::Stop(stopped(how, at.there())));
        }
        Ok(())
    }

    /// Asks until everybody gets the same.
    pub(super) async fn prove_feed(
        &mut self,
        at: &mut At<'_>,
        feed: &Feed,
        left: Left<'_>,
        kept: &mut KeptLog,
    ) -> Result<(), Halt> {
        let Patience { tries, wait } = at.way.patience();
        for no in 1..=tries {
            let report = self.client(at, &feed.validate, left, kept).await?;
            if report.ended == Ended::Exited(0) {
                return self.tell(at.publish, Move::Verified, kept).await;
            }
            at.tail = report.tail;
            if report.ended == Ended::Exited(SOMETHING_ELSE) {
                let how = format!(
                    "everybody gets something else than what was uploaded, says `validate`; mend that there and comment \
                     `/retry {}`, or release a new version",
                    self.course.stage.name
                );
                return Err(Halt::Stop(stopped(how, at.there())));
            }
            if no == tries {
                let how = format!("its `validate` {}, asked {no} times", report.ended);
                return Err(Halt::Stop(stopped(how, at.there())));
            }
            self.unless_stopped(tokio::time::sleep(wait.as_std()), left).await?;
        }
        Ok(())
    }

    /// Runs one command of the config. It is told what is published and no more: what a manifest gives to commands
    /// could make another program of it.
    async fn client(
        &self,
        at: &At<'_>,
        argv: &[String],
        left: Left<'_>,
        kept: &mut KeptLog,
    ) -> Result<Report, Halt> {
        let (folder, course) = (self.publishing(), self.course);
        let created = &course.release.created;
        let artifacts = match at.publish {
            Publish::Files { what: Goods::One(alias), .. } => course.artifacts.join(alias.as_str()),
            Publish::Files { .. } | Publish::Tags | Publish::FinalTags | Publish::HostRelease { .. } => {
                course.artifacts.clone()
            }
        };
        let shown = |path: &Path| path.display().to_string();
        let values = [
            ("files", shown(&folder.join(FILES))),
            ("artifacts", shown(&artifacts)),
            ("version", created.version.to_string()),
        ];
        let mut environment = self.service.base_environment(&folder.join("home"));
        environment.extend(
            values.iter().map(|(name, value)| (format!("LIFTLOCK_{}", name.to_uppercase()), value.clone())),
        );
        let more = [
            ("LIFTLOCK_COMMIT", created.commit.to_string()),
            ("LIFTLOCK_PIPELINE", course.id.name.to_string()),
            ("LIFTLOCK_OUTLET", at.publish.outlet().to_owned()),
        ];
        environment.extend(more.map(|(name, value)| (name.to_owned(), value)));
        if let Some(Client::Feed(feed)) = at.way.client() {
            environment.extend(feed.environment.clone());
            let secrets = feed.secrets.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
            environment.extend(secrets);
        }
        let job = Job {
            program: Program::Argv(words(argv, &values)),
            tree: folder,
            folder: PathBuf::new(),
            environment,
            limits: Limits { wall: left(), ..Limits::default() },
            sandbox: Sandbox::Plain,
        };
        kept.log.note(&format!("{}: {}", at.way.name(), argv.first().map_or("", String::as_str))).await;
        let report = self.service.runner().run(&job, &mut kept.log, self.course.lease.stops()).await?;
        match report.ended {
            Ended::Cancelled => Err(Halt::End(StepsEnd::Stopped)),
            Ended::Lost => Err(Halt::End(StepsEnd::Lost)),
            Ended::TimedOut { .. } | Ended::Killed { .. } | Ended::OutputLimit { .. } => {
                Err(Halt::Stop(stopped(format!("its client {}", report.ended), at.there())))
            }
            Ended::Exited(_) => Ok(report),
        }
    }

    /// The folder of clients, with nothing of the stage's in it.
    pub(super) fn publishing(&self) -> PathBuf {
        self.course.notes.with_file_name("publish")
    }

    /// The files under their names, for the client alone.
    async fn lay_out(&self, at: &At<'_>) -> Outcome<()> {
        let folder = self.publishing();
        let home = folder.join("home");
        let files = folder.join(FILES);
        let made = files.clone();
        blocking(move || {
            let fail = |e| Trouble::transient(format!("make the folder {}", made.display())).because(e);
            if made.exists() {
                crate::folder::remove(&made)?;
            }
            std::fs::create_dir_all(&home).and_then(|()| std::fs::create_dir_all(&made)).map_err(fail)
        })
        .await?;
        for item in &at.items {
            self.copy(item, files.join(&item.name)).await?;
        }
        Ok(())
    }

    async fn copy(&self, item: &Item, to: PathBuf) -> Outcome<()> {
        let content = self.service.content(self.course.release, item).await?;
        blocking(move || {
            let copied = std::fs::File::create_new(&to).and_then(|mut file| content.copy_to(&mut file));
            copied.map_err(|e| Trouble::transient(format!("write {}", to.display())).because(e))
        })
        .await
    }
}

/// Where the files are, below the folder of all that is published.
const FILES: &str = "files";

/// What `validate` says of what is there.
fn said(ended: &Ended) -> Found {
    match ended {
        Ended::Exited(0) => Found::Same,
        Ended::Exited(SOMETHING_ELSE) => Found::Other("something else, says `validate`".to_owned()),
        Ended::Exited(_)
        | Ended::Killed { .. }
        | Ended::TimedOut { .. }
        | Ended::OutputLimit { .. }
        | Ended::Cancelled
        | Ended::Lost => Found::Missing,
    }
}
