//! Modules that not every machine needs: each compressed, so that the kernel unpacks it by itself when it is wanted
//! (`CONFIG_MODULE_DECOMPRESS`), and without what [`slim`] cuts off, which is a third of what is left when it is compressed.
//!
//! A kernel unpacks one format only, the one that its distribution has chosen: a module stays in that. Compressing all of
//! them takes half a minute, so what came out is kept for the next build.

use super::modinfo;
use super::slim::slim;
use crate::digest;
use crate::error::{BuildError, at};
use crate::segment::write_whole;
use liblzma::stream::{Check, Filters, LzmaOptions, Stream};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// To be raised whenever [`slim`] or this file makes other bytes of the same module.
const RECIPE: u32 = 1;
/// xz: what its own default is.
const PRESET: u32 = 6;
/// As scripts/Makefile.modinst of Linux has it: the kernel takes this much memory to unpack a module, whatever its size.
const DICTIONARY_BYTES: u32 = 2 << 20;
/// zstd: as scripts/Makefile.modinst has it for a kernel whose build may take long.
const ZSTD_LEVEL: i32 = 19;

/// The modules of these files, in their order; shared among the processors.
pub(crate) fn all(sources: &[PathBuf], cache: Option<&Path>) -> Result<Vec<Vec<u8>>, BuildError> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    // Neighbours in the list are no likelier to be large: every worker has its share of those.
    let share = sources.len().div_ceil(workers).max(1);
    std::thread::scope(|scope| {
        let run = |share: &[PathBuf]| -> Vec<_> {
            let packed = share.iter().map(|source| one(source, cache));
            packed.collect()
        };
        let threads: Vec<_> = sources
            .chunks(share)
            .map(|share| scope.spawn(move || run(share)))
            .collect();
        let results = threads.into_iter().flat_map(|thread| match thread.join() {
            Ok(results) => results,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        results.collect()
    })
}

fn one(source: &Path, cache: Option<&Path>) -> Result<Vec<u8>, BuildError> {
    let shipped = std::fs::read(source).map_err(at(source))?;
    let ending = source.extension().and_then(|ending| ending.to_str());
    let ending = ending.unwrap_or_default();
    let kept = cache.map(|cache| {
        let name = format!("{}-{RECIPE}.ko.{ending}", digest::of(&shipped));
        cache.join(name)
    });
    if let Some(kept) = &kept
        && let Ok(packed) = std::fs::read(kept)
    {
        return Ok(packed);
    }
    let module = slim(modinfo::unpacked(&shipped, ending).map_err(at(source))?);
    let packed = pack(module, ending).map_err(at(source))?;
    // A format that is not packed here, or a module with nothing to cut off.
    let packed = packed.unwrap_or(shipped);
    if let Some(kept) = &kept {
        let folder = kept.parent().unwrap_or(kept);
        std::fs::create_dir_all(folder).map_err(at(folder))?;
        write_whole(kept, &packed)?;
    }
    Ok(packed)
}

/// In the format of this ending, as the kernel reads it; none for others.
fn pack(module: Vec<u8>, ending: &str) -> io::Result<Option<Vec<u8>>> {
    Ok(Some(match ending {
        "ko" => module,
        "xz" => {
            let mut options = LzmaOptions::new_preset(PRESET).map_err(io::Error::other)?;
            options.dict_size(DICTIONARY_BYTES);
            let mut filters = Filters::new();
            filters.lzma2(&options);
            // The kernel's reader knows no other checksum.
            let stream = Stream::new_stream_encoder(&filters, Check::Crc32);
            let stream = stream.map_err(io::Error::other)?;
            let mut packed = Vec::new();
            liblzma::read::XzEncoder::new_stream(&module[..], stream).read_to_end(&mut packed)?;
            packed
        }
        "zst" => zstd::bulk::compress(&module, ZSTD_LEVEL)?,
        _ => return Ok(None),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_can_be_read_again_in_the_format_of_its_ending() {
        let text: Vec<u8> = b"a module of many words, ".repeat(500);
        for ending in ["ko", "xz", "zst"] {
            let packed = pack(text.clone(), ending).unwrap().unwrap();
            assert_eq!(
                modinfo::unpacked(&packed, ending).unwrap(),
                text,
                "{ending}"
            );
            assert_eq!(packed.len() < text.len() / 10, ending != "ko", "{ending}");
        }
        assert_eq!(pack(text, "gz").unwrap(), None);
    }

    #[test]
    fn xz_is_of_the_kind_that_the_kernel_reads() {
        let packed = pack(vec![0; 1 << 20], "xz").unwrap().unwrap();
        // Stream flags (xz-file-format.txt, 2.1.1.2): CRC32.
        assert_eq!(packed[..8], [0xfd, b'7', b'z', b'X', b'Z', 0, 0, 1]);
        // Of the block (3.1): one filter, LZMA2, with its dictionary (5.3.1): 2^(18/2 + 12).
        assert_eq!(packed[13..17], [0, 0x21, 1, 18]);
    }

    #[test]
    fn an_earlier_build_gives_what_it_has_packed() {
        let folder = std::env::temp_dir().join(format!("keelson-pack-{}", std::process::id()));
        let cache = folder.join("cache");
        std::fs::create_dir_all(&folder).unwrap();
        let source = folder.join("a.ko.xz");
        let shipped = pack(b"module".repeat(100), "xz").unwrap().unwrap();
        std::fs::write(&source, &shipped).unwrap();
        let sources = [source];
        let first = all(&sources, Some(&cache)).unwrap();
        assert_eq!(first, all(&sources, None).unwrap());
        let kept = std::fs::read_dir(&cache).unwrap().next().unwrap().unwrap();
        std::fs::write(kept.path(), "kept").unwrap();
        assert_eq!(all(&sources, Some(&cache)).unwrap(), [b"kept"]);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
