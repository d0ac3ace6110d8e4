//! Deploys to hosts by ssh: what a target costs with a connection for each client and with one that is kept, and what the
//! engine adds to it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use liftlock::artifact::file::write_synced;
use liftlock::clock;
use liftlock::domain::name::{PipelineId, RepoName};
use liftlock::domain::time::Span;
use liftlock::forge::Forge;
use liftlock::forge::plain::payload::Delivery;
use liftlock::forge::plain::{Plain, RepositorySettings, Settings};
use liftlock::probe::guard::Allowed;
use liftlock::runner::target::{Host, Kind, Route, Target};
use liftlock::service::Service;

use crate::engine::Origin;
use crate::figure::{Fallible, Figure, Spread, ms};
use crate::wire::{Hook, Wire};
use crate::world;

/// Targets of a rollout; one server stands for all of them.
const TARGETS: usize = 10;
/// Rounds of which the median is told.
const ROUNDS: usize = 7;
/// Longest wait for a server or a release.
const PATIENCE: Duration = Duration::from_mins(1);
const MANIFEST: &str = "version: 1\nname: hello\nbuild: \"true\"\ndeploy: \"true\"\nstages:\n  - {name: one, targets: {}, strategy: {rolling: {batch: 1}}}\n";

/// A server of our own, which ends with this value.
struct Sshd {
    child: Child,
    host: Host,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        // Whatever is wrong with it, nobody waits for it any more.
        self.child.kill().and_then(|()| self.child.wait()).map(drop).unwrap_or_default();
    }
}

