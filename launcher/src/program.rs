//! Find the program in the container, and say why it can't be executed.

use crate::command::{DEFAULT_PATH, Environment};
use crate::failure::{Fault, Problem};
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How many bytes of a program tell what it is: the longest `#!` line that the kernel reads (BINPRM_BUF_SIZE).
const HEAD_BYTES: u64 = 256;

/// What is executed.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Program {
    /// Look it up as execvp(3) would, as the user that is to run it, in the root that it is to run in. `image` is for
    /// the message.
    pub(crate) fn find(
        argv: &[String],
        environment: &Environment,
        image: &str,
    ) -> Result<Self, Fault> {
        let name = argv.first().map(String::as_str).unwrap_or_default();
        let zero = |_| Fault::invalid(name, "the command has a zero byte in it");
        let arguments: Result<Vec<CString>, _> = argv
            .iter()
            .map(|text| CString::new(text.as_str()))
            .collect();
        Ok(Self {
            path: search(name, environment.get("PATH").unwrap_or(DEFAULT_PATH), image)?,
            arguments: arguments.map_err(zero)?,
            environment: environment
                .to_strings()
                .map_err(|reason| Fault::invalid(name, reason))?,
        })
    }

    /// As it was found before, with the environment of this process.
    pub(crate) fn of_this_process(path: &str, argv: &[String]) -> Result<Self, Fault> {
        let zero = |_| Fault::invalid(path, "has a zero byte in it");
        let text = |text: &[u8]| CString::new(text).map_err(zero);
        let variable = |(name, value): (OsString, OsString)| {
            text(&[name.as_bytes(), b"=", value.as_bytes()].concat())
        };
        let arguments = argv.iter().map(|argument| text(argument.as_bytes()));
        Ok(Self {
            path: PathBuf::from(path),
            arguments: arguments.collect::<Result<_, _>>()?,
            environment: std::env::vars_os()
                .map(variable)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Become this other program, with these first arguments and then the path and the arguments of this one. Comes back
    /// only with the reason why not.
    pub(crate) fn hand_to(&self, other: BorrowedFd<'_>, words: &[&str]) -> Fault {
        let zero = |_| Fault::invalid(&self.path, "has a zero byte in it");
        let words = words.iter().map(|word| word.as_bytes());
        let words = words.chain([self.path.as_os_str().as_bytes()]);
        let words: Result<Vec<CString>, Fault> =
            words.map(|word| CString::new(word).map_err(zero)).collect();
        match words {
            Ok(mut words) => {
                words.extend_from_slice(&self.arguments);
                self.explain(&sys::program::execute_file(
                    other,
                    &words,
                    &self.environment,
                ))
            }
            Err(fault) => fault,
        }
    }

    /// Become it. Comes back only with the reason why not.
    pub(crate) fn execute(&self) -> Fault {
        let path = CString::new(self.path.as_os_str().as_bytes());
        let error = match path {
            Ok(path) => sys::program::execute(&path, &self.arguments, &self.environment),
            Err(_) => return Fault::invalid(&self.path, "has a zero byte in it"),
        };
        self.explain(&error)
    }

    fn explain(&self, error: &io::Error) -> Fault {
        explain(&self.path, error)
    }
}

fn search(name: &str, folders: &str, image: &str) -> Result<PathBuf, Fault> {
    let not_found = |searched: Option<&str>| {
        Fault::new(
            name,
            Problem::CommandNotFound {
                image: image.to_owned(),
                searched: searched.map(str::to_owned),
            },
        )
    };
    if name.contains('/') {
        return match executable(Path::new(name)) {
            Ok(()) => Ok(PathBuf::from(name)),
            Err(error) if is_absent(&error) => Err(not_found(None)),
            Err(error) => Err(explain(Path::new(name), &error)),
        };
    }
    let mut refused = None;
    for folder in folders.split(':') {
        // An empty part is the current folder (environ(7)).
        let path = Path::new(if folder.is_empty() { "." } else { folder }).join(name);
        match executable(&path) {
            Ok(()) => return Ok(path),
            Err(error) if is_absent(&error) => {}
            Err(error) => refused = refused.or_else(|| Some(explain(&path, &error))),
        }
    }
    Err(refused.unwrap_or_else(|| not_found(Some(folders))))
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Folders pass access(2) with `X_OK`, so that is not enough.
fn executable(path: &Path) -> io::Result<()> {
    sys::path::check_executable(path)?;
    if std::fs::metadata(path)?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(())
}

/// What execve(2) means by its errors, told by the head of the file.
fn explain(path: &Path, error: &io::Error) -> Fault {
    let mut head = Vec::new();
    if let Ok(file) = File::open(path) {
        // What can't be read leaves the head empty: the kernel's own error then says enough.
        let _ = file.take(HEAD_BYTES).read_to_end(&mut head);
    }
    let reason = match error.kind() {
        io::ErrorKind::IsADirectory => "is a folder".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "is not executable for the container's user; set its mode in the image, or another user"
                .to_owned()
        }
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

    #[test]
    fn a_command_is_searched_as_the_shell_does() {
        let found = search("sh", "/nowhere:/dev/null:/bin", "img").unwrap();
        assert_eq!(found, Path::new("/bin/sh"));
        let fault = search("no-such", "/a:/b", "docker.io/library/x:1").unwrap_err();
        assert_eq!(
            fault.to_string(),
            "command not found in image docker.io/library/x:1 (looked in /a:/b)"
        );
        assert_eq!(fault.exit_status(), 127);
        let fault = search("/etc/passwd", "", "img").unwrap_err();
        assert_eq!(fault.exit_status(), 126);
        assert!(
            search("/etc", "", "img")
                .unwrap_err()
                .to_string()
                .contains("folder")
        );
    }
}
