//! Validations over real files: what Debian's own tools and this machine's compiler make, and what is done to them.

use std::io::Write as _;
use std::process::Command;

use super::*;

fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    File::create(&path).unwrap().write_all(bytes).unwrap();
}

/// No signature is good.
fn nobody(_: Seal, _: &str, _: &[u8]) -> Result<(), String> {
    Err("nobody signed it".to_owned())
}

/// What a validation says of a folder: how much it looked at, and the problems without the folder's name.
fn said(what: BuiltIn, folder: &Path) -> (usize, Vec<String>) {
    said_of(what, folder, None)
}

fn said_of(what: BuiltIn, folder: &Path, commit: Option<&str>) -> (usize, Vec<String>) {
    let commit: Option<CommitSha> = commit.map(|commit| commit.parse().unwrap());
    let promise =
        Promise { roots: &[folder.to_owned()], commits: commit.as_slice(), contract: None, proof: &nobody };
    let verdict = run(what, &promise).unwrap();
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

/// An `ar` file, up to where the second part begins: the first is four bytes long.
const MAGIC_AND_FORMAT: usize = 8 + 60 + 4;

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

/// What `dpkg-deb` makes, packed in each of its ways; then a byte of it is another one, its end is gone, its name is
/// another package's, a part is missing.
#[test]
fn d15_packages_of_debian_are_opened_to_their_last_byte_and_are_what_they_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let control = "Package: shop\nVersion: 1:1.2.0-1\nArchitecture: all\nMaintainer: Ana <ana@acme.example>\nDescription: a shop\n";
    put(at, "root/DEBIAN/control", control.as_bytes());
    sh(at, "mkdir -p root/usr/share; od -An -N40000 -tx1 /dev/urandom > root/usr/share/shop");
    for how in ["gzip", "xz", "zstd", "none"] {
        sh(at, &format!("dpkg-deb --root-owner-group -Z{how} --build root shop_1.2.0-1_{how}.deb > made"));
    }
    sh(at, "rm -r root made");
    assert_eq!(said(BuiltIn::Packages, at), (4, Vec::new()));
    for how in ["gzip", "xz"] {
        let name = format!("shop_1.2.0-1_{how}.deb");
        let good = std::fs::read(at.join(&name)).unwrap();
        // In what describes it, in what is installed, and its last byte.
        for place in [150, good.len() / 2, good.len() - 8] {
            let mut bad = good.clone();
            bad[place] ^= 1;
            put(at, &name, &bad);
            let (_, problems) = said(BuiltIn::Packages, at);
            assert!(problems.len() == 1 && problems[0].starts_with(&name), "{place} of {name}: {problems:?}");
        }
        put(at, &name, &good);
    }
    let whole = std::fs::read(at.join("shop_1.2.0-1_xz.deb")).unwrap();
    for (name, bytes) in [
        ("other_1.2.0-1_all.deb", &whole[..]),
        ("shop_1.2.0_all.deb", &whole),
        ("shop_1.2.0-1_cut.deb", &whole[..whole.len() - 3]),
        ("shop_1.2.0-1_half.deb", &whole[..whole.len() / 2]),
        ("shop_1.2.0-1_label.deb", &whole[..MAGIC_AND_FORMAT]),
        ("shop_1.2.0-1_empty.udeb", &whole[..8]),
    ] {
        put(at, name, bytes);
    }
    let (_, problems) = said(BuiltIn::Packages, at);
    assert_eq!(
        problems,
        [
            "other_1.2.0-1_all.deb: inside it is shop 1:1.2.0-1",
            "shop_1.2.0-1_cut.deb: it breaks off, or is no archive",
            "shop_1.2.0-1_empty.udeb: it is no Debian package",
            "shop_1.2.0-1_half.deb: it breaks off, or is no archive",
            "shop_1.2.0-1_label.deb: it is no Debian package",
            "shop_1.2.0_all.deb: inside it is shop 1:1.2.0-1",
        ]
    );
    sh(at, "rm *.deb *.udeb; mkdir parts");
    put(at, "parts/whole", &whole);
    sh(
        at,
        "cd parts; ar x whole; echo no > data.tar.lz; ar rc ../shop_1.2.0-1_odd.deb debian-binary control.tar.xz data.tar.lz",
    );
    sh(
        at,
        "cd parts; echo 3.0 > debian-binary; ar rc ../shop_1.2.0-1_new.deb debian-binary control.tar.xz data.tar.xz",
    );
    sh(at, "rm -r parts");
    assert_eq!(
        said(BuiltIn::Packages, at).1,
        [
            "shop_1.2.0-1_new.deb: it is of the format `3.0`, which nobody reads here",
            "shop_1.2.0-1_odd.deb: `data.tar.lz` in it is packed in a way that is not read here",
        ]
    );
}

