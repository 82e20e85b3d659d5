//! What an archive may ask of the machine. Each limit is far beyond any image in use, and small enough that a forged
//! archive is refused with a message instead of eating the machine.

/// Entries of one layer. The largest images in use have some 300,000 files.
pub(crate) const LAYER_ENTRIES_MAX: u64 = 2_000_000;
/// Bytes of one layer's uncompressed tar. Machine-learning images have layers of some 10 GiB.
pub(crate) const LAYER_BYTES_MAX: u64 = 64 << 30;
/// Bytes of all folder names of one layer, which are kept until its end to set the folders' times.
pub(crate) const FOLDER_NAME_BYTES_MAX: usize = 64 << 20;
/// Entries of the archive itself: a handful per layer, but for archives with many images.
pub(crate) const ARCHIVE_ENTRIES_MAX: u64 = 100_000;
/// Layers of one image. Overlay mounts at most 500 (`OVL_MAX_STACK`).
pub(crate) const LAYERS_MAX: usize = 500;
/// Images of one archive.
pub(crate) const IMAGES_MAX: usize = 1_000;
/// Bytes of an index, a manifest or a configuration; registries refuse manifests beyond 4 MiB.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 8 << 20;
/// Bytes of one pax header or GNU long name: a path (4 KiB), a link (4 KiB) and attributes (64 KiB each, xattr(7)).
pub(crate) const TAR_HEADER_BYTES_MAX: u64 = 1 << 20;
/// Bytes of a path in a layer, with the NUL (`PATH_MAX`).
pub(crate) const PATH_BYTES_MAX: usize = 4096;
/// An index may name an index, which may name manifests; nothing in use nests deeper.
pub(crate) const INDEX_DEPTH_MAX: usize = 3;
/// Layers unpacked at the same time; each has buffers and, with zstd, a window of up to 128 MiB.
pub(crate) const UNPACK_THREADS_MAX: usize = 4;
/// Read and write buffers: fewer calls, and hashing in long runs.
pub(crate) const BUFFER_BYTES: usize = 256 << 10;
