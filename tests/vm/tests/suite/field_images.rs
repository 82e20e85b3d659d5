//! Images as people's containers have them: real first processes, entry scripts with mistakes, layers that say little.

use host::fetch::Freshness;
use image::oci::{self, Entry, Layer};
use image::packages;
use serde_json::{Value, json};
use std::path::PathBuf;
use tar::{Builder, EntryType, Header};

/// busybox alone.
pub(crate) const BASE: &str = "field.example/base:1";
/// With `tini`, `dumb-init`, and a first process that works as s6-overlay's does.
pub(crate) const FIRST: &str = "field.example/first:1";
/// Entry scripts with the usual mistakes.
pub(crate) const SCRIPTS: &str = "field.example/scripts:1";
/// A program with a file capability that containers don't get.
pub(crate) const FILECAP: &str = "field.example/filecap:1";
/// Declares a volume below the place where its unit mounts one.
pub(crate) const NESTED: &str = "field.example/nested:1";
/// Its root folder has mode 0555, and its upper layer says nothing of the folders in which it puts files.
pub(crate) const SPARING: &str = "field.example/sparing:1";

/// Copies its services to /run and executes them there, as s6-overlay does with its own.
const S6_INIT: &str = "#!/bin/sh\nset -e\nmkdir -p /run/s6/basedir /run/service/app\n\
    cp /bin/busybox /run/s6/basedir/busybox\n\
    printf '#!/run/s6/basedir/busybox sh\\necho the service runs from /run\\nexec sleep 1d\\n' > /run/service/app/run\n\
    chmod 755 /run/service/app/run\n\
    exec /run/s6/basedir/busybox sh -c '/run/service/app/run & child=$!; \
    trap \"kill -TERM $child; wait $child; echo services are down; exit 0\" TERM; while :; do wait; sleep 0.1; done'\n";

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n";
const GROUP: &str = "root:x:0:\napp:x:1000:\nnogroup:x:65534:\n";

