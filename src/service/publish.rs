//! Where a step publishes to: an outlet of the config, tags of every repository, or the host's own release.

use std::collections::BTreeMap;

use tokio::sync::OnceCell;

use crate::domain::decide::Command;
use crate::domain::document::documents;
use crate::domain::evidence::{SHA256SUMS, checksums, file_name};
use crate::domain::metadata;
use crate::domain::name::{CommitSha, Digest, PipelineId, RefName, RepoId, StageName};
use crate::domain::person::Visibility;
use crate::domain::publication::tag::{Component, components, tagged};
use crate::domain::publication::{Filled, Found, Item, METADATA, Publish, Words, images, items};
use crate::domain::release::Release;
use crate::domain::tag::Tag;
use crate::domain::time::Span;
use crate::domain::view::notes;
use crate::forge::release::{Asset, Draft, Lack, Releases, Shown};
use crate::forge::{Forge, Tagged};
use crate::git::fetch::{Branches, Wanted};
use crate::git::origin;
use crate::git::repo::Mirror;
use crate::git::write::{NewTag, OURSELVES};
use crate::https::pieces::Content;
use crate::publish::command::Feed;
use crate::publish::{self, Images, Outlet, Patience, Seen, Taken, http};
use crate::runner::probe::find_program;
use crate::runner::registry::{CLIENT, Registry};
use crate::secret::Asking;
use crate::service::journal::Around;
use crate::service::steps::PATH;
use crate::service::{Service, blocking};
use crate::trouble::{Kind, Outcome, Trouble};

/// Longest that another repository may take to be asked or told.
const GIT_WITHIN: Span = Span::minutes(5);
/// What a host's own API is given: it answers for itself, so nothing has to spread.
const HOSTS: Patience = Patience { tries: 5, wait: Span::seconds(2) };

/// What a step publishes, and how.
pub(super) struct Way<'a> {
    service: &'a Service,
    release: &'a Release,
    to: To<'a>,
}

enum To<'a> {
    Outlet(&'a Outlet),
    Client(&'a Outlet, Client<'a>),
    Tags(Tags<'a>),
    Release(OnHost<'a>),
}

/// A program that speaks with an outlet.
#[derive(Debug, Clone)]
pub(super) enum Client<'a> {
    /// Commands of the config.
    Feed(&'a Feed),
    /// The client of registries.
    Registry(Registry),
}

/// The repositories that a release is made of.
struct Tags<'a> {
    id: &'a PipelineId,
    tag: RefName,
    /// Those that it took trees of.
    others: Vec<origin::Origin>,
    /// Those that it took builds of, with the commits.
    built: Vec<(Component, CommitSha)>,
    /// Those of them that get no tag, with the reason.
    left_out: Vec<String>,
}

/// The release as the host shows it.
struct OnHost<'a> {
    id: &'a PipelineId,
    host: &'a dyn Forge,
    releases: &'a dyn Releases,
    draft: Draft,
    /// Whether all of it was there once, in this attempt or an earlier one.
    filled: Filled,
    /// Whether the tag was made sure of before the first file: each of them would sign and ask for it anew.
    made_sure: OnceCell<()>,
}

