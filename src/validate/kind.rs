//! What a file is: opened to its end as what somebody says it is, or as what its name says.

use goblin::elf::Elf;

use super::package::{self, Form, Label};
use super::{Item, begins, embedded, whole};
use crate::domain::contract::FileKind;
use crate::trouble::Outcome;

/// What packages of RPM begin with.
pub(super) const RPM: &[u8] = b"\xed\xab\xee\xdb";

/// Why a file is not of its kind; a file of no known kind is what it is.
pub(super) fn wrong(item: &Item, kind: Option<FileKind>) -> Outcome<Option<String>> {
    let Some(kind) = kind else { return by_name(item) };
    let archive = |form, label| Ok(package::open_as(item, (form, label))?.err());
    match kind {
        FileKind::Deb => archive(Form::Debian, Label::Nothing),
        FileKind::Jar | FileKind::Zip => archive(Form::Zip, Label::Nothing),
        FileKind::Npm => archive(Form::TarGz, Label::PackageJson),
        FileKind::Nupkg => archive(Form::Zip, Label::Nuspec),
        FileKind::Tar => archive(Form::Tar, Label::Nothing),
        FileKind::TarGz => archive(Form::TarGz, Label::Nothing),
        FileKind::TarZst => archive(Form::TarZst, Label::Nothing),
        FileKind::Wheel => archive(Form::Zip, Label::Metadata),
        FileKind::Rpm => Ok((!begins(item, RPM)?).then(|| "it is no package of RPM".to_owned())),
        // An image is an artifact as a whole, and was opened when it was sealed.
        FileKind::Image => Ok(None),
        FileKind::Elf => read(item, |bytes| Elf::parse(bytes).is_ok(), "it is no program of Linux"),
        FileKind::Exe => {
            read(item, |bytes| embedded::Pe::read(bytes).is_some(), "it is no program of Windows")
        }
        FileKind::Macho => {
            read(item, |bytes| !embedded::machos(bytes).is_empty(), "it is no program of macOS")
        }
        FileKind::Json => {
            let is_json = |bytes: &[u8]| serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok();
            read(item, is_json, "it is no JSON")
        }
    }
}

/// A file whose name says what it is, and that is something else.
fn by_name(item: &Item) -> Outcome<Option<String>> {
    let name = item.path.file_name().map(|n| n.to_string_lossy().to_lowercase()).unwrap_or_default();
    if let Some(archive) = package::of_name(&name) {
        return Ok(package::open_as(item, archive)?.err());
    }
    let ending = name.rsplit_once('.').map(|(_, ending)| ending).unwrap_or_default();
    let kind = match ending {
        "exe" | "dll" => FileKind::Exe,
        "rpm" => FileKind::Rpm,
        "json" => FileKind::Json,
        _ => return Ok(None),
    };
    wrong(item, Some(kind))
}

fn read(item: &Item, is_one: impl Fn(&[u8]) -> bool, why: &str) -> Outcome<Option<String>> {
    Ok(match whole(item)? {
        None => Some("it is too large to be looked into".to_owned()),
        Some(bytes) if is_one(&bytes) => None,
        Some(_) => Some(why.to_owned()),
    })
}
