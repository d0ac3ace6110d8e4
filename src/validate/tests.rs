//! Validations over real files: what Debian's own tools and this machine's compiler make, and what is done to them.

use std::io::Write as _;
use std::process::Command;

use super::*;

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    File::create(&path).unwrap().write_all(bytes).unwrap();
}

/// What a validation says of a folder: how much it looked at, and the problems without the folder's name.
fn said(what: BuiltIn, folder: &Path) -> (usize, Vec<String>) {
    said_of(what, folder, None)
}

fn said_of(what: BuiltIn, folder: &Path, commit: Option<&str>) -> (usize, Vec<String>) {
    let commit: Option<CommitSha> = commit.map(|commit| commit.parse().unwrap());
    let verdict = run(what, &[folder.to_owned()], commit.as_ref()).unwrap();
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let problems = verdict.problems.iter().map(|p| p.strip_prefix(&format!("{name}/")).unwrap().to_owned());
    (verdict.looked_at, problems.collect())
}

fn sh(folder: &Path, script: &str) {
    let done = Command::new("/bin/sh").args(["-ec", script]).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn d18_lists_of_checksums_are_right_or_said_to_be_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert_eq!(said(BuiltIn::Checksum, at), (0, Vec::new()));
    put(at, "app.zip", b"app");
    put(at, "lib/lib.zip", b"lib");
    sh(
        at,
        "sha256sum app.zip lib/lib.zip > SHA256SUMS; sha512sum app.zip > SHA512SUMS; sha256sum < app.zip | cut -d' ' -f1 > app.zip.sha256",
    );
    assert_eq!(said(BuiltIn::Checksum, at), (3, Vec::new()));
    put(at, "lib/lib.zip", b"lic");
    assert_eq!(said(BuiltIn::Checksum, at), (3, vec!["SHA256SUMS: `lib/lib.zip` is another one".to_owned()]));
    put(
        at,
        "more/SHA256SUMS",
        format!("{}  ../app.zip\nnonsense here\n{0}  gone\n", "0".repeat(64)).as_bytes(),
    );
    let (_, problems) = said(BuiltIn::Checksum, at);
    let more: Vec<&str> = problems.iter().filter_map(|p| p.strip_prefix("more/SHA256SUMS: ")).collect();
    assert_eq!(
        more,
        ["`../app.zip` is not a file beside it", "a line of it is no checksum", "`gone` is not there"]
    );
}

