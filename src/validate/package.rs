//! `packages`: every archive opens to its last byte, and packages are what their files are called.
//!
//! Known are zip and what is made of it (`NuGet`, wheels, jars), tar alone and in gzip or zstd (npm, crates), and
//! Debian's. `NuGet`: `<id>.<version>.nupkg` holds `<id>.nuspec`; wheels: PEP 427; npm: `package/package.json`; Debian:
//! `<package>_<version>_<architecture>.deb` with a `control`.

use std::fs::File;
use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;

use super::{Item, Verdict, debian, open};
use crate::domain::name::printable;
use crate::trouble::Outcome;
use crate::zipped;

/// Largest description that is read out of a package.
const MAX_TEXT_BYTES: u64 = 1024 * 1024;
/// What an archive may unpack to: beyond it nobody can tell whether it ends.
const MAX_UNPACKED_BYTES: u64 = 64 * 1024 * 1024 * 1024;

/// How a file is packed.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Zip,
    Tar,
    TarGz,
    TarZst,
    Debian,
}

/// What in a package says what it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Nuspec,
    Metadata,
    PackageJson,
    Control,
    Nothing,
}

/// Endings in small letters, the more exact ones first.
const KINDS: [(&str, Form, Label); 15] = [
    (".nupkg", Form::Zip, Label::Nuspec),
    (".snupkg", Form::Zip, Label::Nothing),
    (".whl", Form::Zip, Label::Metadata),
    (".zip", Form::Zip, Label::Nothing),
    (".jar", Form::Zip, Label::Nothing),
    (".war", Form::Zip, Label::Nothing),
    (".vsix", Form::Zip, Label::Nothing),
    (".apk", Form::Zip, Label::Nothing),
    (".tgz", Form::TarGz, Label::PackageJson),
    (".tar.gz", Form::TarGz, Label::Nothing),
    (".crate", Form::TarGz, Label::Nothing),
    (".tar.zst", Form::TarZst, Label::Nothing),
    (".tar", Form::Tar, Label::Nothing),
    (".deb", Form::Debian, Label::Control),
    (".udeb", Form::Debian, Label::Control),
];

impl Label {
    /// What its absence means; a `.tgz` need not be npm's.
    fn missing(self) -> Result<(), String> {
        match self {
            Self::Nuspec => Err("it holds no `.nuspec`".to_owned()),
            Self::Metadata => Err("it holds no `METADATA`".to_owned()),
            Self::Control => Err("it holds no `control`".to_owned()),
            Self::PackageJson | Self::Nothing => Ok(()),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Nuspec => "`.nuspec`",
            Self::Metadata => "`METADATA`",
            Self::PackageJson => "`package.json`",
            Self::Control => "`control`",
            Self::Nothing => "label",
        }
    }

    /// Whether an entry is it.
    fn is(self, inner: &str) -> bool {
        match self {
            Self::Nuspec => !inner.contains('/') && inner.to_lowercase().ends_with(".nuspec"),
            Self::Metadata => inner.ends_with(".dist-info/METADATA"),
            Self::PackageJson => inner == "package/package.json",
            Self::Control => inner.trim_start_matches("./") == "control",
            Self::Nothing => false,
        }
    }
}

/// Looks at every archive.
pub(super) fn look(items: &[Item]) -> Outcome<Verdict> {
    let mut verdict = Verdict::default();
    for item in items {
        let name = item.path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
        let Some(archive) = of_name(&name) else { continue };
        verdict.looked_at = verdict.looked_at.saturating_add(1);
        if let Err(why) = open_as(item, archive)? {
            verdict.problem(item, why);
        }
    }
    Ok(verdict)
}

/// What a name in small letters says that a file is.
pub(super) fn of_name(lower: &str) -> Option<(Form, Label)> {
    KINDS.iter().find(|(ending, _, _)| lower.ends_with(ending)).map(|(_, form, label)| (*form, *label))
}

