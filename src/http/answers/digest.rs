//! What a digest is, from the folded logs of all pipelines.

use super::{Answers, stages};
use crate::domain::evidence::{self, STATEMENTS};
use crate::domain::name::{Digest, PipelineId, printable};
use crate::domain::release::Release;
use crate::http::digests::{DigestPage, DigestUse};
use crate::trouble::{Outcome, Trouble};

/// Most releases that a page shows; the same file may be in each of many.
const MOST: usize = 50;

impl Answers {
    pub(super) async fn digest_page(&self, text: &str) -> Outcome<DigestPage> {
        let unknown = || Trouble::not_found(format!("nothing here has the digest {}", printable(text)));
        let digest: Digest = text.parse().map_err(|_| unknown())?;
        let now = self.service.store().here();
        let mut found = Vec::new();
        for row in self.service.store().pipelines().await? {
            let Ok(id) = row.stream.parse::<PipelineId>() else { continue };
            let state = self.service.journal().load(&id).await?;
            for release in state.releases.values() {
                let Some((what, file)) = what(release, &digest) else { continue };
                let used = DigestUse {
                    repo: row.repo_name.clone(),
                    stream: row.stream.clone(),
                    pipeline: row.name.clone(),
                    no: release.no().0.get(),
                    version: release.created.version.to_string(),
                    commit: release.created.commit.to_string(),
                    what,
                    deleted: release.retired.is_some(),
                    stages: stages(&state, release, now),
                    verify: file.map(|file| self.commands(&row.stream, release, &file)).unwrap_or_default(),
                };
                found.push((release.at, used));
            }
        }
        if found.is_empty() {
            return Err(unknown());
        }
        found.sort_by(|(a, _), (b, _)| b.cmp(a));
        let found = found.into_iter().map(|(_, used)| used).take(MOST).collect();
        Ok(DigestPage { digest: digest.to_string(), found })
    }

    /// How a file is checked where it was brought to, with its statements and the keys.
    fn commands(&self, stream: &str, release: &Release, file: &str) -> Vec<String> {
        if release.retired.is_some() {
            return Vec::new();
        }
        let server = &self.service.settings().notify.public_url;
        let place = format!("{server}/api/releases/{stream}/{}", release.no());
        vec![
            format!("curl -fsS {server}/keys > keys.pem"),
            format!("curl -fsSO '{place}/files/{file}'"),
            format!("curl -fsSO '{place}/evidence/{file}{STATEMENTS}'"),
            format!("liftlock verify '{file}' --keys keys.pem"),
        ]
    }
}

/// What of a release has the digest, and the file that it is, if it is one.
fn what(release: &Release, digest: &Digest) -> Option<(String, Option<String>)> {
    for sealed in &release.artifacts {
        let file = evidence::file_name(sealed);
        if sealed.digest == *digest {
            return Some((format!("the file `{file}`"), Some(file)));
        }
        if sealed.content == *digest {
            return Some((format!("the archive inside `{file}`"), Some(file)));
        }
        if let Some(image) = sealed.image.as_ref().filter(|image| image.manifest == *digest) {
            return Some((format!("the image `{image}` in `{file}`"), Some(file)));
        }
    }
    for (revision, old) in release.replaced() {
        if old.digest == *digest || old.content == *digest {
            let file = evidence::file_name(old);
            return Some((format!("the file `{file}`, until {} made it anew", revision.stage), None));
        }
    }
    if release.revisions.iter().any(|revision| revision.digest_before.as_ref() == Some(digest)) {
        return Some(("the release as a whole, before a stage made some of it anew".to_owned(), None));
    }
    if release.digest.as_ref() == Some(digest) {
        return Some(("the release as a whole, which is what people approve".to_owned(), None));
    }
    let kept = evidence::files(release).find(|kept| kept.digest == *digest)?;
    Some((format!("the evidence `{}`", kept.name), None))
}
