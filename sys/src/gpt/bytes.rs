//! Numbers of the disk, which are little-endian.

use super::Guid;

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let field = bytes.get(offset..offset.checked_add(4)?)?;
    Some(u32::from_le_bytes(field.try_into().ok()?))
}

pub(super) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let field = bytes.get(offset..offset.checked_add(8)?)?;
    Some(u64::from_le_bytes(field.try_into().ok()?))
}

pub(super) fn guid_at(bytes: &[u8], offset: usize) -> Option<Guid> {
    let field = bytes.get(offset..offset.checked_add(16)?)?;
    Some(Guid(field.try_into().ok()?))
}
