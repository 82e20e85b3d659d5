//! Packages that are parts of the image: fetched and unpacked into the cache, never installed.
//!
//! ```text
//! cache/packages/<name>_<version>/       its files
//! cache/packages/index.json              request → packages, so that a later build asks apt nothing
//! ```
//!
//! On Debian everything comes from one release, [`SUITE`], whatever release the machine itself runs, so that the same
//! kernel and programs end up in everyone's image; where its keys are not known to the machine, from the machine's own
//! release and its backports. On other apt systems: from their own sources.

use crate::apt::{AptError, Archive, Pin, Record, file_error};
use crate::progress::{self, Step};
use crate::run;
use crate::system::System;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian 13: its kernel is of the 6.12 series (long-term support).
const SUITE: &str = "trixie";

/// A package in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// Of the .deb, lower-case hexadecimal, as in the signed package list.
    pub sha256: String,
    /// Its files, unpacked.
    pub folder: PathBuf,
}

/// Whether the cache may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Freshness {
    /// What the cache has is good.
    #[default]
    Cached,
    /// Ask apt for the newest (security updates).
    Newest,
}

/// `wanted` and, recursively, those of its dependencies for which `follow` says yes.
///
/// # Errors
/// When apt can't fetch or verify, or the cache can't be written.
pub fn closure(
    wanted: &str,
    follow: fn(&str) -> bool,
    freshness: Freshness,
) -> Result<Vec<Package>, AptError> {
    let folder = crate::paths::cache().join("packages");
    let _lock = crate::paths::lock("packages").map_err(file_error(&folder))?;
    let index_file = folder.join("index.json");
    let mut index: BTreeMap<String, Vec<Package>> = std::fs::read(&index_file)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    if let (Freshness::Cached, Some(packages)) = (freshness, index.get(wanted))
        && packages.iter().all(|package| package.folder.is_dir())
    {
        return Ok(packages.clone());
    }
    let mut step = progress::step(&format!("fetch {wanted}"));
    let archive = open(&mut step)?;
    let packages = take(
        &archive,
        &resolve(&archive, wanted, follow)?,
        &folder,
        &mut step,
    )?;
    let names = packages
        .iter()
        .map(|package| format!("{} {}", package.name, package.version))
        .collect::<Vec<_>>();
    step.done(&names.join(", "));
    index.insert(wanted.to_owned(), packages.clone());
    let text = serde_json::to_vec_pretty(&index).unwrap_or_default();
    std::fs::write(&index_file, text).map_err(file_error(index_file))?;
    Ok(packages)
}

/// One package without its dependencies.
///
/// # Errors
/// As [`closure`].
pub fn package(name: &str, freshness: Freshness) -> Result<Package, AptError> {
    let mut packages = closure(name, |_| false, freshness)?;
    packages.pop().ok_or_else(|| AptError::NoPackage {
        name: name.to_owned(),
    })
}

fn open(step: &mut Step) -> Result<Archive, AptError> {
    let system = System::here();
    if !system.is_debian() {
        return Archive::system("system", step);
    }
    let suites = ["", "-updates", "-security"].map(|tail| format!("{SUITE}{tail}"));
    if let Ok(archive) = Archive::debian(SUITE, &suites, None, step) {
        return Ok(archive);
    }
    let backports = format!("{}-backports", system.codename);
    let suites = ["", "-updates", "-security", "-backports"]
        .map(|tail| format!("{}{tail}", system.codename));
    Archive::debian(
        "own-release",
        &suites,
        Some(Pin {
            packages: "linux-*",
            suite: &backports,
        }),
        step,
    )
}

/// Packages to take, the wanted one last.
fn resolve(
    archive: &Archive,
    wanted: &str,
    follow: fn(&str) -> bool,
) -> Result<Vec<Record>, AptError> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::from([wanted.to_owned()]);
    let mut queue = vec![wanted.to_owned()];
    while let Some(name) = queue.pop() {
        let Some(record) = archive.record(&name) else {
            if name == wanted {
                return Err(AptError::NoPackage { name });
            }
            // A virtual package: some other followed package provides it, or nothing that we need does.
            continue;
        };
        for dependency in &record.depends {
            if let Some(first) = dependency.iter().find(|name| follow(name))
                && seen.insert(first.clone())
            {
                queue.push(first.clone());
            }
        }
        found.push(record);
    }
    found.sort_by(|a, b| (a.name == wanted, &a.name).cmp(&(b.name == wanted, &b.name)));
    Ok(found)
}

/// Fetch and unpack what the cache does not have.
fn take(
    archive: &Archive,
    records: &[Record],
    folder: &Path,
    step: &mut Step,
) -> Result<Vec<Package>, AptError> {
    let place = |record: &Record| {
        folder.join(format!(
            "{}_{}",
            record.name,
            record.version.replace([':', '/'], "_")
        ))
    };
    let missing: Vec<Record> = records
        .iter()
        .filter(|record| !place(record).is_dir())
        .cloned()
        .collect();
    let incoming = folder.join("incoming");
    let _ = std::fs::remove_dir_all(&incoming);
    if !missing.is_empty() {
        for (record, deb) in missing
            .iter()
            .zip(archive.download(&missing, &incoming, step)?)
        {
            step.at(&format!("unpack {}", record.name));
            let files = incoming.join("files");
            run::output(
                Command::new("dpkg-deb")
                    .arg("--extract")
                    .args([&deb, &files]),
            )?;
            // The name appears only with all files in it: a cut leaves no half package behind.
            std::fs::rename(&files, place(record)).map_err(file_error(place(record)))?;
        }
        std::fs::remove_dir_all(&incoming).map_err(file_error(&incoming))?;
    }
    let package = |record: &Record| Package {
        name: record.name.clone(),
        version: record.version.clone(),
        sha256: record.sha256.clone(),
        folder: place(record),
    };
    Ok(records.iter().map(package).collect())
}
