//! `[[mounts]]`, and their short forms `volumes` and `tmpfs` of `[container]`.

use super::container::absolute;
use super::mount_options::{Form, Of, Options, mode, tmpfs_size};
use crate::check::Check;
use crate::fault::Fault;
use crate::file::{MountTable, UnitFile};
use crate::mount_target::{self, TargetError};
use crate::{Mount, MountKind};
use std::ops::Range;

pub(crate) fn validate(check: &mut Check<'_>, file: &UnitFile) -> Vec<Mount> {
    let mut mounts: Vec<(Mount, Range<usize>)> = Vec::new();
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
    for (mount, span) in &mounts {
        cannot_be_made(check, mount, &mounts, span);
    }
    mounts.into_iter().map(|(mount, _)| mount).collect()
}

/// What the launcher would find out at each start.
fn cannot_be_made(
    check: &mut Check<'_>,
    mount: &Mount,
    all: &[(Mount, Range<usize>)],
    span: &Range<usize>,
) {
    let target = &mount.target;
    let is_bind = matches!(mount.kind, MountKind::Bind { .. });
    if mount_target::DEVICES.contains(&target.as_str()) && !is_bind {
        let message = format!("`{target}` is a device file, and no folder can be mounted on it");
        check.refuse(span, message, "mount elsewhere");
    }
    let Some(closed) = mount_target::closed(target) else {
        return;
    };
    let replaced = all.iter().any(|(other, _)| other.target == closed.path);
    // A file of a group can be covered by another, and has a dot in its name: `memory.max`.
    let name = target.rsplit('/').next().unwrap_or(target);
    let depth = |path: &str| path.matches('/').count();
    let file =
        is_bind && name.contains('.') && depth(target) == depth(closed.path).saturating_add(1);
    if !replaced && !file {
        let message = format!("`{target}` cannot be made in the container");
        check.refuse(span, message, closed.reason);
    }
}

fn add(
    check: &mut Check<'_>,
    mounts: &mut Vec<(Mount, Range<usize>)>,
    mount: Option<Mount>,
    span: &Range<usize>,
) {
    let Some(mount) = mount else { return };
    if mounts.iter().any(|(other, _)| other.target == mount.target) {
        let error = check.document.error(
            span,
            format!("`{}` is the target of two mounts", mount.target),
        );
        check.report(error.hint("take one of them out"));
        return;
    }
    mounts.push((mount, span.clone()));
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
            let defaults = Options::new(Of::Tmpfs, Form::Table, None);
            MountKind::Tmpfs {
                size: size.unwrap_or(defaults.size),
                mode: mode.unwrap_or(defaults.mode),
            }
        }
    };
    let of = match &kind {
        MountKind::Volume { .. } => Of::Volume,
        MountKind::Bind { .. } => Of::Bind,
        MountKind::Tmpfs { .. } => Of::Tmpfs,
    };
    let read_only = table.read_only.as_ref().map(|said| *said.get_ref());
    let mut options = Options::new(of, Form::Table, read_only);
    for text in table.options.iter().flat_map(|texts| texts.get_ref()) {
        // What is wrong is reported, and the unit refused.
        let _ = check.value("mounts.options", Some(text), |text| options.add(text));
    }
    Some(Mount {
        kind,
        target: target?,
        read_only: options.read_only(),
        options: options.others,
    })
}

/// `SOURCE:TARGET[:OPTION,…]`: an absolute source is a path of the machine, any other the name of a volume.
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
    let of = match source.starts_with('/') {
        true => Of::Bind,
        false => Of::Volume,
    };
    let mut all = Options::new(of, Form::Short, None);
    for option in options.iter().flat_map(|options| options.split(',')) {
        all.add(option)?;
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
        read_only: all.read_only(),
        options: all.others,
    })
}

/// `TARGET[:size=16M,mode=1777,ro,exec]`
fn tmpfs(text: &str) -> Result<Mount, Fault> {
    let (to, options) = text
        .split_once(':')
        .map_or((text, None), |(to, options)| (to, Some(options)));
    let mut all = Options::new(Of::Tmpfs, Form::Short, None);
    for option in options.iter().flat_map(|options| options.split(',')) {
        all.add(option)?;
    }
    Ok(Mount {
        kind: MountKind::Tmpfs {
            size: all.size,
            mode: all.mode,
        },
        target: target(to)?,
        read_only: all.read_only(),
        options: all.others,
    })
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
        TargetError::NotInSys => Fault::new(
            "has a target in /sys that cannot be made",
            "another path of the container",
        )
        .hint(error.reason()),
    })
}

/// What to write instead of `/sys:/sys`: the machine's own is seen at another place.
fn elsewhere(fault: Fault, source: &str, to: &str) -> Fault {
    let place = match mount_target::normalise(to) {
        Err(TargetError::Reserved(reserved)) if mount_target::MASKED.contains(&reserved.path) => {
            format!("{} is hidden from every container", reserved.path)
        }
        Err(TargetError::Reserved(reserved)) => {
            format!("every container has its own {}", reserved.path)
        }
        Err(TargetError::NotInSys) => "nothing can be made in a container's /sys".to_owned(),
        Err(TargetError::Relative | TargetError::Parent) | Ok(_) => return fault,
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
        "{place}; to show it the machine's, mount that elsewhere: \"{source}:/host{source}:ro\"{devices}"
    );
    fault.hint(hint)
}
