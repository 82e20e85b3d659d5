//! What a module says of itself: the `.modinfo` section of its ELF file, `key=value` strings separated by NUL.

use object::{Object, ObjectSection};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::Path;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Modinfo {
    /// Names of the modules it can't do without.
    pub(crate) depends: Vec<String>,
    /// Whole lines: `pre: crc32c`.
    pub(crate) softdeps: Vec<String>,
    /// Patterns of hardware and requests that it serves.
    pub(crate) aliases: Vec<String>,
}

impl Modinfo {
    pub(crate) fn parse(section: &[u8]) -> Self {
        let mut info = Self::default();
        for field in section.split(|byte| *byte == 0) {
            let Some((key, value)) = std::str::from_utf8(field)
                .ok()
                .and_then(|text| text.split_once('='))
            else {
                continue;
            };
            match key {
                "depends" => {
                    info.depends.extend(
                        value
                            .split(',')
                            .filter(|name| !name.is_empty())
                            .map(super::normal),
                    );
                }
                "softdep" => info.softdeps.push(value.to_owned()),
                "alias" => info.aliases.push(value.to_owned()),
                _ => {}
            }
        }
        info
    }

    pub(crate) fn of_module(bytes: &[u8]) -> Result<Self, String> {
        let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
        let section = file
            .section_by_name(".modinfo")
            .ok_or("no .modinfo section")?;
        Ok(Self::parse(
            section.data().map_err(|error| error.to_string())?,
        ))
    }
}

/// The bytes of a module file, decompressed by the ending of its name.
pub(crate) fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let ending = path.extension().and_then(|ending| ending.to_str());
    unpacked(&std::fs::read(path)?, ending.unwrap_or_default())
}

pub(crate) fn unpacked(bytes: &[u8], ending: &str) -> std::io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    match ending {
        "xz" => liblzma::read::XzDecoder::new(bytes).read_to_end(&mut plain)?,
        "zst" => zstd::Decoder::new(bytes)?.read_to_end(&mut plain)?,
        "gz" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain)?,
        _ => return Ok(bytes.to_vec()),
    };
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_is_split_into_fields() {
        let info = Modinfo::parse(b"license=GPL\0depends=mbcache,crc-x\0alias=fs-ext4\0alias=ext3\0softdep=pre: crc32c\0\0");
        assert_eq!(info.depends, ["mbcache", "crc_x"]);
        assert_eq!(info.aliases, ["fs-ext4", "ext3"]);
        assert_eq!(info.softdeps, ["pre: crc32c"]);
        assert_eq!(Modinfo::parse(b"depends=\0").depends, Vec::<String>::new());
    }
}
