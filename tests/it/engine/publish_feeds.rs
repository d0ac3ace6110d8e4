//! Feeds with clients of their own: commands of the config upload and prove; real feeds of apt, npm and Python, and
//! some that answer as `NuGet`, a symbol server and a snap store do.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, put};
use liftlock::domain::publication::Reached;
use liftlock::domain::time::Span;
use liftlock::publish::command::Feed;
use liftlock::publish::{Kind, Outlet, Patience};
use liftlock::secret::Secret;

use super::tree::sample;
use super::world::{ANA, World};
use crate::served::{Served, TOOLS};

const KEY: &str = "canary-of-nuget-51d04b86";

fn feed(name: &str, (upload, validate): (&str, &str), environment: &[(&str, String)]) -> Outlet {
    let shell =
        |text: &str| ["/bin/sh", "-ec", text, "sh", "{artifacts}", "{version}"].map(str::to_owned).to_vec();
    let (secrets, environment): (Vec<_>, Vec<_>) = environment.iter().partition(|(name, _)| *name == "KEY");
    let plain = |(name, value): &(&str, String)| ((*name).to_owned(), value.clone());
    let hidden = |(name, value): &(&str, String)| ((*name).to_owned(), Secret::new(value.clone()));
    Outlet {
        name: name.parse().unwrap(),
        kind: Kind::Command(Feed {
            upload: shell(upload),
            validate: shell(validate),
            environment: environment.iter().copied().map(plain).collect(),
            secrets: secrets.iter().copied().map(hidden).collect(),
        }),
        url: None,
        patience: Patience { tries: 3, wait: Span::millis(20) },
        allow: vec!["shop/prod".to_owned().try_into().unwrap()],
    }
}

async fn world(manifest: &str, build: &str, outlets: impl Fn(&World) -> Vec<Outlet>) -> World {
    let mut files = sample(manifest);
    files.insert("pack.sh".to_owned(), build.to_owned());
    World::publishing(files, outlets).await
}

async fn reached(world: &World) -> BTreeMap<String, Reached> {
    let state = world.state("shop").await;
    let release = state.releases.values().next_back().unwrap();
    release.ledger.iter().map(|(publish, row)| (publish.to_string(), row.reached)).collect()
}

const DEBIAN: &str = r"version: 1
name: shop
build: sh pack.sh
artifacts: dist
stages:
  - name: prod
    deploy: [{name: linux, uses: publish, with: {to: linux, what: dist}, validate: true}]
";

/// A package that installs one file; the same tree gives the same bytes.
const PACK: &str = r#"set -e
mkdir -p dist deb/DEBIAN deb/usr/share/shop
cp src/app.txt deb/usr/share/shop/
version=$(echo "${LIFTLOCK_VERSION#v}" | tr - '~')
printf 'Package: shop\nVersion: %s\nArchitecture: all\nMaintainer: Ana <ana@example.org>\nSection: misc\nPriority: optional\nDescription: the shop\n' "$version" > deb/DEBIAN/control
dpkg-deb --root-owner-group --build deb dist/shop.deb > /dev/null
"#;

