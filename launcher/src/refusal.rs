//! Why execve(2) has refused a program, told by the file.

use crate::confine;
use crate::failure::{Fault, Problem};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use sys::caps::Capabilities;

/// How many bytes of a program tell what it is: the longest `#!` line that the kernel reads (BINPRM_BUF_SIZE).
const HEAD_BYTES: u64 = 256;

/// What execve(2) means by its errors, told by the head of the file.
pub(crate) fn explain(path: &Path, error: &io::Error) -> Fault {
    let mut head = Vec::new();
    if let Ok(file) = File::open(path) {
        // What can't be read leaves the head empty: the kernel's own error then says enough.
        let _ = file.take(HEAD_BYTES).read_to_end(&mut head);
    }
    let reason = match error.kind() {
        io::ErrorKind::IsADirectory => "is a folder".to_owned(),
        _ if error.raw_os_error() == Some(sys::program::NOT_PERMITTED) => {
            not_permitted(path, &head)
        }
        io::ErrorKind::PermissionDenied => not_executable(path, &head),
        io::ErrorKind::NotFound => missing_interpreter(&head),
        _ if error.raw_os_error() == Some(sys::program::NOT_A_PROGRAM) => not_a_program(&head),
        _ => "cannot be executed".to_owned(),
    };
    Fault::new(
        path,
        Problem::NotExecutable {
            reason,
            errno: error.raw_os_error().unwrap_or(0),
        },
    )
}

/// EACCES: of the file itself, or, when that can be executed, of what executes it.
fn not_executable(path: &Path, head: &[u8]) -> String {
    let mode = std::fs::metadata(path).map_or(0o111, |status| status.permissions().mode());
    if mode & 0o111 == 0 {
        return format!(
            "is not executable: nobody may execute it (mode {:04o}); set the execute bit in the image, as `chmod +x` does",
            mode & 0o7777
        );
    }
    if sys::mount::is_noexec(path).unwrap_or(false) {
        return "is not executable: it lies in a mount from which nothing may be executed; say `exec` in the mount's options".to_owned();
    }
    if sys::path::check_executable(path).is_ok()
        && let Some(interpreter) = script_interpreter(head)
    {
        return format!(
            "its first line names {interpreter}, which is not executable for the container's user"
        );
    }
    "is not executable for the container's user; set its mode in the image, or another user"
        .to_owned()
}

/// EPERM: the kernel refuses a program that is to get capabilities which nobody here can have (capabilities(7)).
fn not_permitted(path: &Path, head: &[u8]) -> String {
    let interpreter = script_interpreter(head).map(PathBuf::from);
    for file in [Some(path), interpreter.as_deref()].into_iter().flatten() {
        let Ok(Some(wanted)) = sys::caps::of_file(file) else {
            continue;
        };
        let missing = wanted.without(confine::CAPABILITIES);
        if missing != Capabilities::NONE {
            let names = missing.names().join(", ");
            let of = if file == path {
                "its".to_owned()
            } else {
                format!("its first line names {}, whose", file.display())
            };
            return format!(
                "{of} file capability {names} is not among those that containers get, so the kernel refuses to execute it; take it off in the image (`setcap -r {}`)",
                file.display()
            );
        }
    }
    "the kernel does not permit to execute it".to_owned()
}

/// The file is there, so what is missing is what executes it.
fn missing_interpreter(head: &[u8]) -> String {
    match script_interpreter(head) {
        Some(interpreter) => {
            format!("its first line names {interpreter}, which the image doesn't have")
        }
        None => "its dynamic loader is not in the image: it was linked for another C library, or its libraries were not copied along".to_owned(),
    }
}

fn script_interpreter(head: &[u8]) -> Option<String> {
    let line = head
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    let text = String::from_utf8_lossy(line);
    let interpreter = text.split_whitespace().next()?;
    // A carriage return is invisible in a terminal and the usual reason.
    if line.ends_with(b"\r") {
        return Some(format!(
            "{interpreter} with a carriage return (Windows line ends)"
        ));
    }
    Some(interpreter.to_owned())
}

/// e_machine of elf(5), for the machines that images are built for.
const MACHINES: [(u16, &str); 8] = [
    (3, "i386"),
    (20, "ppc"),
    (21, "ppc64le"),
    (22, "s390x"),
    (40, "arm"),
    (62, "amd64"),
    (183, "arm64"),
    (243, "riscv64"),
];

fn not_a_program(head: &[u8]) -> String {
    let Some(elf) = head.strip_prefix(b"\x7fELF") else {
        return "is not a program: it has no ELF header and no `#!` line".to_owned();
    };
    // e_machine is at offset 18 of the file; e_ident[EI_DATA] (offset 5) is 2 for big-endian.
    let machine = match (elf.get(1), elf.get(14), elf.get(15)) {
        (Some(2), Some(high), Some(low)) => u16::from_be_bytes([*high, *low]),
        (Some(_), Some(low), Some(high)) => u16::from_le_bytes([*low, *high]),
        _ => return "is a damaged program: its ELF header is cut off".to_owned(),
    };
    let name = MACHINES
        .iter()
        .find(|(number, _)| *number == machine)
        .map_or("another machine", |(_, name)| name);
    format!(
        "is a program for {name}, this machine is {}; use an image for it",
        if std::env::consts::ARCH == "x86_64" {
            "amd64"
        } else {
            std::env::consts::ARCH
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_interpreter_is_named() {
        assert!(missing_interpreter(b"#!/bin/bash -e\n").contains("names /bin/bash,"));
        assert!(missing_interpreter(b"#! /bin/sh\r\n").contains("carriage return"));
        assert!(missing_interpreter(b"\x7fELF").contains("dynamic loader"));
    }

    #[test]
    fn a_program_for_another_machine_is_named() {
        let mut head = [0; 64];
        head[..6].copy_from_slice(b"\x7fELF\x02\x01");
        head[18] = 183;
        assert!(not_a_program(&head).contains("for arm64"));
        head[5] = 2;
        head[18..20].copy_from_slice(&[0, 22]);
        assert!(not_a_program(&head).contains("for s390x"));
        assert!(not_a_program(b"\x7fELF").contains("cut off"));
        assert!(not_a_program(b"echo").contains("no ELF header"));
    }
}
