//! Sealing an artifact against `tar | zstd`, and its digest against `openssl`.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::Command;

use liftlock::artifact::hashing::digest_of;
use liftlock::artifact::pack::seal;
use liftlock::artifact::store::Store;
use liftlock::service::TREE_LIMITS;

use crate::figure::{Fallible, Figure, Spread, cpu, memory_mb};

/// Measurements of each side.
const ROUNDS: usize = 3;
/// The tree: large files that do not compress, large ones that do, and many small ones.
const RANDOM_FILES: usize = 8;
const RANDOM_BYTES: usize = 8_000_000;
const TEXT_FILES: usize = 40;
const TEXT_BYTES: usize = 4_000_000;
const SMALL_FILES: usize = 10_000;
const SMALL_BYTES: usize = 7_600;
/// So often the large files are there, by another name, where it is memory that is measured: 1.1 GB.
const NAMES: usize = 5;
/// What is hashed: holes read as zeros, which take SHA-256 as long as anything else.
const HASHED_BYTES: u64 = 1_000_000_000;

pub(crate) fn figures(folder: &Path) -> Fallible<Vec<Figure>> {
    let tree = folder.join("tree");
    let bytes = grow(&tree)?;
    let gigabytes = bytes as f64 / 1e9;
    let (mut ours, mut theirs, mut ratio, mut memory) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        let store = folder.join(format!("store-{round}"));
        let (used, _) = sealed(&tree, &store)?;
        std::fs::remove_dir_all(&store)?;
        let reference = tar_and_zstd(&tree, folder)?;
        ours.push(used / gigabytes);
        theirs.push(reference / gigabytes);
        ratio.push(reference / used);
    }
    let large = folder.join("large");
    let large_bytes = multiply(&tree, &large)?;
    for _ in 0..ROUNDS {
        let store = folder.join("store-large");
        memory.push(sealed(&large, &store)?.1);
        std::fs::remove_dir_all(&store)?;
    }
    let (ratio, memory) = (Spread::of(ratio)?, Spread::of(memory)?);
    let mut figures = vec![
        Figure {
            what: "pack and both digests, GB per CPU second",
            measured: ratio.show(2, "x"),
            target: ">= 1.4 x",
            met: Some(ratio.median >= 1.4),
            how: format!(
                "of `tar | zstd -T2 -3` without digests, tree of {:.0} MB: {} a GB against {}",
                bytes as f64 / 1e6,
                Spread::of(ours)?.show(2, "s"),
                Spread::of(theirs)?.show(2, "s")
            ),
        },
        Figure {
            what: "memory while sealing",
            measured: memory.show(1, "MB"),
            target: "< 32 MB",
            met: Some(memory.median < 32.0),
            how: format!(
                "VmHWM of a process that seals {:.1} GB and does nothing else",
                large_bytes as f64 / 1e9
            ),
        },
    ];
    figures.extend(hashing(folder)?);
    Ok(figures)
}

/// SHA-256 of a file, when `openssl` is there to compare with.
fn hashing(folder: &Path) -> Fallible<Option<Figure>> {
    if Command::new("openssl").arg("version").output().is_err() {
        return Ok(None);
    }
    let path = folder.join("hashed");
    File::create(&path)?.set_len(HASHED_BYTES)?;
    let program = std::env::current_exe()?;
    let (mut ours, mut ratio) = (vec![], vec![]);
    for _ in 0..ROUNDS {
        let own = of_children(Command::new(&program).arg("as-hasher").arg(&path))?;
        let reference = of_children(Command::new("openssl").args(["dgst", "-sha256"]).arg(&path))?;
        ours.push(own);
        ratio.push(100.0 * own / reference);
    }
    let ratio = Spread::of(ratio)?;
    Ok(Some(Figure {
        what: "SHA-256, CPU share of `openssl dgst`",
        measured: ratio.show(0, "%"),
        target: "<= 110 %",
        met: Some(ratio.median <= 110.0),
        how: format!("a file of 1 GB, {} of CPU", Spread::of(ours)?.show(2, "s")),
    }))
}

