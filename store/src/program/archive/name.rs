//! Names of an archive's parts.

use crate::Digest;

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