#[test]
fn d08_packages_of_all_feeds_say_what_they_need() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    assert_eq!(said(BuiltIn::Coherent, at), (0, Vec::new()));
    let core = |version: &str| {
        let nuspec =
            format!("<package><metadata><id>Acme.Core</id><version>{version}</version></metadata></package>");
        zipped(&[("Acme.Core.nuspec", &nuspec), ("lib/core.dll", "MZ")])
    };
    put(at, "core.nupkg", &core("8.0.4"));
    let nuspec = "<package><metadata><id>Acme.Web</id><version>8.0.4</version><dependencies>
        <!-- <dependency id='acme.core' version='[1.0]' /> -->
        <group targetFramework=\"net8.0\"><dependency exclude=\"Build\" id=\"acme.core\" version=\"[8.0.3]\" /></group>
        </dependencies></metadata></package>";
    put(at, "web.nupkg", &zipped(&[("Acme.Web.nuspec", nuspec)]));
    let metadata =
        |name: &str, rest: &str| format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.2.0\n{rest}\n");
    put(at, "a.whl", &zipped(&[("a-1.2.0.dist-info/METADATA", &metadata("acme-a", ""))]));
    let needs = "Requires-Dist: acme_a[fast] (==1.1.*) ; python_version > '3'\nRequires-Dist: requests\n\nRequires-Dist: acme-a==9";
    put(at, "b-1.2.0/PKG-INFO", metadata("b", needs).as_bytes());
    put(
        at,
        "package/package.json",
        br#"{"name": "@acme/ui", "version": "2.1.0", "devDependencies": {"@acme/shop": "9"}}"#,
    );
    sh(at, "tar -czf b-1.2.0.tar.gz b-1.2.0; tar -czf ui.tgz package; rm -r b-1.2.0 package");
    let shop = r#"{"name": "@acme/shop", "version": "1.0.0", "dependencies": {"react": "^18", "kit": "npm:@acme/ui@2.0.3"}}"#;
    put(at, "package/package.json", shop.as_bytes());
    let manifest = "[package]\nname = \"acme\"\nversion = \"0.3.0\"\n[target.'cfg(unix)'.dependencies.core]\nversion = \"1.2\"\npackage = \"acme-core\"\n[dev-dependencies]\nacme-core = \"9\"\n";
    put(at, "acme-0.3.0/Cargo.toml", manifest.as_bytes());
    put(at, "acme-core-1.1.0/Cargo.toml", b"[package]\nname = \"acme-core\"\nversion = \"1.1.0\"\n");
    sh(
        at,
        "tar -czf shop.tgz package; tar -czf acme-0.3.0.crate acme-0.3.0; tar -czf acme-core-1.1.0.crate acme-core-1.1.0
         rm -r package acme-0.3.0 acme-core-1.1.0; echo plain > file; tar -czf plain.tar.gz file; rm file",
    );
    let name = shown(at);
    let root = at.to_owned();
    let promise = Promise { roots: &[root], commits: &[], contract: None, proof: &nobody };
    let look = || run(BuiltIn::Coherent, &promise).unwrap();
    let problem = |holds: &str, needs: &str| format!("`{name}` holds {holds}, `{name}` needs {needs}");
    let verdict = look();
    assert_eq!(
        verdict.problems,
        [
            problem("acme-core 1.1.0", "acme-core 1.2 (of acme 0.3.0)"),
            problem("acme-a 1.2.0", "acme-a (==1.1.*) (of b 1.2.0)"),
            problem("@acme/ui 2.1.0", "@acme/ui 2.0.3 (of @acme/shop 1.0.0)"),
            problem("Acme.Core 8.0.4", "Acme.Core [8.0.3] (of Acme.Web 8.0.4)"),
        ]
    );
    assert_eq!(verdict.looked_at, 8, "a tar of something else is no package");
    put(at, "old.nupkg", &core("8.0.3"));
    let problems = look().problems;
    assert!(problems.contains(&format!("`{name}` holds Acme.Core 8.0.4 and 8.0.3")), "{problems:?}");
    put(at, "old.nupkg", b"no zip");
    put(at, "odd.whl", &zipped(&[("readme", "x")]));
    let problems = look().problems;
    assert!(problems.contains(&format!("{name}/old.nupkg: it is no zip file")), "{problems:?}");
    assert!(problems.contains(&format!("{name}/odd.whl: it does not say what it is")), "{problems:?}");
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

