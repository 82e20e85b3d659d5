//! What a module needs only where someone asks for it: its signature, its type information, and tables of its calls.
//!
//! The modules of every boot are stored plain, and what is cut off here is most of what loading one of them costs: verifying
//! the signature, parsing BTF (bpf(2)'s type format), for every function a look through the symbols to see whether it can
//! be traced, registering trace events, and sorting the unwinder's table. All are of use to others: a signature under Secure Boot's lockdown, which checks modules one by one
//! because it does not know where they come from (ours come in one file with the kernel), BTF, the table of functions
//! and the events to tracing programs, the table of calls to `retbleed=stuff`. See docs/decisions/006 and, of the modules
//! that are stored compressed, 018.

use object::build::elf::Builder;

/// Documentation/admin-guide/module-signing.rst; `struct module_signature` before it has 12 bytes, the last four of which
/// are the signature's length, big-endian.
const MAGIC: &[u8] = b"~Module signature appended~\n";
const TRAILER_BYTES: usize = 12;
/// Sections, and those that relocate them.
const CUT: [&str; 9] = [
    // Types of its own, on top of the kernel's (Documentation/bpf/btf.rst).
    ".BTF",
    // Functions that ftrace can patch (Documentation/trace/ftrace-design.rst).
    "__mcount_loc",
    "__patchable_function_entries",
    // Events that tracing can be asked for by name (Documentation/trace/events.rst): ext4 alone has 113, and while each gets
    // its folder and the format of its fields, no other module can finish being loaded (`event_mutex`).
    "_ftrace_events",
    "_ftrace_eval_map",
    // Calls that are made direct by patching each of them while all processors are interrupted three times (text_poke_bp() in
    // arch/x86/kernel/alternative.c): a thousand interrupts for ext4, and every other module waits. Without the table the
    // calls go on by their trampolines, as they do where an architecture has no better (include/linux/static_call.h).
    ".static_call_sites",
    // Calls that `retbleed=stuff` counts (arch/x86/kernel/callthunks.c).
    ".call_sites",
    // How to unwind the stack (Documentation/arch/x86/orc-unwinder.rst): relocated and sorted at every load.
    ".orc_unwind",
    ".orc_unwind_ip",
];
/// A module that offers functions to BPF programs by their types complains without its types.
const TYPES_NEEDED: &str = ".BTF_ids";

/// The module without all that. What can't be understood is left as it is: the kernel decides.
pub(crate) fn slim(mut module: Vec<u8>) -> Vec<u8> {
    if let Some(end) = end_of_code(&module) {
        module.truncate(end);
    }
    without_tables(&module).unwrap_or(module)
}

/// Where the signature begins, if there is one.
fn end_of_code(module: &[u8]) -> Option<usize> {
    let signed = module.strip_suffix(MAGIC)?;
    let (rest, trailer) = signed.split_at_checked(signed.len().checked_sub(TRAILER_BYTES)?)?;
    let length = u32::from_be_bytes(trailer.get(8..)?.try_into().ok()?);
    rest.len().checked_sub(usize::try_from(length).ok()?)
}

fn without_tables(module: &[u8]) -> Option<Vec<u8>> {
    let mut builder = Builder::read(module).ok()?;
    let types_needed = builder
        .sections
        .iter()
        .any(|section| section.name.as_slice() == TYPES_NEEDED.as_bytes());
    for section in &mut builder.sections {
        let name = section.name.as_slice();
        let table = name.strip_prefix(b".rela").unwrap_or(name);
        let cut = CUT.iter().any(|cut| cut.as_bytes() == table);
        section.delete = cut && !(types_needed && table == b".BTF");
    }
    builder.delete_orphans();
    let mut slim = Vec::new();
    builder.write(&mut slim).ok()?;
    Some(slim)
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
