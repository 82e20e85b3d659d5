//! The GUID partition table (UEFI specification 2.10, section 5.3): read, checked, made, grown.
//!
//! ```text
//! LBA 0      1        2 … 33           34 …                          last-32 …      last
//! ┌────────┬────────┬────────────────┬─────────────────────────────┬──────────────┬────────┐
//! │ MBR    │ header │ entries        │ partitions                  │ entries      │ header │
//! └────────┴────────┴────────────────┴─────────────────────────────┴──────────────┴────────┘
//!           └──── primary ──────────┘                               └────── backup ───────┘
//! ```
//!
//! Invariants: a table that [`read`] returns has passed every checksum and range of one copy, its partitions do not
//! overlap. [`Table::grown`] never moves the start of a partition and never shortens one. Whoever writes a table writes
//! and syncs the backup before the primary: at every moment one copy is whole.
//!
//! ```text
//! disk ─▶ read ─▶ header (of either copy) ─▶ partition ─▶ Table ─▶ new, append, grown ─▶ layout ─▶ bytes to write
//! ```

mod bytes;
mod error;
mod geometry;
mod guid;
mod header;
mod layout;
mod partition;
mod read;
mod table;
#[cfg(test)]
mod tests;

pub use error::GptError;
pub use guid::{BIOS_BOOT, EFI_SYSTEM, Guid, STATE, STATE_NAME};
pub use layout::Layout;
pub use partition::Partition;
pub use read::{Health, read};
pub use table::Table;

const SIGNATURE: &[u8; 8] = b"EFI PART";
/// Bytes of a header that are used and summed.
const HEADER_SIZE: u32 = 92;
/// Bytes of an entry in the tables that we make: the least that the specification allows, as is their number.
const ENTRY_SIZE: u32 = 128;
const SLOTS: u32 = 128;