/// A zip with these entries.
fn zipped(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, text) in entries {
        zip.start_file(*name, stored).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn d15_packages_open_and_are_what_they_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let nuspec = "<package><metadata><id>Acme.Core</id><version>1.2.0</version></metadata></package>";
    put(at, "Acme.Core.1.2.0.nupkg", &zipped(&[("Acme.Core.nuspec", nuspec), ("lib/core.dll", "MZ")]));
    let metadata = "Metadata-Version: 2.1\nName: acme-shop\nVersion: 1.2.0\n";
    put(at, "acme_shop-1.2.0-py3-none-any.whl", &zipped(&[("acme_shop-1.2.0.dist-info/METADATA", metadata)]));
    put(at, "package/package.json", br#"{"name": "@acme/shop", "version": "1.2.0"}"#);
    sh(at, "tar -czf acme-shop-1.2.0.tgz package/package.json; tar -cf plain.tar package; rm -r package");
    assert_eq!(said(BuiltIn::Packages, at), (4, Vec::new()));

    std::fs::copy(at.join("Acme.Core.1.2.0.nupkg"), at.join("Acme.Core.1.3.0.nupkg")).unwrap();
    std::fs::copy(at.join("acme-shop-1.2.0.tgz"), at.join("acme-shop-1.2.1.tgz")).unwrap();
    put(at, "empty.nupkg", &zipped(&[("readme", "x")]));
    put(at, "fake.deb", b"not one");
    let mut flipped = zipped(&[("app", "content")]);
    let spot = flipped.windows(7).position(|w| w == b"content").unwrap();
    flipped[spot] ^= 1;
    put(at, "flipped.zip", &flipped);
    sh(at, "head -c 60 acme-shop-1.2.0.tgz > cut.tar.gz");
    let (_, problems) = said(BuiltIn::Packages, at);
    assert_eq!(
        problems,
        [
            "Acme.Core.1.3.0.nupkg: inside it is Acme.Core 1.2.0",
            "acme-shop-1.2.1.tgz: inside it is @acme/shop 1.2.0",
            "cut.tar.gz: it breaks off, or is no archive",
            "empty.nupkg: it holds no `.nuspec`",
            "fake.deb: it is no Debian package",
            "flipped.zip: `app` in it is broken",
        ]
    );
}

const PROGRAM: &str = "#include <stdio.h>\n#include <string.h>\nint main(int c, char **v) { char b[64]; strcpy(b, v[0]); return printf(\"%s %s\\n\", b, COMMIT); }\n";

#[test]
fn d14_programs_are_hard_to_use_or_said_not_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    put(at, "main.c", PROGRAM.as_bytes());
    let hard = "-O1 -DCOMMIT='\"\"' -fPIE -pie -fstack-protector-strong -Wl,-z,relro,-z,now,-z,noexecstack";
    let soft =
        "-O1 -DCOMMIT='\"\"' -fno-pie -no-pie -fno-stack-protector -Wl,-z,norelro,-z,lazy,-z,execstack";
    sh(at, &format!("cc {hard} main.c -o hard; cc {hard} -c main.c -o main.o"));
    assert_eq!(said(BuiltIn::Binary, at), (1, Vec::new()), "an object is not run");
    sh(at, &format!("cc {soft} main.c -o soft 2>/dev/null"));
    let (looked_at, problems) = said(BuiltIn::Binary, at);
    assert_eq!(looked_at, 2);
    assert_eq!(
        problems,
        [
            "soft: it is not position-independent (-fPIE -pie)",
            "soft: its stack is executable (-z noexecstack)",
            "soft: its relocations stay writable (-z relro)",
            "soft: it has no stack canaries (-fstack-protector-strong)",
        ]
    );
    put(at, "broken", b"\x7fELF and nothing more");
    assert!(said(BuiltIn::Binary, at).1.contains(&"broken: it is a broken ELF file".to_owned()));
}

#[test]
fn d16_d17_symbols_are_there_and_lead_to_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (commit, other) = ("c0ffee00".repeat(5), "deadbeef".repeat(5));
    put(at, "main.c", PROGRAM.as_bytes());
    let build = format!("cc -g3 -Wl,--build-id -DCOMMIT='\"{commit}\"' main.c -o app");
    sh(at, &build);
    assert_eq!(said(BuiltIn::Symbols, at), (1, Vec::new()));
    assert_eq!(said_of(BuiltIn::Sourcelink, at, Some(&commit)), (1, Vec::new()));
    let (_, problems) = said_of(BuiltIn::Sourcelink, at, Some(&other));
    assert_eq!(problems, ["app: its debug information does not lead to deadbee"]);
    // Taken out of the program into a file of its own, they are found by the build's id.
    sh(at, "objcopy --only-keep-debug app app.debug; objcopy --strip-all app");
    assert_eq!(said(BuiltIn::Symbols, at), (1, Vec::new()));
    assert_eq!(said_of(BuiltIn::Sourcelink, at, Some(&commit)), (1, Vec::new()));
    sh(at, "rm app.debug");
    let (_, problems) = said(BuiltIn::Symbols, at);
    assert!(problems[0].starts_with("app: there is no debug information for it (build id "), "{problems:?}");
    put(at, "shop.dll", b"MZ and so on");
    assert!(said(BuiltIn::Symbols, at).1.contains(&"shop.dll: there is no `.pdb` for it".to_owned()));
    put(at, "symbols/shop.pdb", format!("SourceLink …/{commit}/*").as_bytes());
    let (_, problems) = said_of(BuiltIn::Sourcelink, at, Some(&commit));
    assert_eq!(problems.len(), 1, "the dll's lead there: {problems:?}");
}