impl Service {
    /// Why the stage cannot publish this, found before anything of it has happened.
    pub(super) fn no_outlet(
        &self,
        (id, asking): (&PipelineId, Asking<'_>),
        release: &Release,
        publish: &Publish,
    ) -> Result<(), String> {
        let to = publish.outlet();
        match publish {
            Publish::Files { .. } => match self.outlet(publish) {
                None => Err(format!(
                    "the server has no outlet `{to}`; add a [[publish]] with name = \"{to}\" to its config"
                )),
                Some(outlet) if !outlet.allows(asking) => Err(asking.not_of(&format!("the outlet `{to}`"))),
                Some(outlet) => match client(outlet) {
                    Some(Client::Registry(_)) if find_program(CLIENT, PATH).is_none() => {
                        Err(format!("images are copied by `{CLIENT}`, which is not on the server's machine"))
                    }
                    Some(Client::Registry(_)) => images(release, publish).map(drop),
                    Some(Client::Feed(_)) | None => Ok(()),
                },
            },
            Publish::Tags | Publish::FinalTags => self.others(asking, release).map(drop),
            Publish::HostRelease { .. } => {
                let host = self.host(&id.repo).map_err(|trouble| trouble.to_string())?;
                host.releases().map(drop)
            }
        }
    }

    fn outlet(&self, publish: &Publish) -> Option<&Outlet> {
        self.settings().outlets.iter().find(|outlet| outlet.name.as_str() == publish.outlet())
    }

    /// The other repositories of a release, for a stage that may write to them.
    fn others(&self, asking: Asking<'_>, release: &Release) -> Result<Vec<origin::Origin>, String> {
        let one = |name: &String| {
            let known = self.settings().origins.iter().find(|origin| origin.name == *name);
            match known {
                None => Err(format!("the server no longer knows {name}; add a [[repository]] to its config")),
                Some(origin) if !origin.allows(asking) => {
                    Err(asking.not_of(&format!("the repository {name}")))
                }
                Some(origin) => Ok(origin.clone()),
            }
        };
        let mut names: Vec<&String> = release.sources.iter().map(|found| &found.source.repository).collect();
        names.sort();
        names.dedup();
        names.into_iter().map(one).collect()
    }

    /// The tags of a release, for a stage that may write to the repositories it took trees of. One that it took builds of
    /// may be left out, since whoever takes a build need not be trusted with more.
    fn tags<'a>(
        &self,
        (id, asking): (&'a PipelineId, Asking<'_>),
        release: &Release,
        tag: RefName,
    ) -> Result<Tags<'a>, String> {
        let others = self.others(asking, release)?;
        let (mut built, mut left_out) = (Vec::new(), Vec::new());
        for component in components(release, &id.repo) {
            match self.tags_builds(asking, &component) {
                Ok(commit) => built.push((component, commit)),
                Err(why) => left_out.push(format!("{}, {why}", component.repository)),
            }
        }
        Ok(Tags { id, tag, others, built, left_out })
    }

    /// The commit that is tagged in a repository of which builds were taken; the error is why none is.
    fn tags_builds(&self, asking: Asking<'_>, component: &Component) -> Result<CommitSha, String> {
        let mut known = self.settings().upstreams.iter().filter(|upstream| {
            upstream.repository == component.repository && component.builds.contains(&upstream.name)
        });
        if !known.any(|upstream| upstream.is_tagged_by(asking)) {
            return Err(format!(
                "whose [[upstream]] in the server's config has no tag = [\"{asking}\"]; its builds are taken, and nothing \
                 is written there"
            ));
        }
        self.host(&component.repo).map_err(|trouble| trouble.to_string())?;
        component.commit().cloned()
    }

    /// How a step's goods get where they are to be, and what they are; the error is what people are told.
    pub(super) async fn way<'a>(
        &'a self,
        (id, stage): (&'a PipelineId, &StageName),
        release: &'a Release,
        (publish, around): (&Publish, Around),
    ) -> Outcome<Result<(Way<'a>, Vec<Item>), String>> {
        let own = self.journal().name_of(&id.repo).await?;
        let asking = Asking { repository: &own, pipeline: &id.name, stage };
        // It may have stopped in between, and the config is another one since.
        if let Err(why) = self.no_outlet((id, asking), release, publish) {
            return Ok(Err(why));
        }
        let tag = publish.called().name(&release.created.version).to_string().parse();
        let tag: RefName = tag.map_err(|e| Trouble::bug("a version is no tag").because(e))?;
        let to = match publish {
            Publish::Files { .. } => match self.outlet(publish) {
                Some(outlet) => match client(outlet) {
                    Some(client) => To::Client(outlet, client),
                    None => To::Outlet(outlet),
                },
                None => return Ok(Err("the outlet is gone".to_owned())),
            },
            Publish::Tags | Publish::FinalTags => match self.tags((id, asking), release, tag) {
                Ok(tags) => To::Tags(tags),
                Err(why) => return Ok(Err(why)),
            },
            Publish::HostRelease { notes, .. } => {
                let host = &**self.host(&id.repo)?;
                match host.releases() {
                    Ok(releases) => {
                        let body = match self.body((id, release), *notes, around).await? {
                            Ok(body) => body,
                            Err(why) => return Ok(Err(why)),
                        };
                        let draft = draft((release, publish), tag, body);
                        let filled = release.ledger.get(publish).map_or(Filled::NotYet, |row| row.filled);
                        To::Release(OnHost { id, host, releases, draft, filled, made_sure: OnceCell::new() })
                    }
                    Err(why) => return Ok(Err(why)),
                }
            }
        };
        let items = match &to {
            To::Client(_, Client::Registry(_)) => images(release, publish),
            To::Client(..) | To::Outlet(_) | To::Tags(_) | To::Release(_) => items(release, publish, &own),
        };
        let mut items = match items {
            Ok(items) => items,
            Err(why) => return Ok(Err(why)),
        };
        if let Publish::HostRelease { metadata: true, .. } = publish {
            items.push(self.metadata(release, publish, (id, &own)).await?);
        }
        if let To::Tags(tags) = &to {
            items.extend(tags.of_builds());
        }
        Ok(Ok((Way { service: self, release, to }, items)))
    }

    /// What the host's release says; its notes stay as they are from here on.
    async fn body(
        &self,
        (id, release): (&PipelineId, &Release),
        with_notes: bool,
        around: Around,
    ) -> Outcome<Result<String, String>> {
        let built = notes::of_commit(release);
        if !with_notes {
            return Ok(Ok(built));
        }
        let freeze = Command::FreezeNotes { release: release.no() };
        Ok(match self.journal().report(id, &freeze, around).await? {
            Ok(decided) => {
                let kept = decided.state.release(release.no()).and_then(|release| release.notes.clone());
                Ok(kept.map_or_else(String::new, |kept| format!("{}\n", kept.text)) + &built)
            }
            Err(refusal) => Err(refusal.to_string()),
        })
    }

    /// `release.json` as a step wrote it down, or as it was when it was first to be published: it tells of stages, so it
    /// changes with every one.
    async fn metadata(
        &self,
        release: &Release,
        publish: &Publish,
        (id, own): (&PipelineId, &str),
    ) -> Outcome<Item> {
        let planned = release.ledger.get(publish).into_iter().flat_map(|row| &row.items);
        if let Some(item) = planned.clone().find(|item| item.name == METADATA) {
            return Ok(item.clone());
        }
        if let Some(written) = documents(release).get(METADATA) {
            return Ok(Item { name: METADATA.to_owned(), is: written.digest.to_string() });
        }
        // As it is now, with the notes that were kept a moment ago.
        let state = self.journal().load(id).await?;
        let release = state.release(release.no()).map_or(release, |now| now);
        let text = metadata::text(release, &id.name, own);
        let store = self.artifacts().clone();
        let digest = blocking(move || store.put(text.as_bytes())).await?;
        Ok(Item { name: METADATA.to_owned(), is: digest.to_string() })
    }

    /// The bytes of a file of the release, checked.
    pub(super) async fn content(&self, release: &Release, item: &Item) -> Outcome<Content> {
        if item.name == SHA256SUMS {
            return Ok(Content::Text(checksums(release.shipped())));
        }
        let sealed = release.artifacts.iter().find(|sealed| file_name(sealed) == item.name);
        let digest: Digest = match sealed {
            Some(sealed) => sealed.digest.clone(),
            None => {
                item.is.parse().map_err(|e| Trouble::bug(format!("no file is {}", item.name)).because(e))?
            }
        };
        let store = self.artifacts().clone();
        let (file, size) = blocking(move || Ok(store.open_verified(&digest)?)).await?;
        Ok(Content::File(file, size))
    }
}