impl Sshd {
    fn start(folder: &Path) -> Fallible<Self> {
        // A server of root wants it; everybody else neither needs nor may make it.
        drop(std::fs::create_dir_all("/run/sshd"));
        std::fs::create_dir_all(folder.join("home"))?;
        let (authorized, host_key) = (key(&folder.join("key"))?, key(&folder.join("host"))?);
        write_synced(&folder.join("authorized"), authorized.as_bytes(), 0o600)?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nAuthorizedKeysFile {0}/authorized\nStrictModes no\n\
             PidFile none\nPasswordAuthentication no\nPermitRootLogin yes\nSetEnv HOME={0}/home\n",
            folder.display()
        );
        write_synced(&folder.join("config"), config.as_bytes(), 0o600)?;
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-q", "-f"])
            .arg(folder.join("config"))
            .stdin(Stdio::null())
            .spawn()?;
        let user = String::from_utf8(Command::new("id").arg("-un").output()?.stdout)?.trim().to_owned();
        let address = "127.0.0.1".to_owned();
        let (key_file, timeout) = (folder.join("key"), Span::seconds(10));
        let host = Host { address, port, user, host_key, key_file, timeout };
        let sshd = Self { child, host };
        let began = clock::monotonic();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if began.elapsed() > PATIENCE {
                return Err("sshd does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(sshd)
    }
}

/// Makes a key, and answers the public half.
fn key(path: &Path) -> Fallible<String> {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f"])
        .arg(path)
        .status()?;
    if !made.success() {
        return Err("ssh-keygen failed".into());
    }
    let public = std::fs::read_to_string(path.with_extension("pub"))?;
    Ok(public.split(' ').take(2).collect::<Vec<_>>().join(" "))
}

pub(crate) fn figures(folder: &Path) -> Fallible<Vec<Figure>> {
    let sshd = Sshd::start(folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(all(folder, &sshd.host))
}

async fn all(folder: &Path, host: &Host) -> Fallible<Vec<Figure>> {
    let known = folder.join("known_hosts");
    write_synced(&known, host.known_hosts().as_bytes(), 0o600)?;
    let files = folder.join("files");
    std::fs::create_dir_all(&files)?;
    write_synced(&files.join("hello"), b"hello\n", 0o644)?;
    let (mut alone, mut kept) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // As for an attempt: a killed client leaves its socket, and nobody else listens in its folder.
        let place = folder.join(format!("round-{round}"));
        std::fs::create_dir_all(&place)?;
        let began = clock::monotonic();
        clients((&place, &files), &host.client(&known, Route::Alone))?;
        alone.push(ms(began.elapsed()));
        let began = clock::monotonic();
        let connection = host.keep(&place, &known).await.map_err(|printed| printed.join("\n"))?;
        clients((&place, &files), &host.client(&known, Route::Through))?;
        drop(connection);
        kept.push(ms(began.elapsed()));
    }
    let engine = Spread::of(rollouts(folder, host).await?)?;
    let (alone, kept) = (Spread::of(alone)?, Spread::of(kept)?);
    let over = engine.median - kept.median;
    Ok(vec![
        Figure {
            what: "clients of a target, connection kept",
            measured: format!(
                "{:.0} % ({:.1} to {:.1} ms)",
                kept.median / alone.median * 100.0,
                alone.median,
                kept.median
            ),
            target: "",
            met: None,
            how: format!(
                "a copy and a step of `true`, {ROUNDS} times each in turn, the connection opened each time"
            ),
        },
        Figure {
            what: "a target of a rollout, more than its clients",
            measured: format!("{over:.1} ms"),
            target: "< 50 ms",
            met: Some(over < 50.0),
            how: format!(
                "{TARGETS} targets one after another, {} each by the engine; one sshd on this machine",
                engine.show(1, "ms")
            ),
        },
    ])
}

/// What is done on a target, by hand: the copy and the step.
fn clients((folder, files): (&Path, &Path), client: &str) -> Fallible<()> {
    let copy = format!("tar -C {} -cf - . | {client} 'cat > /dev/null'", files.display());
    for text in [copy, format!("exec {client} /bin/sh -s < /dev/null")] {
        let status = Command::new("/bin/sh")
            .args(["-e", "-c", &text])
            .current_dir(folder)
            .stdin(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(format!("{text} ended with {status}").into());
        }
    }
    Ok(())
}

/// Milliseconds of a target in each of some rollouts by the engine.
async fn rollouts(folder: &Path, host: &Host) -> Fallible<Vec<f64>> {
    let origin = Origin::make(folder, MANIFEST, &[("hello".to_owned(), b"hello\n".to_vec())])?;
    let name: RepoName = "hello".parse()?;
    let path: PathBuf = origin.bare();
    let repositories = BTreeMap::from([(name.clone(), RepositorySettings { path, default_branch: None })]);
    let plain: Arc<dyn Forge> =
        Arc::new(Plain::open(Settings { repositories, people: BTreeMap::new() }, clock::now)?);
    let target = |no: usize| -> Fallible<Target> {
        let (name, environment) = (format!("web-{no}").parse()?, "one".parse()?);
        let (kind, allow) = (Kind::Ssh(host.clone()), vec!["hello/one".to_owned().try_into()?]);
        Ok(Target { name, environment, roles: ["web".parse()?].into(), kind, allow })
    };
    let targets = (0..TARGETS).map(target).collect::<Fallible<Vec<_>>>()?;
    let hosts = BTreeMap::from([("plain", plain)]);
    let service = world::deploying(&folder.join("data"), hosts, Allowed::default(), targets).await?;
    let stop = CancellationToken::new();
    let work = tokio::spawn(service.clone().work(stop.clone()));
    let address = world::listen(world::app(&service, stop.clone()), stop.clone()).await?;
    let mut wire = Wire::connect(address).await?;
    let mut took = Vec::new();
    for number in 0..=ROUNDS {
        let (before, after) = origin.push(number)?;
        let told = Delivery::push(&name, "refs/heads/main", (before.as_str(), after.as_str()), None);
        let mut request = Vec::new();
        Hook::new("plain", told.event, told.body.as_bytes())?.write(&told.guid, &mut request);
        if wire.ask(&request).await? != 202 {
            return Err("the push was not accepted".into());
        }
        let ms = rolled(&service, number + 1).await?;
        if number > 0 {
            took.push(ms / TARGETS as f64);
        }
    }
    stop.cancel();
    work.await?;
    service.store().close().await;
    Ok(took)
}

/// Milliseconds from the start of the first target of the n-th release to the end of the last, as the log has them.
async fn rolled(service: &Service, number: usize) -> Fallible<f64> {
    let id: PipelineId = "plain:hello/hello".parse()?;
    let number = u32::try_from(number)?;
    let began = clock::monotonic();
    let mut woken = service.store().woken();
    loop {
        woken.mark_unchanged();
        let (mut first, mut ended, mut version) = (None, Vec::new(), 0);
        loop {
            let read = service.store().read(&id.to_string(), version, 1_000).await?;
            let Some(last) = read.events.last() else { break };
            version = last.version;
            for event in read.events.iter().filter(|event| event.release == Some(number)) {
                match event.kind.as_str() {
                    "target_started" => first = first.or(Some(event.at.0)),
                    "target_ended" => ended.push(event.at.0),
                    _ => {}
                }
            }
        }
        if let (Some(first), Some(last), TARGETS) = (first, ended.last(), ended.len()) {
            return Ok((last - first) as f64);
        }
        let wait = PATIENCE.saturating_sub(began.elapsed());
        if tokio::time::timeout(wait, woken.changed()).await.is_err() {
            return Err("the rollout did not end".into());
        }
    }
}
