//! What a container says over its notify socket (sd_notify(3)): read, and nothing else. Pure.
//!
//! A message is lines of `NAME=VALUE`. What is not known, not understood or not text is passed over, line by line: a
//! container can say whatever it likes. At most one of each comes out of a message, so that none is more than a few events.

use crate::limits;
use supervisor::Notice;

/// One message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub ready: bool,
    reloading: bool,
    stopping: bool,
    watchdog: bool,
    /// Milliseconds.
    extend_timeout: Option<u64>,
    status: Option<String>,
}

impl Message {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut message = Self::default();
        let lines = bytes.split(|byte| *byte == b'\n');
        for line in lines.filter_map(|line| std::str::from_utf8(line).ok()) {
            let Some((name, value)) = line.split_once('=') else {
                continue;
            };
            match (name, value) {
                ("READY", "1") => message.ready = true,
                ("RELOADING", "1") => message.reloading = true,
                ("STOPPING", "1") => message.stopping = true,
                ("WATCHDOG", "1") => message.watchdog = true,
                ("STATUS", text) => message.status = Some(shown(text)),
                ("EXTEND_TIMEOUT_USEC", text) => {
                    if let Ok(microseconds) = text.parse::<u64>() {
                        let ms = microseconds.div_ceil(1000);
                        message.extend_timeout = Some(ms.min(unit::duration::MILLISECONDS_MAX));
                    }
                }
                // MAINPID and MAINPIDFD: the main process is the container's first one, whoever says otherwise.
                (_, _) => {}
            }
        }
        message
    }

    /// All but `READY=1`, which is an event of its own.
    pub(crate) fn notices(self) -> impl Iterator<Item = Notice> {
        let said = |said: bool, notice: Notice| said.then_some(notice);
        [
            self.status.map(Notice::Status),
            self.extend_timeout.map(Notice::ExtendTimeout),
            said(self.watchdog, Notice::Watchdog),
            said(self.reloading, Notice::Reloading),
            said(self.stopping, Notice::Stopping),
        ]
        .into_iter()
        .flatten()
    }
}

/// Fit to be shown in a line of ours.
fn shown(text: &str) -> String {
    let shown = |c: char| if c.is_control() { ' ' } else { c };
    text.chars()
        .take(limits::LINE_CHARS_MAX)
        .map(shown)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn notices(text: &[u8]) -> Vec<Notice> {
        Message::parse(text).notices().collect()
    }

    #[test]
    fn each_word_of_the_protocol_is_understood() {
        assert!(Message::parse(b"READY=1").ready);
        assert!(Message::parse(b"STATUS=up\nREADY=1\n").ready);
        let cases: [(&[u8], Notice); 6] = [
            (b"STATUS=3 of 4\tdone", Notice::Status("3 of 4 done".into())),
            (b"WATCHDOG=1\n", Notice::Watchdog),
            (b"EXTEND_TIMEOUT_USEC=1500001", Notice::ExtendTimeout(1501)),
            (b"RELOADING=1\nMONOTONIC_USEC=7\n", Notice::Reloading),
            (b"STOPPING=1", Notice::Stopping),
            (b"STATUS=", Notice::Status(String::new())),
        ];
        for (text, notice) in cases {
            assert_eq!(notices(text), [notice]);
            assert!(!Message::parse(text).ready);
        }
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        let text = b"MAINPID=1\nREADY=yes\nWATCHDOG=trigger\nEXTEND_TIMEOUT_USEC=-1\nFDSTORE=1\n\n=\nSTATUS=\xff\nready=1\n\
                     X_OWN=1\nSTOPPING=1\nREADY";
        assert_eq!(notices(text), [Notice::Stopping]);
        assert!(!Message::parse(text).ready);
        let far = format!("EXTEND_TIMEOUT_USEC={}", u64::MAX);
        let cut = Notice::ExtendTimeout(unit::duration::MILLISECONDS_MAX);
        assert_eq!(notices(far.as_bytes()), [cut]);
    }

    #[test]
    fn a_message_is_a_few_events_at_most() {
        let text = b"WATCHDOG=1\nSTATUS=a\n".repeat(100);
        assert_eq!(
            notices(&text),
            [Notice::Status("a".into()), Notice::Watchdog]
        );
    }

    proptest! {
        #[test]
        fn no_message_does_harm(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
            let message = Message::parse(&bytes);
            prop_assert!(message.notices().count() <= 5);
        }

        #[test]
        fn garbage_around_a_word_does_not_hide_it(
            before in proptest::collection::vec(any::<u8>(), 0..64),
            after in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let text = [&before[..], b"\nREADY=1\n", &after[..]].concat();
            prop_assert!(Message::parse(&text).ready);
        }

        #[test]
        fn a_status_is_one_line_that_can_be_shown(text in "\\PC*|[\\x00-\\x1f]*") {
            for notice in Message::parse(format!("STATUS={text}").as_bytes()).notices() {
                if let Notice::Status(status) = notice {
                    prop_assert!(status.chars().count() <= limits::LINE_CHARS_MAX);
                    prop_assert!(!status.chars().any(char::is_control));
                }
            }
        }
    }
}
