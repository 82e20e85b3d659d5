//! `keelctl image load` and `image ls`.

use crate::carry::{Input, Notice, Outcome, carry};
use crate::failure::Failure;
use crate::layout;
use crate::options::Invocation;
use crate::signals::Signals;
use crate::table::{Cell, table};
use crate::{human, output};
use control::machine::{CallError, Machine, Patience};
use control::reply::{ImageSummary, Reply};
use control::request::Request;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two updates of the line that counts.
const METER_INTERVAL: Duration = Duration::from_millis(200);

/// An archive to be read, and who is still writing it.
struct Archive {
    reader: OwnedFd,
    writer: Option<JoinHandle<io::Result<()>>>,
    /// `None`: not known before it ends.
    size: Option<u64>,
}

fn open(path: &Path) -> Result<Archive, Failure> {
    let failed = |error: io::Error| Failure::Failed(format!("{}: {error}", path.display()));
    if path.as_os_str() == "-" {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Err(Failure::Usage(
                "stdin is a terminal, not an archive".to_owned(),
            ));
        }
        let reader = stdin.as_fd().try_clone_to_owned().map_err(failed)?;
        return Ok(Archive {
            reader,
            writer: None,
            size: None,
        });
    }
    if path.is_dir() {
        let (reader, writer) = layout::archive(path).map_err(failed)?;
        return Ok(Archive {
            reader: reader.into(),
            writer: Some(writer),
            size: None,
        });
    }
    let file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    Ok(Archive {
        reader: file.into(),
        writer: None,
        size: Some(size),
    })
}

pub(crate) fn load(
    invocation: &Invocation,
    machine: &Machine,
    path: &Path,
    name: Option<&str>,
) -> Result<(), Failure> {
    let Archive {
        reader,
        writer,
        size,
    } = open(path)?;
    let signals = Signals::block()?;
    let patience = invocation.patience(Patience::LONG);
    let deadline = patience.outcome.map(|outcome| Instant::now() + outcome);
    let (rider, stream) = if machine.takes_descriptors() {
        (Some(reader), None)
    } else {
        (None, Some(reader))
    };
    let request = match name {
        None => Request::ImageLoad,
        Some(name) => Request::ImageLoadAs {
            name: name.to_owned(),
        },
    };
    let mut call = machine.call(&request, rider, patience.reach)?;
    let input = stream
        .as_ref()
        .map_or(Input::Silent, |stream| Input::From(stream.as_fd()));
    let mut meter = Meter::new(size);
    let mut shown = Ok(());
    let outcome = carry(
        &mut call,
        &signals,
        &input,
        deadline,
        &mut |_, notice| match notice {
            Notice::Sent(bytes) => meter.sent(bytes),
            Notice::Progress(message) => {
                meter.clear();
                if shown.is_ok() {
                    shown = output::print(&(human::printable(message) + "\n"));
                }
            }
            Notice::Reply(_) | Notice::Resized | Notice::Continued => {}
        },
    );
    meter.clear();
    let outcome = outcome?;
    drop(call);
    drop(stream);
    // A folder that could not be read whole is the cause of what the store says about its archive.
    if let Some(Ok(Err(error))) = writer.map(JoinHandle::join)
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        return Err(Failure::Failed(error.to_string()));
    }
    shown?;
    match outcome {
        Outcome::Reply(Reply::Done) => Ok(()),
        Outcome::Reply(other) => Err(Failure::from_reply(other)),
        Outcome::Signal(signal) => Err(Failure::Failed(format!(
            "not loaded: ended by {}",
            unit::signal::display(signal)
        ))),
        Outcome::TimedOut => Err(CallError::NoAnswer {
            waited: patience.outcome.unwrap_or_default(),
        }
        .into()),
    }
}

/// How much of an archive is on the machine, on one line of a terminal.
struct Meter {
    size: Option<u64>,
    sent: u64,
    shown: Option<Instant>,
    on_terminal: bool,
}

impl Meter {
    fn new(size: Option<u64>) -> Self {
        Self {
            size,
            sent: 0,
            shown: None,
            on_terminal: io::stderr().is_terminal(),
        }
    }

    fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        let due = self
            .shown
            .is_none_or(|shown| shown.elapsed() >= METER_INTERVAL);
        if self.on_terminal && due {
            self.shown = Some(Instant::now());
            let of = self
                .size
                .map_or_else(String::new, |size| format!(" of {}", human::size(size)));
            // Only for the eye: what can't be shown is not missed.
            let _ = write!(io::stderr(), "\r{}{of} sent\x1b[K", human::size(self.sent));
        }
    }

    fn clear(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

pub(crate) fn ls(invocation: &Invocation, machine: &Machine) -> Result<(), Failure> {
    match machine.ask(
        &Request::ImageLs,
        invocation.patience(Patience::USUAL),
        |_| {},
    )? {
        Reply::Images(images) if invocation.json => output::json(&images),
        Reply::Images(images) => output::print(&render(&images)),
        other => Err(Failure::from_reply(other)),
    }
}

fn render(images: &[ImageSummary]) -> String {
    let rows: Vec<_> = images.iter().map(row).collect();
    table(
        ["REFERENCE", "DIGEST", "SIZE", "LAYERS", "CREATED"],
        &rows,
        false,
    )
}

fn row(image: &ImageSummary) -> [Cell<'_>; 5] {
    let digest = image
        .digest
        .strip_prefix("sha256:")
        .unwrap_or(&image.digest);
    [
        human::printable(&image.reference).into(),
        human::printable(digest.get(..12).unwrap_or(digest)).into(),
        human::size(image.size).into(),
        image.layers.to_string().into(),
        human::printable(image.created.get(..19).unwrap_or(&image.created)).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_one_row() {
        let image = ImageSummary {
            reference: "docker.io/library/redis:7".into(),
            digest: format!("sha256:{}", "ab".repeat(32)),
            size: 19 << 20,
            layers: 3,
            created: "2026-11-20T10:11:12.123456789Z".into(),
        };
        let text = "\
REFERENCE                  DIGEST        SIZE  LAYERS  CREATED
docker.io/library/redis:7  abababababab  19M   3       2026-11-20T10:11:12
";
        assert_eq!(render(&[image]), text);
    }
}
