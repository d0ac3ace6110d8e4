//! Tags as things that are published: in which repositories, at which commits, and whose they are.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::event::StartedBy;
use crate::domain::name::{CommitSha, PipelineName, RefName, RepoId, RepoName};
use crate::domain::publication::{Called, Item, Reached, Row};
use crate::domain::release::{Release, StageState, TagState};
use crate::domain::tag::TagNow;
use crate::domain::version::Version;

/// The name of a tag in a repository, among the things of its row.
pub fn tagged(tag: &str, repository: &str) -> String {
    format!("{tag} of {repository}")
}

/// The tags of a release in its own repository and in those that it took the tree of; the error is why there are none.
pub(super) fn items(release: &Release, name: &Version, own: &str) -> Result<Vec<Item>, String> {
    let tag = name.to_string();
    let item = |repository: &str, is: String| Item { name: tagged(&tag, repository), is };
    let mut items = vec![item(own, release.created.commit.to_string())];
    for found in &release.sources {
        let one = item(&found.source.repository, found.commit.to_string());
        match items.iter().find(|known| known.name == one.name) {
            None => items.push(one),
            Some(known) if known.is == one.is => {}
            Some(_) => {
                let repository = &found.source.repository;
                return Err(format!(
                    "it took two commits of {repository}, and {tag} can name one of them only"
                ));
            }
        }
    }
    Ok(items)
}

/// A repository that a release took builds of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Component {
    /// Its repository.
    pub repo: RepoId,
    /// What people call it.
    pub repository: RepoName,
    /// The builds, by the names that the manifest has for them.
    pub builds: BTreeSet<PipelineName>,
    /// The commits that they are of.
    pub commits: BTreeSet<CommitSha>,
}

impl Component {
    /// The commit that a tag there names; the error is why there is none.
    pub fn commit(&self) -> Result<&CommitSha, String> {
        match (self.commits.first(), self.commits.last()) {
            (Some(first), Some(last)) if first == last => Ok(first),
            (first, last) => {
                let short = |commit: Option<&CommitSha>| commit.map_or("none", CommitSha::short).to_owned();
                let (first, last) = (short(first), short(last));
                Err(format!(
                    "its builds are of several commits, {first} and {last} among them, and a tag names one"
                ))
            }
        }
    }
}

/// The repositories that a release took builds of, but its own; what those took themselves is their own pipelines'.
pub fn components(release: &Release, own: &RepoId) -> Vec<Component> {
    let mut all: BTreeMap<RepoId, Component> = BTreeMap::new();
    for build in &release.created.builds {
        let Some(abroad) = build.abroad.as_ref().filter(|abroad| abroad.pipeline.repo != *own) else {
            continue;
        };
        let repo = &abroad.pipeline.repo;
        let component = all.entry(repo.clone()).or_insert_with(|| Component {
            repo: repo.clone(),
            repository: abroad.repository.clone(),
            builds: BTreeSet::new(),
            commits: BTreeSet::new(),
        });
        component.builds.insert(build.pipeline.clone());
        component.commits.insert(build.commit.clone());
    }
    all.into_values().collect()
}

/// Whether a tag of the release's own repository is the final name that it is published by. It comes back as a push, and
/// is no release of its own. A stage that stopped before it had put the tag there leaves the name to people.
pub fn is_final_name(release: &Release, tag: &RefName, commit: &CommitSha) -> bool {
    let put = |row: &Row| {
        row.reached > Reached::Planned || release.state_in(&row.stage).is_some_and(StageState::occupies)
    };
    release.created.commit == *commit
        && release.is_finally(tag)
        && release.ledger.iter().any(|(publish, row)| publish.called() == Called::Final && put(row))
}

/// What became of a tag that was put at a commit; nothing while it stands as it was put.
pub fn became(state: &TagState, commit: &CommitSha) -> Option<String> {
    let commit = commit.short();
    match state {
        TagState::Unknown | TagState::There => None,
        TagState::Moved(None) => Some(format!("is gone; it stood at {commit}")),
        TagState::Moved(Some(to)) => Some(format!("moved from {commit} to {}", to.short())),
        TagState::Remade => Some("was made anew by somebody, over the one that was made here".to_owned()),
    }
}

impl Release {
    /// Whether a tag has the name that the release's candidates lead up to; a release that has such a name itself has no
    /// other.
    pub fn is_finally(&self, tag: &RefName) -> bool {
        let version = &self.created.version;
        !version.is_final() && version.base().to_string() == tag.as_str()
    }

    /// Whether a stage has put the tag by this final name there: it may only stay where it is.
    pub fn has_final_tag(&self, tag: &RefName) -> bool {
        self.is_finally(tag) && self.final_tag != TagState::Unknown
    }

    /// The tags of the release in its own repository that are there or were, with what is known of each.
    pub fn tags(&self) -> impl Iterator<Item = (Version, &TagState)> {
        let version = &self.created.version;
        let all = [(version.clone(), &self.tag), (version.base(), &self.final_tag)];
        all.into_iter().filter(|(_, state)| **state != TagState::Unknown)
    }

    /// The tag that is not what was put there, and what became of it.
    pub fn moved_tag(&self) -> Option<(Version, &TagState)> {
        self.tags().find_map(|(name, state)| match state {
            TagState::Unknown | TagState::There => None,
            TagState::Moved(_) | TagState::Remade => Some((name, state)),
        })
    }

    /// What a look at one of its tags says, by what was seen of it before.
    pub fn seen_as(&self, now: &TagNow) -> TagState {
        if now.commit.as_ref() != Some(&self.created.commit) {
            return TagState::Moved(now.commit.clone());
        }
        let first = self.tag_objects.get(&now.tag);
        let known = if self.is_finally(&now.tag) { &self.final_tag } else { &self.tag };
        let is_other = match &now.object {
            Some(object) => first.is_some_and(|first| object != first),
            // Who did not look at it knows no better.
            None => *known == TagState::Remade,
        };
        if is_other { TagState::Remade } else { TagState::There }
    }

    /// Whether the object of a tag is to be known again: that of an annotated tag which was made here, at its first sight.
    /// Who pushed a tag to have a release may make it anew at its commit.
    pub fn keeps_object(&self, now: &TagNow) -> bool {
        let commit = &self.created.commit;
        let is_annotated = now.object.as_ref().is_some_and(|object| object.as_str() != commit.as_str());
        let made_here = self.is_finally(&now.tag) || !matches!(self.created.started_by, StartedBy::Tag(_));
        let is_new = now.commit.as_ref() == Some(commit) && !self.tag_objects.contains_key(&now.tag);
        is_annotated && made_here && is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d41_a_repository_gets_a_tag_when_all_that_was_taken_of_it_is_of_one_commit() {
        let commit = |digit: &str| digit.repeat(40).parse::<CommitSha>().unwrap();
        let component = |commits: &[&str]| Component {
            repo: "github:7".parse().unwrap(),
            repository: "acme/platform".parse().unwrap(),
            builds: BTreeSet::new(),
            commits: commits.iter().map(|digit| commit(digit)).collect(),
        };
        assert_eq!(component(&["a", "a"]).commit(), Ok(&commit("a")));
        let why = component(&["a", "b"]).commit().unwrap_err();
        assert!(why.contains("several commits, aaaaaaa and bbbbbbb among them"), "{why}");
    }
}
