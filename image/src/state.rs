//! The state partition as it is shipped: a small ext4 with room in its descriptors to grow.
//!
//! Growth happens on the machine, mounted (`sys::block::grow_ext4`). What can't be changed later is set here:
//! - the resize inode with 1,024 reserved descriptor blocks: 8 TiB without moving anything;
//! - a journal sized for the disk it will become, not for the file it is shipped in;
//! - project quotas, which the `disk` limit of a container needs;
//! - features and sizes spelled out, so that another mkfs makes the same file system.

use crate::error::{BuildError, at, content};
use host::run;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// As shipped.
pub(crate) const BYTES: u64 = 128 << 20;
/// Blocks of 4 KiB in 8 TiB.
const BLOCKS_MAX: u64 = 1 << 31;
const JOURNAL_MIB: u32 = 32;
/// Schema of the folders on the partition, read by `init`: a newer one is not touched by an older release.
pub(crate) const SCHEMA: u32 = 1;

const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,\
large_file,huge_file,dir_nlink,extra_isize,metadata_csum,quota,project";

/// Make the file system in a new file; `id` is its UUID (each build has the same one for the same version: a machine
/// finds its state by the partition's type and name).
pub(crate) fn make(path: &Path, id: &str, date: u32) -> Result<(), BuildError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let file = File::create(path).map_err(at(path))?;
    file.set_len(BYTES).map_err(at(path))?;
    let config = write(
        folder.join("mke2fs.conf"),
        "[defaults]\n\tblocksize = 4096\n\tinode_size = 256\n\tinode_ratio = 16384\n",
    )?;
    let mut mkfs = tool("mkfs.ext4", date);
    mkfs.env("MKE2FS_CONFIG", &config).args([
        "-q", "-F", "-b", "4096", "-I", "256", "-i", "16384", "-m", "1", "-G", "16",
    ]);
    mkfs.args([
        "-O",
        FEATURES,
        "-L",
        "keelson-state",
        "-U",
        id,
        "-J",
        &format!("size={JOURNAL_MIB}"),
    ]);
    let options = format!(
        "resize={BLOCKS_MAX},hash_seed={id},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0,quotatype=prjquota,nodiscard"
    );
    mkfs.args(["-E", &options]).arg(path);
    run::output(&mut mkfs)?;
    let schema = write(folder.join("schema"), &format!("{SCHEMA}\n"))?;
    let mut commands = format!(
        "write {} schema\nset_inode_field schema mode 0100644\n",
        schema.display()
    );
    for name in ["schema", "lost+found", "/"] {
        for field in ["atime", "ctime", "mtime", "crtime"] {
            commands.push_str(&format!("set_inode_field {name} {field} @{date}\n"));
        }
    }
    // The generation of a new inode is a random number.
    commands.push_str("set_inode_field schema generation 0\nset_inode_field schema uid 0\nset_inode_field schema gid 0\n");
    let script = write(folder.join("debugfs.script"), &commands)?;
    run::output(
        tool("debugfs", date)
            .arg("-w")
            .arg("-f")
            .arg(&script)
            .arg(path),
    )?;
    count_quota(path, date)?;
    for file in [config, schema, script] {
        std::fs::remove_file(&file).map_err(at(&file))?;
    }
    Ok(())
}

/// What debugfs writes is not counted by the quota: e2fsck counts it. Its status 1 says that it has put something right.
fn count_quota(path: &Path, date: u32) -> Result<(), BuildError> {
    let output = tool("e2fsck", date)
        .args(["-f", "-y"])
        .arg(path)
        .output()
        .map_err(at(path))?;
    match output.status.code() {
        Some(0 | 1) => Ok(()),
        _ => Err(content(
            path,
            format!("e2fsck: {}", String::from_utf8_lossy(&output.stdout)),
        )),
    }
}

/// A program of e2fsprogs whose clock stands still.
fn tool(name: &str, date: u32) -> Command {
    let mut command = Command::new(run::find(name).unwrap_or_else(|| PathBuf::from(name)));
    // e2fsprogs takes 0 for "no fake time".
    let date = date.max(1).to_string();
    command
        .env("E2FSPROGS_FAKE_TIME", &date)
        .env("E2FSCK_TIME", &date)
        .env("SOURCE_DATE_EPOCH", &date)
        .env("TZ", "UTC0");
    command
}

fn write(path: PathBuf, text: &str) -> Result<PathBuf, BuildError> {
    std::fs::write(&path, text).map_err(at(&path))?;
    Ok(path)
}