/// `cap_ipc_lock=ep`, version 2 (linux/capability.h, `struct vfs_cap_data`): magic with the effective bit, then permitted and
/// inheritable of each half.
const CAP_IPC_LOCK_EP: [u8; 20] = [
    1, 0, 0, 2, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// All of them as archives.
pub(crate) fn archives() -> Vec<PathBuf> {
    let base = base();
    let write = |name: &str, layers: &[Vec<u8>], config: &Value| {
        let reference = format!("field.example/{name}:1");
        let bytes = oci::archive_of(layers, config, &[reference]).unwrap();
        let folder = host::paths::made().join("tests/field-images");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{name}.oci.tar"));
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let nothing = json!({"Cmd": ["sleep", "1d"]});
    let mut first = vec![base.clone()];
    for (package, program) in [("tini", "tini-static"), ("dumb-init", "dumb-init")] {
        let packages = packages::with_libraries(package, Freshness::Cached).unwrap();
        let layers = packages::programs(&packages, &[program]).unwrap();
        first.extend(layers.iter().map(|layer| oci::layer_tar(layer).unwrap()));
    }
    first.push(layer(&[("s6-init", script(S6_INIT))]));
    let nested =
        json!({"Cmd": ["sleep", "1d"], "User": "1000", "Volumes": {"/home/app/.state": {}}});
    vec![
        write("base", std::slice::from_ref(&base), &nothing),
        write("first", &first, &nothing),
        write("scripts", &[base.clone(), scripts()], &nothing),
        write("filecap", &[base.clone(), filecap()], &nothing),
        write("nested", &[base.clone(), home()], &nested),
        write("sparing", &sparing(&base), &nothing),
    ]
}

pub(crate) fn base() -> Vec<u8> {
    let mut base = packages::base(Freshness::Cached).unwrap();
    let text = |text: &str| Entry::File {
        mode: 0o644,
        bytes: text.as_bytes().to_vec(),
    };
    base.insert("etc/passwd".to_owned(), text(PASSWD));
    base.insert("etc/group".to_owned(), text(GROUP));
    for applet in ["su", "setsid"] {
        let to = "busybox".to_owned();
        base.insert(format!("usr/bin/{applet}"), Entry::Link { to });
    }
    oci::layer_tar(&base).unwrap()
}

fn script(text: &str) -> Entry {
    Entry::File {
        mode: 0o755,
        bytes: text.as_bytes().to_vec(),
    }
}

fn layer(entries: &[(&str, Entry)]) -> Vec<u8> {
    let entries = entries
        .iter()
        .map(|(path, entry)| ((*path).to_owned(), entry.clone()));
    oci::layer_tar(&entries.collect::<Layer>()).unwrap()
}

fn scripts() -> Vec<u8> {
    let not_executable = Entry::File {
        mode: 0o644,
        bytes: b"#!/bin/sh\n".to_vec(),
    };
    layer(&[
        ("entry-no-x.sh", not_executable),
        ("entry-no-line.sh", script("echo there is no first line\n")),
        ("entry-crlf.sh", script("#!/bin/sh\r\necho\r\n")),
        ("entry-lost.sh", script("#!/usr/bin/python9\n")),
    ])
}

fn home() -> Vec<u8> {
    let folder = || Entry::Folder {
        mode: 0o755,
        owner: 1000,
    };
    layer(&[("home/app", folder()), ("home/app/.state", folder())])
}

/// A layer as it is written, entry by entry.
struct Raw(Builder<Vec<u8>>);

impl Raw {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn entry(&mut self, path: &str, kind: EntryType, mode: u32, owner: u64, bytes: &[u8]) {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        header.set_size(bytes.len() as u64);
        self.0.append_data(&mut header, path, bytes).unwrap();
    }

    fn end(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

fn filecap() -> Vec<u8> {
    let mut raw = Raw::new();
    let key = "SCHILY.xattr.security.capability";
    raw.0
        .append_pax_extensions([(key, CAP_IPC_LOCK_EP.as_slice())])
        .unwrap();
    let program = b"#!/bin/sh\n";
    // Any ELF program will do: the capability is refused before its first instruction.
    let busybox = std::fs::read(busybox()).unwrap_or_else(|_| program.to_vec());
    raw.entry("bin/vault", EntryType::Regular, 0o755, 0, &busybox);
    raw.end()
}

fn busybox() -> PathBuf {
    let package = host::fetch::package("busybox-static", Freshness::Cached).unwrap();
    let places = ["usr/bin/busybox", "bin/busybox"].map(|place| package.folder.join(place));
    places.into_iter().find(|place| place.is_file()).unwrap()
}

/// The root's mode; a folder with an owner; then a layer that puts files into folders that it does not mention, a hard link
/// to a file below it, and a whiteout alone in a folder.
fn sparing(base: &[u8]) -> [Vec<u8>; 3] {
    let mut full = Raw::new();
    full.entry("./", EntryType::Directory, 0o555, 0, b"");
    full.entry("srv/app/", EntryType::Directory, 0o750, 1000, b"");
    full.entry("srv/app/old", EntryType::Regular, 0o600, 1000, b"old");
    full.entry("srv/app/kept", EntryType::Regular, 0o640, 1000, b"kept");
    full.entry("srv/gone/", EntryType::Directory, 0o711, 1000, b"");
    full.entry("srv/gone/file", EntryType::Regular, 0o600, 1000, b"gone");
    let mut sparing = Raw::new();
    sparing.entry("tmp/seed", EntryType::Regular, 0o644, 0, b"seed");
    sparing.entry("srv/app/new", EntryType::Regular, 0o644, 1000, b"new");
    sparing.entry("srv/gone/.wh.file", EntryType::Regular, 0o644, 0, b"");
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Link);
    header.set_size(0);
    let (path, to) = ("srv/app/linked", "srv/app/kept");
    sparing.0.append_link(&mut header, path, to).unwrap();
    [base.to_vec(), full.end(), sparing.end()]
}
