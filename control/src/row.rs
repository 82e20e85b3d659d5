//! A unit as one line of `ps`: what the line shows, and nothing that has to be looked up for more.
//!
//! A listing is read as often as anything, and reading and writing JSON was most of what it cost. So a row is an array in
//! the order of its fields, without those at the end that say nothing; it is written from borrowed texts into the one text
//! of all rows ([`Rows`]), and read from there into borrowed texts, by the few lines here. To add a field: at the end, in
//! [`UnitRow`], `said`, `push` and `row`.

use crate::frame::FrameError;
use crate::plain::plain_bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;

/// Characters of a command in a row.
pub const ROW_COMMAND_CHARACTERS: usize = 31;
/// Characters of a reason in a row.
pub const ROW_REASON_CHARACTERS: usize = 200;
/// Published ports in a row: who publishes hundreds looks at `status`.
pub const ROW_PORTS_MAX: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct UnitRow<'a> {
    pub name: Cow<'a, str>,
    /// As in [`crate::reply::UnitStatus`].
    pub state: Cow<'a, str>,
    /// Milliseconds for which it has been in that state.
    pub age_ms: u64,
    pub image: Cow<'a, str>,
    /// The beginning of its command line ([`command_line`]).
    pub command: Cow<'a, str>,
    /// Bytes, of a unit that runs, where they were asked for.
    pub memory: Option<u64>,
    /// The first of them: `0.0.0.0:7001->6379/tcp, 0.0.0.0:7002->6380/tcp`.
    pub ports: Cow<'a, str>,
    /// `starting`, `healthy`, `unhealthy`; empty: nobody probes it.
    pub health: Cow<'a, str>,
    /// Why it is `started`, `backoff`, `failed`, or unhealthy.
    pub reason: Cow<'a, str>,
    /// Milliseconds until the next start.
    pub next_start_ms: Option<u64>,
    /// Probes that failed in a row, of a unit that is unhealthy.
    pub failures: u32,
    pub paused: bool,
    /// Its file has mistakes.
    pub bad: bool,
    /// So many ports more than are here.
    pub more_ports: u64,
}

impl<'a> UnitRow<'a> {
    /// Take over the first ports, and count the others.
    pub fn set_ports(&mut self, ports: &'a [String]) {
        self.ports = match ports {
            [] => "".into(),
            [port] => port.as_str().into(),
            _ => ports
                .get(..ROW_PORTS_MAX)
                .unwrap_or(ports)
                .join(", ")
                .into(),
        };
        self.more_ports = ports.len().saturating_sub(ROW_PORTS_MAX) as u64;
    }

    /// How many fields say something, counted from the first.
    fn said(&self) -> usize {
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

/// Rows as they are in an answer: the text of a JSON array. Whether it is one shows when it is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rows {
    text: String,
}

impl Rows {
    /// Without rows, with room for so many usual ones.
    #[must_use]
    pub fn with_room(rows: usize) -> Self {
        let mut text = String::with_capacity(rows.saturating_mul(ROW_BYTES).saturating_add(2));
        text.push_str("[]");
        Self { text }
    }

    pub(crate) fn from_text(text: String) -> Self {
        Self { text }
    }

    pub(crate) fn as_text(&self) -> &str {
        &self.text
    }

    /// Add a row at the end.
    pub fn push(&mut self, row: &UnitRow<'_>) {
        let text = &mut self.text;
        text.pop();
        if text.len() > 1 {
            text.push(',');
        }
        text.push('[');
        for field in 0..row.said() {
            if field > 0 {
                text.push(',');
            }
            match field {
                0 => push_text(text, &row.name),
                1 => push_text(text, &row.state),
                2 => push_number(text, row.age_ms),
                3 => push_text(text, &row.image),
                4 => push_text(text, &row.command),
                5 => push_known(text, row.memory),
                6 => push_text(text, &row.ports),
                7 => push_text(text, &row.health),
                8 => push_text(text, &row.reason),
                9 => push_known(text, row.next_start_ms),
                10 => push_number(text, row.failures.into()),
                11 => push_flag(text, row.paused),
                12 => push_flag(text, row.bad),
                _ => push_number(text, row.more_ports),
            }
        }
        text.push_str("]]");
    }

