//! Lines that tell a human how far the work is.

use std::io::Write as _;

/// Prints one line. Nobody reading it is no reason to stop working.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
