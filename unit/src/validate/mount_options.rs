//! What may be written behind a mount, and what is right here for what others write there.
//!
//! Docker, podman and Compose take the options of mount(8), some of their own, and on a machine without SELinux or a shared
//! folder of a desktop pass over a few of these in silence. Here each is done as it says, or refused with what to write.

use crate::fault::Fault;
use crate::mount_options::{OF_A_MOUNT, OF_A_TMPFS};
use crate::{MountOptions, bytes};

const TMPFS_SIZE: u64 = 64 << 20;
/// One page: tmpfs(5) rounds up to it.
const TMPFS_SIZE_MIN: u64 = 4096;
const TMPFS_MODE: u32 = 0o1777;
const MODE_MAX: u32 = 0o7777;

/// Of what an option is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Volume,
    Bind,
    Tmpfs,
}

/// Where it is written: the short forms have all in one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Short,
    Table,
}

/// All options of one mount.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    of: Of,
    form: Form,
    /// `None`: nothing said.
    read_only: Option<bool>,
    pub(super) others: MountOptions,
    pub(super) size: u64,
    pub(super) mode: u32,
}

impl Options {
    pub(super) fn new(of: Of, form: Form, read_only: Option<bool>) -> Self {
        Self {
            of,
            form,
            read_only,
            others: MountOptions::default(),
            size: TMPFS_SIZE,
            mode: TMPFS_MODE,
        }
    }

    pub(super) fn read_only(&self) -> bool {
        self.read_only.unwrap_or(false)
    }

    /// Take one in.
    pub(super) fn add(&mut self, text: &str) -> Result<(), Fault> {
        let short_tmpfs = (self.of, self.form) == (Of::Tmpfs, Form::Short);
        match text.split_once('=') {
            Some(("size", value)) if short_tmpfs => self.size = tmpfs_size(value)?,
            Some(("mode", value)) if short_tmpfs => self.mode = mode(value)?,
            // It belongs to root in any case.
            Some(("uid" | "gid", "0")) if self.of == Of::Tmpfs => {}
            Some(_) => return Err(self.refused(text)),
            None => match text {
                "ro" => self.access(true)?,
                "rw" => self.access(false)?,
                // Every mount of a container is so.
                "private" | "rprivate" => {}
                // Every bind is so.
                "rbind" if self.of == Of::Bind => {}
                _ if self.others.add(text)? => {}
                _ => return Err(self.refused(text)),
            },
        }
        Ok(())
    }

    fn access(&mut self, read_only: bool) -> Result<(), Fault> {
        if self.read_only.is_some_and(|earlier| earlier != read_only) {
            let (ro, rw) = match self.form {
                Form::Short => ("`ro`", "`rw`"),
                Form::Table if read_only => ("`ro`", "`rw` or `read_only = false`"),
                Form::Table => ("`ro` or `read_only = true`", "`rw`"),
            };
            return Err(Fault::new(
                format!("says both {ro} and {rw}"),
                "one of them",
            ));
        }
        self.read_only = Some(read_only);
        Ok(())
    }

    fn refused(&self, text: &str) -> Fault {
        let known = match (self.of, self.form) {
            (Of::Tmpfs, Form::Short) => OF_A_TMPFS,
            _ => OF_A_MOUNT,
        };
        let fault = Fault::new(
            format!("has the option `{text}`, which is unknown or not supported yet"),
            known,
        );
        match self.advice(text) {
            Some(hint) => fault.hint(hint),
            None => fault,
        }
    }

    fn advice(&self, text: &str) -> Option<String> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let leave_out = |why: &str| Some(format!("leave `{text}` out: {why}"));
        match (name, self.of) {
            ("suid" | "dev", _) => leave_out(match self.of {
                Of::Tmpfs => "a tmpfs brings no privileges and no devices along",
                Of::Volume | Of::Bind => {
                    "without `nosuid` and `nodev` a mount is as the machine has it"
                }
            }),
            ("size" | "mode", Of::Tmpfs) => {
                let known = match name {
                    "size" => tmpfs_size(value).is_ok(),
                    _ => mode(value).is_ok(),
                };
                let value = match (known, name) {
                    (true, _) => value,
                    (false, "size") => "64M",
                    (false, _) => "1777",
                };
                Some(format!(
                    "it is a key of its own, such as `tmpfs = {{ {name} = \"{value}\" }}`"
                ))
            }
            (
                "size" | "mode" | "nr_inodes" | "nr_blocks" | "tmpcopyup" | "notmpcopyup",
                Of::Volume | Of::Bind,
            ) => leave_out("it is of a tmpfs"),
            ("nr_inodes" | "nr_blocks", Of::Tmpfs) => leave_out("`size` is the limit of a tmpfs"),
            ("uid" | "gid", Of::Tmpfs) => {
                let set = match self.form {
                    Form::Short => "`mode=1777`",
                    Form::Table => "`tmpfs = { mode = \"1777\" }`",
                };
                Some(format!(
                    "leave `uid=` and `gid=` out: a tmpfs belongs to root, and with {set}, which is the default, every user can write to it"
                ))
            }
            ("uid" | "gid", Of::Volume | Of::Bind) => {
                leave_out("owners are as they are in the volume or on the machine")
            }
            ("tmpcopyup", Of::Tmpfs) => leave_out("a tmpfs is empty at first"),
            ("notmpcopyup" | "nocopy" | "copy", Of::Tmpfs) => {
                leave_out("a tmpfs is empty at first in any case")
            }
            ("nocopy", Of::Volume) => {
                leave_out("a volume is filled from the image when it is first used")
            }
            ("copy", Of::Volume) => leave_out("that is done without a word"),
            ("nocopy" | "copy", Of::Bind) => leave_out("a bind is never filled from the image"),
            ("z" | "Z", _) => leave_out("nothing is labelled for SELinux here"),
            ("U", _) => leave_out("owners are left as they are"),
            ("bind", Of::Bind) => leave_out("a bind takes along what is mounted below it"),
            ("bind" | "rbind", Of::Volume | Of::Tmpfs) => {
                leave_out("a source that starts with `/` is a bind")
            }
            ("delegated" | "cached" | "consistent", _) => {
                leave_out("it is for Docker on other systems than Linux")
            }
            ("shared" | "rshared" | "slave" | "rslave" | "unbindable" | "runbindable", _) => {
                leave_out("what is mounted later is not passed on into a container or out of it")
            }
            ("defaults" | "relatime" | "async" | "idmap" | "O" | "upperdir" | "workdir", _) => {
                leave_out("there is no such thing here, or it is so without a word")
            }
            ("readonly" | "read_only" | "read-only", _) => Some("write `ro`".to_owned()),
            _ => None,
        }
    }
}

pub(super) fn tmpfs_size(text: &str) -> Result<u64, Fault> {
    let size = bytes::parse(text)?;
    (size >= TMPFS_SIZE_MIN)
        .then_some(size)
        .ok_or_else(|| Fault::new("is too little", "at least 4K"))
}

pub(super) fn mode(text: &str) -> Result<u32, Fault> {
    let mode = u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= MODE_MAX && !text.starts_with('+'));
    mode.ok_or_else(|| Fault::new("is not a file mode", "octal digits: \"1777\", \"0700\""))
}