    /// Row by row; what is none is the last of them, as an error.
    #[must_use]
    pub fn iter(&self) -> RowsIter<'_> {
        RowsIter {
            text: &self.text,
            at: 0,
            over: false,
        }
    }
}

impl Default for Rows {
    fn default() -> Self {
        Self::with_room(0)
    }
}

impl<'a> FromIterator<UnitRow<'a>> for Rows {
    fn from_iter<T: IntoIterator<Item = UnitRow<'a>>>(rows: T) -> Self {
        let mut all = Self::default();
        for row in rows {
            all.push(&row);
        }
        all
    }
}

impl<'a> IntoIterator for &'a Rows {
    type Item = Result<UnitRow<'a>, FrameError>;
    type IntoIter = RowsIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// For those who have an answer as any other value; [`crate::reply::Reply::frame`] and
/// [`crate::reply::Reply::of_frame`] take the text as it is.
impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: serde_json::Value =
            serde_json::from_str(&self.text).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Ok(Self::from_text(value.to_string()))
    }
}

/// What a usual row needs in an answer, in bytes.
const ROW_BYTES: usize = 160;

fn push_text(line: &mut String, text: &str) {
    if plain_bytes(text.as_bytes()) == text.len() {
        line.push('"');
        line.push_str(text);
        line.push('"');
    } else {
        line.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// As `{number}`, without what formatting costs.
pub fn push_number(line: &mut String, mut number: u64) {
    let mut digits = [b'0'; NUMBER_DIGITS];
    let mut begin = NUMBER_DIGITS;
    for digit in digits.iter_mut().rev() {
        *digit = b'0'.saturating_add(u8::try_from(number % 10).unwrap_or_default());
        number /= 10;
        begin = begin.saturating_sub(1);
        if number == 0 {
            break;
        }
    }
    let digits = digits.get(begin..).unwrap_or_default();
    line.push_str(str::from_utf8(digits).unwrap_or_default());
}

/// Of the largest number.
const NUMBER_DIGITS: usize = 20;

fn push_known(line: &mut String, number: Option<u64>) {
    match number {
        Some(number) => push_number(line, number),
        None => line.push_str("null"),
    }
}

fn push_flag(line: &mut String, flag: bool) {
    line.push_str(if flag { "true" } else { "false" });
}

/// Reads [`Rows`].
#[derive(Clone, Debug)]
pub struct RowsIter<'a> {
    text: &'a str,
    at: usize,
    over: bool,
}

impl<'a> Iterator for RowsIter<'a> {
    type Item = Result<UnitRow<'a>, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.step();
        self.over = !matches!(next, Some(Some(_)));
        match next {
            Some(row) => row.map(Ok),
            None => Some(Err(FrameError::Rows { at: self.at })),
        }
    }
}

