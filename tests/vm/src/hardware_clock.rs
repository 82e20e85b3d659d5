//! The clock that a machine reads when it boots, set from outside: the registers of its MC146818, through QEMU's monitor.

use crate::Guest;

/// Ports of the index and of the data.
const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;
/// Register B: 24 hours, decimal digits; with the first bit, the clock stands still while it is set.
const REGISTER_B: u8 = 0x0b;
const RUNNING: u8 = 0x02;
const BEING_SET: u8 = 0x82;

const DAY_S: i64 = 86_400;

impl Guest {
    /// From its next boot on it is this time there, in seconds since 1970 UTC.
    ///
    /// # Panics
    /// When the monitor does not obey.
    pub fn set_hardware_clock(&self, time_s: i64) {
        let (days, second) = (time_s.div_euclid(DAY_S), time_s.rem_euclid(DAY_S));
        let (year, month, day) = date(days);
        let fields = [
            (0x00, second % 60),
            (0x02, second / 60 % 60),
            (0x04, second / 3600),
            // 1 is Sunday; the first day of 1970 was a Thursday.
            (0x06, (days + 4).rem_euclid(7) + 1),
            (0x07, day),
            (0x08, month),
            (0x09, year % 100),
            (0x32, year / 100),
        ];
        let digits = |value: i64| u8::try_from(value / 10 * 16 + value % 10).unwrap();
        // The machine's own programs use the same index.
        self.command("stop");
        self.register(REGISTER_B, BEING_SET);
        for (register, value) in fields {
            self.register(register, digits(value));
        }
        self.register(REGISTER_B, RUNNING);
        self.command("cont");
    }

    fn register(&self, register: u8, value: u8) {
        self.command(&format!("o /b {INDEX:#x} {register:#x}"));
        self.command(&format!("o /b {DATA:#x} {value:#x}"));
    }

    fn command(&self, command: &str) {
        assert_eq!(self.machine.monitor(command).unwrap(), "", "{command}");
    }
}

/// Year, month, day of a day since 1970 (Gregorian).
fn date(days: i64) -> (i64, i64, i64) {
    let is_leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let (mut year, mut left) = (1970, days);
    while left >= 365 + i64::from(is_leap(year)) {
        left -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + i64::from(is_leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for length in lengths {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    (year, month, left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_dates() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(19_782), (2024, 2, 29));
        assert_eq!(date(19_783), (2024, 3, 1));
        assert_eq!(date(20_819), (2027, 1, 1));
        assert_eq!(date(20_818), (2026, 12, 31));
    }
}
