//! `/var/network/addresses.json`: the addresses of units, over reboots.
//!
//! Written by a thread of its own, because a disk takes its time to say that data is on it (milliseconds, or seconds
//! on a bad day), and a container's start must not wait for that. A power cut in between costs no more than a unit's
//! first address.

use crate::places::{Keep, replace};
use crate::plan::addresses::{AddressFile, AddressPool, FILE_VERSION};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

/// Addresses of units that start together are written together.
const DELAY_MS: u64 = 100;
/// So often the thread is asked whether it is done.
const CHECK_MS: u64 = 100;
/// After a failed write (a full disk): not in a hurry.
const RETRY_MS: u64 = 60_000;

/// A file that can't be read is put aside: units then get new addresses, and somebody may want to look at it.
pub(crate) fn read(path: &Path) -> AddressFile {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return AddressFile::default(),
        Err(error) => {
            log::error!(
                "can't read {}: {error}; units get new addresses",
                path.display()
            );
            return AddressFile::default();
        }
    };
    let trouble = match serde_json::from_slice::<AddressFile>(&text) {
        Ok(file) if file.version == FILE_VERSION => return file,
        Ok(file) => format!(
            "it is of version {}, this release knows {FILE_VERSION}",
            file.version
        ),
        Err(error) => error.to_string(),
    };
    let aside = path.with_extension("bad");
    log::error!(
        "{}: {trouble}; units get new addresses, the file is kept as {}",
        path.display(),
        aside.display()
    );
    if let Err(error) = fs::rename(path, &aside) {
        log::warn!("can't rename {}: {error}", path.display());
    }
    AddressFile::default()
}

#[derive(Debug)]
pub(crate) struct AddressWriter {
    path: PathBuf,
    due_ms: Option<u64>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl AddressWriter {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            due_ms: None,
            thread: None,
        }
    }

    /// Call after whatever may have changed the pool.
    pub(crate) fn notice(&mut self, now_ms: u64, pool: &AddressPool) {
        if pool.has_changed() {
            self.due_ms.get_or_insert(now_ms + DELAY_MS);
        }
    }

    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        self.due_ms
    }

    pub(crate) fn work(&mut self, now_ms: u64, pool: &mut AddressPool) {
        if self.due_ms.is_none_or(|at| now_ms < at) {
            return;
        }
        self.due_ms = if self
            .thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
        {
            Some(now_ms + CHECK_MS)
        } else if let Err(error) = self.collect() {
            self.complain(&error);
            pool.write_again();
            Some(now_ms + RETRY_MS)
        } else if let Some(file) = pool.changed_file() {
            let path = self.path.clone();
            self.thread = Some(std::thread::spawn(move || write(&path, &file)));
            Some(now_ms + CHECK_MS)
        } else {
            None
        };
    }

    /// Everything is written when this returns.
    pub(crate) fn finish(&mut self, pool: &mut AddressPool) {
        let written = self.collect().and_then(|()| match pool.changed_file() {
            Some(file) => write(&self.path, &file),
            None => Ok(()),
        });
        if let Err(error) = written {
            self.complain(&error);
        }
    }

    fn collect(&mut self) -> io::Result<()> {
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(written)) => written,
            Some(Err(_)) => Err(io::Error::other("the writing thread has ended early")),
        }
    }

    fn complain(&self, error: &io::Error) {
        let path = self.path.display();
        log::error!("can't write {path}: {error}; after a reboot units may have other addresses");
    }
}

fn write(path: &Path, file: &AddressFile) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(file)?;
    replace(path, &text, Keep::OverPowerCut)
}
