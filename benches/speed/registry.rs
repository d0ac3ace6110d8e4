//! An image that goes to a registry which has its blobs: pushed under one more tag and read back, as a promotion does.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use liftlock::artifact::file::write_synced;
use liftlock::artifact::pack::{Shape, seal};
use liftlock::artifact::store::Store;
use liftlock::clock;
use liftlock::domain::event::{Form, Sealed};
use liftlock::domain::layout::layout;
use liftlock::runner::Program;
use liftlock::runner::registry::Registry;
use liftlock::service::TREE_LIMITS;

use crate::figure::{Fallible, Figure, Spread, ms};

/// Rounds of which the median is told.
const ROUNDS: usize = 15;
/// Bytes of the image; what is there already is not sent, so they hardly matter.
const IMAGE_BYTES: usize = 50_000_000;
/// Where the client is.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// Longest wait for the registry.
const PATIENCE: Duration = Duration::from_mins(1);

/// A registry of our own, which ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Whatever is wrong with it, nobody waits for it any more.
        self.0.kill().and_then(|()| self.0.wait()).map(drop).unwrap_or_default();
    }
}

fn start(folder: &Path) -> Fallible<(Running, String)> {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.to_string();
    let config = format!(
        "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}/data}}}}\n\
         http: {{addr: '{address}'}}\n",
        folder.display()
    );
    write_synced(&folder.join("config.yml"), config.as_bytes(), 0o600)?;
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(folder.join("config.yml")).stdin(Stdio::null());
    let running = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let began = clock::monotonic();
    while TcpStream::connect(&address).is_err() {
        if began.elapsed() > PATIENCE {
            return Err("docker-registry does not listen".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok((running, address))
}

pub(crate) fn figures(folder: &Path) -> Fallible<Vec<Figure>> {
    let (_running, address) = start(folder)?;
    let registry = Registry {
        address,
        instead_of: None,
        environment: None,
        login: None,
        plain: true,
        allow: Vec::new(),
    };
    let image = image(folder)?;
    let work = folder.join("work");
    registry.prepare(&work)?;
    let name = "acme/sdk".parse()?;
    let (mut pushed, mut read) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let tag = format!("v{round}");
        let began = clock::monotonic();
        run(&registry.push(&format!("{image}:image"), &name, &tag), &work)?;
        let between = clock::monotonic();
        run(&registry.read_back(&format!("{}:{tag}", registry.place(&name))), &work)?;
        // The first one brings the blobs.
        if round > 0 {
            pushed.push(ms(began.elapsed()));
            read.push(ms(between.elapsed()));
        }
    }
    let pushed = Spread::of(pushed)?;
    Ok(vec![Figure {
        what: "an image to a registry that has its blobs",
        measured: pushed.show(1, "ms"),
        target: "< 50 ms",
        met: Some(pushed.median < 50.0),
        how: format!(
            "another tag each time, and read back ({}); skopeo and docker-registry on this machine",
            Spread::of(read)?.show(1, "ms")
        ),
    }])
}

/// An image of one layer, as a layout that the client reads.
fn image(folder: &Path) -> Fallible<String> {
    let tree = folder.join("tree");
    std::fs::create_dir_all(&tree)?;
    let bytes: Vec<u8> = (0..IMAGE_BYTES).map(|at| at.wrapping_mul(0x9e37_79b1).to_le_bytes()[2]).collect();
    write_synced(&tree.join("bytes"), &bytes, 0o644)?;
    let store = Store::open(&folder.join("artifacts"))?;
    let packed = seal(&store, folder, Path::new("tree"), 1_700_000_000, TREE_LIMITS)?;
    if packed.shape != Shape::Folder {
        return Err("a folder was packed as a file".into());
    }
    let (digest, content, size) = (packed.blob, packed.tar, packed.size_bytes);
    let sealed = Sealed { alias: "image".parse()?, digest, content, size, form: Form::Folder, image: None };
    store.lay_out("bench/bench/1", &layout(&[sealed]))?;
    Ok(store.root().join("releases/bench/bench/1").display().to_string())
}

fn run(program: &Program, work: &Path) -> Fallible<()> {
    let Program::Argv(words) = program else { return Err("the client is no line of a shell".into()) };
    let (first, rest) = words.split_first().ok_or("the client has no name")?;
    let output = Command::new(first)
        .args(rest)
        .current_dir(work)
        .env_clear()
        .envs(Registry::environment(work, PATH))
        .output()?;
    if !output.status.success() {
        return Err(format!("{first}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(())
}
