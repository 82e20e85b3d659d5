//! Find the program in the container, and become it.

use crate::command::{DEFAULT_PATH, Environment};
use crate::failure::{Fault, Problem};
use crate::{refusal, size};
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

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
        if error.raw_os_error() == Some(sys::program::TOO_LONG) {
            return size::explain(&self.path, &self.arguments, &self.environment);
        }
        refusal::explain(&self.path, error)
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
            Err(error) => Err(refusal::explain(Path::new(name), &error)),
        };
    }
    let mut refused = None;
    for folder in folders.split(':') {
        // An empty part is the current folder (environ(7)).
        let path = Path::new(if folder.is_empty() { "." } else { folder }).join(name);
        match executable(&path) {
            Ok(()) => return Ok(path),
            Err(error) if is_absent(&error) => {}
            Err(error) => refused = refused.or_else(|| Some(refusal::explain(&path, &error))),
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

#[cfg(test)]
mod tests {
    use super::*;

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
