//! Capabilities of the calling process (capabilities(7)).

use std::io;
use std::path::Path;

/// A set of capabilities, one bit each, as /proc/PID/status shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    pub const NONE: Self = Self(0);

    /// From their numbers in linux/capability.h.
    #[must_use]
    pub const fn of(numbers: &[u32]) -> Self {
        let mut bits = 0;
        let mut rest = numbers;
        while let [first, more @ ..] = rest {
            bits |= 1 << *first;
            rest = more;
        }
        Self(bits)
    }

    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Those that the other set has not.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// As setcap(8) writes them, in the order of their numbers; what has no name yet is a number.
    #[must_use]
    pub fn names(self) -> Vec<String> {
        let numbers = (0..u64::BITS).filter(|number| self.has(*number));
        numbers
            .map(|number| {
                let place = usize::try_from(number).unwrap_or(usize::MAX);
                match NAMES.get(place) {
                    Some(name) => format!("cap_{name}"),
                    None => number.to_string(),
                }
            })
            .collect()
    }

    const fn has(self, number: u32) -> bool {
        self.0 & (1 << number) != 0
    }

    fn low(self) -> u32 {
        u32::try_from(self.0 & u64::from(u32::MAX)).unwrap_or(0)
    }

    fn high(self) -> u32 {
        u32::try_from(self.0 >> 32).unwrap_or(0)
    }
}

/// By their numbers in linux/capability.h.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// What a program file is to get, by its `security.capability` (capabilities(7), "File capability extended attribute
/// versioning"); none when it has no such attribute.
///
/// # Errors
/// As getxattr(2).
pub fn of_file(path: &Path) -> io::Result<Option<Capabilities>> {
    let value = crate::xattr::of_path(path, c"security.capability", FILE_BYTES_MAX)?;
    Ok(value.as_deref().and_then(permitted))
}

/// Size of version 3, the longest.
const FILE_BYTES_MAX: usize = 24;
/// VFS_CAP_REVISION_1, with half of the sets.
const FILE_VERSION_1: u32 = 0x0100_0000;
/// VFS_CAP_REVISION_MASK.
const FILE_VERSION_MASK: u32 = 0xff00_0000;

/// The permitted set of a `vfs_cap_data`: version and flags, then permitted and inheritable by turns, low half first.
fn permitted(data: &[u8]) -> Option<Capabilities> {
    let mut words = data.chunks_exact(4).map(|word| match word {
        [a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]),
        _ => 0,
    });
    let version = words.next()? & FILE_VERSION_MASK;
    let low = words.next()?;
    let high = if version == FILE_VERSION_1 {
        0
    } else {
        words.nth(1)?
    };
    Some(Capabilities(u64::from(high) << 32 | u64::from(low)))
}

/// Numbers of linux/capability.h.
pub mod number {
    pub const CHOWN: u32 = 0;
    pub const DAC_OVERRIDE: u32 = 1;
    pub const FOWNER: u32 = 3;
    pub const FSETID: u32 = 4;
    pub const KILL: u32 = 5;
    pub const SETGID: u32 = 6;
    pub const SETUID: u32 = 7;
    pub const SETPCAP: u32 = 8;
    pub const NET_BIND_SERVICE: u32 = 10;
    pub const NET_RAW: u32 = 13;
    pub const SYS_CHROOT: u32 = 18;
    pub const MKNOD: u32 = 27;
    pub const AUDIT_WRITE: u32 = 29;
    pub const SETFCAP: u32 = 31;
}

/// Take everything but `keep` out of the bounding set: no later execve(2) can give it back. Needs `CAP_SETPCAP`.
///
/// # Errors
/// As prctl(2) `PR_CAPBSET_DROP`.
pub fn limit_bounding_set(keep: Capabilities) -> io::Result<()> {
    for number in (0..u64::BITS).filter(|number| !keep.has(*number)) {
        // SAFETY: prctl(2) with integers.
        let done =
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) };
        if done < 0 {
            let error = io::Error::last_os_error();
            // Numbers from here upward mean nothing to this kernel.
            if error.raw_os_error() == Some(libc::EINVAL) && number > number::SETFCAP {
                return Ok(());
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Permitted and effective become `keep`, inheritable and ambient become empty (capset(2)).
///
/// # Errors
/// `EPERM` when `keep` has one that is not permitted now.
pub fn set(keep: Capabilities) -> io::Result<()> {
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let data = [
        Data {
            effective: keep.low(),
            permitted: keep.low(),
            inheritable: 0,
        },
        Data {
            effective: keep.high(),
            permitted: keep.high(),
            inheritable: 0,
        },
    ];
    // SAFETY: version 3 of the call reads one header and two data blocks, which is what it is given.
    let done =
        unsafe { libc::syscall(libc::SYS_capset, std::ptr::from_ref(&header), data.as_ptr()) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: prctl(2) with integers.
    let done = unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong,
            0,
            0,
            0,
        )
    };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_capabilities_are_read_in_each_version() {
        let words =
            |list: &[u32]| -> Vec<u8> { list.iter().flat_map(|word| word.to_le_bytes()).collect() };
        let names = |list: &[u32]| permitted(&words(list)).unwrap().names();
        assert_eq!(names(&[0x0100_0001, 1 << 14, 0]), ["cap_ipc_lock"]);
        let two = [0x0200_0001, 1 << 14 | 1 << 12, 1, 1 << 6, 0];
        assert_eq!(
            names(&two),
            ["cap_net_admin", "cap_ipc_lock", "cap_perfmon"]
        );
        assert_eq!(names(&[0x0300_0001, 0, 0, 1 << 9, 0, 1000]), ["41"]);
        assert_eq!(permitted(&words(&[0x0200_0001, 1])), None);
    }

    #[test]
    fn sets_are_bits_as_the_kernel_shows_them() {
        let set = Capabilities::of(&[number::CHOWN, number::SETFCAP, 40]);
        assert_eq!(set.bits(), 0x100_8000_0001);
        assert_eq!((set.low(), set.high()), (0x8000_0001, 0x100));
    }
}