/// Opens an archive to its last byte; the inner error is why it cannot be.
pub(super) fn open_as(item: &Item, (form, label): (Form, Label)) -> Outcome<Result<(), String>> {
    let lower = item.path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    let file = open(item)?;
    Ok(match form {
        Form::Zip => zip(file, (&lower, label)),
        Form::Tar => tar(&mut BufReader::new(file), (&lower, label)),
        Form::TarGz => tar(&mut MultiGzDecoder::new(BufReader::new(file)), (&lower, label)),
        Form::TarZst => match zstd::Decoder::new(file) {
            Ok(mut decoder) => tar(&mut decoder, (&lower, label)),
            Err(_) => Err("it is no zstd file".to_owned()),
        },
        Form::Debian => debian::opened(file, (&lower, label)),
    })
}

/// The text of the first entry that says what a package is; the inner error is why it cannot be read.
pub(super) fn label(
    item: &Item,
    form: Form,
    is_label: fn(&str) -> bool,
) -> Outcome<Result<Option<String>, String>> {
    let file = open(item)?;
    Ok(match form {
        Form::Zip => zip_label(file, is_label),
        Form::Tar => tar_label(&mut BufReader::new(file), is_label),
        Form::TarGz => tar_label(&mut MultiGzDecoder::new(BufReader::new(file)), is_label),
        Form::TarZst => match zstd::Decoder::new(file) {
            Ok(mut decoder) => tar_label(&mut decoder, is_label),
            Err(_) => Err("it is no zstd file".to_owned()),
        },
        Form::Debian => Ok(None),
    })
}

fn zip_label(file: File, is_label: fn(&str) -> bool) -> Result<Option<String>, String> {
    let mut zip = zipped::open(file).map_err(|unopened| unopened.word())?;
    for no in 0..zip.len() {
        let mut entry = zip.by_index(no).map_err(|_| format!("its entry {no} cannot be read"))?;
        let inner = entry.name().unwrap_or_default().into_owned();
        if is_label(&inner) {
            return text_of(&mut entry, &inner).map(Some);
        }
    }
    Ok(None)
}

fn tar_label(bytes: &mut dyn Read, is_label: fn(&str) -> bool) -> Result<Option<String>, String> {
    let broken = |_| "it breaks off, or is no archive".to_owned();
    let mut tar = tar::Archive::new(bytes.take(MAX_UNPACKED_BYTES));
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let inner = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if is_label(&inner) {
            return text_of(&mut entry, &inner).map(Some);
        }
    }
    Ok(None)
}

fn text_of(entry: &mut dyn Read, inner: &str) -> Result<String, String> {
    let mut text = String::new();
    let read = entry.take(MAX_TEXT_BYTES).read_to_string(&mut text);
    read.map_err(|_| format!("`{}` in it is broken", printable(inner)))?;
    Ok(text)
}

/// Whether a zip has an entry of this name.
pub(super) fn has(item: &Item, name: &str) -> Outcome<Result<bool, String>> {
    let zip = zipped::open(open(item)?);
    Ok(zip.map(|zip| zip.index_for_name(name).is_some()).map_err(|unopened| unopened.word()))
}

/// Reads every entry, whose checksums are looked at by that.
fn zip(file: File, (name, label): (&str, Label)) -> Result<(), String> {
    let mut zip = zipped::open(file).map_err(|unopened| unopened.word())?;
    let (mut told, mut total) = (None, 0_u64);
    for no in 0..zip.len() {
        let mut entry = zip.by_index(no).map_err(|_| format!("its entry {no} cannot be read"))?;
        let inner = entry.name().unwrap_or_default().into_owned();
        let broken = |_| format!("`{}` in it is broken", printable(&inner));
        let is_label = label.is(&inner);
        let mut text = String::new();
        if is_label {
            entry.by_ref().take(MAX_TEXT_BYTES).read_to_string(&mut text).map_err(broken)?;
        }
        total = total.saturating_add(drain(&mut entry).map_err(broken)?);
        if total > MAX_UNPACKED_BYTES {
            return Err("it unpacks to more than anybody looks at".to_owned());
        }
        if is_label {
            told = Some(text);
        }
    }
    match told {
        Some(text) => matches(name, label, &text),
        None => label.missing(),
    }
}

