//! The hardware watchdog (Documentation/watchdog/watchdog-api.rst): fed, or the machine is reset.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// `_IOR('W', 2, int)`
const WDIOC_GETBOOTSTATUS: u32 = 0x8004_5702;
/// `_IOWR('W', 6, int)`
const WDIOC_SETTIMEOUT: u32 = 0xc004_5706;
/// The last boot was ended by the watchdog.
const WDIOF_CARDRESET: i32 = 0x0020;

/// An open watchdog: it runs until it is disarmed.
#[derive(Debug)]
pub struct Watchdog {
    device: File,
    /// Seconds, as the hardware rounded them.
    pub timeout_s: i32,
}

impl Watchdog {
    /// Arm it. The hardware may round the timeout; some has a fixed one, which then holds.
    ///
    /// # Errors
    /// As open(2): `ENOENT` without such hardware, `EBUSY` when somebody feeds it already.
    pub fn arm(path: &Path, timeout_s: i32) -> io::Result<Self> {
        let device = OpenOptions::new().write(true).open(path)?;
        let mut watchdog = Self { device, timeout_s };
        // The kernel's word for what can't be set is `timeout_s` as it was asked for.
        let _ = watchdog.set_timeout(timeout_s);
        Ok(watchdog)
    }

    /// From now on it waits so long.
    ///
    /// # Errors
    /// As ioctl(2): `EINVAL` beyond what the hardware can count, `EOPNOTSUPP` when it can't be set.
    pub fn set_timeout(&mut self, timeout_s: i32) -> io::Result<()> {
        self.timeout_s = self.ioctl(WDIOC_SETTIMEOUT, timeout_s)?;
        Ok(())
    }

    /// It was this watchdog that ended the last boot, as far as the hardware can tell.
    #[must_use]
    pub fn has_reset_the_machine(&self) -> bool {
        let status = self.ioctl(WDIOC_GETBOOTSTATUS, 0).unwrap_or(0);
        status & WDIOF_CARDRESET != 0
    }

    /// One that was armed by the program before this one, in this process.
    #[must_use]
    pub fn armed(device: OwnedFd, timeout_s: i32) -> Self {
        Self {
            device: File::from(device),
            timeout_s,
        }
    }

    /// Say that we live.
    ///
    /// # Errors
    /// As write(2).
    pub fn feed(&mut self) -> io::Result<()> {
        self.device.write_all(b"k")
    }

    /// Stop it before the machine is switched off on purpose (the magic character).
    ///
    /// # Errors
    /// As write(2).
    pub fn disarm(mut self) -> io::Result<()> {
        self.device.write_all(b"V")
    }

    fn ioctl(&self, request: u32, mut number: i32) -> io::Result<i32> {
        // SAFETY: both requests read or write one int through the pointer.
        let done = unsafe {
            libc::ioctl(
                self.device.as_raw_fd(),
                request as libc::Ioctl,
                std::ptr::from_mut(&mut number),
            )
        };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(number)
    }
}

impl AsFd for Watchdog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}