fn client(outlet: &Outlet) -> Option<Client<'_>> {
    match &outlet.kind {
        publish::Kind::Folder(_) | publish::Kind::Http(_) | publish::Kind::Object(_) => None,
        publish::Kind::Command(feed) => Some(Client::Feed(feed)),
        publish::Kind::Registry(Images { address, login, plain }) => Some(Client::Registry(Registry {
            address: address.clone(),
            instead_of: None,
            environment: None,
            login: login.clone(),
            plain: *plain,
            allow: Vec::new(),
        })),
    }
}

fn draft((release, publish): (&Release, &Publish), tag: RefName, body: String) -> Draft {
    let version = publish.called().name(&release.created.version);
    Draft {
        tag,
        commit: release.created.commit.clone(),
        title: version.to_string(),
        body,
        pre_release: version.pre_release().is_some(),
    }
}

impl<'a> Way<'a> {
    /// The program that speaks with the outlet, where one does.
    pub(super) fn client(&self) -> Option<Client<'a>> {
        match &self.to {
            To::Client(_, client) => Some(client.clone()),
            To::Outlet(_) | To::Tags(_) | To::Release(_) => None,
        }
    }

    /// What of it is not published there, with the reasons.
    pub(super) fn left_out(&self) -> &[String] {
        match &self.to {
            To::Tags(tags) => &tags.left_out,
            To::Outlet(_) | To::Client(..) | To::Release(_) => &[],
        }
    }

    fn version(&self) -> String {
        self.release.created.version.to_string()
    }

    /// How it is called in the log.
    pub(super) fn name(&self) -> String {
        match &self.to {
            To::Outlet(outlet) | To::Client(outlet, _) => outlet.name.to_string(),
            To::Tags(_) => "the repository".to_owned(),
            To::Release(_) => "the host's release".to_owned(),
        }
    }

    /// How long it may take until everybody sees it.
    pub(super) fn patience(&self) -> Patience {
        match &self.to {
            To::Outlet(outlet) | To::Client(outlet, _) => outlet.patience,
            To::Tags(_) | To::Release(_) => HOSTS,
        }
    }

    /// Where people find it.
    pub(super) async fn address(&self) -> Outcome<Option<String>> {
        match &self.to {
            To::Outlet(outlet) | To::Client(outlet, _) => Ok(outlet.address(&self.version())),
            To::Tags(_) => Ok(None),
            To::Release(there) => Ok(there.find().await?.map(|shown| shown.page)),
        }
    }

    /// Whether what is put there stands where people look for it at once.
    pub(super) fn shows_at_once(&self) -> bool {
        match &self.to {
            To::Outlet(outlet) | To::Client(outlet, _) => outlet.shows_at_once(),
            To::Tags(_) => true,
            To::Release(_) => false,
        }
    }

    /// What there is of these now.
    pub(super) async fn look(&self, items: &[Item]) -> Outcome<BTreeMap<String, Found>> {
        let mut found = BTreeMap::new();
        let shown = match &self.to {
            To::Release(there) => there.find().await?,
            To::Outlet(_) | To::Client(..) | To::Tags(_) => None,
        };
        for item in items {
            let one = match &self.to {
                To::Outlet(outlet) | To::Client(outlet, _) => outlet.look(&self.version(), item).await?,
                To::Tags(tags) => tags.read((self.service, self.release), item).await?.of(item),
                To::Release(_) => shown.as_ref().map_or(Ok(Found::Missing), |shown| found_in(shown, item))?,
            };
            found.insert(item.name.clone(), one);
        }
        Ok(found)
    }

    /// Whose words stand there; what was published with others before the release's own files were there is refused.
    pub(super) async fn words(&self) -> Outcome<Words> {
        let To::Release(there) = &self.to else { return Ok(Words::Ours) };
        match there.find().await?.filter(|shown| !shown.draft) {
            None => Ok(Words::Ours),
            Some(shown) => there.of(&shown),
        }
    }

    /// Whether nothing else stands beside what is published, where that matters.
    pub(super) async fn alone(&self, items: &[Item]) -> Outcome<()> {
        let To::Release(there) = &self.to else { return Ok(()) };
        there.find().await?.map_or(Ok(()), |shown| there.alone(&shown, items))
    }

    /// Whether what everybody sees is what was meant beside its files, where there is such a thing: nothing else stands
    /// with them, it is of the commit and is called what it should be; and whose words it has.
    pub(super) async fn as_meant(&self, items: &[Item]) -> Outcome<Words> {
        let To::Release(there) = &self.to else { return Ok(Words::Ours) };
        there.as_meant((self.service, self.release), items).await
    }

    /// Puts one there.
    pub(super) async fn put(&self, item: &Item) -> Outcome<Taken> {
        match &self.to {
            To::Outlet(outlet) | To::Client(outlet, _) => {
                let content = self.service.content(self.release, item).await?;
                outlet.put(&self.version(), item, content).await
            }
            To::Tags(tags) => tags.put((self.service, self.release), item).await,
            To::Release(there) => {
                let content = self.service.content(self.release, item).await?;
                there.put((self.service, self.release), item, content).await
            }
        }
    }

    /// Brings one that was put there to where people look for it.
    pub(super) async fn show(&self, item: &Item) -> Outcome<Taken> {
        match &self.to {
            To::Outlet(outlet) | To::Client(outlet, _) => outlet.show(&self.version(), item).await,
            To::Tags(_) => Ok(Taken::Yes),
            To::Release(there) => there.show((self.service, self.release)).await.map(|()| Taken::Yes),
        }
    }

    /// What everybody gets.
    pub(super) async fn read(&self, item: &Item) -> Outcome<Seen> {
        match &self.to {
            To::Outlet(outlet) | To::Client(outlet, _) => outlet.read(&self.version(), &item.name).await,
            To::Tags(tags) => tags.read((self.service, self.release), item).await,
            To::Release(there) => there.read(item).await,
        }
    }
}