/// Reads every entry of a tar, and whatever its packing has behind it.
pub(super) fn tar(bytes: &mut dyn Read, (name, label): (&str, Label)) -> Result<(), String> {
    let mut told = None;
    // Behind the bound it breaks off.
    let mut bytes = bytes.take(MAX_UNPACKED_BYTES);
    let mut tar = tar::Archive::new(&mut bytes);
    let broken = |_| "it breaks off, or is no archive".to_owned();
    for entry in tar.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let inner = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if label.is(&inner) {
            let mut text = String::new();
            (&mut entry).take(MAX_TEXT_BYTES).read_to_string(&mut text).map_err(broken)?;
            told = Some(text);
        }
        drain(&mut entry).map_err(broken)?;
    }
    // What is packed ends with its checksum.
    drain(&mut bytes).map_err(broken)?;
    told.map_or_else(|| label.missing(), |text| matches(name, label, &text))
}

pub(super) fn drain(from: &mut dyn Read) -> io::Result<u64> {
    io::copy(from, &mut io::sink())
}

/// Whether the file, its name in small letters, is called what its label says.
fn matches(file: &str, label: Label, text: &str) -> Result<(), String> {
    let lacks = || format!("its {} says no name and version", label.word());
    let (name, version) = said(label, text).ok_or_else(lacks)?;
    let wanted = match label {
        Label::Nuspec => format!("{name}.{version}.nupkg"),
        Label::PackageJson => format!("{}-{version}.tgz", name.trim_start_matches('@').replace('/', "-")),
        Label::Metadata => format!("{}-{version}-", normal(&name)),
        // The number before a colon orders versions, and is in no name of a file.
        Label::Control => format!("{name}_{}", version.split_once(':').map_or(&*version, |(_, rest)| rest)),
        Label::Nothing => return Ok(()),
    };
    let wanted = wanted.to_lowercase();
    let called = match (label, file.split_once('-')) {
        (Label::Metadata, Some((stem, rest))) => format!("{}-{rest}", normal(stem)).starts_with(&wanted),
        (Label::Metadata, None) => false,
        (Label::Control, _) => {
            file.strip_prefix(&wanted).is_some_and(|rest| rest.starts_with('_') || is_ending(rest))
        }
        (Label::Nuspec | Label::PackageJson | Label::Nothing, _) => file == wanted,
    };
    if called { Ok(()) } else { Err(format!("inside it is {}", printable(&format!("{name} {version}")))) }
}

/// Whether there is nothing left of a name but how packages of Debian end.
fn is_ending(rest: &str) -> bool {
    matches!(rest, ".deb" | ".udeb")
}

/// The name and version that a label says.
fn said(label: Label, text: &str) -> Option<(String, String)> {
    match label {
        Label::Nuspec => element(text, "id").zip(element(text, "version")),
        Label::Metadata => field(text, "Name:").zip(field(text, "Version:")),
        Label::Control => field(text, "Package:").zip(field(text, "Version:")),
        Label::PackageJson => {
            let json: serde_json::Value = serde_json::from_str(text).ok()?;
            let field = |key: &str| json.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
            field("name").zip(field("version"))
        }
        Label::Nothing => None,
    }
}

/// A line of a description that begins like this.
fn field(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim().to_owned())
}

/// The text of the first element of a name; a nuspec has one of each.
pub(super) fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    Some(value.trim().to_owned())
}

/// A Python distribution's name as files spell it (PEP 503 and 427).
fn normal(name: &str) -> String {
    name.to_lowercase().replace(['-', '.'], "_")
}
