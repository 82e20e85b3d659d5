//! `[[mounts]]`, and their short forms `volumes` and `tmpfs` of `[container]`.

use super::container::absolute;
use crate::check::Check;
use crate::fault::Fault;
use crate::file::{MountTable, UnitFile};
use crate::mount_options;
use crate::mount_target::{self, TargetError};
use crate::{Mount, MountKind, MountOptions, bytes};
use std::ops::Range;

const TMPFS_SIZE: u64 = 64 << 20;
/// One page: tmpfs(5) rounds up to it.
const TMPFS_SIZE_MIN: u64 = 4096;
const TMPFS_MODE: u32 = 0o1777;
const MODE_MAX: u32 = 0o7777;

pub(crate) fn validate(check: &mut Check<'_>, file: &UnitFile) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    let container = &file.container;
    for text in container.volumes.iter().flat_map(|texts| texts.get_ref()) {
        let mount = check.value("container.volumes", Some(text), volume);
        add(check, &mut mounts, mount, &text.span());
    }
    for text in container.tmpfs.iter().flat_map(|texts| texts.get_ref()) {
        let mount = check.value("container.tmpfs", Some(text), tmpfs);
        add(check, &mut mounts, mount, &text.span());
    }
    for table in &file.mounts {
        let span = table
            .target
            .as_ref()
            .map_or(table.span.clone(), |target| target.span());
        let mount = mount(check, table);
        add(check, &mut mounts, mount, &span);
    }
    mounts
}

fn add(check: &mut Check<'_>, mounts: &mut Vec<Mount>, mount: Option<Mount>, span: &Range<usize>) {
    let Some(mount) = mount else { return };
    if mounts.iter().any(|other| other.target == mount.target) {
        let error = check.document.error(
            span,
            format!("`{}` is the target of two mounts", mount.target),
        );
        check.report(error.hint("take one of them out"));
        return;
    }
    mounts.push(mount);
}

fn mount(check: &mut Check<'_>, table: &MountTable) -> Option<Mount> {
    let kind = check.value("mounts.type", table.kind.as_ref(), |text| match text {
        "volume" | "bind" | "tmpfs" => Ok(text.to_owned()),
        "image" | "devpts" => Err(Fault::new("is not supported yet", "volume, bind or tmpfs")),
        _ => Err(Fault::new("is unknown", "volume, bind or tmpfs")),
    });
    let source = table
        .source
        .as_ref()
        .map(|source| source.get_ref().as_str());
    let target = check.value("mounts.target", table.target.as_ref(), |text| {
        target(text).map_err(|fault| elsewhere(fault, source.unwrap_or(""), text))
    });
    if let Some(written) = table
        .target
        .as_ref()
        .filter(|written| written.get_ref().is_empty())
    {
        check.fault(
            "mounts.target",
            &written.span(),
            Fault::new("is empty", "an absolute path in the container"),
        );
    }
    let kind = kind?;
    if let (Some(tmpfs), true) = (&table.tmpfs, kind != "tmpfs") {
        let error = check.document.error(
            &tmpfs.span,
            "`mounts.tmpfs` counts only with `type = \"tmpfs\"`",
        );
        check.report(error.hint("take it out"));
    }
    if let (Some(source), true) = (&table.source, kind == "tmpfs") {
        let error = check
            .document
            .error(&source.span(), "a tmpfs has no `source`");
        check.report(error.hint("take it out"));
    }
    if kind != "tmpfs"
        && table
            .source
            .as_ref()
            .is_none_or(|source| source.get_ref().is_empty())
    {
        let hint = if kind == "bind" {
            "say which path of the machine: `source = \"/var/data\"`"
        } else {
            "name the volume: `source = \"data\"`"
        };
        check.report(
            check
                .document
                .error(
                    &table.span,
                    format!("key `source` is missing for `type = \"{kind}\"`"),
                )
                .hint(hint),
        );
        return None;
    }
    let kind = match kind.as_str() {
        "volume" => MountKind::Volume {
            name: check.value("mounts.source", table.source.as_ref(), volume_name)?,
        },
        "bind" => MountKind::Bind {
            source: check.value("mounts.source", table.source.as_ref(), absolute)?,
        },
        _ => {
            let tmpfs = table.tmpfs.as_ref();
            let size = check.value(
                "mounts.tmpfs.size",
                tmpfs.and_then(|tmpfs| tmpfs.size.as_ref()),
                tmpfs_size,
            );
            let mode = check.value(
                "mounts.tmpfs.mode",
                tmpfs.and_then(|tmpfs| tmpfs.mode.as_ref()),
                mode,
            );
            MountKind::Tmpfs {
                size: size.unwrap_or(TMPFS_SIZE),
                mode: mode.unwrap_or(TMPFS_MODE),
            }
        }
    };
    let mut read_only = table
        .read_only
        .as_ref()
        .is_some_and(|read_only| *read_only.get_ref());
    let mut options = MountOptions::default();
    for text in table.options.iter().flat_map(|texts| texts.get_ref()) {
        // What is wrong is reported, and the unit refused.
        let _ = check.value("mounts.options", Some(text), |text| match text {
            "ro" => {
                read_only = true;
                Ok(())
            }
            _ => option(&mut options, text, mount_options::OF_A_MOUNT),
        });
    }
    Some(Mount {
        kind,
        target: target?,
        read_only,
        options,
    })
}

