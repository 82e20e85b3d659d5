//! The program `store`: the only one that writes /var/images (the tree is drawn at the head of the crate).
//!
//! ```text
//! load ──▶ archive::Contents ──▶ plan::ImagePlan ──▶ layer, unpack ──▶ transaction::commit
//!          folder, file, stdin   OCI or docker        verified          the order of a safe change
//! ```
//!
//! - Either all images of an archive are in the store at the end, or nothing has changed.
//! - Nothing in an archive is believed before its digest is right, and nothing in it reaches beyond its layer
//!   (`beneath`).
//! - What works at the edge of the machine (full disk, read-only disk, cut-off input) ends in one line that says what
//!   to do.

mod archive;
mod attributes;
mod below;
mod beneath;
mod borrowed;
mod cleaning;
mod compression;
mod error;
mod folders;
mod gc;
mod hashing;
mod hollow;
mod layer;
mod layer_path;
mod layers;
mod limits;
mod list;
mod load;
mod marks;
mod media_type;
mod meter;
mod pax;
mod plan;
mod platform;
mod preload;
mod progress;
mod slice;
mod sparse;
mod tar_error;
mod tar_header;
mod tarball;
mod transaction;
mod unpack;
mod unpack_error;

use crate::{Reference, Tree};
use archive::Source;
use error::StoreError;
use list::Format;
use progress::say;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: store [--root DIR] COMMAND
  load [PATH|-] [--name REFERENCE]  load an image archive (OCI layout or docker save; tar, tar.gz, tar.zst or a folder);
                                    its only image is called so, too
  preload [--from DIR]              load what the release carries and is not loaded yet
  ls [--json]                       list images
  rm REFERENCE                      forget an image's name
  gc                                remove what no image needs";

enum Command {
    Load {
        source: Source,
        name: Option<String>,
    },
    Preload {
        folder: PathBuf,
    },
    List {
        format: Format,
    },
    Remove {
        name: String,
    },
    Collect,
}

/// The program `store`, with its arguments (without its name).
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    // Modes are given in full wherever something is made; a layer's are those of its archive.
    nix::sys::stat::umask(nix::sys::stat::Mode::empty());
    let arguments: Result<Vec<String>, _> =
        arguments.into_iter().map(OsString::into_string).collect();
    let parsed = match arguments {
        Ok(arguments) => parse(&arguments),
        Err(argument) => Err(format!("argument {} is not UTF-8", argument.display())),
    };
    match parsed {
        Ok((tree, command)) => perform(&tree, command),
        Err(reason) => {
            eprintln!("{reason}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(arguments: &[String]) -> Result<(Tree, Command), String> {
    let mut root = PathBuf::from(sys::paths::IMAGES);
    let mut folder = PathBuf::from(sys::paths::PRELOAD);
    let mut name = None;
    let mut format = Format::Table;
    let mut words = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || {
            rest.next()
                .cloned()
                .ok_or_else(|| format!("{argument} needs a value"))
        };
        match argument.as_str() {
            "--root" => root = value()?.into(),
            "--from" => folder = value()?.into(),
            "--name" => name = Some(value()?),
            "--json" => format = Format::Json,
            "-" => words.push("-"),
            flag if flag.starts_with('-') => return Err(format!("unknown option {flag}")),
            word => words.push(word),
        }
    }
    let command = match words.as_slice() {
        ["load"] | ["load", "-"] => Command::Load {
            source: Source::Stdin,
            name,
        },
        ["load", path] => Command::Load {
            source: Source::Path(path.into()),
            name,
        },
        ["preload"] => Command::Preload { folder },
        ["ls"] => Command::List { format },
        ["rm", name] => Command::Remove {
            name: (*name).to_owned(),
        },
        ["gc"] => Command::Collect,
        [] => return Err("no command".to_owned()),
        words => return Err(format!("not a command: {}", words.join(" "))),
    };
    Ok((Tree::at(&root), command))
}

fn perform(tree: &Tree, command: Command) -> ExitCode {
    let done = match command {
        Command::Load { source, name } => load(tree, &source, name.as_deref()),
        Command::Preload { folder } => return report(&preload::preload(tree, Path::new(&folder))),
        Command::List { format } => match list::list(tree, format) {
            Ok((text, damaged)) => {
                // A reader that has seen enough (`head`) is no failure.
                let _ = std::io::stdout().write_all(text.as_bytes());
                return report(&damaged);
            }
            Err(error) => Err(error),
        },
        Command::Remove { name } => gc::remove_reference(tree, &name).map(|removed| {
            say(&format!(
                "removed {removed}; \"store gc\" gives its space back"
            ))
        }),
        Command::Collect => gc::collect(tree).map(|collected| {
            say(&format!(
                "removed {} layers and {} blobs",
                collected.layers, collected.blobs
            ));
            if collected.mounted > 0 {
                say(&format!(
                    "kept {} unused layers that containers have mounted",
                    collected.mounted
                ));
            }
        }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&[error]),
    }
}

fn load(tree: &Tree, source: &Source, name: Option<&str>) -> Result<(), StoreError> {
    let name: Option<Reference> = name
        .map(str::parse)
        .transpose()
        .map_err(StoreError::Reference)?;
    if let Some(name) = name.as_ref().filter(|name| name.digest().is_some()) {
        return Err(StoreError::NameIsDigest {
            name: name.to_string(),
        });
    }
    for record in load::load(tree, source, name)? {
        say(&format!("loaded {} {}", record.reference, record.digest));
        if record.reference == record.digest.to_string() {
            say(&format!(
                "it has no name: a unit may say image = \"sha256:{}\"; with --name NAME it is loaded under one",
                record.digest.short()
            ));
        }
    }
    Ok(())
}

/// One line per error, and whether there was one.
fn report(errors: &[StoreError]) -> ExitCode {
    for error in errors {
        eprintln!("{error}");
    }
    if errors.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
