//! Which devices the processes of a cgroup may use (cgroup-v2.rst, "Device controller"): a BPF program of the type
//! `BPF_PROG_TYPE_CGROUP_DEVICE`, which the kernel asks before it opens or makes a device file.
//!
//! ```text
//! mknod alone ──▶ allowed (a node is only a name)      read or write ──▶ allowed if a rule has it, else EPERM
//! ```
//!
//! Without it, who has `CAP_MKNOD` could make a node for the machine's disk and read it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Character devices that may be read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CharacterDevices {
    pub major: u8,
    /// None: all of them.
    pub minor: Option<u8>,
}

/// What containers may read and write, as Docker's and podman's may (moby, oci/devices): null, zero, full, random, urandom, tty,
/// /dev/console, every ptmx, and the terminals that they make.
pub const OF_CONTAINERS: [CharacterDevices; 9] = [
    one(1, 3),
    one(1, 5),
    one(1, 7),
    one(1, 8),
    one(1, 9),
    one(5, 0),
    one(5, 1),
    one(5, 2),
    CharacterDevices {
        major: 136,
        minor: None,
    },
];

const fn one(major: u8, minor: u8) -> CharacterDevices {
    CharacterDevices {
        major,
        minor: Some(minor),
    }
}

/// Let the processes of this group and below use these character devices and no other device. The program stays until
/// the group is removed; programs of groups further down can only take more away.
///
/// # Errors
/// As bpf(2): `EINVAL` on a kernel without `CONFIG_CGROUP_BPF`.
pub fn attach(cgroup: BorrowedFd<'_>, allowed: &[CharacterDevices]) -> io::Result<()> {
    let program = load(&compile(allowed))?;
    let mut attributes = AttachAttributes {
        target: raw(cgroup),
        program: raw(std::os::fd::AsFd::as_fd(&program)),
        kind: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
        replace: 0,
    };
    bpf(BPF_PROG_ATTACH, &mut attributes)?;
    Ok(())
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;

/// `struct bpf_insn` of linux/bpf.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    /// Destination in the low four bits, source in the high ones.
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: to | from << 4,
        offset,
        immediate,
    }
}

/// Opcodes of Documentation/bpf/standardization/instruction-set.rst.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xbf;
const MOVE_IMMEDIATE: u8 = 0xb7;
const SHIFT_RIGHT: u8 = 0x77;
const AND: u8 = 0x57;
const JUMP_IF_EQUAL: u8 = 0x15;
const JUMP_IF_NOT_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

/// Registers: result, context, then ours.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
/// `BPF_DEVCG_DEV_CHAR`, `BPF_DEVCG_ACC_MKNOD`.
const CHARACTER: i32 = 2;
const MKNOD: i32 = 1;

/// Reads `struct bpf_cgroup_dev_ctx`: access << 16 | type, major, minor. Jumps go forward over at most one block each, so
/// that no offset depends on the number of rules.
fn compile(allowed: &[CharacterDevices]) -> Vec<Instruction> {
    let allow = [
        instruction(MOVE_IMMEDIATE, RESULT, 0, 0, 1),
        instruction(EXIT, 0, 0, 0, 0),
    ];
    let deny = [
        instruction(MOVE_IMMEDIATE, RESULT, 0, 0, 0),
        instruction(EXIT, 0, 0, 0, 0),
    ];
    let mut program = vec![
        instruction(LOAD_WORD, KIND, CONTEXT, 0, 0),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
        instruction(MOVE, ACCESS, KIND, 0, 0),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(JUMP_IF_NOT_EQUAL, ACCESS, 0, 2, MKNOD),
    ];
    program.extend(allow);
    program.push(instruction(JUMP_IF_EQUAL, KIND, 0, 2, CHARACTER));
    program.extend(deny);
    for rule in allowed {
        let over = if rule.minor.is_some() { 3 } else { 2 };
        program.push(instruction(
            JUMP_IF_NOT_EQUAL,
            MAJOR,
            0,
            over,
            rule.major.into(),
        ));
        program.extend(
            rule.minor
                .map(|minor| instruction(JUMP_IF_NOT_EQUAL, MINOR, 0, 2, minor.into())),
        );
        program.extend(allow);
    }
    program.extend(deny);
    program
}

/// The part of `union bpf_attr` for BPF_PROG_LOAD, as of Linux 4.17.
#[repr(C)]
struct LoadAttributes {
    kind: u32,
    instructions: u32,
    program: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_kind: u32,
}

/// The part of `union bpf_attr` for BPF_PROG_ATTACH.
#[repr(C)]
struct AttachAttributes {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replace: u32,
}

fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let license = c"Apache-2.0";
    let mut attributes = LoadAttributes {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        instructions: u32::try_from(program.len()).unwrap_or(u32::MAX),
        program: program.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: *b"keelson_devices\0",
        interface: 0,
        attach_kind: BPF_CGROUP_DEVICE,
    };
    let number = bpf(BPF_PROG_LOAD, &mut attributes)?;
    // SAFETY: the kernel has just made this descriptor (close-on-exec) for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// bpf(2) with one of the structures above.
fn bpf<Attributes>(command: libc::c_int, attributes: &mut Attributes) -> io::Result<RawFd> {
    // SAFETY: the kernel reads as many bytes as it is told, which is the size of the structure; what its pointers lead
    // to (instructions, license) lives in the callers until this returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            std::mem::size_of::<Attributes>(),
        )
    };
    match RawFd::try_from(result) {
        Ok(number @ 0..) => Ok(number),
        _ => Err(io::Error::last_os_error()),
    }
}

fn raw(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd().cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel would run it; only the opcodes that are used.
    fn asks(program: &[Instruction], access: u32, kind: u32, major: u32, minor: u32) -> bool {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [0u64; 6];
        let mut at = 0;
        loop {
            let step = program[at];
            let (to, from) = (
                usize::from(step.registers & 15),
                usize::from(step.registers >> 4),
            );
            let immediate = u64::from(step.immediate.cast_unsigned());
            let mut jump = false;
            match step.code {
                LOAD_WORD => {
                    registers[to] = context[usize::try_from(step.offset).unwrap() / 4].into()
                }
                MOVE => registers[to] = registers[from],
                MOVE_IMMEDIATE => registers[to] = immediate,
                SHIFT_RIGHT => registers[to] >>= immediate,
                AND => registers[to] &= immediate,
                JUMP_IF_EQUAL => jump = registers[to] == immediate,
                JUMP_IF_NOT_EQUAL => jump = registers[to] != immediate,
                EXIT => return registers[0] == 1,
                other => panic!("opcode {other:#x}"),
            }
            at += 1 + if jump {
                usize::try_from(step.offset).unwrap()
            } else {
                0
            };
        }
    }

    #[test]
    fn only_what_a_rule_has_can_be_used() {
        let program = compile(&[
            CharacterDevices {
                major: 1,
                minor: Some(3),
            },
            CharacterDevices {
                major: 136,
                minor: None,
            },
        ]);
        let (block, character, mknod, read, write) = (1, 2, 1, 2, 4);
        assert!(asks(&program, read, character, 1, 3));
        assert!(asks(&program, read | write, character, 1, 3));
        assert!(asks(&program, write, character, 136, 17));
        assert!(!asks(&program, read, character, 1, 1));
        assert!(!asks(&program, read, character, 2, 3));
        assert!(!asks(&program, read, block, 1, 3));
        assert!(!asks(&program, mknod | read, block, 254, 0));
        assert!(
            asks(&program, mknod, block, 254, 0),
            "a node alone is harmless"
        );
    }
}
