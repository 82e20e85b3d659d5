//! Which QEMU the machine has, and what has to be worked around in it.

use crate::run;
use std::process::Command;

/// The emulator.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// From this major version on, emulated (TCG) guests with Linux 6.12 are stable. 7.2 breaks `cmpxchg16b` now and then
/// (4 crashes in 25 boots, none in 25 with `cx16` masked, none in 25 with 10.0).
pub const SOUND_SINCE: u32 = 8;

/// An older one ends with an error when it is told of the newest flags.
const NAMES_FZRM_SINCE: u32 = 9;

/// Version of the installed emulator as (major, minor); `None` when it is missing or says nothing we can read.
#[must_use]
pub fn version() -> Option<(u32, u32)> {
    let text = run::output(Command::new(PROGRAM).arg("--version")).ok()?;
    parse_version(text.split("version ").nth(1)?)
}

/// Features to take from an emulated CPU: the tail of a `-cpu` argument.
///
/// - `cx16`: see [`SOUND_SINCE`].
/// - `erms`, `fsrm`, `fsrs`, `fzrm`: "string instructions of single bytes are fast", so the kernel copies and clears pages
///   with them; but the translator executes them byte by byte. Without the flags the kernel moves eight bytes at a time.
#[must_use]
pub fn masked_features() -> &'static str {
    match version() {
        Some((major, _)) if major >= NAMES_FZRM_SINCE => ",-erms,-fsrm,-fsrs,-fzrm",
        Some((major, _)) if major >= SOUND_SINCE => ",-erms,-fsrm",
        _ => ",-erms,-fsrm,-cx16",
    }
}

/// The first two numbers of a version such as `10.0.2+ds` or `1:7.2+dfsg-7` (an epoch is passed over).
pub(crate) fn parse_version(text: &str) -> Option<(u32, u32)> {
    let text = text.split_once(':').map_or(text, |(_, rest)| rest);
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    let major = numbers.next()?.parse().ok()?;
    let minor = numbers
        .next()
        .and_then(|word| word.parse().ok())
        .unwrap_or(0);
    Some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_program_and_package_are_read() {
        assert_eq!(
            parse_version("10.0.2 (Debian 1:10.0.2+ds-2)"),
            Some((10, 0))
        );
        assert_eq!(parse_version("1:7.2+dfsg-7+deb12u18"), Some((7, 2)));
        assert_eq!(parse_version("(none)"), None);
    }
}
