//! /etc/hosts, /etc/resolv.conf, /etc/hostname: files of the stage, mounted over the image's.
//!
//! They can be written from inside and are new with each start, as with Docker.

use crate::failure::{At, Fault, Problem};
use crate::root::Root;
use std::ffi::CStr;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use sys::path::{self, Links};

/// Texts of the three files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Texts<'a> {
    pub(crate) hosts: &'a str,
    pub(crate) resolv_conf: &'a str,
    pub(crate) hostname: &'a str,
}

/// `has_own(target)`: the unit mounts something there itself.
pub(crate) fn mount(
    root: &Root,
    texts: Texts<'_>,
    has_own: impl Fn(&str) -> bool,
) -> Result<(), Fault> {
    let line = format!("{}\n", texts.hostname);
    let files: [(&CStr, &str, &str); 3] = [
        (c"hosts", "/etc/hosts", texts.hosts),
        (c"resolv.conf", "/etc/resolv.conf", texts.resolv_conf),
        (c"hostname", "/etc/hostname", &line),
    ];
    for (name, target, text) in files {
        if has_own(target) {
            continue;
        }
        let mut file = path::new_file(
            root.stage(),
            Path::new(name.to_string_lossy().as_ref()),
            0o644,
        )
        .map(std::fs::File::from)
        .at("make", target)?;
        file.write_all(text.as_bytes()).at("write", target)?;
        let place = match path::make_file(root.as_fd(), Path::new(target), Links::Follow) {
            Err(error) if error.kind() == std::io::ErrorKind::IsADirectory => {
                return Err(Fault::new(
                    target,
                    Problem::WrongKind {
                        expected: "a file in the image",
                    },
                ));
            }
            // `/etc/resolv.conf -> ../run/systemd/resolve/stub-resolv.conf` leads nowhere in most images that have it:
            // the container needs a file at this path, so it is the link that goes.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                path::remove_link(root.as_fd(), Path::new(target)).at("replace", target)?;
                path::make_file(root.as_fd(), Path::new(target), Links::Follow)
                    .at("replace", target)?
            }
            other => other.at("open", target)?,
        };
        root.copy_of_stage(name)?
            .attach(place.as_fd())
            .at("mount on", target)?;
    }
    Ok(())
}
