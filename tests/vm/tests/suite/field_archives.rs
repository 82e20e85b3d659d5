//! Archives as other tools write them, and what keelctl says of units that come from elsewhere.

use crate::archives::sha256;
use crate::field_images::base;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use tar::{Builder, EntryType, Header};
use vm::{Checks, Guest};

/// The name that it is given when it is loaded: its archive has none.
const NAME: &str = "field.example/odd:1";
const CONFIG: &str = "odd.json";
/// Of the image's environment: no single text may be as long as this (linux/binfmts.h, `MAX_ARG_STRLEN`: 128 KiB).
const HUGE: &str = "HUGE_VARIABLE";

/// What GNU tar calls its ways to write a file with holes.
const SPARSE: [(&str, &[&str]); 4] = [
    ("gnu", &["--format=gnu"]),
    ("pax-0.0", &["--format=posix", "--sparse-version=0.0"]),
    ("pax-0.1", &["--format=posix", "--sparse-version=0.1"]),
    ("pax-1.0", &["--format=posix", "--sparse-version=1.0"]),
];
const SPARSE_BYTES: u64 = 3 << 20;
const SPARSE_TEXT: (u64, &str) = (1 << 20, "in the middle");

/// File, text, and what is said of it. `web` has what other systems write; the rest is what lies beside it in people's folders.
const FROM_ELSEWHERE: [(&str, &str, &str); 6] = [
    (
        "web.container.toml",
        "[container]\nimage = \"field.example/base:1\"\nmemory_mb = 512\n\n[service]\nrestart = false\n",
        "write `restart = \"no\"`",
    ),
    (
        "deep/api.container.toml",
        "[container]\nimage = \"x\"\n",
        "put `api.container.toml` beside the other units",
    ),
    (
        "web.container.d/10-memory.conf",
        "[Service]\nMemoryMax=1G\n",
        "name it `web.container.toml.d`",
    ),
    (
        "db.container",
        "[Container]\nImage=postgres\n",
        "`db.container.toml`",
    ),
    (
        "compose.yaml",
        "services:\n  web:\n    image: nginx\n",
        "`compose.yaml` is a Compose file",
    ),
    (
        "web.timer",
        "[Timer]\nOnCalendar=daily\n",
        "`web.timer.toml`",
    ),
];

pub(crate) fn units() -> Vec<(String, String)> {
    let unit = |name: &str, rest: &str| {
        (
            format!("{name}.container.toml"),
            format!(
                "[unit]\nwanted_by = []\n[container]\nimage = \"{NAME}\"\n{rest}[service]\nrestart = \"no\"\n"
            ),
        )
    };
    let small = format!("[env]\n{HUGE} = \"small\"\n");
    vec![
        unit("odd", &format!("command = [\"sleep\", \"1d\"]\n{small}")),
        unit("huge", "command = [\"true\"]\n"),
        unit("word", &format!("command = [\"echo hello\"]\n{small}")),
    ]
}

/// A docker archive without a name, whose layers are links to files elsewhere in it, and whose configuration has `null` where
/// lists and maps are looked for, an unknown field, and a platform as `uname` spells it.
fn archive() -> PathBuf {
    let folder = host::paths::made().join("tests/field-images");
    std::fs::create_dir_all(&folder).unwrap();
    let mut layers = vec![base()];
    layers.extend(SPARSE.map(|(name, options)| sparse(&folder, name, options)));
    let digests: Vec<String> = layers.iter().map(|layer| sha256(layer)).collect();
    let config = json!({
        "architecture": "x86_64", "os": "Linux", "created": null, "history": null, "moby.buildkit.trace": {"a": [1]},
        "config": {
            "Cmd": ["true"], "Entrypoint": null, "Volumes": null, "ExposedPorts": null, "Labels": null, "OnBuild": null,
            "Healthcheck": null, "User": "", "WorkingDir": "", "StopSignal": null,
            "Env": [format!("{HUGE}={}", "x".repeat(140 << 10))],
        },
        "rootfs": {"type": "layers", "diff_ids": digests},
    });
    let names: Vec<String> = (0..layers.len())
        .map(|number| format!("{number}/layer.tar"))
        .collect();
    let manifest = json!([{"Config": CONFIG, "RepoTags": null, "Layers": names}]);
    let mut tar = Builder::new(Vec::new());
    let mut file = |path: &str, bytes: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, path, bytes).unwrap();
    };
    file(CONFIG, config.to_string().as_bytes());
    file("manifest.json", manifest.to_string().as_bytes());
    for (number, layer) in layers.iter().enumerate() {
        file(&format!("{number}.tar"), layer);
    }
    for (number, name) in names.iter().enumerate() {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        let to = format!("../{number}.tar");
        tar.append_link(&mut header, name, to).unwrap();
    }
    let path = folder.join("odd.docker.tar");
    std::fs::write(&path, tar.into_inner().unwrap()).unwrap();
    path
}

