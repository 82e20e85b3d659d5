//! Media types that container images have (OCI image-spec, media-types.md; Docker image manifest v2, schema 2).

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

/// Layers are tar whatever the suffix says of compression; that is told from the bytes.
const LAYER_PREFIXES: [&str; 4] = [
    LAYER,
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Document {
    Index,
    Manifest,
}

/// What a descriptor that leads to an image leads to; `None`: something else.
pub(crate) fn document(media_type: &str) -> Option<Document> {
    match media_type {
        INDEX | DOCKER_INDEX => Some(Document::Index),
        MANIFEST | DOCKER_MANIFEST => Some(Document::Manifest),
        _ => None,
    }
}

pub(crate) fn is_config(media_type: &str) -> bool {
    matches!(media_type, CONFIG | DOCKER_CONFIG)
}

pub(crate) fn is_layer(media_type: &str) -> bool {
    LAYER_PREFIXES.iter().any(|prefix| {
        media_type
            .strip_prefix(prefix)
            .is_some_and(|suffix| matches!(suffix, "" | ".gzip" | ".zstd" | "+gzip" | "+zstd"))
    })
}
