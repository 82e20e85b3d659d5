//! The unified kernel image: systemd's UEFI stub with kernel, initramfs and command line as sections of one PE file
//! (the UAPI group's Unified Kernel Image specification; PE format: Microsoft's "PE Format", section table).
//!
//! One file is one release: the firmware or the boot loader starts it, Secure Boot signs it as a whole.

use crate::error::{BuildError, content};
use std::path::Path;

const SECTION_HEADER: usize = 40;
const SECTIONS_MAX: usize = 96;
const INITIALIZED_DATA: u32 = 0x0000_0040;
const CODE: u32 = 0x0000_0020;
const READ: u32 = 0x4000_0000;
const EXECUTE: u32 = 0x2000_0000;

/// A section to add.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section<'a> {
    /// At most 8 bytes.
    pub(crate) name: &'a str,
    pub(crate) bytes: &'a [u8],
}

/// The stub with the sections appended, in their order. `.linux` comes last, so that it may need more memory than its
/// bytes without pushing the others.
pub(crate) fn assemble(
    stub: &[u8],
    sections: &[Section<'_>],
    path: &Path,
) -> Result<Vec<u8>, BuildError> {
    append(stub, sections).ok_or_else(|| content(path, "not a PE file with room for more sections"))
}

/// Offsets of the fields of the headers that are used; all are in the first kilobyte.
struct Headers {
    coff: usize,
    optional: usize,
    table: usize,
    count: usize,
    section_alignment: usize,
    file_alignment: usize,
    headers_size: usize,
}

impl Headers {
    fn parse(pe: &[u8]) -> Option<Self> {
        let start = number(pe, 0x3c)?;
        if pe.get(..2)? != b"MZ" || pe.get(start..start + 4)? != b"PE\0\0" {
            return None;
        }
        let coff = start + 4;
        let optional = coff + 20;
        let size = usize::from(u16::from_le_bytes(
            pe.get(coff + 16..coff + 18)?.try_into().ok()?,
        ));
        let headers = Self {
            coff,
            optional,
            table: optional + size,
            count: usize::from(u16::from_le_bytes(
                pe.get(coff + 2..coff + 4)?.try_into().ok()?,
            )),
            section_alignment: number(pe, optional + 32)?,
            file_alignment: number(pe, optional + 36)?,
            headers_size: number(pe, optional + 60)?,
        };
        let sound =
            headers.section_alignment.is_power_of_two() && headers.file_alignment.is_power_of_two();
        (sound && headers.count <= SECTIONS_MAX).then_some(headers)
    }
}

fn append(stub: &[u8], sections: &[Section<'_>]) -> Option<Vec<u8>> {
    let headers = Headers::parse(stub)?;
    let end_of_table = headers.table + (headers.count + sections.len()) * SECTION_HEADER;
    if end_of_table > headers.headers_size || headers.count + sections.len() > SECTIONS_MAX {
        return None;
    }
    let mut pe = stub.to_vec();
    let mut address = end_of_sections(stub, &headers)?.next_multiple_of(headers.section_alignment);
    let mut data_size = number(stub, headers.optional + 8)?;
    for (index, section) in sections.iter().enumerate() {
        pe.resize(pe.len().next_multiple_of(headers.file_alignment), 0);
        let place = pe.len();
        pe.extend_from_slice(section.bytes);
        pe.resize(pe.len().next_multiple_of(headers.file_alignment), 0);
        let kind = if section.name == ".linux" {
            CODE | EXECUTE | READ
        } else {
            INITIALIZED_DATA | READ
        };
        let mut header = [0; SECTION_HEADER];
        header
            .get_mut(..section.name.len())
            .filter(|name| name.len() <= 8)?
            .copy_from_slice(section.name.as_bytes());
        let raw = pe.len() - place;
        for (offset, value) in [
            (8, section.bytes.len()),
            (12, address),
            (16, raw),
            (20, place),
        ] {
            put(&mut header, offset, value)?;
        }
        header[36..40].copy_from_slice(&kind.to_le_bytes());
        let at = headers.table + (headers.count + index) * SECTION_HEADER;
        // Bytes in the place of a new header would be something else that the linker put there.
        let free = pe
            .get_mut(at..at + SECTION_HEADER)
            .filter(|old| old.iter().all(|byte| *byte == 0))?;
        free.copy_from_slice(&header);
        data_size += raw;
        address = (address + section.bytes.len()).next_multiple_of(headers.section_alignment);
    }
    let count = u16::try_from(headers.count + sections.len()).ok()?;
    pe.get_mut(headers.coff + 2..headers.coff + 4)?
        .copy_from_slice(&count.to_le_bytes());
    put(&mut pe, headers.optional + 8, data_size)?;
    put(&mut pe, headers.optional + 56, address)?;
    // The checksum; nothing but drivers needs one.
    put(&mut pe, headers.optional + 64, 0)?;
    Some(pe)
}

/// Where the last section of the stub ends in memory.
fn end_of_sections(stub: &[u8], headers: &Headers) -> Option<usize> {
    let mut ends = (0..headers.count).map(|index| {
        let at = headers.table + index * SECTION_HEADER;
        Some(number(stub, at + 12)? + number(stub, at + 8)?)
    });
    ends.try_fold(0, |last, end| Some(last.max(end?)))
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let field = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(field)).ok()
}

fn put(bytes: &mut [u8], at: usize, value: usize) -> Option<()> {
    bytes
        .get_mut(at..at + 4)?
        .copy_from_slice(&u32::try_from(value).ok()?.to_le_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A PE file with one section, as small as can be.
    fn stub() -> Vec<u8> {
        let mut pe = vec![0; 0x600];
        pe[..2].copy_from_slice(b"MZ");
        put(&mut pe, 0x3c, 0x80).unwrap();
        pe[0x80..0x84].copy_from_slice(b"PE\0\0");
        pe[0x86] = 1;
        pe[0x94] = 0xf0;
        for (offset, value) in [(32, 0x1000), (36, 0x200), (60, 0x400)] {
            put(&mut pe, 0x98 + offset, value).unwrap();
        }
        for (offset, value) in [(8, 0x1234), (12, 0x1000), (16, 0x200), (20, 0x400)] {
            put(&mut pe, 0x188 + offset, value).unwrap();
        }
        pe
    }

    #[test]
    fn sections_follow_in_file_and_memory() {
        let sections = [
            Section {
                name: ".cmdline",
                bytes: b"quiet",
            },
            Section {
                name: ".linux",
                bytes: &[7; 0x300],
            },
        ];
        let pe = append(&stub(), &sections).unwrap();
        assert_eq!(pe[0x86], 3);
        assert_eq!(&pe[0x1b0..0x1b8], b".cmdline");
        assert_eq!(
            number(&pe, 0x1b0 + 12),
            Some(0x3000),
            "after 0x1000 + 0x1234, on the next page"
        );
        assert_eq!(number(&pe, 0x1b0 + 20), Some(0x600));
        assert_eq!(number(&pe, 0x1d8 + 12), Some(0x4000));
        assert_eq!(number(&pe, 0x1d8 + 20), Some(0x800));
        assert_eq!(&pe[0x600..0x605], b"quiet");
        assert_eq!(
            number(&pe, 0x98 + 56),
            Some(0x5000),
            "size of the image in memory"
        );
    }

    #[test]
    fn file_without_room_or_of_another_kind_is_refused() {
        let many = [Section {
            name: ".x",
            bytes: b"",
        }; 20];
        assert!(append(&stub(), &many).is_none());
        assert!(append(b"\x7fELF", &many[..1]).is_none());
        assert!(append(&[], &many[..1]).is_none());
    }
}