/// What apt does: the index of the distribution names a file and its sum, and both are fetched by the public address.
const APT: &str = r#"
index=$(curl -fsS "$PUBLIC/dists/stable/main/binary-amd64/Packages") || exit 1
entry=$(printf '%s\n' "$index" | awk -v RS= -v want="$(dpkg-deb -f "$1/shop.deb" Version)" '$0 ~ "\nVersion: " want "\n"')
test -n "$entry" || exit 1
name=$(printf '%s\n' "$entry" | sed -n 's/^Filename: //p')
ours=$(sha256sum < "$1/shop.deb")
test "$(printf '%s\n' "$entry" | sed -n 's/^SHA256: //p')  -" = "$ours" || exit 3
curl -fsS "$PUBLIC/$name" | sha256sum | grep -qxF "$ours"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d48_d53_a_real_apt_repository_takes_a_package_and_its_index_is_read_back() {
    let served = web();
    let mut world = world(DEBIAN, PACK, |_| {
        let repository = served.path("linux");
        std::fs::create_dir_all(repository.join("conf")).unwrap();
        let conf = "Codename: stable\nComponents: main\nArchitectures: amd64\n";
        liftlock::artifact::file::write_synced(
            &repository.join("conf/distributions"),
            conf.as_bytes(),
            0o644,
        )
        .unwrap();
        let values = [("REPOSITORY", repository.display().to_string()), ("PUBLIC", at(&served) + "/linux")];
        vec![feed(
            "linux",
            ("reprepro --silent -b \"$REPOSITORY\" includedeb stable \"$1/shop.deb\"", APT),
            &values,
        )]
    })
    .await;
    world.merge(1, "feat: sell shoes").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    assert_eq!(reached(&world).await, BTreeMap::from([("linux (dist)".to_owned(), Reached::Announced)]));
    let pool = served.path("linux/pool/main/s/shop");
    let packages = std::fs::read_dir(&pool).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(packages.collect::<Vec<_>>(), ["shop_0.1.0~rc.1_all.deb"]);
    world.finish().await;
}

