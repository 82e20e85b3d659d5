//! GUIDs, and those of the partitions that a release's disk has.

use std::fmt;

/// A GUID in the byte order of the disk (first three groups little-endian).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Guid(pub [u8; 16]);

/// EFI system partition.
pub const EFI_SYSTEM: Guid = Guid::from_fields(0xc12a_7328, 0xf81f, 0x11d2, 0xba4b_00a0_c93e_c93b);
/// BIOS boot partition (GRUB and its like).
pub const BIOS_BOOT: Guid = Guid::from_fields(0x2168_6148, 0x6449, 0x6e6f, 0x744e_6565_6445_4649);
/// `/var` of the Discoverable Partitions Specification: our state partition.
pub const STATE: Guid = Guid::from_fields(0x4d21_b016, 0xb534, 0x45c2, 0xa9fb_5c16_e091_fd2d);
/// Name of the state partition, by which it is told from another system's `/var`.
pub const STATE_NAME: &str = "keelson-state";

impl Guid {
    /// From the four groups as they are written, the last two joined.
    #[must_use]
    pub const fn from_fields(a: u32, b: u16, c: u16, d: u64) -> Self {
        let [a0, a1, a2, a3] = a.to_le_bytes();
        let [b0, b1] = b.to_le_bytes();
        let [c0, c1] = c.to_le_bytes();
        let [d0, d1, d2, d3, d4, d5, d6, d7] = d.to_be_bytes();
        Self([
            a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, d2, d3, d4, d5, d6, d7,
        ])
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a0, a1, a2, a3, b0, b1, c0, c1, rest @ ..] = self.0;
        let (a, b, c) = (
            u32::from_le_bytes([a0, a1, a2, a3]),
            u16::from_le_bytes([b0, b1]),
            u16::from_le_bytes([c0, c1]),
        );
        let d = u64::from_be_bytes(rest);
        write!(
            f,
            "{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}",
            d >> 48,
            d & 0xffff_ffff_ffff
        )
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
