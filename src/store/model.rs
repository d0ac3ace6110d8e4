//! Read models: what pages and comments show, as plain rows that can be rebuilt from the events.

use crate::domain::time::Timestamp;
use crate::store::session::{Record, Session, args};
use crate::store::{Change, Store, sql};
use crate::trouble::Outcome;

/// A repository we know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryRow {
    /// Its id, which survives a change of its name.
    pub repo_id: String,
    /// The host it is on.
    pub host: String,
    /// `owner/name`.
    pub name: String,
    /// The branch the manifest is read from.
    pub default_branch: String,
    /// Settings, JSON.
    pub settings: String,
}

/// A pipeline and where its events are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PipelineRow {
    /// The stream of its events.
    pub stream: String,
    /// Its repository.
    pub repo_id: String,
    /// `owner/name` of its repository.
    pub repo_name: String,
    /// Its name.
    pub name: String,
    /// Settings, JSON.
    pub settings: String,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRow {
    /// Its pipeline's stream.
    pub stream: String,
    /// Its number in the pipeline.
    pub no: u32,
    /// The last event that changed it.
    pub seq: i64,
    /// Its version.
    pub version: String,
    /// The commit it is made from.
    pub commit: String,
    /// The digest of its artifact, once sealed.
    pub digest: Option<String>,
    /// Its state, as the rules name it.
    pub state: String,
    /// One line for people.
    pub title: String,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The rest of what pages show, JSON.
    pub summary: String,
}

/// A stage of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageRow {
    /// The pipeline's stream.
    pub stream: String,
    /// The release's number.
    pub no: u32,
    /// The stage's name.
    pub stage: String,
    /// Its place in the order of the stages.
    pub position: u32,
    /// Which attempt this is about.
    pub attempt: u32,
    /// Its state, as the rules name it.
    pub state: String,
    /// The digest that is there.
    pub digest: Option<String>,
    /// Why it is so, in one line.
    pub line: String,
    /// When something happens next by itself.
    pub next_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A row of any read model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// A repository.
    Repository(RepositoryRow),
    /// A pipeline.
    Pipeline(PipelineRow),
    /// A release.
    Release(ReleaseRow),
    /// A stage of a release.
    Stage(StageRow),
}

/// Writes a row over the one with the same key.
pub(super) async fn put_row(session: &mut Session, row: &Row) -> Outcome<()> {
    let (text, values) = match row {
        Row::Repository(r) => {
            (sql::REPOSITORY_PUT, args![&r.repo_id, &r.host, &r.name, &r.default_branch, &r.settings])
        }
        Row::Pipeline(r) => {
            (sql::PIPELINE_PUT, args![&r.stream, &r.repo_id, &r.repo_name, &r.name, &r.settings])
        }
        Row::Release(r) => (
            sql::RELEASE_PUT,
            args![
                &r.stream,
                r.no,
                r.seq,
                &r.version,
                &r.commit,
                r.digest.as_deref(),
                &r.state,
                &r.title,
                r.created_at,
                r.updated_at,
                &r.summary,
            ],
        ),
        Row::Stage(r) => (
            sql::STAGE_PUT,
            args![
                &r.stream,
                r.no,
                &r.stage,
                r.position,
                r.attempt,
                &r.state,
                r.digest.as_deref(),
                &r.line,
                r.next_at,
                r.updated_at,
            ],
        ),
    };
    session.run(text, values).await?;
    Ok(())
}

fn read_repository(mut row: Record) -> Outcome<RepositoryRow> {
    Ok(RepositoryRow {
        repo_id: row.text()?,
        host: row.text()?,
        name: row.text()?,
        default_branch: row.text()?,
        settings: row.text()?,
    })
}

fn read_pipeline(mut row: Record) -> Outcome<PipelineRow> {
    Ok(PipelineRow {
        stream: row.text()?,
        repo_id: row.text()?,
        repo_name: row.text()?,
        name: row.text()?,
        settings: row.text()?,
    })
}

fn read_release(mut row: Record) -> Outcome<ReleaseRow> {
    Ok(ReleaseRow {
        stream: row.text()?,
        no: row.small()?,
        seq: row.int()?,
        version: row.text()?,
        commit: row.text()?,
        digest: row.text_or_none()?,
        state: row.text()?,
        title: row.text()?,
        created_at: row.time()?,
        updated_at: row.time()?,
        summary: row.text()?,
    })
}