/// The same for distributions of RPM.
const SPEC: &str = r#"set -e
mkdir -p dist
version=$(echo "${LIFTLOCK_VERSION#v}" | tr - '~')
cat > shop.spec << end
Name: shop
Version: $version
Release: 1
Summary: The shop
License: MIT
BuildArch: noarch
%description
The shop.
%install
install -D -m 644 $PWD/src/app.txt %{buildroot}/usr/share/shop/app.txt
%files
/usr/share/shop/app.txt
end
rpmbuild --quiet -bb --define "_topdir $PWD/rpm" --define "_tmppath $PWD/tmp" --define "_rpmdir $PWD/rpm" --define '_rpmfilename %%{NAME}-%%{VERSION}.rpm' --define "_dbpath $PWD/db" shop.spec
cp rpm/*.rpm dist/
"#;

/// What dnf does: the list of lists names one that has the package with its sum, and both are fetched.
const DNF: &str = r#"
lists=$(curl -fsS "$PUBLIC/repodata/repomd.xml") || exit 1
primary=$(printf '%s\n' "$lists" | sed -n 's/.*<location href="\([^"]*primary[.]xml[.]gz\)".*/\1/p')
listed=$(curl -fsS "$PUBLIC/$primary" | gzip -dc)
name=$(basename "$1"/*.rpm)
printf '%s\n' "$listed" | grep -qF "<location href=\"$name\"" || exit 1
ours=$(sha256sum < "$1/$name" | cut -c1-64)
printf '%s\n' "$listed" | grep -qF ">$ours</checksum>" || exit 3
curl -fsS "$PUBLIC/$name" | cmp - "$1/$name" || exit 3
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d48_d53_a_real_rpm_repository_takes_a_package_and_its_lists_are_read_back() {
    let served = web();
    let repository = served.path("linux");
    std::fs::create_dir(&repository).unwrap();
    let mut world = world(DEBIAN, SPEC, |_| {
        let upload = r#"test ! -e "$REPOSITORY/$(basename "$1"/*.rpm)"
            cp "$1"/*.rpm "$REPOSITORY/"; createrepo_c --quiet --update "$REPOSITORY""#;
        let values = [("REPOSITORY", repository.display().to_string()), ("PUBLIC", at(&served) + "/linux")];
        vec![feed("linux", (upload, DNF), &values)]
    })
    .await;
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await;
    assert!(said.contains("is live in prod"), "{said}");
    assert_eq!(reached(&world).await, BTreeMap::from([("linux (dist)".to_owned(), Reached::Announced)]));
    let first = repository.join("shop-0.1.0~rc.1.rpm");
    let asked = Command::new("rpm").args(["-qp", "--qf", "%{NAME} %{VERSION}"]).arg(&first).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&asked.stdout), "shop 0.1.0~rc.1");

    // The next version is there already, and the lists have another sum of it.
    let second = repository.join("shop-0.1.0~rc.2.rpm");
    std::fs::copy(&first, &second).unwrap();
    let listed = Command::new("createrepo_c").args(["--quiet", "--update"]).arg(&repository).status();
    assert!(listed.unwrap().success());
    world.merge(2, "feat: sell hats").await;
    let said = world.hears(2).await.replace('\\', "");
    assert!(said.contains("dist.tar.zst is there already as something else, says `validate`"), "{said}");
    assert!(said.contains("release a new version"), "{said}");
    assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap(), "it is left as it was");
    world.finish().await;
}

/// A package for npm and one for Python, of the file and the version of the release.
const PACKAGES: &str = r#"set -e
mkdir -p dist package
version=${LIFTLOCK_VERSION#v}
cp src/app.txt package/
printf '{"name":"shop","version":"%s"}' "$version" > package/package.json
tar --sort=name --mtime=@0 --owner=0 --group=0 -czf dist/shop.tgz package
python3 - "$(echo "$version" | sed 's/-rc[.]/rc/')" << 'end'
import sys, zipfile
version = sys.argv[1]
info = f"shop-{version}.dist-info"
with zipfile.ZipFile(f"dist/shop-{version}-py3-none-any.whl", "w") as wheel:
    for name, text in {
        "shop/app.txt": open("src/app.txt").read(),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: shop\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }.items():
        wheel.writestr(zipfile.ZipInfo(name), text)
end
"#;

/// What a client that installs it gets is what was built; another one there under the version is a hard stop.
const FROM_NPM: &str = r#"
cd "$HOME"
ours="sha512-$(openssl dgst -sha512 -binary "$1/shop.tgz" | base64 -w0)"
theirs=$(npm view "shop@${2#v}" dist.integrity --registry "$FEED") || exit 1
test -n "$theirs" || exit 1
test "$ours" = "$theirs" || exit 3
tarball=$(npm view "shop@${2#v}" dist.tarball --registry "$FEED")
curl -fsS "$tarball" | cmp - "$1/shop.tgz" || exit 3
npm pack --silent "shop@${2#v}" --registry "$FEED" > /dev/null
cmp "shop-${2#v}.tgz" "$1/shop.tgz" || exit 3
"#;
const FROM_PYPI: &str = r#"
wheel=$(basename "$1"/*.whl)
there=$(curl -fsS "$FEED/simple/shop/" | tr '"' '\n' | grep -F "/$wheel#" | head -n 1)
test -n "$there" || exit 1
sum=$(sha256sum < "$1/$wheel" | cut -c1-64)
test "${there#*#sha256=}" = "$sum" || exit 3
curl -fsS "$FEED${there%%#*}" | cmp - "$1/$wheel" || exit 3
"#;

const LANGUAGES: &str = r"version: 1
name: shop
build: sh pack.sh
artifacts: dist
stages:
  - name: prod
    deploy:
      - {uses: publish, with: {to: npm, what: dist}}
      - {uses: publish, with: {to: pypi, what: dist}}
";

/// A registry of npm's where these may publish.
fn npm_registry(publish: &str) -> Served {
    Served::start(|folder, address| {
        let config = format!(
            "storage: {0}/storage\nauth: {{htpasswd: {{file: {0}/users}}}}\nlog: {{type: stdout, level: warn}}\n\
             packages: {{'**': {{access: $all, publish: {publish}}}}}\n",
            folder.display()
        );
        let at = folder.join("config.yml");
        liftlock::artifact::file::write_synced(&at, config.as_bytes(), 0o644).unwrap();
        let mut command = Command::new("node");
        command.arg(format!("{TOOLS}/node_modules/verdaccio/bin/verdaccio")).arg("--config").arg(at);
        command.args(["--listen", &address.to_string()]);
        command
    })
}

fn python_registry() -> Served {
    Served::start(|folder, address| {
        let mut command = Command::new(format!("{TOOLS}/bin/pypi-server"));
        let port = address.port().to_string();
        command.args(["run", "-i", "127.0.0.1", "-p", &port, "-P", ".", "-a", ".", "--disable-fallback"]);
        command.arg(folder.join("packages"));
        std::fs::create_dir(folder.join("packages")).unwrap();
        command
    })
}

/// A folder as everybody gets it.
fn web() -> Served {
    Served::start(|folder, address| {
        let mut command = Command::new("python3");
        command.args(["-m", "http.server", "--bind", "127.0.0.1", "--directory"]).arg(folder);
        command.arg(address.port().to_string());
        command
    })
}

fn at(server: &Served) -> String {
    format!("http://{}", server.door.address())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d45_d53_real_feeds_of_npm_and_python_take_a_package_and_give_back_the_same_bytes() {
    let (npm, pypi) = (npm_registry("$all"), python_registry());
    let mut world = world(LANGUAGES, PACKAGES, |_| {
        let publish =
            r#"npm publish "$1/shop.tgz" --tag next --registry "$FEED" "--${FEED#http:}/:_authToken=$KEY""#;
        let upload = r#"curl -fsS -F :action=file_upload -F "content=@$(echo "$1"/*.whl)" "$FEED""#;
        let key = ("KEY", KEY.to_owned());
        vec![
            feed("npm", (publish, FROM_NPM), &[("FEED", at(&npm)), key.clone()]),
            feed("pypi", (upload, FROM_PYPI), &[("FEED", at(&pypi)), key]),
        ]
    })
    .await;
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await;
    assert!(said.contains("is live in prod"), "{said}");
    let all = ["npm (dist)", "pypi (dist)"].map(|row| (row.to_owned(), Reached::Announced));
    assert_eq!(reached(&world).await, BTreeMap::from(all));
    let wheel = pypi.path("packages/shop-0.1.0rc1-py3-none-any.whl");
    assert!(wheel.exists() && npm.path("storage/shop/shop-0.1.0-rc.1.tgz").exists());
    world.finish().await;
}

/// A registry of others, as a config has it.
struct Registry<'a> {
    served: &'a Served,
    /// What is put there by the secret in a file.
    upload: &'a str,
    validate: &'a str,
    /// What the file holds that does not let us, and what the client says then.
    bad: (&'a str, &'a str),
    /// What it holds that does.
    good: String,
    /// Where the registry keeps the package of a version.
    kept: fn(&str) -> String,
    /// What puts other bytes under a version, as somebody else does.
    theirs: &'a str,
}

const AT_A_REGISTRY: &str = r"version: 1
name: shop
build: sh pack.sh
artifacts: dist
stages:
  - name: prod
    deploy: [{uses: publish, with: {to: registry, what: dist}}]
";

/// One byte in the middle is another one, or again what it was.
fn flip(path: &std::path::Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(path).unwrap();
    liftlock::artifact::file::write_synced(path, &bytes, 0o644).unwrap();
}

/// It says no; then it takes the package and gives everybody another byte; then it has the next version already, with
/// other bytes. Each ends with what to do, and nothing is put there twice.
async fn says_no_spoils_and_is_occupied(registry: &Registry<'_>) {
    let mut world = world(AT_A_REGISTRY, PACKAGES, |world| {
        let upload = format!(
            "echo put >> \"$BESIDE/puts\"\n{}\nif [ -e \"$BESIDE/spoils\" ]; then\n\
             python3 -c 'import sys; at = sys.argv[1]; all = bytearray(open(at, \"rb\").read()); \
             all[len(all) // 2] ^= 1; open(at, \"wb\").write(all)' \"$KEPT/$(ls -t \"$KEPT\" | grep -v json | head -n 1)\"\nfi",
            registry.upload
        );
        let folder = registry.served.path(&(registry.kept)("x")).with_file_name("");
        let beside = world.target().display().to_string();
        let values = [("FEED", at(registry.served)), ("BESIDE", beside), ("KEPT", folder.display().to_string())];
        vec![feed("registry", (&upload, registry.validate), &values)]
    })
    .await;
    let secret = |world: &World, text: &str| {
        let path = world.target().join("secret");
        if path.exists() {
            std::fs::remove_file(&path).unwrap();
        }
        liftlock::artifact::file::write_synced(&path, text.as_bytes(), 0o600).unwrap();
    };
    let puts = |world: &World| world.wrote("puts").lines().count();
    let kept = |version: &str| registry.served.path(&(registry.kept)(version));
    let row = "registry (dist)".to_owned();

    secret(&world, registry.bad.0);
    let commit = world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("(registry (dist): its `upload` ended with exit code"), "{said}");
    assert!(said.contains("; there: nothing; missing: dist.tar.zst; `/retry prod` goes on with"), "{said}");
    assert!(said.contains(registry.bad.1), "the client's own words: {said}");
    world.status(&commit, "liftlock/prod", "failure").await;
    assert_eq!((puts(&world), kept("0.1.0-rc.1").exists()), (1, false));
    assert_eq!(reached(&world).await[&row], Reached::Planned);

    secret(&world, &registry.good);
    world.plant("spoils");
    world.say(1, ANA, "/retry prod").await;
    let said = world.hears(1).await.replace('\\', "");
    let how = "everybody gets something else than what was uploaded, says `validate`; mend that there and comment \
               `/retry prod`, or release a new version";
    assert!(said.contains(how), "{said}");
    assert_eq!((puts(&world), reached(&world).await[&row]), (2, Reached::Visible));
    // Nobody mended it: it is not put there once more.
    world.say(1, ANA, "/retry prod").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("dist.tar.zst is there already as something else, says `validate`"), "{said}");
    flip(&kept("0.1.0-rc.1"));
    world.unplant("spoils");
    world.say(1, ANA, "/retry prod").await;
    let said = world.hears(1).await;
    assert!(said.contains("is live in prod"), "{said}");
    assert_eq!((puts(&world), reached(&world).await[&row]), (2, Reached::Announced));

    let theirs = Command::new("/bin/sh")
        .args(["-ec", registry.theirs])
        .current_dir(world.target())
        .env("FEED", at(registry.served))
        .env("KEPT", kept("0.1.0-rc.2").with_file_name(""))
        .env("BESIDE", world.target())
        .env("HOME", world.target())
        .output()
        .unwrap();
    assert!(theirs.status.success(), "{theirs:?}");
    let bytes = std::fs::read(kept("0.1.0-rc.2")).unwrap();
    world.merge(2, "feat: sell hats").await;
    let said = world.hears(2).await.replace('\\', "");
    assert!(said.contains("dist.tar.zst is there already as something else, says `validate`"), "{said}");
    assert!(said.contains("what is published is never replaced, so release a new version"), "{said}");
    assert_eq!((puts(&world), reached(&world).await[&row]), (2, Reached::Planned));
    assert_eq!(std::fs::read(kept("0.1.0-rc.2")).unwrap(), bytes, "theirs stays");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d45_d53_a_registry_of_npm_that_says_no_spoils_a_byte_or_has_the_version_is_told_apart() {
    let served = npm_registry("$authenticated");
    let joins = r#"curl -fsS -X PUT -H 'content-type: application/json' \
        -d '{"name": "ana", "password": "a long one", "type": "user", "roles": []}' \
        "$FEED/-/user/org.couchdb.user:ana" | jq -r .token"#;
    let joined = Command::new("/bin/sh").args(["-ec", joins]).env("FEED", at(&served)).output().unwrap();
    let good = String::from_utf8(joined.stdout).unwrap().trim().to_owned();
    assert!(good.len() > 20, "{good}");
    says_no_spoils_and_is_occupied(&Registry {
        served: &served,
        upload: r#"npm publish "$1/shop.tgz" --tag next --registry "$FEED" "--${FEED#http:}/:_authToken=$(cat "$BESIDE/secret")""#,
        validate: FROM_NPM,
        bad: ("nobodys-token-of-npm", " code E401"),
        good,
        kept: |version| format!("storage/shop/shop-{version}.tgz"),
        theirs: r#"
            mkdir package && echo theirs > package/app.txt
            printf '{"name":"shop","version":"0.1.0-rc.2"}' > package/package.json
            tar -czf theirs.tgz package
            npm publish theirs.tgz --tag next --registry "$FEED" "--${FEED#http:}/:_authToken=$(cat "$BESIDE/secret")"
        "#,
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d45_d53_a_registry_of_python_that_says_no_spoils_a_byte_or_has_the_version_is_told_apart() {
    let served = python_registry();
    says_no_spoils_and_is_occupied(&Registry {
        served: &served,
        upload: r#"curl -fsS -F ":action=$(cat "$BESIDE/secret")" -F "content=@$(echo "$1"/*.whl)" "$FEED""#,
        validate: FROM_PYPI,
        bad: ("file_bury", "error: 400"),
        good: "file_upload".to_owned(),
        kept: |version| format!("packages/shop-{}-py3-none-any.whl", version.replace("-rc.", "rc")),
        theirs: r#"echo theirs > "$KEPT/shop-0.1.0rc2-py3-none-any.whl""#,
    })
    .await;
}

/// What the feeds hold: path → bytes; a version that is there is refused, as all of them do.
#[derive(Clone, Default)]
struct Feeds(Arc<Mutex<BTreeMap<String, Bytes>>>);

async fn push(
    State(feeds): State<Feeds>,
    Path((id, version)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    store(&feeds, format!("{id}/{version}/{id}.{version}.nupkg"), (&headers, body))
}

fn store(feeds: &Feeds, path: String, (headers, body): (&HeaderMap, Bytes)) -> StatusCode {
    if headers.get("x-nuget-apikey").is_none_or(|key| key != KEY) {
        return StatusCode::FORBIDDEN;
    }
    if feeds.0.lock().unwrap().insert(path, body).is_some() {
        StatusCode::CONFLICT
    } else {
        StatusCode::CREATED
    }
}

/// By the address that debuginfod and its clients know.
async fn symbols(feeds: State<Feeds>, Path(id): Path<String>, headers: HeaderMap, body: Bytes) -> StatusCode {
    store(&feeds, format!("buildid/{id}/debuginfo"), (&headers, body))
}

async fn versions(State(feeds): State<Feeds>, Path(id): Path<String>) -> String {
    let feeds = feeds.0.lock().unwrap();
    let all = feeds.keys().filter_map(|path| path.strip_prefix(&format!("{id}/"))?.split('/').next());
    serde_json::json!({ "versions": all.collect::<Vec<_>>() }).to_string()
}

async fn package(State(feeds): State<Feeds>, Path(path): Path<String>) -> Result<Bytes, StatusCode> {
    feeds.0.lock().unwrap().get(&path).cloned().ok_or(StatusCode::NOT_FOUND)
}

async fn serve(feeds: Feeds) -> String {
    let app = Router::new()
        .route("/api/v2/package/{id}/{version}", put(push))
        .route("/symbols/{id}", put(symbols))
        .route("/v3-flatcontainer/{id}/index.json", get(versions))
        .route("/files/{*path}", get(package))
        .with_state(feeds);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    at
}

const FEEDS: &str = r"version: 1
name: shop
build: sh pack.sh
artifacts: [dist, {alias: Symbols, path: out/shop.pdb}]
stages:
  - name: prod
    env: {PATH: /nowhere, LD_PRELOAD: /nowhere.so, KEY: mine}
    deploy:
      - {uses: publish, with: {to: nuget, what: dist}, validate: true}
      - {uses: publish, with: {to: symbols, what: Symbols}, validate: true}
      - {uses: publish, with: {to: snap, what: dist}}
      - {uses: publish, with: {to: dot.net, what: signed-bits}}
";
const BUILD: &str =
    "set -e\nmkdir -p dist out\ncp src/app.txt dist/shop.nupkg\necho symbols > out/shop.pdb\n";

/// Index, then content.
const NUGET: &str = r#"
curl -fsS "$FEED/v3-flatcontainer/shop/index.json" | jq -e --arg v "$2" '.versions | index($v)' || exit 1
curl -fsS "$FEED/files/shop/$2/shop.$2.nupkg" | cmp - "$1/shop.nupkg" || exit 3
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d45_d46_d47_d51_d53_t47_feeds_are_asked_before_and_after_and_a_version_is_there_once() {
    let feeds = Feeds::default();
    let at = serve(feeds.clone()).await;
    let mut world = world(FEEDS, BUILD, |world| {
        let store = world.target().join("store");
        std::fs::create_dir_all(&store).unwrap();
        let nuget = "curl -fsS -X PUT -H \"X-NuGet-ApiKey: $KEY\" --data-binary @\"$1/shop.nupkg\" \"$FEED/api/v2/package/shop/$2\"";
        // A symbol server finds a file by its name and its id, here the sum of its bytes.
        let symbols = "id=$(sha256sum < \"$1\" | cut -c1-32); mkdir -p \"$STORE/shop.pdb/$id\"; cp \"$1\" \"$STORE/shop.pdb/$id/shop.pdb\"";
        let by_id = "id=$(sha256sum < \"$1\" | cut -c1-32); curl -fsS \"file://$STORE/shop.pdb/$id/shop.pdb\" | cmp - \"$1\"";
        let snap = "if [ -e \"$STORE/broken\" ]; then echo store is down; exit 7; fi; cp \"$1/shop.nupkg\" \"$STORE/shop_$2.snap\"";
        let drop = "mkdir -p \"$STORE/drop\"; cp \"$LIFTLOCK_FILES\"/* \"$STORE/drop/\"";
        let dropped = "for f in \"$LIFTLOCK_FILES\"/*; do cmp \"$f\" \"$STORE/drop/${f##*/}\" || exit 1; done";
        let values = [("FEED", at.clone()), ("KEY", KEY.to_owned()), ("STORE", store.display().to_string())];
        vec![
            feed("nuget", (nuget, NUGET), &values),
            feed("symbols", (symbols, by_id), &values),
            feed("snap", (snap, "cmp \"$1/shop.nupkg\" \"$STORE/shop_$2.snap\""), &values),
            feed("dot.net", (drop, dropped), &values),
        ]
    })
    .await;
    let broken = world.target().join("store/broken");
    std::fs::File::create(&broken).unwrap();
    let commit = world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(
        said.contains(
            "(snap (dist): its `upload` ended with exit code 7; there: nothing; missing: dist.tar.zst"
        ),
        "{said}"
    );
    assert!(said.contains("store is down") && said.contains("`/retry prod`"), "{said}");
    world.status(&commit, "liftlock/prod", "failure").await;
    std::fs::remove_file(&broken).unwrap();
    world.say(1, ANA, "/retry prod").await;
    assert!(world.hears(1).await.contains("is live in prod"));
    let rows = ["dot.net (signed bits)", "nuget (dist)", "snap (dist)", "symbols (Symbols)"];
    let all = BTreeMap::from(rows.map(|row| (row.to_owned(), Reached::Announced)));
    assert_eq!(reached(&world).await, all);
    assert!(!world.said_and_kept().await.contains("canary-of-nuget"));
    assert_eq!(feeds.0.lock().unwrap().len(), 1);
    world.finish().await;
}