/// A contract of these assets, signed by these keys.
/// Compressed debug information is read as debuggers read it.
#[test]
fn d17_symbols_that_are_compressed_lead_to_the_commit_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let commit = "c0ffee00".repeat(5);
    put(at, "main.c", b"int main(void) { return 0; }");
    // Long enough that it is worth to be compressed.
    let place = format!("/src/{commit}/{}", "deep/".repeat(50));
    sh(at, &format!("cc -g -Wl,--build-id -ffile-prefix-map=\"$PWD\"={place} main.c -o app; rm main.c"));
    assert_eq!(said_of(BuiltIn::Sourcelink, at, Some(&commit)), (1, Vec::new()));
    for how in ["zlib", "zlib-gnu", "zstd"] {
        sh(at, &format!("objcopy --compress-debug-sections={how} app packed"));
        let mut packed = std::fs::read(at.join("packed")).unwrap();
        assert!(!packed.windows(commit.len()).any(|at| at == commit.as_bytes()), "{how} packs nothing");
        assert_eq!(said_of(BuiltIn::Sourcelink, at, Some(&commit)), (2, Vec::new()), "{how}");
        let elf = goblin::elf::Elf::parse(&packed).unwrap();
        let named = |section: &goblin::elf::SectionHeader| elf.shdr_strtab.get_at(section.sh_name).unwrap();
        let lines = elf.section_headers.iter().find(|section| named(section).ends_with("debug_line_str"));
        let spot = lines.unwrap().file_range().unwrap().start + 30;
        packed[spot..spot + 8].fill(0xff);
        put(at, "packed", &packed);
        let (_, problems) = said_of(BuiltIn::Sourcelink, at, Some(&commit));
        assert!(problems[0].ends_with("debug_line_str cannot be unpacked"), "{how}: {problems:?}");
        sh(at, "rm packed");
    }
}

/// What a program prints leads no debugger to its sources, and what cannot be looked into is not good for that.
#[test]
fn d16_d17_t45_a_commit_elsewhere_in_a_program_and_one_that_is_broken_prove_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let commit = "c0ffee00".repeat(5);
    put(
        at,
        "version.c",
        format!("const char version[] = \"{commit}\"; int main(void) {{ return version[0]; }}").as_bytes(),
    );
    sh(at, "cc -g -Wl,--build-id version.c -o app; rm version.c");
    assert_eq!(said(BuiltIn::Symbols, at), (1, Vec::new()));
    let whole = std::fs::read(at.join("app")).unwrap();
    assert!(whole.windows(40).any(|at| at == commit.as_bytes()), "it is in the program");
    let leads_nowhere = "app: its debug information does not lead to c0ffee0";
    assert_eq!(said_of(BuiltIn::Sourcelink, at, Some(&commit)), (1, vec![leads_nowhere.to_owned()]));
    put(at, "app", &whole[..whole.len() / 2]);
    for what in [BuiltIn::Symbols, BuiltIn::Sourcelink] {
        assert_eq!(said_of(what, at, Some(&commit)).1, ["app: it is a broken ELF file"]);
    }
}

fn contract_of(assets: &str, keys: &[String]) -> Contract {
    let keys = if keys.is_empty() { String::new() } else { format!("\n    keys: {keys:?}") };
    let text = format!(
        "version: 1\nartifacts: [{{alias: dist, path: dist}}, {{alias: one, path: one.json}}]\nrelease:\n  contract:\n    \
         assets: {assets}{keys}\nstages: [test]\n"
    );
    let files = [(crate::domain::manifest::NATIVE_PATHS[0].to_owned(), text)].into();
    let loaded = crate::domain::manifest::load(&files, &"acme/web".parse().unwrap());
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}"));
    loaded.pipelines[0].release.contract.clone().unwrap()
}

/// What a validation by a contract says of `dist` and `one` in a folder.
fn kept(what: BuiltIn, (folder, contract): (&Path, &Contract), proof: &Proof<'_>) -> Verdict {
    let roots: Vec<PathBuf> =
        ["dist", "one"].map(|name| folder.join(name)).into_iter().filter(|root| root.exists()).collect();
    run(what, &Promise { roots: &roots, commits: &[], contract: Some(contract), proof }).unwrap()
}