impl Tags<'_> {
    /// The tags in the repositories that builds were taken of.
    fn of_builds(&self) -> impl Iterator<Item = Item> {
        self.built.iter().map(|(component, commit)| Item {
            name: tagged(self.tag.as_str(), component.repository.as_str()),
            is: commit.to_string(),
        })
    }

    /// The repository of a host that an item is the tag of.
    fn on_host(&self, item: &Item) -> &RepoId {
        let named =
            |component: &&Component| tagged(self.tag.as_str(), component.repository.as_str()) == item.name;
        let built = self.built.iter().map(|(component, _)| component).find(named);
        built.map_or(&self.id.repo, |component| &component.repo)
    }

    /// The repository that an item is the tag of; nothing for its own.
    fn other(&self, item: &Item) -> Option<&origin::Origin> {
        self.others.iter().find(|origin| tagged(self.tag.as_str(), &origin.name) == item.name)
    }

    /// The commit that a tag names, when it is signed as it is to be.
    async fn read(&self, (service, release): (&Service, &Release), item: &Item) -> Outcome<Seen> {
        let (other, repo) = (self.other(item), self.on_host(item));
        let signers = if other.is_none() && *repo == self.id.repo {
            service.own_signers(release, &self.tag).await?
        } else {
            service.signers(release).await?
        };
        let (tag, wanted) = (self.tag.clone(), item.is.clone());
        let at = move |mirror: &Mirror| {
            let found = mirror.tags()?.into_iter().find(|there| there.name == tag);
            let Some(commit) = found.map(|there| there.commit.to_string()) else { return Ok(Seen::Nothing) };
            let missed = if commit == wanted { signers.miss(mirror, &tag)? } else { None };
            Ok(missed.map_or(Seen::Is(commit), |what| Seen::Odd(what.to_owned())))
        };
        if let Some(origin) = other {
            let (path, remote) = (service.source_mirror(origin), origin.remote.clone());
            return blocking(move || {
                let mirror = Mirror::open_or_init(&path)?;
                mirror.fetch(&remote, Wanted { branches: Branches::Named(&[]), commit: None }, GIT_WITHIN)?;
                at(&mirror)
            })
            .await;
        }
        let repository = service.host(repo)?.repository(repo).await?;
        service.fetch(&repository, None, None).await?;
        service.mirror(repo, at).await
    }

    async fn put(&self, (service, release): (&Service, &Release), item: &Item) -> Outcome<Taken> {
        let commit: CommitSha = item.is.parse().map_err(|e| Trouble::bug("a tag of no commit").because(e))?;
        let new = service.tag_of(release, (&self.tag, &commit), &notes::of_tag(release)).await?;
        let Some(origin) = self.other(item) else {
            let repo = self.on_host(item);
            return Ok(match service.host(repo)?.tag(repo, &new).await? {
                Tagged::There(_) => Taken::Yes,
                Tagged::Elsewhere(_) => Taken::Occupied,
            });
        };
        let (path, remote) = (service.source_mirror(origin), origin.remote.clone());
        let at = service.store().here();
        let pushed = blocking(move || {
            let mirror = Mirror::open_or_init(&path)?;
            mirror.bring_commit(&remote, &commit, GIT_WITHIN)?;
            let (Tag { name, commit, message, .. }, object) = (&new, new.object());
            let new = NewTag { name, commit, message, tagger: OURSELVES, at, object: object.as_deref() };
            mirror.push_tag(&remote, new, GIT_WITHIN)
        });
        match pushed.await {
            Ok(()) => Ok(Taken::Yes),
            Err(trouble) if trouble.kind() == Kind::Conflict => Ok(Taken::Occupied),
            Err(trouble) => Err(trouble),
        }
    }
}

