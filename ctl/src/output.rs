//! stdout and stderr. Writing waits for a slow reader even where someone has made the file non-blocking.

use crate::failure::Failure;
use control::row::push_number;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use sys::epoll::Interest;

/// Write all of it, waiting as long as it takes.
pub(crate) fn write_all(descriptor: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    let mut file = io::PipeWriter::from(descriptor.try_clone_to_owned()?);
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                sys::poll::wait(&[(descriptor, Interest::Write)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// So much goes into a pipe that is ready to be written without waiting (`PIPE_BUF`, pipe(7)).
const PIECE_BYTES: usize = 4096;

/// As [`write_all`], but stops as soon as `interrupt` can be read instead. How many bytes are written.
pub(crate) fn write_unless(
    descriptor: BorrowedFd<'_>,
    bytes: &[u8],
    interrupt: BorrowedFd<'_>,
) -> io::Result<usize> {
    let mut written = 0;
    for piece in bytes.chunks(PIECE_BYTES) {
        let watched = [(descriptor, Interest::Write), (interrupt, Interest::Read)];
        loop {
            let ready = sys::poll::wait(&watched, None)?;
            if ready.iter().any(|ready| ready.token == 0) {
                break;
            }
            if !ready.is_empty() {
                return Ok(written);
            }
        }
        write_all(descriptor, piece)?;
        written += piece.len();
    }
    Ok(written)
}

pub(crate) fn print(text: &str) -> Result<(), Failure> {
    write_all(io::stdout().as_fd(), text.as_bytes()).map_err(|error| Failure::output(&error))
}

pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::Failed(format!("not writable as JSON: {error}")))?;
    print(&format!("{text}\n"))
}

/// One line on stderr, in the program's name.
pub(crate) fn complain(text: &str) {
    // Without a stderr there is nobody to tell.
    let _ = write_all(
        io::stderr().as_fd(),
        format!("keelctl: {text}\n").as_bytes(),
    );
}

/// Colours of a terminal (ECMA-48, SGR).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Grey = 90,
}

/// Whether stdout gets colours: a terminal, unless `NO_COLOR` is set (no-color.org) or it is a dumb one.
pub(crate) fn coloured() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal()
        && !set("NO_COLOR")
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

pub(crate) fn paint(text: &str, colour: Colour, coloured: bool) -> String {
    if !coloured {
        return text.to_owned();
    }
    let mut painted = String::new();
    push_colour(&mut painted, colour);
    painted.push_str(text);
    push_colour_end(&mut painted);
    painted
}

/// What follows is of this colour.
pub(crate) fn push_colour(text: &mut String, colour: Colour) {
    text.push_str("\x1b[");
    push_number(text, colour as u64);
    text.push('m');
}

pub(crate) fn push_colour_end(text: &mut String) {
    text.push_str("\x1b[0m");
}

/// Of the state of a unit.
pub(crate) fn state_colour(state: &str) -> Colour {
    match state {
        "running" | "finished" => Colour::Green,
        "failed" => Colour::Red,
        "inactive" => Colour::Grey,
        _ => Colour::Yellow,
    }
}
