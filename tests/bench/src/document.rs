//! Blocks of a document that are written by a program, between two markers; everything else in it is a person's.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(crate) enum WriteBlockError {
    Io { path: PathBuf, source: io::Error },
    NoMarkers { path: PathBuf, name: String },
}

impl fmt::Display for WriteBlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::NoMarkers { path, name } => {
                let (begin, end) = markers(name);
                write!(
                    f,
                    "{}: the lines `{begin}` and `{end}` are missing",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for WriteBlockError {}

/// Put `content` between the markers of the block `name`.
///
/// # Errors
/// When the document can't be read or written, or has no such block.
pub(crate) fn write_block(path: &Path, name: &str, content: &str) -> Result<(), WriteBlockError> {
    let at = |source| WriteBlockError::Io {
        path: path.to_owned(),
        source,
    };
    let text = std::fs::read_to_string(path).map_err(at)?;
    let replaced = replace(&text, name, content).ok_or_else(|| WriteBlockError::NoMarkers {
        path: path.to_owned(),
        name: name.to_owned(),
    })?;
    std::fs::write(path, replaced).map_err(at)
}

fn markers(name: &str) -> (String, String) {
    (
        format!("<!-- {name}: begin -->"),
        format!("<!-- {name}: end -->"),
    )
}

fn replace(text: &str, name: &str, content: &str) -> Option<String> {
    let (begin, end) = markers(name);
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    let content = content.trim();
    Some(format!("{before}{begin}\n{content}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let text = "a\n<!-- boot: begin -->\nold\n<!-- boot: end -->\nz\n";
        let new = "a\n<!-- boot: begin -->\nnew\n<!-- boot: end -->\nz\n";
        assert_eq!(replace(text, "boot", "new\n").as_deref(), Some(new));
        assert_eq!(replace(new, "boot", "new").as_deref(), Some(new));
        assert_eq!(replace(text, "launch", "new"), None);
    }
}
