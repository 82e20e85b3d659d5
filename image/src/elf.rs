//! Which shared libraries a program needs (`DT_NEEDED` of the ELF dynamic section, ld.so(8)).

use object::elf;
use object::read::elf::{Dyn as _, ElfFile64, FileHeader as _, ProgramHeader as _};
use object::{Endianness, ReadRef as _};

/// Names of the libraries and of the program interpreter; empty for a static program or another kind of file.
pub(crate) fn needed(bytes: &[u8]) -> Vec<String> {
    libraries(bytes).unwrap_or_default()
}

fn libraries(bytes: &[u8]) -> Option<Vec<String>> {
    let file = ElfFile64::<Endianness>::parse(bytes).ok()?;
    let endian = file.endian();
    let headers = file.elf_header().program_headers(endian, bytes).ok()?;
    let mut names = Vec::new();
    for header in headers {
        if let Ok(Some(interpreter)) = header.interpreter(endian, bytes) {
            let path = String::from_utf8_lossy(interpreter);
            names.extend(path.rsplit('/').next().map(str::to_owned));
        }
    }
    let dynamic = headers
        .iter()
        .find_map(|header| header.dynamic(endian, bytes).ok().flatten())?;
    let table = dynamic
        .iter()
        .find(|entry| entry.d_tag(endian) == elf::DT_STRTAB)?
        .d_val(endian);
    let strings = headers.iter().find_map(|header| {
        let (start, size) = (header.p_vaddr(endian), header.p_filesz(endian));
        let inside = header.p_type(endian) == elf::PT_LOAD
            && (start..start.checked_add(size)?).contains(&table);
        inside.then(|| header.p_offset(endian).checked_add(table - start))?
    })?;
    for entry in dynamic
        .iter()
        .filter(|entry| entry.d_tag(endian) == elf::DT_NEEDED)
    {
        let place = strings.checked_add(entry.d_val(endian))?;
        let name = bytes
            .read_bytes_at_until(place..bytes.len() as u64, 0)
            .ok()?;
        names.push(String::from_utf8_lossy(name).into_owned());
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dynamic_program_names_its_libraries() {
        let shell = std::fs::read("/bin/sh").unwrap();
        let names = needed(&shell);
        assert!(
            names.iter().any(|name| name.starts_with("libc.so")),
            "{names:?}"
        );
        assert!(
            names.iter().any(|name| name.starts_with("ld-linux")),
            "{names:?}"
        );
        assert!(needed(b"#!/bin/sh\n").is_empty());
    }
}
