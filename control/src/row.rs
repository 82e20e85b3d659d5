//! A unit as one line of `ps`: what the line shows, and nothing that has to be looked up for more.
//!
//! A listing is read as often as anything, and reading JSON is most of what it costs: so a row is an array in the order of
//! its fields, without those at the end that say nothing. To add a field: at the end, with `#[serde(default)]`, and an arm
//! in [`UnitRow::serialize`].

use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};

/// Characters of a command in a row.
pub const ROW_COMMAND_CHARACTERS: usize = 31;
/// Characters of a reason in a row.
pub const ROW_REASON_CHARACTERS: usize = 200;
/// Published ports in a row: who publishes hundreds looks at `status`.
pub const ROW_PORTS_MAX: usize = 16;

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Default)]
#[serde(default)]
pub struct UnitRow {
    pub name: String,
    /// As in [`crate::reply::UnitStatus`].
    pub state: String,
    /// Milliseconds for which it has been in that state.
    pub age_ms: u64,
    pub image: String,
    /// The beginning of its command line ([`command_line`]).
    pub command: String,
    /// Bytes, of a unit that runs, where they were asked for.
    pub memory: Option<u64>,
    /// The first of them: `0.0.0.0:7001->6379/tcp`.
    pub ports: Vec<String>,
    /// `starting`, `healthy`, `unhealthy`; empty: nobody probes it.
    pub health: String,
    /// Why it is `started`, `backoff`, `failed`, or unhealthy.
    pub reason: String,
    /// Milliseconds until the next start.
    pub next_start_ms: Option<u64>,
    /// Probes that failed in a row, of a unit that is unhealthy.
    pub failures: u32,
    pub paused: bool,
    /// Its file has mistakes.
    pub bad: bool,
    /// So many ports more than are here.
    pub more_ports: usize,
}

impl UnitRow {
    /// Take over the first ports, and count the others.
    pub fn set_ports(&mut self, ports: &[String]) {
        self.ports = ports.iter().take(ROW_PORTS_MAX).cloned().collect();
        self.more_ports = ports.len().saturating_sub(ROW_PORTS_MAX);
    }

    /// How many fields say something, counted from the first.
    fn fields(&self) -> usize {
        let said = [
            !self.command.is_empty(),
            self.memory.is_some(),
            !self.ports.is_empty(),
            !self.health.is_empty(),
            !self.reason.is_empty(),
            self.next_start_ms.is_some(),
            self.failures > 0,
            self.paused,
            self.bad,
            self.more_ports > 0,
        ];
        let last = said.iter().rposition(|said| *said);
        last.map_or(4, |last| last.saturating_add(5))
    }
}

impl Serialize for UnitRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = self.fields();
        let mut row = serializer.serialize_seq(Some(fields))?;
        for field in 0..fields {
            match field {
                0 => row.serialize_element(&self.name)?,
                1 => row.serialize_element(&self.state)?,
                2 => row.serialize_element(&self.age_ms)?,
                3 => row.serialize_element(&self.image)?,
                4 => row.serialize_element(&self.command)?,
                5 => row.serialize_element(&self.memory)?,
                6 => row.serialize_element(&self.ports)?,
                7 => row.serialize_element(&self.health)?,
                8 => row.serialize_element(&self.reason)?,
                9 => row.serialize_element(&self.next_start_ms)?,
                10 => row.serialize_element(&self.failures)?,
                11 => row.serialize_element(&self.paused)?,
                12 => row.serialize_element(&self.bad)?,
                _ => row.serialize_element(&self.more_ports)?,
            }
        }
        row.end()
    }
}

/// A command as a shell would take it, cut off at so many characters.
#[must_use]
pub fn command_line(arguments: &[String], characters: usize) -> String {
    let mut line = String::new();
    let mut left = characters;
    for (place, argument) in arguments.iter().enumerate() {
        if left == 0 {
            break;
        }
        let space = if place > 0 { " " } else { "" };
        for c in space.chars().chain(quoted(argument)).take(left) {
            line.push(c);
            left = left.saturating_sub(1);
        }
    }
    line
}

