//! QEMU's monitor (docs/interop/qmp-spec): one JSON object per line, a greeting, capabilities, then commands.
//!
//! A connection lives for a few commands; events are passed over, since the process and the console tell the same. What only
//! an event tells is waited for with [`Events`].

use serde_json::{Value, json};
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The monitor answers between two translations of guest code; on an overloaded host that takes a while.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub enum QmpError {
    Io(io::Error),
    /// It said something that is not QMP.
    Malformed {
        line: String,
    },
    Refused {
        command: String,
        reason: String,
    },
}

/// QEMU's events from now on; nobody else reaches the monitor until it is dropped.
#[derive(Debug)]
pub struct Events {
    qmp: Qmp,
}

impl Events {
    pub(crate) fn of(qmp: Qmp) -> Self {
        Self { qmp }
    }

    /// Wait for the next event of this name (`WATCHDOG`, `RESET`, …); its `data`.
    ///
    /// # Errors
    /// When it does not come in time, or QEMU ends.
    pub fn next(&mut self, name: &str, timeout: Duration) -> Result<Value, QmpError> {
        let deadline = Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(QmpError::Io(io::ErrorKind::TimedOut.into()));
            }
            let stream = self.qmp.reader.get_ref();
            stream.set_read_timeout(Some(left)).map_err(QmpError::Io)?;
            let mut said = self.qmp.read()?;
            if said.get("event").and_then(Value::as_str) == Some(name) {
                return Ok(said.get_mut("data").map(Value::take).unwrap_or_default());
            }
        }
    }
}

impl fmt::Display for QmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "QEMU's monitor does not answer: {error}"),
            Self::Malformed { line } => write!(f, "QEMU's monitor answers `{line}`"),
            Self::Refused { command, reason } => write!(f, "QEMU refuses `{command}`: {reason}"),
        }
    }
}

impl std::error::Error for QmpError {}

#[derive(Debug)]
pub(crate) struct Qmp {
    reader: BufReader<UnixStream>,
    /// The monitor talks to one client at a time: it is ours while this is held.
    _lock: Option<File>,
}

impl Qmp {
    pub(crate) fn start(stream: UnixStream, lock: Option<File>) -> Result<Self, QmpError> {
        stream
            .set_read_timeout(Some(ANSWER_TIMEOUT))
            .map_err(QmpError::Io)?;
        stream
            .set_write_timeout(Some(ANSWER_TIMEOUT))
            .map_err(QmpError::Io)?;
        let mut qmp = Self {
            reader: BufReader::new(stream),
            _lock: lock,
        };
        let greeting = qmp.read()?;
        if greeting.get("QMP").is_none() {
            return Err(QmpError::Malformed {
                line: greeting.to_string(),
            });
        }
        qmp.execute("qmp_capabilities", None)?;
        Ok(qmp)
    }

    /// Execute a command; its `return`.
    pub(crate) fn execute(
        &mut self,
        command: &str,
        arguments: Option<Value>,
    ) -> Result<Value, QmpError> {
        let mut request = json!({ "execute": command });
        if let (Some(arguments), Some(request)) = (arguments, request.as_object_mut()) {
            request.insert("arguments".to_owned(), arguments);
        }
        let line = format!("{request}\n");
        self.reader
            .get_mut()
            .write_all(line.as_bytes())
            .map_err(QmpError::Io)?;
        loop {
            let mut answer = self.read()?;
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
            if let Some(error) = answer.get("error") {
                let reason = error
                    .get("desc")
                    .and_then(Value::as_str)
                    .unwrap_or("no reason given")
                    .to_owned();
                return Err(QmpError::Refused {
                    command: command.to_owned(),
                    reason,
                });
            }
        }
    }

    /// A command of the human monitor; what it prints. Commands that succeed print nothing.
    pub(crate) fn human(&mut self, line: &str) -> Result<String, QmpError> {
        let answer = self.execute(
            "human-monitor-command",
            Some(json!({ "command-line": line })),
        )?;
        Ok(answer.as_str().unwrap_or_default().trim().to_owned())
    }

    fn read(&mut self) -> Result<Value, QmpError> {
        let mut line = String::new();
        let bytes = self.reader.read_line(&mut line).map_err(QmpError::Io)?;
        if bytes == 0 {
            return Err(QmpError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_str(&line).map_err(|_| QmpError::Malformed {
            line: line.trim().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A monitor that says these lines, and what it was told.
    fn monitor(
        lines: &'static [&'static str],
    ) -> (UnixStream, std::thread::JoinHandle<Vec<String>>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let told = std::thread::spawn(move || {
            let mut reader = BufReader::new(theirs);
            let mut told = Vec::new();
            for (index, line) in lines.iter().enumerate() {
                if index > 0 {
                    let mut text = String::new();
                    reader.read_line(&mut text).unwrap();
                    told.push(text);
                }
                reader
                    .get_mut()
                    .write_all(format!("{line}\r\n").as_bytes())
                    .unwrap();
            }
            told
        });
        (ours, told)
    }

    #[test]
    fn events_between_command_and_answer_are_passed_over() {
        let lines = &[
            r#"{"QMP": {"version": {}}}"#,
            r#"{"return": {}}"#,
            "{\"event\": \"POWERDOWN\", \"timestamp\": {}}\r\n{\"return\": {}}",
        ];
        let (stream, told) = monitor(lines);
        let mut qmp = Qmp::start(stream, None).unwrap();
        qmp.execute("system_powerdown", None).unwrap();
        drop(qmp);
        let told = told.join().unwrap();
        assert!(
            told[0].contains("qmp_capabilities") && told[1].contains("system_powerdown"),
            "{told:?}"
        );
    }

    #[test]
    fn an_event_is_waited_for_and_others_are_passed_over() {
        let lines = &[
            r#"{"QMP": {}}"#,
            "{\"return\": {}}\r\n{\"event\": \"STOP\"}\r\n{\"event\": \"WATCHDOG\", \"data\": {\"action\": \"reset\"}}",
        ];
        let (stream, _told) = monitor(lines);
        let mut events = Events::of(Qmp::start(stream, None).unwrap());
        let data = events.next("WATCHDOG", Duration::from_secs(10)).unwrap();
        assert_eq!(data["action"], "reset");
        let error = events.next("WATCHDOG", Duration::from_millis(50));
        assert!(matches!(error, Err(QmpError::Io(_))), "{error:?}");
    }

    #[test]
    fn a_refusal_carries_the_reason() {
        let lines = &[
            r#"{"QMP": {}}"#,
            r#"{"return": {}}"#,
            r#"{"error": {"class": "X", "desc": "no such device"}}"#,
        ];
        let (stream, _told) = monitor(lines);
        let error = Qmp::start(stream, None)
            .unwrap()
            .execute("device_del", None)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "QEMU refuses `device_del`: no such device"
        );
    }
}
