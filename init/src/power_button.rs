//! The ACPI power button, as an input device (Documentation/input/input.rst).

use crate::carried;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// linux/input-event-codes.h
const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;
/// `struct input_event` on x86_64: 16 bytes of time, then type, code, value.
const EVENT_BYTES: usize = 24;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PowerButton {
    path: PathBuf,
    #[serde(with = "carried")]
    device: File,
}

impl PowerButton {
    /// Every input device that calls itself one.
    pub(crate) fn find() -> Vec<Self> {
        let Ok(inputs) = fs::read_dir("/sys/class/input") else {
            return Vec::new();
        };
        inputs
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("event"))
            .filter(|entry| {
                fs::read_to_string(entry.path().join("device/name"))
                    .is_ok_and(|name| name.trim() == "Power Button")
            })
            .filter_map(|entry| {
                let path = Path::new("/dev/input").join(entry.file_name());
                let flags = nix::libc::O_NONBLOCK;
                let device = OpenOptions::new()
                    .read(true)
                    .custom_flags(flags)
                    .open(&path)
                    .ok()?;
                Some(Self { path, device })
            })
            .collect()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Read what there is: was it pressed?
    pub(crate) fn pressed(&mut self) -> bool {
        let mut buffer = [0; EVENT_BYTES * 16];
        let mut pressed = false;
        while let Ok(bytes) = self.device.read(&mut buffer) {
            if bytes == 0 {
                break;
            }
            pressed |= buffer
                .get(..bytes)
                .unwrap_or_default()
                .chunks_exact(EVENT_BYTES)
                .any(is_press);
        }
        pressed
    }
}

impl AsFd for PowerButton {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

fn is_press(event: &[u8]) -> bool {
    let Some([kind_low, kind_high, code_low, code_high, value, ..]) = event.get(16..) else {
        return false;
    };
    u16::from_le_bytes([*kind_low, *kind_high]) == EV_KEY
        && u16::from_le_bytes([*code_low, *code_high]) == KEY_POWER
        && *value == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_press_is_told_from_a_release() {
        let mut event = [0; EVENT_BYTES];
        event[16] = 1;
        event[18] = 116;
        event[20] = 1;
        assert!(is_press(&event));
        event[20] = 0;
        assert!(!is_press(&event));
        assert!(!is_press(&event[..10]));
    }
}
