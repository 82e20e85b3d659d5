//! What a module needs only where someone asks for it: its signature and its type information.
//!
//! The modules of every boot are stored plain, and verifying a signature and parsing BTF (bpf(2)'s type format) are most of
//! what loading one of them costs. Both are of use to others: a signature under Secure Boot's lockdown, which checks modules
//! one by one because it does not know where they come from (ours come in one file with the kernel), BTF to tracing
//! programs. See docs/decisions/006. Modules of hardware that is not everywhere stay as they were shipped.

use object::Endianness;
use object::read::elf::{ElfFile64, FileHeader as _, SectionHeader as _};

/// Documentation/admin-guide/module-signing.rst; `struct module_signature` before it has 12 bytes, the last four of which
/// are the signature's length, big-endian.
const MAGIC: &[u8] = b"~Module signature appended~\n";
const TRAILER_BYTES: usize = 12;
/// `sh_size` in `Elf64_Shdr` (elf(5)), and the size of one.
const SIZE_AT: usize = 32;
const HEADER_BYTES: usize = 64;

/// The module without both. What can't be understood is left as it is: the kernel decides.
pub(crate) fn slim(mut module: Vec<u8>) -> Vec<u8> {
    if let Some(end) = end_of_code(&module) {
        module.truncate(end);
    }
    if let Some((header, data)) = type_information(&module) {
        // An empty section: the kernel takes it for a module without type information.
        if let Some(size) = module.get_mut(header + SIZE_AT..header + SIZE_AT + 8) {
            size.fill(0);
        }
        if let Some(bytes) = module.get_mut(data) {
            bytes.fill(0);
        }
    }
    module
}

/// Where the signature begins, if there is one.
fn end_of_code(module: &[u8]) -> Option<usize> {
    let signed = module.strip_suffix(MAGIC)?;
    let (rest, trailer) = signed.split_at_checked(signed.len().checked_sub(TRAILER_BYTES)?)?;
    let length = u32::from_be_bytes(trailer.get(8..)?.try_into().ok()?);
    rest.len().checked_sub(usize::try_from(length).ok()?)
}

/// Place of the header of the section `.BTF`, and of its bytes.
fn type_information(module: &[u8]) -> Option<(usize, std::ops::Range<usize>)> {
    let file = ElfFile64::<Endianness>::parse(module).ok()?;
    let endian = file.endian();
    let sections = file.elf_section_table();
    let table = usize::try_from(file.elf_header().e_shoff(endian)).ok()?;
    // A module that offers functions to BPF programs by their types complains without them.
    if sections.section_by_name(endian, b".BTF_ids").is_some() {
        return None;
    }
    let (index, section) = sections
        .section_by_name(endian, b".BTF")
        .map(|(index, section)| (index.0, section))?;
    let (offset, size) = section.file_range(endian)?;
    let start = usize::try_from(offset).ok()?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    Some((
        table.checked_add(index.checked_mul(HEADER_BYTES)?)?,
        start..end,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_cut_off_and_nothing_else() {
        let mut signed = b"code".to_vec();
        signed.extend([7; 5]);
        signed.extend([0, 0, 2, 0, 0, 0, 0, 0]);
        signed.extend(5u32.to_be_bytes());
        signed.extend(MAGIC);
        assert_eq!(slim(signed), b"code");
        assert_eq!(slim(b"code".to_vec()), b"code");
        assert_eq!(slim(MAGIC.to_vec()), MAGIC, "too short to be true");
    }
}
