//! Names of an archive's parts, and of its images.

use crate::{Digest, Reference, ReferenceError};

/// What an archive calls an image.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) references: Vec<Reference>,
    /// What is no reference: `Release-1`, when no more than a tag was written, or Docker's `<none>:<none>`. An image that
    /// has no other name has none.
    pub(super) unusable: Vec<ReferenceError>,
}

impl Names {
    /// Empty: none.
    pub(super) fn add(&mut self, name: &str) {
        if name.is_empty() {
            return;
        }
        match name.parse() {
            Ok(reference) if !self.references.contains(&reference) => {
                self.references.push(reference);
            }
            Err(error) if !self.unusable.contains(&error) => self.unusable.push(error),
            Ok(_) | Err(_) => {}
        }
    }

    /// Adds those that are not there yet.
    pub(super) fn append_to(
        self,
        references: &mut Vec<Reference>,
        unusable: &mut Vec<ReferenceError>,
    ) {
        for reference in self.references {
            if !references.contains(&reference) {
                references.push(reference);
            }
        }
        for error in self.unusable {
            if !unusable.contains(&error) {
                unusable.push(error);
            }
        }
    }
}

/// The name of a blob in an OCI layout.
pub(crate) fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The name that `path` has, seen from `folder`. Names are only looked up in the archive, so `..` at the top is harmless.
pub(super) fn resolve(folder: &str, path: &str) -> String {
    let mut components: Vec<&str> = Vec::new();
    for component in folder.split('/').chain(path.split('/')) {
        match component {
            "" | "." => {}
            ".." => {
                components.pop();
            }
            name => components.push(name),
        }
    }
    components.join("/")
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn links_of_an_archive_are_resolved_in_it() {
        assert_eq!(resolve("aa", "../bb/layer.tar"), "bb/layer.tar");
        assert_eq!(resolve("", "./index.json"), "index.json");
        assert_eq!(resolve("a/b", "../../../../etc/passwd"), "etc/passwd");
    }
}
