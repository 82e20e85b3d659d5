//! `launcher discard`: removes writable layers of runs that were beside another one of their unit, and have ended.

use crate::options::Options;
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn discard(options: &Options, folders: &[String]) -> ExitCode {
    let mut done = ExitCode::SUCCESS;
    for folder in folders {
        if let Err(error) = remove(&options.containers(), folder) {
            eprintln!("launcher: discard {folder}: {error}");
            done = ExitCode::FAILURE;
        }
    }
    done
}

/// Only what can't be a unit's own layer, nor outside of `containers`.
fn remove(containers: &Path, folder: &str) -> io::Result<()> {
    if !folder.contains(':') || folder.contains('/') {
        return Err(io::Error::other(
            "not the layer of a run beside another one",
        ));
    }
    // Without it, what is left by a power cut is no layer.
    let path = containers.join(folder);
    for removed in [
        fs::remove_file(path.join("image.json")),
        fs::remove_dir_all(&path),
    ] {
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_units_own_layer_is_never_discarded() {
        let root = std::env::temp_dir().join(format!("keelson-discard-{}", std::process::id()));
        for folder in ["web/upper", "web:7/upper"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        for bad in ["web", "../x:1", "web:7/upper", ""] {
            assert!(remove(&root, bad).is_err(), "{bad}");
        }
        remove(&root, "web:7").unwrap();
        remove(&root, "web:8").unwrap();
        assert!(root.join("web/upper").exists() && !root.join("web:7").exists());
        fs::remove_dir_all(&root).unwrap();
    }
}