fn read_stage(mut row: Record) -> Outcome<StageRow> {
    Ok(StageRow {
        stream: row.text()?,
        no: row.small()?,
        stage: row.text()?,
        position: row.small()?,
        attempt: row.small()?,
        state: row.text()?,
        digest: row.text_or_none()?,
        line: row.text()?,
        next_at: row.time_or_none()?,
        updated_at: row.time()?,
    })
}

/// The end of the range of texts that begin with a prefix of hex digits: `g` sorts after all of them.
fn past(prefix: &str) -> String {
    format!("{prefix}g")
}

struct Clear;

impl Change for Clear {
    type Answer = ();
    const WAKES: bool = false;

    async fn apply(self, session: &mut Session) -> Outcome<()> {
        for text in [sql::CLEAR_STAGES, sql::CLEAR_RELEASES, sql::CLEAR_PIPELINES] {
            session.run(text, Vec::new()).await?;
        }
        Ok(())
    }
}

impl Store {
    /// Every repository, by id.
    pub async fn repositories(&self) -> Outcome<Vec<RepositoryRow>> {
        self.list(sql::REPOSITORY_LIST, Vec::new(), read_repository).await
    }

    /// One repository.
    pub async fn repository(&self, repo_id: &str) -> Outcome<Option<RepositoryRow>> {
        self.find(sql::REPOSITORY_GET, args![repo_id], read_repository).await
    }

    /// Every pipeline, by stream.
    pub async fn pipelines(&self) -> Outcome<Vec<PipelineRow>> {
        self.list(sql::PIPELINE_LIST, Vec::new(), read_pipeline).await
    }

    /// One pipeline.
    pub async fn pipeline(&self, stream: &str) -> Outcome<Option<PipelineRow>> {
        self.find(sql::PIPELINE_GET, args![stream], read_pipeline).await
    }

    /// The newest releases of a pipeline with a number below `before`.
    pub async fn latest_releases(
        &self,
        stream: &str,
        limit: u32,
        before: Option<u32>,
    ) -> Outcome<Vec<ReleaseRow>> {
        let before = before.map_or(i64::MAX, i64::from);
        self.list(sql::RELEASE_LATEST, args![stream, before, limit], read_release).await
    }

    /// The stages of the releases numbered `from` to `to`, newest release first, then in the order of the stages.
    pub async fn stages(&self, stream: &str, from: u32, to: u32) -> Outcome<Vec<StageRow>> {
        self.list(sql::STAGE_LIST, args![stream, from, to], read_stage).await
    }

    /// The grid: the newest releases of a pipeline, each with its stages.
    pub async fn grid(&self, stream: &str, limit: u32) -> Outcome<Vec<(ReleaseRow, Vec<StageRow>)>> {
        let releases = self.latest_releases(stream, limit, None).await?;
        let (Some(newest), Some(oldest)) = (releases.first(), releases.last()) else { return Ok(Vec::new()) };
        let stages = self.stages(stream, oldest.no, newest.no).await?;
        Ok(releases
            .into_iter()
            .map(|release| {
                let own = stages.iter().filter(|stage| stage.no == release.no).cloned().collect();
                (release, own)
            })
            .collect())
    }

    /// One release.
    pub async fn release(&self, stream: &str, no: u32) -> Outcome<Option<ReleaseRow>> {
        self.find(sql::RELEASE_GET, args![stream, no], read_release).await
    }

    /// The newest release of a pipeline with this version.
    pub async fn release_by_version(&self, stream: &str, version: &str) -> Outcome<Option<ReleaseRow>> {
        self.find(sql::RELEASE_BY_VERSION, args![stream, version], read_release).await
    }

    /// Releases of a commit, of all pipelines, newest first; a prefix in hex digits is enough.
    pub async fn releases_by_commit(&self, prefix: &str, limit: u32) -> Outcome<Vec<ReleaseRow>> {
        self.list(sql::RELEASE_BY_COMMIT, args![prefix, &past(prefix), limit], read_release).await
    }

    /// Releases of an artifact, of all pipelines, newest first; a prefix of the digest is enough.
    pub async fn releases_by_digest(&self, prefix: &str, limit: u32) -> Outcome<Vec<ReleaseRow>> {
        self.list(sql::RELEASE_BY_DIGEST, args![prefix, &past(prefix), limit], read_release).await
    }

    /// Empties pipelines, releases and stages before they are rebuilt from the events.
    pub async fn clear_read_models(&self) -> Outcome<()> {
        self.change(Clear).await
    }
}