impl OnHost<'_> {
    async fn find(&self) -> Outcome<Option<Shown>> {
        self.releases.find(&self.id.repo, &self.draft.tag).await
    }

    /// Makes sure of the tag: without one the host makes a plain one when it publishes, wherever a draft says.
    async fn tagged(&self, (service, release): (&Service, &Release)) -> Outcome<()> {
        let Draft { tag, commit, title, .. } = &self.draft;
        let new = service.tag_of(release, (tag, commit), title).await?;
        match self.host.tag(&self.id.repo, &new).await? {
            Tagged::There(_) => service.is_signed(release, tag, &self.id.repo).await,
            Tagged::Elsewhere(there) => Err(Trouble::refused(format!(
                "the tag {tag} is there already and names {there}, not {commit}; release a new version"
            ))),
        }
    }

    fn alone(&self, shown: &Shown, items: &[Item]) -> Outcome<()> {
        let known = |asset: &&Asset| items.iter().any(|item| item.name == asset.name);
        match shown.assets.iter().find(|asset| !known(asset)) {
            None => Ok(()),
            Some(other) => Err(Trouble::refused(format!(
                "the release {} on the host has {} besides, which is not of this release; delete it there",
                self.draft.tag, other.name
            ))),
        }
    }

    /// Whose words a published release has. Once all of ours was there it is ours, and people may edit its text; what
    /// stood there before is somebody else's word.
    fn of(&self, shown: &Shown) -> Outcome<Words> {
        let lacks = self.draft.lacks(shown);
        match (self.filled, lacks.as_slice()) {
            (_, []) => Ok(Words::Ours),
            (Filled::Once, lacks) => {
                let text = lacks.contains(&Lack::Text);
                Ok(if text { Words::Edited } else { Words::Ours })
            }
            (Filled::NotYet, lacks) => {
                let what: Vec<&str> = lacks.iter().map(|lack| lack.word()).collect();
                Err(Trouble::refused(format!(
                    "the release {} on the host is published already, with another {}; delete it there, or release a \
                     new version",
                    self.draft.tag,
                    what.join(" and ")
                )))
            }
        }
    }

    async fn as_meant(&self, whose: (&Service, &Release), items: &[Item]) -> Outcome<Words> {
        let tag = &self.draft.tag;
        let shown = self.find().await?.filter(|shown| !shown.draft);
        let shown = shown.ok_or_else(|| Trouble::transient(format!("nobody sees the release {tag}")))?;
        self.alone(&shown, items)?;
        self.tagged(whose).await?;
        let lacks = self.draft.lacks(&shown);
        match lacks.iter().find(|lack| **lack != Lack::Text) {
            None if lacks.is_empty() => Ok(Words::Ours),
            None => Ok(Words::Edited),
            // What the host answers may be older than what it was told.
            Some(lack) => Err(Trouble::transient(format!(
                "the release {tag} on the host has another {}; {}",
                lack.word(),
                self.draft.mended(*lack)
            ))),
        }
    }

    /// Into the release that is there, or a draft of our own, under a tag that names our commit.
    async fn put(&self, whose: (&Service, &Release), item: &Item, content: Content) -> Outcome<Taken> {
        let repo = &self.id.repo;
        self.made_sure.get_or_try_init(|| self.tagged(whose)).await?;
        let shown = match self.find().await? {
            Some(shown) => shown,
            None => self.releases.draft(repo, &self.draft).await?,
        };
        // A draft is given our words when it is published.
        if !shown.draft {
            self.of(&shown)?;
        }
        if let Some(broken) = shown.assets.iter().find(|asset| asset.name == item.name && !asset.whole) {
            self.releases.detach(repo, broken.id).await?;
        }
        match self.releases.attach(repo, shown.id, &item.name, content).await {
            Ok(()) => Ok(Taken::Yes),
            Err(trouble) if trouble.kind() == Kind::Conflict => Ok(Taken::Occupied),
            Err(trouble) => Err(trouble),
        }
    }

    async fn show(&self, whose: (&Service, &Release)) -> Outcome<()> {
        match self.find().await? {
            Some(shown) if shown.draft => {
                self.tagged(whose).await?;
                self.releases.publish(&self.id.repo, shown.id, &self.draft).await
            }
            Some(_) => Ok(()),
            None => Err(Trouble::transient(format!("the draft of {} is gone", self.draft.tag))),
        }
    }

    /// By its public address; where only members get it, what the host says of its bytes.
    async fn read(&self, item: &Item) -> Outcome<Seen> {
        let Some(shown) = self.find().await?.filter(|shown| !shown.draft) else { return Ok(Seen::Nothing) };
        let Some(asset) = shown.assets.into_iter().find(|asset| asset.name == item.name) else {
            return Ok(Seen::Nothing);
        };
        let seen = http::get(&asset.address).await?;
        if seen != Seen::Nothing {
            return Ok(seen);
        }
        // Of a public repository everybody is to get it, whatever the host's own interface says.
        Ok(match self.host.repository(&self.id.repo).await?.visibility {
            Visibility::Public => Seen::Nothing,
            Visibility::Private => asset.digest.map_or(Seen::Nothing, Seen::Is),
        })
    }
}

/// What a release of the host has of a file; what it cannot say of its bytes proves nothing (THREATS T45).
fn found_in(shown: &Shown, item: &Item) -> Outcome<Found> {
    let Some(asset) = shown.assets.iter().find(|asset| asset.name == item.name && asset.whole) else {
        return Ok(Found::Missing);
    };
    match &asset.digest {
        Some(digest) if *digest == item.is => Ok(if shown.draft { Found::Hidden } else { Found::Same }),
        Some(digest) => Ok(Found::Other(digest.clone())),
        None => Err(Trouble::refused(format!(
            "the host does not say what the bytes of {} are, so nothing is known of them",
            asset.name
        ))),
    }
}