/// One of the options that every mount has. `known`: all that there are here.
fn option(options: &mut MountOptions, text: &str, known: &'static str) -> Result<(), Fault> {
    if options.add(text)? {
        return Ok(());
    }
    let fault = Fault::new(
        format!("has the option `{text}`, which is unknown or not supported yet"),
        known,
    );
    let name = text.split('=').next().unwrap_or(text);
    Err(match name {
        "suid" | "dev" => fault.hint("no mount of a container brings privileges or devices along"),
        "size" | "mode" => fault.hint(format!(
            "it is a key of its own: `tmpfs = {{ {name} = \"…\" }}`"
        )),
        _ => fault,
    })
}

/// `SOURCE:TARGET[:ro|rw]`: an absolute source is a path of the machine, any other the name of a volume.
fn volume(text: &str) -> Result<Mount, Fault> {
    let expected = "VOLUME:TARGET[:ro] or /PATH:TARGET[:ro]";
    let fault = || Fault::new("is not a volume", expected);
    let mut parts = text.split(':');
    let (Some(source), to, options) = (parts.next(), parts.next(), parts.next()) else {
        return Err(fault());
    };
    let Some(to) = to else {
        let hint = if source.starts_with('/') {
            format!("name the volume: \"NAME:{source}\"")
        } else {
            format!("say where it appears: \"{source}:/data\"")
        };
        return Err(fault().hint(hint));
    };
    if parts.next().is_some() {
        return Err(fault());
    }
    let mut read_only = false;
    for option in options.iter().flat_map(|options| options.split(',')) {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            "z" | "Z" | "nocopy" | "private" | "rprivate" | "shared" | "rshared" | "slave"
            | "rslave" => {
                return Err(Fault::new(
                    format!("has the option `{option}`, which is not supported yet"),
                    "ro or rw",
                ));
            }
            _ => {
                return Err(Fault::new(
                    format!("has the unknown option `{option}`"),
                    "ro or rw",
                ));
            }
        }
    }
    let kind = if source.starts_with('/') {
        MountKind::Bind {
            source: absolute(source)?,
        }
    } else if source.starts_with(['.', '~']) {
        return Err(fault().hint("a path of the machine is absolute: it starts with `/`"));
    } else {
        MountKind::Volume {
            name: volume_name(source)?,
        }
    };
    let target = target(to).map_err(|fault| elsewhere(fault, source, to))?;
    Ok(Mount {
        kind,
        target,
        read_only,
        options: MountOptions::default(),
    })
}

/// `TARGET[:size=16M,mode=1777,ro,exec]`
fn tmpfs(text: &str) -> Result<Mount, Fault> {
    let (to, options) = text
        .split_once(':')
        .map_or((text, None), |(to, options)| (to, Some(options)));
    let (mut size, mut permissions, mut read_only) = (TMPFS_SIZE, TMPFS_MODE, false);
    let mut others = MountOptions::default();
    for option in options.iter().flat_map(|options| options.split(',')) {
        match option.split_once('=') {
            Some(("size", value)) => size = tmpfs_size(value)?,
            Some(("mode", value)) => permissions = mode(value)?,
            None if option == "ro" => read_only = true,
            None if option == "rw" => read_only = false,
            Some(_) | None => self::option(&mut others, option, mount_options::OF_A_TMPFS)?,
        }
    }
    Ok(Mount {
        kind: MountKind::Tmpfs {
            size,
            mode: permissions,
        },
        target: target(to)?,
        read_only,
        options: others,
    })
}

fn tmpfs_size(text: &str) -> Result<u64, Fault> {
    let size = bytes::parse(text)?;
    (size >= TMPFS_SIZE_MIN)
        .then_some(size)
        .ok_or_else(|| Fault::new("is too little", "at least 4K"))
}

fn mode(text: &str) -> Result<u32, Fault> {
    let mode = u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= MODE_MAX && !text.starts_with('+'));
    mode.ok_or_else(|| Fault::new("is not a file mode", "octal digits: \"1777\", \"0700\""))
}

/// A folder of `/var/volumes`, named as Docker names volumes.
fn volume_name(text: &str) -> Result<String, Fault> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let ok = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(good)
        && text.len() <= crate::UnitName::BYTES_MAX;
    let fault = || {
        Fault::new(
            "is not the name of a volume",
            "letters, digits, `_`, `.` and `-`, a letter or digit first",
        )
    };
    ok.then(|| text.to_owned()).ok_or_else(fault)
}

/// As the launcher has it.
fn target(text: &str) -> Result<String, Fault> {
    mount_target::normalise(text).map_err(|error| match error {
        TargetError::Relative => {
            Fault::new("is not an absolute path", "a path that starts with `/`")
        }
        TargetError::Parent => Fault::new("is not an absolute path", "a path that starts with `/`")
            .hint("leave `..` out"),
        TargetError::Reserved(reserved) => {
            let problem = format!(
                "has the target `{}`, where nothing can be mounted",
                reserved.path
            );
            Fault::new(problem, "another path of the container").hint(reserved.reason)
        }
    })
}

/// What to write instead of `/sys:/sys`: the machine's own is seen at another place.
fn elsewhere(fault: Fault, source: &str, to: &str) -> Fault {
    let Err(TargetError::Reserved(reserved)) = mount_target::normalise(to) else {
        return fault;
    };
    let Ok(source) = absolute(source) else {
        return fault;
    };
    let of_the_machine = ["/proc", "/sys", "/dev"].iter().any(|path| {
        source
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    if !of_the_machine {
        return fault;
    }
    let devices = if source == "/dev" || source.starts_with("/dev/") {
        "; that shows them and lets nobody use them, for `devices` in `[security]` is not supported yet"
    } else {
        ""
    };
    let hint = format!(
        "every container has its own {}; to show it the machine's, mount that elsewhere: \"{source}:/host{source}:ro\"{devices}",
        reserved.path
    );
    fault.hint(hint)
}