#[test]
fn d02_d07_d19_what_is_promised_is_there_in_order_or_said_to_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let contract = contract_of(
        "[one, {artifact: dist, files: \"*.zip\", kind: zip, min_size: 50B, max_size: 1kB, checksum: true}, \
          {artifact: dist, files: \"docs/**\"}]",
        &[],
    );
    put(at, "one", br#"{"a": 1}"#);
    put(at, "dist/app.zip", &zipped(&[("app", "content")]));
    put(at, "dist/docs/index.html", b"<p>");
    sh(at, "cd dist; sha256sum ./app.zip > SHA256SUMS");
    let said = |what| kept(what, (at, &contract), &nobody);
    assert_eq!(said(BuiltIn::Contract), Verdict { looked_at: 3, ..Verdict::default() });
    assert_eq!(said(BuiltIn::Asset), Verdict { looked_at: 3, ..Verdict::default() });

    put(at, "dist/small.zip", b"PK");
    put(at, "dist/other.zip", &zipped(&[("app", &"x".repeat(60))]));
    std::fs::rename(at.join("dist/docs"), at.join("dist/doc")).unwrap();
    put(at, "one", b"");
    assert_eq!(
        said(BuiltIn::Contract).problems,
        [
            "one: it is empty",
            "dist/other.zip: no list of checksums names it",
            "dist/small.zip: it has 2B, and at least 50B are promised",
            "dist/small.zip: no list of checksums names it",
            "dist: it has no file `docs/**`",
        ]
    );
    sh(
        at,
        "rm dist/SHA256SUMS dist/small.zip dist/other.zip; printf x >> dist/app.zip; mv dist/doc dist/docs; echo 1 > one",
    );
    let problems = said(BuiltIn::Contract).problems;
    assert_eq!(
        problems,
        ["dist/app.zip: no list of checksums names it"],
        "a zip may end with a comment's rest"
    );
    sh(at, "head -c 60 dist/app.zip > cut; mv cut dist/app.zip; cd dist; sha256sum app.zip > SHA256SUMS");
    assert_eq!(said(BuiltIn::Contract).problems, ["dist/app.zip: it is no zip file"]);
    std::fs::remove_file(at.join("one")).unwrap();
    assert_eq!(said(BuiltIn::Contract).problems[0], "one: it has no file");
}

#[test]
fn d19_without_a_contract_an_artifact_has_something_in_it_and_files_are_what_they_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("dist");
    put(&at, "keep", b"");
    assert_eq!(
        run(BuiltIn::Asset, &plain(std::slice::from_ref(&at))).unwrap().problems,
        ["dist: it is empty"]
    );
    put(&at, "app.json", b"{}");
    put(&at, "lib/app.zip", &zipped(&[("app", "content")]));
    assert_eq!(said(BuiltIn::Asset, &at), (3, Vec::new()));
    put(&at, "app.json", b"{");
    put(&at, "app.exe", b"#!/bin/sh\n");
    put(&at, "app.rpm", b"no");
    let problems = [
        "app.exe: it is no program of Windows",
        "app.json: it is no JSON",
        "app.rpm: it is no package of RPM",
    ];
    assert_eq!(said(BuiltIn::Asset, &at).1, problems);
}

fn plain(roots: &[PathBuf]) -> Promise<'_> {
    Promise { roots, commits: &[], contract: None, proof: &nobody }
}

/// A program of Windows that does nothing: headers, no section.
fn windows_program() -> Vec<u8> {
    let mut pe = vec![0; 0x400];
    pe[..2].copy_from_slice(b"MZ");
    pe[0x3c] = 0x80;
    pe[0x80..0x84].copy_from_slice(b"PE\0\0");
    // x86-64, no section, an optional header of 240 bytes, executable.
    pe[0x84..0x98].copy_from_slice(&[0x64, 0x86, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0, 0x22, 0]);
    pe[0x98..0x9a].copy_from_slice(&[0x0b, 0x02]);
    pe[0x98 + 60] = 0;
    pe[0x98 + 61] = 4;
    pe[0x98 + 108] = 16;
    pe
}

