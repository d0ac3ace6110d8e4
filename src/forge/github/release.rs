//! Releases on GitHub: found by their tag, made as drafts, given files, published.

use std::ops::ControlFlow;

use hyper::Method;
use serde_json::{Value, json};

use crate::domain::name::{RefName, RepoId};
use crate::forge::Asked;
use crate::forge::github::app::Work;
use crate::forge::github::client::GitHub;
use crate::forge::github::dto;
use crate::forge::github::route::{segment, segments};
use crate::forge::release::{Asset, Draft, Releases, Shown};
use crate::https::pieces::Content;
use crate::trouble::{Kind, Outcome};

impl Releases for GitHub {
    fn find<'a>(&'a self, repo: &'a RepoId, tag: &'a RefName) -> Asked<'a, Option<Shown>> {
        Box::pin(self.release_of(repo, tag))
    }

    fn draft<'a>(&'a self, repo: &'a RepoId, draft: &'a Draft) -> Asked<'a, Shown> {
        Box::pin(async move {
            let home = self.home(repo).await?;
            let path = format!("/repositories/{}/releases", home.id);
            let body = body_of(draft, true);
            let identity = home.to(Work::Tag);
            let reply = self.send(identity.content(), Method::POST, &path, Some(&body)).await?;
            Ok(dto::read::<dto::Release>(&path, &reply.body)?.shown())
        })
    }

    fn attach<'a>(
        &'a self,
        repo: &'a RepoId,
        release: u64,
        name: &'a str,
        content: Content,
    ) -> Asked<'a, ()> {
        Box::pin(async move {
            let home = self.home(repo).await?;
            let path = format!("/repositories/{}/releases/{release}/assets?name={}", home.id, segment(name));
            self.stack.upload(&home.to(Work::Tag), &path, content).await
        })
    }

    fn detach<'a>(&'a self, repo: &'a RepoId, asset: u64) -> Asked<'a, ()> {
        Box::pin(async move {
            let home = self.home(repo).await?;
            let path = format!("/repositories/{}/releases/assets/{asset}", home.id);
            self.send(home.to(Work::Tag).write(), Method::DELETE, &path, None).await.map(drop)
        })
    }

    fn publish<'a>(&'a self, repo: &'a RepoId, release: u64, draft: &'a Draft) -> Asked<'a, ()> {
        Box::pin(async move {
            let home = self.home(repo).await?;
            let path = format!("/repositories/{}/releases/{release}", home.id);
            let body = body_of(draft, false);
            self.send(home.to(Work::Tag).write(), Method::PATCH, &path, Some(&body)).await.map(drop)
        })
    }
}

impl GitHub {
    /// Drafts are in the list alone, so that is asked when nothing is published.
    async fn release_of(&self, repo: &RepoId, tag: &RefName) -> Outcome<Option<Shown>> {
        let home = self.home(repo).await?;
        let identity = home.to(Work::Tag);
        let path = format!("/repositories/{}/releases/tags/{}", home.id, segments(tag.as_str()));
        match self.get::<dto::Release>(&identity, &path).await {
            Ok(found) => return Ok(Some(found.shown())),
            Err(trouble) if trouble.kind() == Kind::NotFound => {}
            Err(trouble) => return Err(trouble),
        }
        let ours = |found: dto::Release| {
            let same = found.tag_name == tag.as_str();
            if same { ControlFlow::Break(found.shown()) } else { ControlFlow::Continue(()) }
        };
        self.pages(&identity, &format!("/repositories/{}/releases", home.id), ours).await
    }
}

impl dto::Release {
    fn shown(self) -> Shown {
        let assets = self.assets.into_iter().map(|asset| Asset {
            id: asset.id,
            name: asset.name,
            // `starter` is what an upload leaves that broke off.
            whole: asset.state == "uploaded",
            digest: asset.digest,
            address: asset.browser_download_url,
        });
        Shown {
            id: self.id,
            draft: self.draft,
            title: self.name.unwrap_or_default(),
            body: self.body.unwrap_or_default(),
            pre_release: self.prerelease,
            page: self.html_url,
            assets: assets.collect(),
        }
    }
}

/// Everything that a release says of itself: what is left out stays as somebody else wrote it.
fn body_of(draft: &Draft, hidden: bool) -> Value {
    json!({
        "tag_name": draft.tag.as_str(), "target_commitish": draft.commit.as_str(), "name": draft.title,
        "body": draft.body, "draft": hidden, "prerelease": draft.pre_release,
    })
}