impl<'a> RowsIter<'a> {
    /// The next row, or that there is no more; `None`: it is neither.
    fn step(&mut self) -> Option<Option<UnitRow<'a>>> {
        let is_first = self.at == 0;
        match (self.byte()?, is_first) {
            (b'[', true) if self.text.len() == 2 => {}
            (b'[', true) | (b',', false) => return self.row().map(Some),
            (b']', false) => return (self.at == self.text.len()).then_some(None),
            _ => return None,
        }
        (self.byte()? == b']').then_some(None)
    }

    fn row(&mut self) -> Option<UnitRow<'a>> {
        self.take(b'[')?;
        let name = self.text()?;
        self.take(b',')?;
        let state = self.text()?;
        self.take(b',')?;
        let age_ms = self.number()?;
        self.take(b',')?;
        let image = self.text()?;
        let mut row = UnitRow {
            name,
            state,
            age_ms,
            image,
            ..UnitRow::default()
        };
        for field in 4_u8.. {
            match (self.byte()?, field) {
                (b']', _) => break,
                (b',', 4) => row.command = self.text()?,
                (b',', 5) => row.memory = self.known()?,
                (b',', 6) => row.ports = self.text()?,
                (b',', 7) => row.health = self.text()?,
                (b',', 8) => row.reason = self.text()?,
                (b',', 9) => row.next_start_ms = self.known()?,
                (b',', 10) => row.failures = self.number()?.try_into().ok()?,
                (b',', 11) => row.paused = self.flag()?,
                (b',', 12) => row.bad = self.flag()?,
                (b',', 13) => row.more_ports = self.number()?,
                _ => return None,
            }
        }
        Some(row)
    }

    /// What is not read yet.
    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    #[inline]
    fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    #[inline]
    fn byte(&mut self) -> Option<u8> {
        let byte = self.rest().first().copied()?;
        self.skip(1);
        Some(byte)
    }

    #[inline]
    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.byte()? == wanted).then_some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.rest().strip_prefix(word.as_bytes())?;
        self.skip(word.len());
        Some(())
    }

    fn text(&mut self) -> Option<Cow<'a, str>> {
        let begin = self.at;
        self.take(b'"')?;
        let mut is_plain = true;
        loop {
            self.skip(plain_bytes(self.rest()));
            match self.byte()? {
                b'"' => break,
                b'\\' => {
                    is_plain = false;
                    self.byte()?;
                }
                _ => {}
            }
        }
        if is_plain {
            let inside = begin.saturating_add(1)..self.at.saturating_sub(1);
            return self.text.get(inside).map(Cow::Borrowed);
        }
        let text = serde_json::from_str(self.text.get(begin..self.at)?).ok()?;
        Some(Cow::Owned(text))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        let mut digits = 0;
        for byte in self.rest() {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            number = number.checked_mul(10)?.checked_add(digit.into())?;
            digits += 1;
        }
        self.skip(digits);
        (digits > 0).then_some(number)
    }

    fn known(&mut self) -> Option<Option<u64>> {
        if self.rest().starts_with(b"n") {
            return self.word("null").map(|()| None);
        }
        self.number().map(Some)
    }

    fn flag(&mut self) -> Option<bool> {
        if self.rest().starts_with(b"t") {
            return self.word("true").map(|()| true);
        }
        self.word("false").map(|()| false)
    }
}

/// A command as a shell would take it, cut off at so many characters.
#[must_use]
pub fn command_line(arguments: &[String], characters: usize) -> String {
    let mut line = String::new();
    push_command_line(&mut line, arguments, characters);
    line
}

/// The same, at the end of a text.
pub fn push_command_line(line: &mut String, arguments: &[String], characters: usize) {
    let mut left = characters;
    for (place, argument) in arguments.iter().enumerate() {
        if left > 0 && place > 0 {
            line.push(' ');
            left = left.saturating_sub(1);
        }
        if left == 0 {
            break;
        }
        // Nearly all are, and character by character it takes ten times as long.
        if is_plain(argument) {
            let all = argument.as_str();
            let taken = all.get(..left).unwrap_or(all);
            line.push_str(taken);
            left = left.saturating_sub(taken.len());
            continue;
        }
        for c in quoted(argument).take(left) {
            line.push(c);
            left = left.saturating_sub(1);
        }
    }
}