#[test]
fn d20_t45_a_program_of_windows_is_signed_as_it_is_or_said_not_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    put(at, "app.exe", &windows_program());
    assert_eq!(said(BuiltIn::Signing, at), (1, vec!["app.exe: it is not signed".to_owned()]));
    sh(
        at,
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout ../k.pem -out ../c.pem -subj /CN=acme -days 9 2>/dev/null; \
         osslsigncode sign -h sha256 -certs ../c.pem -key ../k.pem -in app.exe -out signed.exe >/dev/null; mv signed.exe app.exe",
    );
    assert_eq!(said(BuiltIn::Signing, at), (1, Vec::new()));
    let mut bytes = std::fs::read(at.join("app.exe")).unwrap();
    bytes[0x300] ^= 1;
    put(at, "app.exe", &bytes);
    let changed = "app.exe: its signature is of other bytes, or by SHA-1".to_owned();
    assert_eq!(said(BuiltIn::Signing, at), (1, vec![changed]));
    put(at, "app.exe", &bytes[..0x500]);
    assert_eq!(said(BuiltIn::Signing, at).1, ["app.exe: its signature breaks off"]);
    put(at, "app.exe", b"MZ and so on");
    assert_eq!(said(BuiltIn::Signing, at).1, ["app.exe: it is no program of Windows"]);
}

/// A program of macOS: a page of content and, when anybody signed it, a list of its pages and a signer.
fn mac_program(signer: Option<&[u8]>) -> Vec<u8> {
    let word = |n: u32| n.to_le_bytes();
    let (page, content) = (4_096_u32, 6_000_u32);
    let mut part = [word(0xfeed_facf), word(0x0100_0007), word(3), word(2)].concat();
    part.extend([word(1), word(16), word(0), word(0)].concat());
    part.extend([word(if signer.is_some() { 0x1d } else { 0x1b }), word(16)].concat());
    let at_byte = part.len();
    part.extend([word(content), word(0)].concat());
    part.resize(content.try_into().unwrap(), 7);
    let Some(signer) = signer else { return part };
    let big = |n: u32| n.to_be_bytes();
    let (list_at, hashes_at) = (28_u32, 44_u32);
    let list_size = hashes_at + 2 * 32;
    let signer_at = list_at + list_size;
    let signer_size = 8 + u32::try_from(signer.len()).unwrap();
    let total = signer_at + signer_size;
    part[at_byte + 4..at_byte + 8].copy_from_slice(&word(total));
    let pages: Vec<u8> = part
        .chunks(page.try_into().unwrap())
        .flat_map(|page| <sha2::Sha256 as sha2::Digest>::digest(page).to_vec())
        .collect();
    let mut signature = [big(0xfade_0cc0), big(total), big(2), big(0), big(list_at)].concat();
    signature.extend([big(0x1_0000), big(signer_at)].concat());
    signature.extend([big(0xfade_0c02), big(list_size), big(0x2_0400), big(0)].concat());
    signature.extend([big(hashes_at), big(0), big(0), big(2), big(content)].concat());
    signature.extend([32, 2, 0, 12, 0, 0, 0, 0]);
    signature.extend(pages);
    signature.extend([big(0xfade_0b01), big(signer_size)].concat());
    signature.extend(signer);
    part.extend(signature);
    part
}

#[test]
fn d20_t45_a_program_of_macos_is_signed_as_it_is_or_said_not_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let said = |bytes: &[u8]| {
        put(at, "app", bytes);
        said(BuiltIn::Signing, at)
    };
    assert_eq!(said(&mac_program(Some(b"somebody"))), (1, Vec::new()));
    assert_eq!(said(&mac_program(None)).1, ["app: it is not signed"]);
    assert_eq!(said(&mac_program(Some(b""))).1, ["app: its signature is ad hoc: nobody signed it"]);
    let mut changed = mac_program(Some(b"somebody"));
    changed[5_000] = 8;
    assert_eq!(said(&changed).1, ["app: its signature is of other bytes"]);
    let cut = mac_program(Some(b"somebody"));
    assert_eq!(said(&cut[..6_100]).1, ["app: what it says to its loader cannot be read"]);
}