/// One layer with one file `/sparse/NAME`, as GNU tar writes it.
fn sparse(folder: &Path, name: &str, options: &[&str]) -> Vec<u8> {
    let place = folder.join(format!("sparse-{name}"));
    std::fs::create_dir_all(place.join("sparse")).unwrap();
    let path = place.join("sparse").join(name);
    std::fs::write(&path, sparse_content()).unwrap();
    let dug = Command::new("fallocate")
        .arg("--dig-holes")
        .arg(&path)
        .status();
    assert!(dug.unwrap().success());
    let written = Command::new("tar")
        .args(options)
        .args(["--sparse", "--owner=1000", "--group=1000", "-cf", "-", "-C"])
        .arg(&place)
        .arg(format!("sparse/{name}"))
        .output()
        .unwrap();
    assert!(written.status.success(), "{written:?}");
    assert!(
        (written.stdout.len() as u64) < SPARSE_BYTES,
        "{name} is written without its holes"
    );
    written.stdout
}

fn sparse_content() -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(SPARSE_BYTES).unwrap()];
    let (at, text) = SPARSE_TEXT;
    let at = usize::try_from(at).unwrap();
    bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
    bytes
}

/// In this order: what is loaded first, then what its units make of it.
pub(crate) fn archive_rules(
    checks: &mut Checks,
    guest: &Guest,
    reason: impl Fn(&Guest, &str) -> String,
) {
    let path = archive().display().to_string();
    checks.that(
        "an image without a name is loaded, and told how to use it",
        || {
            let told = guest.told(&["image", "load", &path]);
            assert!(told.contains("sha256:"), "{told}");
            let named = guest.told(&["image", "load", "--name", NAME, &path]);
            assert!(named.contains(NAME), "{named}");
        },
    );
    checks.that(
        "sparse files of every kind have their names, sizes, owners, contents and holes",
        || {
            guest.told(&["start", "odd"]);
            let right = sha256(&sparse_content());
            for (name, _) in SPARSE {
                let script = format!(
                    "stat -c '%s %u %b' /sparse/{name}; busybox sha256sum < /sparse/{name}"
                );
                let told = guest.shell("odd", &script);
                let words: Vec<&str> = told.split_whitespace().collect();
                assert_eq!(
                    words[..2],
                    [SPARSE_BYTES.to_string(), "1000".to_owned()],
                    "{name}: {told}"
                );
                let blocks: u64 = words[2].parse().unwrap();
                assert!(
                    blocks * 512 < SPARSE_BYTES / 2,
                    "{name} has no holes: {told}"
                );
                assert_eq!(format!("sha256:{}", words[3]), right, "{name}");
            }
            let beside = guest.shell("odd", "ls -A /sparse | wc -l");
            assert_eq!(beside, SPARSE.len().to_string());
        },
    );
    checks.that(
        "an environment that is too long for the kernel is named",
        || {
            let told = reason(guest, "huge");
            assert!(told.contains(HUGE), "{told}");
        },
    );
    checks.that("a command in one word is told as that", || {
        let told = reason(guest, "word");
        assert!(told.contains("\"echo\", \"hello\""), "{told}");
    });
}

/// What `diff` against the machine says of a folder that came from elsewhere.
pub(crate) fn neighbour_rules(checks: &mut Checks, guest: &Guest) {
    let folder = host::paths::made().join("tests/field-units");
    let _ = std::fs::remove_dir_all(&folder);
    for (path, text, _) in FROM_ELSEWHERE {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    checks.that(
        "mistakes are refused with what to write, and every neighbour is named",
        || {
            let told = guest.keelctl(&["diff", &folder.display().to_string()]);
            assert!(!told.success());
            let said = format!("{}{}", told.stdout, told.stderr);
            for (_, _, part) in FROM_ELSEWHERE {
                assert!(said.contains(part), "{part}: {said}");
            }
        },
    );
}
