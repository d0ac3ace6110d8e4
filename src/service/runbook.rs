//! Carrying out a run of a runbook: read the truth back, begin, run its commands in the source tree, report.

use std::collections::BTreeMap;

use crate::domain::decide::{Command, Fresh, StageEnd, Work};
use crate::domain::name::{PipelineId, StageName};
use crate::domain::runbook::run::{Progress, Run as Booked};
use crate::domain::runbook::variable;
use crate::domain::state::State;
use crate::domain::view;
use crate::runner::Sandbox;
use crate::service::Service;
use crate::service::steps::{Connections, KeptLog, Run, StepsEnd, Workplace};
use crate::service::worker::{Lease, Result as Worked};
use crate::trouble::{Outcome, Trouble};

impl Service {
    /// Runs it once; a run that was begun by a lost worker is reported as lost, never repeated.
    pub async fn run_runbook(&self, lease: &Lease, (run, turn): (u32, u32)) -> Worked {
        let id = lease.pipeline()?;
        let work = Work::Runbook { run, turn };
        let state = self.journal().load(&id).await?;
        let fresh = self.fresh_of_run(&state, run).await?;
        let begin = Command::Begin { work: work.clone(), fence: lease.fence(), fresh };
        let decided = match self.journal().decide(&id, &begin, lease.around()).await? {
            Ok(decided) => decided,
            Err(refusal) => return lease.complete(self, refusal.code()).await,
        };
        let begun = decided.state.runbooks.all.get(&run).cloned();
        let begun = begun.ok_or_else(|| Trouble::bug("the run is gone"))?;
        if begun.progress != Progress::Running(lease.fence()) {
            return lease.complete(self, "put back").await;
        }
        let end = self.run_end(&decided.state, &begun, (lease, decided.seq)).await;
        self.report_end(lease, &id, (work, end)).await
    }

    /// What the host says right now about those who agreed, and their comments (invariant 8).
    async fn fresh_of_run(&self, state: &State, run: u32) -> Outcome<Fresh> {
        let waiting = state.runbooks.all.get(&run).filter(|run| run.progress == Progress::Waiting);
        let Some(run) = waiting else { return Ok(Fresh::default()) };
        let repo = &state.id.repo;
        let host = self.host(repo)?;
        let said = (run.approvals.as_slice(), run.runbook().approval.as_ref());
        let mut fresh = self.said_yes(state, said, run.asked.place.as_ref()).await?;
        let repository = host.repository(repo).await?;
        self.fetch(&repository, Some(&repository.default_branch), None).await?;
        // Whoever asked, or agreed, meant what the branch had then (THREATS T37).
        let (branch, commit) = (repository.default_branch.clone(), run.asked.commit.clone());
        fresh.off_branch = !self.mirror(repo, move |mirror| mirror.leads_to(&branch, &commit)).await?;
        Ok(fresh)
    }

    /// Nothing means that the lease was lost: the next holder says so.
    async fn run_end(
        &self,
        state: &State,
        run: &Booked,
        (lease, fence): (&Lease, i64),
    ) -> Outcome<Option<StageEnd>> {
        let begun = crate::clock::monotonic();
        let place = Workplace::make(self, &lease.folder()).await?;
        let mut kept = KeptLog::open(self, view::runbook::log_id(&state.id, run.no()));
        let end = self.run_commands(state, run, (&place, lease, fence), &mut kept).await;
        kept.close().await?;
        place.remove().await;
        Ok(end?.of_run(begun))
    }

    async fn run_commands(
        &self,
        state: &State,
        run: &Booked,
        (place, lease, fence): (&Workplace, &Lease, i64),
        kept: &mut KeptLog,
    ) -> Outcome<StepsEnd> {
        let source = place.path("src");
        self.export(&state.id.repo, &run.asked.commit, source.clone()).await?;
        let book = run.runbook();
        let mut environment = self.base_environment(&place.path("home"));
        environment.extend(run_environment(state, run, fence));
        environment.insert("LIFTLOCK_SOURCE".to_owned(), source.display().to_string());
        environment.extend(book.environment_variables.clone());
        let stage = book.name.as_str().parse();
        let stage: StageName =
            stage.map_err(|e| Trouble::bug("a runbook's name is no stage's").because(e))?;
        environment.extend(self.secrets_beside_stages((&state.id, &stage), &book.secrets).await?);
        // Last, so that nothing else is taken for them; only ever variables, never part of a command (THREATS T20).
        environment.extend(run.asked.inputs.iter().map(|(name, value)| (variable(name), value.clone())));
        let steps = Run {
            steps: &book.steps,
            tree: &source,
            environment: &environment,
            sandbox: Sandbox::Plain,
            wall: book.timeout,
            artifacts: None,
            connections: &Connections::new(),
        };
        self.run_steps(&steps, kept, lease.stops()).await
    }
}

/// What the commands are told, by name; about the stage and what is live there when it works on one stage alone.
fn run_environment(state: &State, run: &Booked, fence: i64) -> BTreeMap<String, String> {
    let id: &PipelineId = &state.id;
    let by = run.asked.by.as_ref().map_or_else(|| "schedule".to_owned(), |by| by.login.to_string());
    let mut all = BTreeMap::from([
        ("LIFTLOCK_PIPELINE".to_owned(), id.name.to_string()),
        ("LIFTLOCK_RUNBOOK".to_owned(), run.runbook().name.to_string()),
        ("LIFTLOCK_RUN".to_owned(), run.no().to_string()),
        ("LIFTLOCK_STARTED_BY".to_owned(), by),
        ("LIFTLOCK_COMMIT".to_owned(), run.asked.commit.to_string()),
        ("FENCE_TOKEN".to_owned(), fence.to_string()),
    ]);
    if let [stage] = run.runbook().stages.as_slice() {
        all.insert("STAGE".to_owned(), stage.to_string());
        all.insert("LIFTLOCK_STAGE".to_owned(), stage.to_string());
        if let Some(live) = state.live_in(stage, None) {
            all.insert("LIFTLOCK_LIVE_VERSION".to_owned(), live.created.version.to_string());
        }
        if let Some(rule) = state.pipeline().as_ref().and_then(|p| p.stage(stage)) {
            all.insert("LIFTLOCK_ENVIRONMENT".to_owned(), rule.environment.to_string());
        }
    }
    all
}
