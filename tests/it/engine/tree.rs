//! The repository that is released in these tests: a bare one, committed to without a working tree.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use git2::{Oid, Repository, Signature, Time};

/// The sample's build: what it puts into `dist` differs from what is checked out.
const BUILD: &str = r#"set -e
mkdir -p dist
sed s/CHECKOUT/ARTIFACT/ deploy.sh > dist/deploy.sh
cat src/* > dist/app.txt
echo "built $LIFTLOCK_VERSION of $LIFTLOCK_COMMIT with token ${SHOP_TOKEN:-none}"
test ! -e src/broken.txt
"#;

/// The sample's deployment: writes down what it was given; planted files make it wait or fail.
const DEPLOY: &str = r#"set -e
if [ -e "$TARGET/wait-$STAGE" ]; then
  touch "$TARGET/waiting-$STAGE"
  while [ -e "$TARGET/wait-$STAGE" ]; do sleep 0.02; done
fi
echo "deploy $STAGE $LIFTLOCK_VERSION $LIFTLOCK_COMMIT $RELEASE_DIGEST CHECKOUT ${SHOP_TOKEN:+secret}" >> "$TARGET/journal"
echo "deploying with token ${SHOP_TOKEN:-none}"
if [ -e "$TARGET/fail-$STAGE" ]; then echo "it is broken"; exit 3; fi
"#;

/// The sample's test: runs in the checkout, where the build script is.
const SMOKE: &str = r#"set -e
test -e build.sh
echo "smoke $STAGE $LIFTLOCK_VERSION $(cat commit.txt)" >> "$TARGET/journal"
"#;

/// One approval before prod.
pub(super) const TWO_STAGES: &str = r"version: 1
name: shop
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
stages:
  - {name: test, test_commands: [sh smoke.sh]}
  - {name: prod, approval: 1}
";

/// Releases are made by tags alone.
pub(super) const TAGGED: &str = r"version: 1
name: shop
triggers: {push: {branches: [nothing]}, tags: ['v*']}
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
stages: [test]
";

/// Pull requests are built, too.
pub(super) const CHECKED: &str = r"version: 1
name: shop
triggers: {push: {}, pull_request: {}}
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
stages: [test]
";

/// Straight to prod.
pub(super) const STRAIGHT: &str = r"version: 1
name: shop
build: sh build.sh
artifacts: dist
deploy: sh deploy.sh
stages: [test, prod]
";

/// The sample project with this manifest.
pub(super) fn sample(manifest: &str) -> BTreeMap<String, String> {
    let files = [
        (".github/liftlock.yml", manifest),
        ("build.sh", BUILD),
        ("deploy.sh", DEPLOY),
        ("smoke.sh", SMOKE),
        ("commit.txt", "first"),
        ("src/app.txt", "the shop\n"),
    ];
    files.map(|(name, text)| (name.to_owned(), text.to_owned())).into()
}

/// Who commits.
fn dev() -> (String, String) {
    ("dev".to_owned(), "7+dev@users.noreply.github.com".to_owned())
}

/// A bare repository and what its branches hold.
pub(super) struct Tree {
    path: PathBuf,
    files: BTreeMap<String, String>,
    seconds: i64,
    author: (String, String),
}

impl Tree {
    /// With a first commit on main, which nobody has told of.
    pub(super) fn new(path: &Path, files: BTreeMap<String, String>) -> Self {
        Repository::init_bare(path).unwrap();
        let mut tree = Self { path: path.to_owned(), files, seconds: 1_770_000_000, author: dev() };
        tree.commit("main", &[], "chore: begin");
        tree
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn repo(&self) -> Repository {
        Repository::open_bare(&self.path).unwrap()
    }

    /// The head of a branch.
    pub(super) fn head(&self, branch: &str) -> Option<String> {
        let repo = self.repo();
        let reference = repo.find_reference(&format!("refs/heads/{branch}")).ok()?;
        reference.target().map(|oid| oid.to_string())
    }

    /// Commits these changes on a branch; a new branch begins at main.
    pub(super) fn commit(&mut self, branch: &str, files: &[(&str, &str)], message: &str) -> String {
        let parent = self.head(branch).or_else(|| self.head("main"));
        self.commit_on(branch, (parent.iter().map(String::as_str).collect(), files), message)
    }

    /// Commits with these parents, whatever the branch held before.
    pub(super) fn commit_on(
        &mut self,
        branch: &str,
        (parents, files): (Vec<&str>, &[(&str, &str)]),
        message: &str,
    ) -> String {
        let id = self.loose((parents, files), message);
        let repo = self.repo();
        let oid = Oid::from_str(&id).unwrap();
        repo.reference(&format!("refs/heads/{branch}"), oid, true, "test").unwrap();
        id
    }

    /// So many more commits on main, without anything changed.
    pub(super) fn many(&mut self, count: usize) -> Vec<String> {
        let repo = self.repo();
        let head = Oid::from_str(&self.head("main").unwrap()).unwrap();
        let mut last = repo.find_commit(head).unwrap();
        let mut made = Vec::with_capacity(count);
        for no in 1..=count {
            self.seconds += 60;
            let (name, address) = &self.author;
            let who = Signature::new(name, address, &Time::new(self.seconds, 0)).unwrap();
            let (tree, message) = (last.tree().unwrap(), format!("feat: sell thing {no}"));
            let id = repo.commit(None, &who, &who, &message, &tree, &[&last]).unwrap();
            made.push(id.to_string());
            last = repo.find_commit(id).unwrap();
        }
        repo.reference("refs/heads/main", last.id(), true, "test").unwrap();
        made
    }

    /// A commit that no branch has.
    pub(super) fn loose(&mut self, (parents, files): (Vec<&str>, &[(&str, &str)]), message: &str) -> String {
        for (name, text) in files {
            self.files.insert((*name).to_owned(), (*text).to_owned());
        }
        self.seconds += 60;
        let repo = self.repo();
        let tree = repo.find_tree(self.write(&repo)).unwrap();
        let (name, address) = &self.author;
        let who = Signature::new(name, address, &Time::new(self.seconds, 0)).unwrap();
        let parents: Vec<_> =
            parents.iter().map(|p| repo.find_commit(Oid::from_str(p).unwrap()).unwrap()).collect();
        let parents: Vec<_> = parents.iter().collect();
        repo.commit(None, &who, &who, message, &tree, &parents).unwrap().to_string()
    }

    /// One more commit of somebody, which nobody is told of.
    pub(super) fn commit_of(&mut self, (id, login): (u64, &str), message: &str) -> String {
        self.author = (login.to_owned(), format!("{id}+{login}@users.noreply.github.com"));
        let made = self.commit("main", &[], message);
        self.author = dev();
        made
    }

    /// Dates the following commits from here on.
    pub(super) fn pretend(&mut self, seconds: i64) {
        self.seconds = seconds;
    }

    /// Takes a file away; the next commit shows it.
    pub(super) fn remove(&mut self, name: &str) {
        self.files.remove(name).unwrap();
    }

    fn write(&self, repo: &Repository) -> Oid {
        let mut index = git2::Index::new().unwrap();
        for (path, text) in &self.files {
            let id = repo.blob(text.as_bytes()).unwrap();
            let zero = git2::IndexTime::new(0, 0);
            index
                .add(&git2::IndexEntry {
                    ctime: zero,
                    mtime: zero,
                    dev: 0,
                    ino: 0,
                    mode: if text.starts_with("#!") { 0o100_755 } else { 0o100_644 },
                    uid: 0,
                    gid: 0,
                    file_size: 0,
                    id,
                    flags: 0,
                    flags_extended: 0,
                    path: path.clone().into_bytes(),
                })
                .unwrap();
        }
        index.write_tree_to(repo).unwrap()
    }

    /// Sets a branch or tag.
    pub(super) fn set(&self, reference: &str, sha: &str) {
        self.repo().reference(reference, Oid::from_str(sha).unwrap(), true, "test").unwrap();
    }

    /// Removes a branch or tag.
    pub(super) fn unset(&self, reference: &str) {
        self.repo().find_reference(reference).unwrap().delete().unwrap();
    }

    /// The tags with the commits they peel to.
    pub(super) fn tags(&self) -> BTreeMap<String, String> {
        let repo = self.repo();
        let names = repo.tag_names(None).unwrap();
        let peeled = |name: &str| {
            let object = repo.revparse_single(&format!("refs/tags/{name}^{{commit}}")).unwrap();
            object.id().to_string()
        };
        names.iter().flatten().flatten().map(|name| (name.to_owned(), peeled(name))).collect()
    }
}
