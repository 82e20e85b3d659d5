//! Signals by name or number, as on Linux x86_64 and aarch64: signal(7).

use crate::fault::Fault;
use crate::nearest::nearest;

const NAMES: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// What programs in containers mean by SIGRTMIN: the GNU C library and Docker's table (the kernel's 32 and 33 belong
/// to the threads library).
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

/// `SIGTERM`; `signal 35` for one without a name.
#[must_use]
pub fn display(signal: i32) -> String {
    let known = NAMES.iter().find(|(_, number)| *number == signal);
    known.map_or_else(
        || format!("signal {signal}"),
        |(name, _)| format!("SIG{name}"),
    )
}

/// `SIGTERM`, `term`, `15`, `SIGRTMIN+3`.
pub fn parse(text: &str) -> Result<i32, Fault> {
    let fault = || {
        Fault::new(
            "is not a signal",
            "a name or number: \"SIGTERM\", \"15\", \"SIGRTMIN+3\"",
        )
    };
    if let Ok(number) = text.parse::<i32>() {
        return (1..=RTMAX)
            .contains(&number)
            .then_some(number)
            .ok_or_else(fault);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
        return Ok(*number);
    }
    if let Some(number) = real_time(name) {
        return Ok(number);
    }
    let near = nearest(name, NAMES.iter().map(|(known, _)| *known));
    Err(near.map_or_else(fault, |near| {
        fault().hint(format!("a signal with a similar name exists: `SIG{near}`"))
    }))
}

fn real_time(name: &str) -> Option<i32> {
    let offset = |text: &str, sign: char| match text {
        "" => Some(0),
        _ => text
            .strip_prefix(sign)?
            .parse::<i32>()
            .ok()
            .filter(|offset| (0..=RTMAX - RTMIN).contains(offset)),
    };
    if let Some(rest) = name.strip_prefix("RTMIN") {
        return Some(RTMIN + offset(rest, '+')?);
    }
    Some(RTMAX - offset(name.strip_prefix("RTMAX")?, '-')?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_many_spellings() {
        for text in ["SIGTERM", "TERM", "term", "sigterm", "15"] {
            assert_eq!(parse(text), Ok(15), "{text}");
        }
        assert_eq!(parse("SIGRTMIN+3"), Ok(37));
        assert_eq!(parse("RTMAX-1"), Ok(63));
        for bad in [
            "",
            "0",
            "65",
            "-1",
            "SIGFOO",
            "SIGRTMIN+31",
            "RTMIN-1",
            "SIG",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(
            parse("SIGTREM")
                .unwrap_err()
                .hint
                .unwrap()
                .contains("SIGTERM")
        );
    }
}