fn quoted(argument: &str) -> impl Iterator<Item = char> + '_ {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@,+%".contains(c);
    let quote = if !argument.is_empty() && argument.chars().all(plain) {
        ""
    } else {
        "'"
    };
    let inside = argument.chars().flat_map(|c| {
        let more = if c == '\'' { "\\''" } else { "" };
        std::iter::once(c).chain(more.chars())
    });
    quote.chars().chain(inside).chain(quote.chars())
}

/// At most so many characters.
#[must_use]
pub fn cut(text: String, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text,
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;
    use crate::reply::Reply;

    fn running() -> UnitRow {
        let argv = ["redis-server", "--maxmemory", "900mb", "--save", ""].map(str::to_owned);
        UnitRow {
            name: "redis@12".into(),
            state: "running".into(),
            age_ms: 86_400_000,
            image: "docker.io/library/redis:7".into(),
            command: command_line(&argv, ROW_COMMAND_CHARACTERS),
            memory: Some(64 << 20),
            ports: vec!["0.0.0.0:7012->6379/tcp".into()],
            health: "healthy".into(),
            ..UnitRow::default()
        }
    }

    #[test]
    fn a_row_comes_back_as_it_was_however_much_it_says() {
        let mut rows = vec![UnitRow::default(), running()];
        let ports: Vec<String> = (0..40).map(|port| format!("{port}->1/udp")).collect();
        let mut many = UnitRow {
            reason: "waits for port 6379".into(),
            next_start_ms: Some(3),
            failures: 4,
            paused: true,
            bad: true,
            ..running()
        };
        many.set_ports(&ports);
        assert_eq!((many.ports.len(), many.more_ports), (16, 24));
        rows.push(many.clone());
        for change in [
            (|row| row.more_ports = 0) as fn(&mut UnitRow),
            |row| row.bad = false,
            |row| row.paused = false,
            |row| row.failures = 0,
            |row| row.next_start_ms = None,
            |row| row.reason.clear(),
            |row| row.health.clear(),
            |row| row.ports.clear(),
            |row| row.memory = None,
            |row| row.command.clear(),
        ] {
            change(&mut many);
            rows.push(many.clone());
        }
        let reply = Reply::Rows(rows);
        let frame = frame::encode(&reply).unwrap();
        let back = frame::decode::<Reply>(&frame, frame::FRAME_BYTES_MAX).unwrap();
        assert_eq!(back.unwrap().0, reply);
    }

    /// What a listing costs is told by its bytes: those of a usual unit, and the most that any can have.
    #[test]
    fn a_row_has_few_bytes() {
        let bytes = |row: UnitRow| serde_json::to_vec(&row).unwrap().len();
        assert!(bytes(running()) <= 160, "{}", bytes(running()));
        let target = UnitRow {
            name: "default.target".into(),
            state: "running".into(),
            age_ms: 86_400_000,
            ..UnitRow::default()
        };
        assert!(bytes(target.clone()) <= 48, "{}", bytes(target));
        let argv = vec!["'\n".repeat(1000); 1000];
        let mut most = UnitRow {
            command: command_line(&argv, ROW_COMMAND_CHARACTERS),
            reason: cut("\n".repeat(10_000), ROW_REASON_CHARACTERS),
            ..running()
        };
        most.set_ports(&vec![
            "255.255.255.255:65000-65535->65000-65535/tcp".into();
            4096
        ]);
        assert!(bytes(most.clone()) <= 2048, "{}", bytes(most));
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell_as_far_as_it_goes() {
        let arguments = ["sh", "-c", "echo 'x' $Y", ""].map(str::to_owned);
        let all = r"sh -c 'echo '\''x'\'' $Y' ''";
        assert_eq!(command_line(&arguments, usize::MAX), all);
        assert_eq!(command_line(&arguments, 13), &all[..13]);
        assert_eq!(command_line(&arguments, 0), "");
        assert_eq!(cut("größer".into(), 3), "grö");
    }
}
