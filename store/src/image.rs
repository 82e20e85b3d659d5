//! Lookup: from a reference to layers and configuration.

use crate::image_id::{ImageId, PREFIX};
use crate::mark::{has_root, hidden_layers};
use crate::{Digest, ImageConfig, ImageError, ImageRecord, Lock, Reference, ReferenceError, Tree};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The images of one machine, to be read.
#[derive(Clone, Debug)]
pub struct Store {
    tree: Tree,
}

/// An image that can be mounted. As long as it lives, no layer of the store is removed.
#[derive(Debug)]
pub struct Image {
    /// Normalised.
    pub reference: String,
    /// `sha256:…` of the manifest.
    pub digest: String,
    /// Folders, bottom first, without those that one above them hides altogether.
    pub layers: Vec<PathBuf>,
    /// The topmost of these folders that describes the image's root: the mode, owner and attributes of the container's
    /// `/` are its.
    pub root: Option<PathBuf>,
    pub config: ImageConfig,
    _in_use: Lock,
}

/// What is looked for.
enum Wanted {
    Name(Reference),
    Id(ImageId),
}

impl Wanted {
    fn parse(text: &str) -> Result<Self, ReferenceError> {
        match ImageId::parse(text) {
            Some(id) => Ok(Self::Id(id?)),
            None => Ok(Self::Name(text.parse()?)),
        }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(reference) => reference.fmt(f),
            Self::Id(id) => id.fmt(f),
        }
    }
}

impl Store {
    /// The store below this folder; nothing is read yet.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self {
            tree: Tree::at(root),
        }
    }

    /// Finds an image by name (`redis`, `registry.example/app:1`), by digest (`redis@sha256:…`) or by id (`sha256:…`,
    /// 12 digits at least; the digest of its manifest or of its configuration).
    ///
    /// Digest and id are found whatever name the image has here: they say what the content is.
    ///
    /// # Errors
    /// Each says what the operator can do.
    pub fn image(&self, reference: &str) -> Result<Image, ImageError> {
        let wanted = Wanted::parse(reference).map_err(ImageError::Reference)?;
        if !self.tree.references().is_dir() {
            return Err(ImageError::not_found(&wanted.to_string(), Vec::new()));
        }
        let lock_path = self.tree.use_lock();
        let lock = Lock::shared(&lock_path).map_err(|source| ImageError::Io {
            path: lock_path,
            source,
        })?;
        let record = match &wanted {
            Wanted::Name(reference) => self.record(reference)?,
            Wanted::Id(id) => self.record_of(id)?,
        };
        self.open(&wanted.to_string(), &record, lock)
    }

    /// Every image by name, in the order of the names. One that can't be read is an error in its place.
    ///
    /// # Errors
    /// When the folder of references can't be read. A store that isn't there yet is empty.
    pub fn records(&self) -> Result<Vec<Result<ImageRecord, ImageError>>, ImageError> {
        let folder = self.tree.references();
        let listed = fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut paths: Vec<PathBuf> = match listed {
            Ok(entries) => entries.iter().map(fs::DirEntry::path).collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => {
                return Err(ImageError::Io {
                    path: folder,
                    source,
                });
            }
        };
        paths.sort();
        Ok(paths.iter().map(|path| read_record(path)).collect())
    }

    fn record(&self, reference: &Reference) -> Result<ImageRecord, ImageError> {
        let path = self.tree.reference(reference);
        if path.exists() {
            return read_record(&path);
        }
        let mut known: Vec<ImageRecord> = self.records()?.into_iter().flatten().collect();
        let wanted = reference.digest();
        let found = known
            .iter()
            .position(|record| wanted.is_some_and(|digest| record.digest == *digest));
        if let Some(index) = found {
            return Ok(known.swap_remove(index));
        }
        // Docker takes digits alone for an id.
        let meant = reference.bare_word().and_then(|word| {
            let id = ImageId::parse(&format!("{PREFIX}{word}"))?.ok()?;
            known.iter().any(|record| id.is_of(record)).then_some(id)
        });
        let nearest = match meant {
            Some(id) => vec![id.to_string()],
            None => known.into_iter().map(|record| record.reference).collect(),
        };
        Err(ImageError::not_found(&reference.to_string(), nearest))
    }

    fn record_of(&self, id: &ImageId) -> Result<ImageRecord, ImageError> {
        let known: Vec<ImageRecord> = self.records()?.into_iter().flatten().collect();
        let all: Vec<String> = known
            .iter()
            .map(|record| record.digest.to_string())
            .collect();
        let mut found = id.choose(known);
        if found.len() > 1 {
            let name = |record: ImageRecord| (record.reference, record.digest);
            return Err(ImageError::Ambiguous {
                id: id.to_string(),
                candidates: found.into_iter().map(name).collect(),
            });
        }
        found
            .pop()
            .ok_or_else(|| ImageError::not_found(&id.to_string(), all))
    }

    fn open(&self, reference: &str, record: &ImageRecord, lock: Lock) -> Result<Image, ImageError> {
        let damaged = |path: &Path, reason: String| ImageError::Damaged {
            reference: reference.to_owned(),
            path: path.to_owned(),
            reason,
        };
        let config_path = self.tree.blob(&record.config);
        let bytes =
            fs::read(&config_path).map_err(|error| damaged(&config_path, error.to_string()))?;
        let config =
            ImageConfig::parse(&bytes).map_err(|error| damaged(&config_path, error.to_string()))?;
        let mut layers: Vec<PathBuf> = record
            .layers
            .iter()
            .map(|layer| self.tree.layer(&layer.folder))
            .collect();
        if let Some(missing) = layers.iter().find(|layer| !layer.is_dir()) {
            return Err(damaged(missing, "the layer is missing".to_owned()));
        }
        let root = layers.iter().rev().find(|layer| has_root(layer)).cloned();
        layers.drain(..hidden_layers(&layers));
        Ok(Image {
            reference: reference.to_owned(),
            digest: Digest::to_string(&record.digest),
            layers,
            root,
            config,
            _in_use: lock,
        })
    }
}

fn read_record(path: &Path) -> Result<ImageRecord, ImageError> {
    let bytes = fs::read(path).map_err(|source| ImageError::Io {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&bytes).map_err(|error| ImageError::Damaged {
        reference: path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .replace('+', "/")
            .replace('=', "@"),
        path: path.to_owned(),
        reason: error.to_string(),
    })
}