/// Of ASCII, and of nothing that a shell takes for anything else.
fn is_plain(argument: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=@,+%".contains(&byte);
    !argument.is_empty() && argument.bytes().all(plain)
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
pub fn cut(text: &str, characters: usize) -> &str {
    if text.len() <= characters {
        return text;
    }
    let end = text.char_indices().nth(characters);
    end.map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;
    use crate::reply::Reply;

    fn running() -> UnitRow<'static> {
        let argv = ["redis-server", "--maxmemory", "900mb", "--save", ""].map(str::to_owned);
        UnitRow {
            name: "redis@12".into(),
            state: "running".into(),
            age_ms: 86_400_000,
            image: "docker.io/library/redis:7".into(),
            command: command_line(&argv, ROW_COMMAND_CHARACTERS).into(),
            memory: Some(64 << 20),
            ports: "0.0.0.0:7012->6379/tcp".into(),
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
        assert_eq!(
            (many.ports.matches(", ").count(), many.more_ports),
            (15, 24)
        );
        rows.push(many.clone());
        for change in [
            (|row| row.more_ports = 0) as fn(&mut UnitRow<'_>),
            |row| row.bad = false,
            |row| row.paused = false,
            |row| row.failures = 0,
            |row| row.next_start_ms = None,
            |row| row.reason = "".into(),
            |row| row.health = "".into(),
            |row| row.ports = "".into(),
            |row| row.memory = None,
            |row| row.command = "".into(),
        ] {
            change(&mut many);
            rows.push(many.clone());
        }
        let escaped = UnitRow {
            name: "\u{1b}[2J\"größer\"\\".into(),
            ..UnitRow::default()
        };
        rows.push(escaped);
        let all: Rows = rows.iter().cloned().collect();
        let read: Vec<_> = all.iter().map(Result::unwrap).collect();
        assert_eq!(read, rows);
        let reply = Reply::Rows(all);
        let frame = reply.frame().unwrap();
        let back = Reply::of_frame(&frame).unwrap();
        assert_eq!(back, Some((reply.clone(), frame.len())));
        // The same by way of any other value.
        assert_eq!(frame::encode(&reply).unwrap(), frame);
        let back = frame::decode::<Reply>(&frame, frame::FRAME_BYTES_MAX).unwrap();
        assert_eq!(back.unwrap().0, reply);
        let none = Reply::Rows(Rows::default());
        assert_eq!(none.frame().unwrap(), frame::encode(&none).unwrap());
        assert!(Rows::default().iter().next().is_none());
    }

    /// Neither an answer that is cut off anywhere nor one of another program is taken for a shorter list.
    #[test]
    fn what_is_no_row_is_an_error() {
        let rows: Rows = [UnitRow::default(), running()].into_iter().collect();
        for end in 0..rows.text.len() {
            let cut = Rows::from_text(rows.text[..end].to_owned());
            assert!(cut.iter().any(|row| row.is_err()), "{}", cut.text);
        }
        for other in [
            "{}",
            "[]]",
            "[[]]",
            "[null]",
            r#"[["a"]]"#,
            r#"[["a","b",-1,"c"]]"#,
            r#"[["a","b",99999999999999999999,"c"]]"#,
            r#"[["a","b",1,"c"],]"#,
            r#"[["a","b",1,"c"]] "#,
            r#"[["a","b",1,"c","d","e"]]"#,
            r#"[["a","b",1,"\q"]]"#,
            r#"[["a","b",1,"c","",1,"","","",1,1,true,true,1,"new"]]"#,
        ] {
            let rows = Rows::from_text(other.to_owned());
            assert!(rows.iter().any(|row| row.is_err()), "{other}");
        }
    }

    /// Reading asks the allocator for nothing: every text is where it came.
    #[test]
    fn a_row_is_read_where_it_lies() {
        let rows: Rows = std::iter::repeat_n(running(), 63).collect();
        for row in &rows {
            let row = row.unwrap();
            for text in [
                row.name,
                row.state,
                row.image,
                row.command,
                row.ports,
                row.health,
            ] {
                assert!(matches!(text, Cow::Borrowed(_)), "{text}");
            }
        }
    }

    /// What a listing costs is told by its bytes: those of a usual unit, and the most that any can have.
    #[test]
    fn a_row_has_few_bytes() {
        let bytes = |row: UnitRow<'_>| Rows::from_iter([row]).text.len() - 2;
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
            command: command_line(&argv, ROW_COMMAND_CHARACTERS).into(),
            reason: cut(&"\n".repeat(10_000), ROW_REASON_CHARACTERS)
                .to_owned()
                .into(),
            ..running()
        };
        let ports = vec!["255.255.255.255:65000-65535->65000-65535/tcp".into(); 4096];
        most.set_ports(&ports);
        assert!(bytes(most.clone()) <= 2048, "{}", bytes(most));
    }

    #[test]
    fn numbers_are_written_as_they_are_formatted() {
        for number in [0, 7, 10, 99, 100, 65_535, 1 << 53, u64::MAX] {
            let mut line = String::from("n");
            push_number(&mut line, number);
            assert_eq!(line, format!("n{number}"));
        }
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell_as_far_as_it_goes() {
        let arguments = ["sh", "-c", "echo 'x' $Y", ""].map(str::to_owned);
        let all = r"sh -c 'echo '\''x'\'' $Y' ''";
        assert_eq!(command_line(&arguments, usize::MAX), all);
        assert_eq!(command_line(&arguments, 13), &all[..13]);
        assert_eq!(command_line(&arguments, 0), "");
        assert_eq!(cut("größer", 3), "grö");
        let mixed = ["größe", "a b", "plain"].map(str::to_owned);
        assert_eq!(command_line(&mixed, usize::MAX), "größe 'a b' plain");
    }
}
