//! An OCI image layout folder (image-layout.md of the OCI image specification) as the archive that `store load` reads.

use std::fs::{self, File};
use std::io::{self, PipeReader, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// What a layout consists of; whatever else lies in the folder is left there.
const PARTS: [&str; 3] = ["oci-layout", "index.json", "blobs"];

/// The archive as it is being written, and who writes it.
pub(crate) fn archive(folder: &Path) -> io::Result<(PipeReader, JoinHandle<io::Result<()>>)> {
    if !folder.join("index.json").is_file() {
        let text = "no index.json in it: not an OCI layout folder";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let (reader, writer) = io::pipe()?;
    let folder = folder.to_owned();
    let thread = std::thread::spawn(move || write(&folder, writer));
    Ok((reader, thread))
}

fn write(folder: &Path, to: impl Write) -> io::Result<()> {
    let mut archive = tar::Builder::new(to);
    archive.mode(tar::HeaderMode::Deterministic);
    let mut waiting: Vec<PathBuf> = PARTS.iter().rev().map(PathBuf::from).collect();
    while let Some(name) = waiting.pop() {
        let path = folder.join(&name);
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let metadata = fs::metadata(&path).map_err(named)?;
        if metadata.is_dir() {
            let mut names = Vec::new();
            for entry in fs::read_dir(&path).map_err(named)? {
                names.push(name.join(entry.map_err(named)?.file_name()));
            }
            names.sort_by(|a, b| b.cmp(a));
            waiting.extend(names);
        } else if metadata.is_file() {
            let mut file = File::open(&path).map_err(named)?;
            archive.append_file(&name, &mut file).map_err(named)?;
        }
    }
    archive.into_inner()?.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_layout_becomes_an_archive_of_its_parts() {
        let folder = std::env::temp_dir().join(format!("ctl-layout-{}", std::process::id()));
        fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
        let blob = "ab".repeat(32);
        fs::write(folder.join("blobs/sha256").join(&blob), vec![7; 100_000]).unwrap();
        fs::write(folder.join("index.json"), "{}").unwrap();
        fs::write(folder.join("oci-layout"), "{}").unwrap();
        fs::write(folder.join("notes.txt"), "mine").unwrap();
        let (reader, thread) = archive(&folder).unwrap();
        let mut archive = tar::Archive::new(reader);
        let mut found = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            found.push((entry.path().unwrap().display().to_string(), bytes.len()));
        }
        thread.join().unwrap().unwrap();
        let blob = format!("blobs/sha256/{blob}");
        assert_eq!(
            found,
            [
                ("oci-layout".into(), 2),
                ("index.json".into(), 2),
                (blob, 100_000)
            ]
        );
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn another_folder_is_refused() {
        let error = archive(&std::env::temp_dir().join("no-layout-here")).unwrap_err();
        assert!(error.to_string().contains("index.json"), "{error}");
    }
}