/// CPU seconds of a command and everything it started.
fn of_children(command: &mut Command) -> Fallible<f64> {
    let before = cpu("self")?.children;
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(cpu("self")?.children - before)
}

fn tar_and_zstd(tree: &Path, folder: &Path) -> Fallible<f64> {
    let line = "tar -C \"$0\" -cf - . | zstd -q -f -T2 -3 -o \"$1\"";
    of_children(Command::new("sh").args(["-c", line]).arg(tree).arg(folder.join("reference.zst")))
}

/// CPU seconds and MB of a process that seals the tree.
fn sealed(tree: &Path, store: &Path) -> Fallible<(f64, f64)> {
    let output = Command::new(std::env::current_exe()?).arg("as-sealer").arg(tree).arg(store).output()?;
    let text = String::from_utf8(output.stdout)?;
    let Some((used, resident)) = text.trim().split_once(' ') else {
        return Err(format!("the sealer failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    };
    Ok((used.parse()?, resident.parse()?))
}

/// The other side of [`sealed`].
pub(crate) fn seal_once(tree: &Path, store: &Path) -> Fallible<()> {
    let workspace = tree.parent().ok_or("a tree without a folder around it")?;
    let name = tree.file_name().ok_or("a tree without a name")?;
    seal(&Store::open(store)?, workspace, Path::new(name), 1_700_000_000, TREE_LIMITS)?;
    println!("{} {}", cpu("self")?.own, memory_mb("self", "VmHWM")?);
    Ok(())
}

/// The other side of [`hashing`].
pub(crate) fn hash_once(file: &Path) -> Fallible<()> {
    let (digest, bytes) = digest_of(&mut File::open(file)?)?;
    println!("{digest} {bytes}");
    Ok(())
}

/// Writes the tree and answers its bytes.
fn grow(tree: &Path) -> Fallible<usize> {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let mut bytes = 0;
    let mut write = |path: &Path, content: &[u8]| -> Fallible<()> {
        bytes += content.len();
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(content)?;
        Ok(file.flush()?)
    };
    for folder in ["lib", "share"].into_iter().map(|name| tree.join(name)) {
        std::fs::create_dir_all(folder)?;
    }
    for number in 0..RANDOM_FILES {
        write(&tree.join(format!("lib/image-{number}.bin")), &dice.bytes(RANDOM_BYTES))?;
    }
    for number in 0..TEXT_FILES {
        write(&tree.join(format!("share/text-{number}.txt")), &dice.text(TEXT_BYTES))?;
    }
    for number in 0..SMALL_FILES {
        let folder = tree.join(format!("share/module-{}", number / 100));
        std::fs::create_dir_all(&folder)?;
        write(&folder.join(format!("file-{number}.js")), &dice.text(SMALL_BYTES))?;
    }
    Ok(bytes)
}

/// Another tree with the large files of this one, each there several times; packing follows links between files.
fn multiply(tree: &Path, large: &Path) -> Fallible<usize> {
    std::fs::create_dir_all(large)?;
    let files = (0..RANDOM_FILES).map(|number| format!("lib/image-{number}.bin"));
    let files: Vec<String> =
        files.chain((0..TEXT_FILES).map(|number| format!("share/text-{number}.txt"))).collect();
    for again in 0..NAMES {
        for (number, file) in files.iter().enumerate() {
            std::fs::hard_link(tree.join(file), large.join(format!("{again}-{number}")))?;
        }
    }
    Ok(NAMES * (RANDOM_FILES * RANDOM_BYTES + TEXT_FILES * TEXT_BYTES))
}

/// A generator that gives the same tree on every machine (xorshift64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }

    /// Lines of words, of which short ones come often; they compress to about a third, as source code does.
    fn text(&mut self, count: usize) -> Vec<u8> {
        let mut text = String::with_capacity(count + 32);
        while text.len() < count {
            let roll = self.next();
            let word = (roll >> 8) % (1 << (roll % 14));
            let end = if roll >> 60 == 0 { ";\n" } else { " " };
            let word = format!("w{:x}{end}", word.wrapping_mul(0x9e37_79b9) % 0xff_ffff);
            text.push_str(&word);
        }
        text.truncate(count);
        text.into_bytes()
    }
}
