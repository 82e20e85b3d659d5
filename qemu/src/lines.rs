//! Bytes of a serial console → lines.
//!
//! Carriage returns and the escape sequences of firmware are taken out. A program's line that the kernel spoke into is put
//! together again: the kernel prints its messages at once and whole, while what a program has written still waits in the
//! line's buffer.
//!
//! ```text
//! keelson: network: eth0 10.0.2.15[    2.764808] virtio_net: …        [    2.764808] virtio_net: …
//! /24 gateway 10.0.2.2 by dhcp                                    ─▶  keelson: network: eth0 10.0.2.15/24 gateway …
//! ```

/// Bytes of a line; more is cut into several.
const LINE_BYTES_MAX: usize = 4096;

/// What has no line feed yet is kept.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
    escape: Escape,
    /// The begin of a program's line that a message of the kernel came into.
    torn: Option<String>,
}

/// ECMA-48: `ESC [ parameters final`, or `ESC` and one character.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    #[default]
    None,
    Begun,
    Control,
}

impl Lines {
    /// The lines that these bytes finish.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            match (self.escape, byte) {
                (Escape::None, b'\n') => self.finish(&mut lines),
                (Escape::None, 0x1b) => self.escape = Escape::Begun,
                (Escape::None, b'\r' | 0) => {}
                (Escape::None, _) => {
                    self.line.push(byte);
                    if self.line.len() >= LINE_BYTES_MAX {
                        self.finish(&mut lines);
                    }
                }
                (Escape::Begun, b'[') => self.escape = Escape::Control,
                (Escape::Begun, _) | (Escape::Control, 0x40..=0x7e) => self.escape = Escape::None,
                (Escape::Control, _) => {}
            }
        }
        lines
    }

    /// What has no line feed yet.
    pub(crate) fn unfinished(&self) -> String {
        let line = String::from_utf8_lossy(&self.line);
        match &self.torn {
            Some(begin) if stamp(&line) == Some(0) => begin.clone(),
            Some(begin) => format!("{begin}{line}"),
            None => line.into_owned(),
        }
    }

    fn finish(&mut self, lines: &mut Vec<String>) {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        match stamp(&line) {
            Some(0) => lines.push(line),
            Some(at) => {
                let (program, kernel) = line.split_at(at);
                self.torn.get_or_insert_default().push_str(program);
                lines.push(kernel.to_owned());
            }
            None => lines.push(self.torn.take().unwrap_or_default() + &line),
        }
    }
}

/// Where the time of a message of the kernel begins (`printk.time`): `[    2.764808] `, seconds padded to five.
fn stamp(line: &str) -> Option<usize> {
    const FRACTION_DIGITS: usize = 6;
    let is_stamp = |rest: &str| {
        let Some((time, _)) = rest.split_once("] ") else {
            return false;
        };
        let Some((seconds, fraction)) = time.trim_start().split_once('.') else {
            return false;
        };
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits(seconds) && digits(fraction) && fraction.len() == FRACTION_DIGITS
    };
    line.match_indices('[')
        .map(|(at, _)| at)
        .find(|at| is_stamp(&line[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_carriage_returns_are_taken_out() {
        let mut lines = Lines::default();
        let finished = lines.push(b"\x1b[2J\x1b[01;01HBdsDxe: loading\r\nkeelson: sta");
        assert_eq!(finished, ["BdsDxe: loading"]);
        assert_eq!(lines.unfinished(), "keelson: sta");
        let finished = lines.push(b"ge early ok 3 ms\n");
        assert_eq!(finished, ["keelson: stage early ok 3 ms"]);
    }

    #[test]
    fn a_line_that_the_kernel_spoke_into_is_whole_again() {
        let mut lines = Lines::default();
        let finished = lines.push(
            b"keelson: stage sto[   12.764808] EXT4-fs (vda3): unmounting\r\n\
              [  112.764809] another\r\np ok [12345.000001] a third\r\n",
        );
        let kernel = [
            "[   12.764808] EXT4-fs (vda3): unmounting",
            "[  112.764809] another",
            "[12345.000001] a third",
        ];
        assert_eq!(finished, kernel);
        assert_eq!(lines.unfinished(), "keelson: stage stop ok ");
        assert!(lines.push(b"[   12.9").is_empty());
        assert_eq!(lines.unfinished(), "keelson: stage stop ok [   12.9");
        assert_eq!(lines.push(b"00000] x\n"), ["[   12.900000] x"]);
        assert_eq!(lines.push(b"8 ms\r\n"), ["keelson: stage stop ok 8 ms"]);
        assert_eq!(lines.push(b"next\n"), ["next"]);
    }

    #[test]
    fn one_that_is_torn_before_its_line_feed_is_whole_too() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"ready[    2.764808] x\n"), ["[    2.764808] x"]);
        assert_eq!(
            lines.push(b"\r\n[    2.9] of a program\n"),
            ["ready", "[    2.9] of a program"]
        );
    }

    #[test]
    fn brackets_of_programs_are_no_time() {
        let mut lines = Lines::default();
        for text in [
            "a [::1] b",
            "[12:34:56.123456] c",
            "d [ 3.5] e",
            "[",
            "f [1.234567]g",
        ] {
            assert_eq!(lines.push(format!("{text}\n").as_bytes()), [text]);
        }
    }
}
