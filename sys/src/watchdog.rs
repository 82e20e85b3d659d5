//! The hardware watchdog (Documentation/watchdog/watchdog-api.rst): fed, or the machine is reset.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::Path;

/// `_IOWR('W', 6, int)`
const WDIOC_SETTIMEOUT: u32 = 0xc004_5706;

/// An open watchdog: it runs until it is disarmed.
#[derive(Debug)]
pub struct Watchdog {
    device: File,
    /// Seconds, as the hardware rounded them.
    pub timeout_s: i32,
}

impl Watchdog {
    /// Arm it. The hardware may round the timeout.
    ///
    /// # Errors
    /// As open(2): `ENOENT` without such hardware.
    pub fn arm(path: &Path, timeout_s: i32) -> io::Result<Self> {
        let device = OpenOptions::new().write(true).open(path)?;
        let mut seconds = timeout_s;
        // SAFETY: the kernel reads and writes one int through the pointer.
        let done = unsafe {
            libc::ioctl(
                device.as_raw_fd(),
                WDIOC_SETTIMEOUT as libc::Ioctl,
                std::ptr::from_mut(&mut seconds),
            )
        };
        // Hardware with a fixed timeout refuses (EOPNOTSUPP): then its own holds.
        let timeout_s = if done < 0 { timeout_s } else { seconds };
        Ok(Self { device, timeout_s })
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
}
