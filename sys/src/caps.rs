//! Capabilities of the calling process (capabilities(7)).

use std::io;

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
    fn sets_are_bits_as_the_kernel_shows_them() {
        let set = Capabilities::of(&[number::CHOWN, number::SETFCAP, 40]);
        assert_eq!(set.bits(), 0x100_8000_0001);
        assert_eq!((set.low(), set.high()), (0x8000_0001, 0x100));
    }
}