/// A program and its symbols, told apart from all others by the id that the linker gave both of them.
const LINKED: &str = r#"set -e
mkdir -p dist out
printf '#include <stdio.h>\nint main(void) { return puts("%s") < 0; }\n' "$(cat src/app.txt)" > shop.c
cc -g -ffile-prefix-map="$PWD"=. -Wl,--build-id -o dist/shop shop.c
objcopy --only-keep-debug dist/shop out/shop.debug
strip --strip-debug dist/shop
"#;
const SYMBOLS: &str = r"version: 1
name: shop
build: sh pack.sh
artifacts: [dist, {alias: Symbols, path: out/shop.debug}]
stages:
  - name: prod
    deploy: [{uses: publish, with: {to: symbols, what: Symbols}, validate: true}]
";
/// What a debugger does: the id is that of the program which people have, and the address is made of it.
const BY_ID: &str = r#"
id=$(readelf -n "${1%/*}/dist/shop" | sed -n 's/^ *Build ID: //p')
test "$id" = "$(readelf -n "$1" | sed -n 's/^ *Build ID: //p')" || exit 3
code=$(curl -sS -o "$HOME/found" -w '%{http_code}' "$FEED/files/buildid/$id/debuginfo")
test "$code" = 200 || exit 1
cmp "$HOME/found" "$1" || exit 3
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d46_d53_symbols_are_fetched_by_the_id_that_is_in_the_program() {
    let feeds = Feeds::default();
    let at = serve(feeds.clone()).await;
    let mut world = world(SYMBOLS, LINKED, |_| {
        let upload = r#"
            id=$(readelf -n "$1" | sed -n 's/^ *Build ID: //p')
            curl -fsS -X PUT -H "X-NuGet-ApiKey: $KEY" --data-binary @"$1" "$FEED/symbols/$id"
        "#;
        vec![feed("symbols", (upload, BY_ID), &[("FEED", at.clone()), ("KEY", KEY.to_owned())])]
    })
    .await;
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await;
    assert!(said.contains("is live in prod"), "{said}");
    let (path, bytes) = feeds.0.lock().unwrap().pop_first().unwrap();
    assert!(bytes.starts_with(b"\x7fELF"), "{path}");
    let id = path.strip_prefix("buildid/").and_then(|rest| rest.strip_suffix("/debuginfo")).unwrap();
    assert!(id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{path}");

    // Somebody else's symbols under the id: a debugger would show other lines. Nothing of them is replaced.
    let other = bytes.iter().rev().copied().collect::<Bytes>();
    feeds.0.lock().unwrap().insert(path.clone(), other.clone());
    world.merge(2, "fix: say more").await;
    let said = world.hears(2).await.replace('\\', "");
    assert!(said.contains("Symbols is there already as something else, says `validate`"), "{said}");
    assert_eq!(*feeds.0.lock().unwrap(), BTreeMap::from([(path, other)]));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d45_d53_a_version_with_other_content_is_a_hard_stop() {
    let feeds = Feeds::default();
    let at = serve(feeds.clone()).await;
    let name = "shop/v0.1.0-rc.1/shop.v0.1.0-rc.1.nupkg";
    feeds.0.lock().unwrap().insert(name.to_owned(), Bytes::from_static(b"of somebody else"));
    let manifest = FEEDS.split("      - {uses: publish, with: {to: symbols").next().unwrap();
    let mut world = world(manifest, BUILD, |_| {
        let values = [("FEED", at.clone()), ("KEY", KEY.to_owned())];
        vec![feed("nuget", ("exit 9", NUGET), &values)]
    })
    .await;
    world.merge(1, "feat: sell shoes").await;
    let said = world.hears(1).await.replace('\\', "");
    assert!(said.contains("dist.tar.zst is there already as something else, says `validate`"), "{said}");
    assert!(said.contains("release a new version"), "{said}");
    assert_eq!(feeds.0.lock().unwrap()[name], "of somebody else");
    world.finish().await;
}