/// A package of RPM with a header and, when anybody signed it, a signature of it; its digest says what it is told to.
fn rpm(signed: bool, digest: Option<&str>) -> Vec<u8> {
    let header = |entries: &[(u32, &[u8])]| {
        let mut out = [b"\x8e\xad\xe8\x01".as_slice(), &[0; 4]].concat();
        let size: usize = entries.iter().map(|(_, value)| value.len()).sum();
        out.extend(u32::try_from(entries.len()).unwrap().to_be_bytes());
        out.extend(u32::try_from(size).unwrap().to_be_bytes());
        let mut from = 0_u32;
        for (tag, value) in entries {
            let count = u32::try_from(value.len()).unwrap();
            out.extend(
                [tag.to_be_bytes(), 7_u32.to_be_bytes(), from.to_be_bytes(), count.to_be_bytes()].concat(),
            );
            from += count;
        }
        out.extend(entries.iter().flat_map(|(_, value)| *value));
        out
    };
    let main = header(&[(1_000, b"app\0")]);
    let own = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&main));
    let mut entries: Vec<(u32, &[u8])> = vec![(273, digest.unwrap_or(&own).as_bytes())];
    if signed {
        entries.push((268, b"signature"));
    }
    let mut out = [b"\xed\xab\xee\xdb".as_slice(), &[0; 92]].concat();
    out.extend(header(&entries));
    out.resize(out.len().next_multiple_of(8), 0);
    out.extend(main);
    out.extend(b"payload");
    out
}

#[test]
fn d20_t45_a_package_of_rpm_is_signed_as_it_is_or_said_not_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let said = |bytes: &[u8]| {
        put(at, "app.rpm", bytes);
        said(BuiltIn::Signing, at)
    };
    assert_eq!(said(&rpm(true, None)), (1, Vec::new()));
    assert_eq!(said(&rpm(false, None)).1, ["app.rpm: it is not signed"]);
    let other = "app.rpm: its header is not the one that its digest is of";
    assert_eq!(said(&rpm(true, Some(&"0".repeat(64)))).1, [other]);
    assert_eq!(said(&rpm(true, None)[..120]).1, ["app.rpm: its header cannot be read"]);
}

#[test]
fn d20_t45_a_signature_beside_a_file_is_of_it_by_a_key_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    put(at, "dist/app.zip", &zipped(&[("app", "content")]));
    put(at, "dist/readme", b"read me");
    let assets = "[{artifact: dist, files: \"*.zip\", signed: true}]";
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0Rs3uQOjqHtYkpgUQJNVIuHDVeWDqJ2b3SYI2UZQxj".to_owned();
    let (open, known) = (contract_of(assets, &[]), contract_of(assets, &[key]));
    let yes = |seal: Seal, signature: &str, file: &[u8]| {
        assert_eq!((seal, file.is_empty()), (Seal::Ssh, false));
        if signature.contains("good") { Ok(()) } else { Err("none of these keys signed it".to_owned()) }
    };
    let said = |contract: &Contract| kept(BuiltIn::Signing, (at, contract), &yes);
    for contract in [&open, &known] {
        assert_eq!(said(contract).problems, ["dist/app.zip: it is not signed"]);
        assert_eq!(
            kept(BuiltIn::Contract, (at, contract), &yes).problems,
            ["dist/app.zip: it is not signed"]
        );
    }
    put(at, "dist/app.zip.sig", b"-----BEGIN SSH SIGNATURE-----\ngood\n");
    assert_eq!(said(&open).notes, ["0 signed by keys of the contract, 1 by somebody who is not known here"]);
    assert_eq!(said(&known).notes, ["1 signed by keys of the contract, 0 by somebody who is not known here"]);
    assert_eq!(kept(BuiltIn::Contract, (at, &known), &yes).problems, Vec::<String>::new());
    put(at, "dist/app.zip.sig", b"-----BEGIN SSH SIGNATURE-----\nbad\n");
    assert_eq!(said(&known).problems, ["dist/app.zip: app.zip.sig: none of these keys signed it"]);
    put(at, "dist/app.zip.sig", b"yes, it is");
    assert_eq!(said(&open).problems, ["dist/app.zip: app.zip.sig: it is no signature"]);
    // What GPG leaves cannot be checked here, so it is not what a contract with keys promised.
    sh(at, "rm dist/app.zip.sig");
    put(at, "dist/app.zip.asc", b"-----BEGIN PGP SIGNATURE-----\n\niQ\n");
    assert_eq!(said(&open).problems, Vec::<String>::new());
    assert_eq!(said(&known).problems, ["dist/app.zip: none of the contract's keys signed it"]);
    put(at, "dist/app.zip.asc", b"good");
    assert_eq!(said(&open).problems, ["dist/app.zip: app.zip.asc: it is no signature of GPG"]);
    sh(at, "mv dist/app.zip.asc dist/gone.sig");
    let problems = said(&open).problems;
    assert!(problems.contains(&"dist/gone.sig: what it signs is not beside it".to_owned()), "{problems:?}");
}
