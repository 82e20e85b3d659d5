//! JSON as Go's encoding/json takes it: a lone surrogate is U+FFFD, as is invalid UTF-8, numbers are of any size until
//! somebody wants one, and values nest up to 10,000 deep. A library for this refuses all of these, also in fields that
//! nobody reads.
//!
//! What nests deeper than any field of ours is checked and not kept, so that neither reading nor dropping a value takes
//! more than a little of the stack.

/// What Go reads (scanner.go, `maxNestingDepth`).
const DEPTH_MAX: usize = 10_000;
/// The deepest field of ours is `manifests[0].platform.os`.
const KEPT_DEPTH_MAX: usize = 16;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Bool,
    /// As written.
    Number(String),
    Text(String),
    List(Vec<Value>),
    /// In their order; a name may come again.
    Object(Vec<(String, Value)>),
    /// A list or an object that was not kept.
    Deep,
}

/// What is wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) reason: &'static str,
    /// From 1; in bytes.
    pub(crate) line: usize,
    pub(crate) column: usize,
}

pub(crate) fn parse(bytes: &[u8]) -> Result<Value, SyntaxError> {
    let mut parser = Parser { bytes, at: 0 };
    let parsed = parser.document();
    parsed.map_err(|reason| {
        let before = bytes.get(..parser.at).unwrap_or(bytes);
        let line_start = before.iter().rposition(|byte| *byte == b'\n');
        SyntaxError {
            reason,
            line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
            column: before.len() - line_start.map_or(0, |newline| newline + 1) + 1,
        }
    })
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
}

type Parsed<T> = Result<T, &'static str>;

const ENDS: &str = "it ends too early";

impl Parser<'_> {
    fn document(&mut self) -> Parsed<Value> {
        let value = self.value(0)?;
        self.space();
        match self.peek() {
            None => Ok(value),
            Some(_) => Err("something follows its end"),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next byte, if it is this one.
    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, wanted: u8, reason: &'static str) -> Parsed<()> {
        match self.take(wanted) {
            true => Ok(()),
            false if self.peek().is_none() => Err(ENDS),
            false => Err(reason),
        }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Recurses no deeper than [`KEPT_DEPTH_MAX`].
    fn value(&mut self, depth: usize) -> Parsed<Value> {
        self.space();
        match self.peek() {
            Some(b'[' | b'{') if depth >= KEPT_DEPTH_MAX => self.skip_nested(depth),
            Some(b'[') => self.list(depth),
            Some(b'{') => self.object(depth),
            _ => self.scalar(),
        }
    }

    fn scalar(&mut self) -> Parsed<Value> {
        match self.peek() {
            Some(b'"') => self.text().map(Value::Text),
            Some(b'-' | b'0'..=b'9') => self.number().map(Value::Number),
            Some(b'n') => self.word(b"null", Value::Null),
            Some(b't') => self.word(b"true", Value::Bool),
            Some(b'f') => self.word(b"false", Value::Bool),
            Some(_) => Err("a value is expected"),
            None => Err(ENDS),
        }
    }

    fn list(&mut self, depth: usize) -> Parsed<Value> {
        self.at += 1;
        let mut values = Vec::new();
        self.space();
        if self.take(b']') {
            return Ok(Value::List(values));
        }
        loop {
            values.push(self.value(depth + 1)?);
            self.space();
            if self.take(b']') {
                return Ok(Value::List(values));
            }
            self.expect(b',', "`,` or `]` is expected")?;
        }
    }

    fn object(&mut self, depth: usize) -> Parsed<Value> {
        self.at += 1;
        let mut fields = Vec::new();
        self.space();
        if self.take(b'}') {
            return Ok(Value::Object(fields));
        }
        loop {
            let name = self.name()?;
            fields.push((name, self.value(depth + 1)?));
            self.space();
            if self.take(b'}') {
                return Ok(Value::Object(fields));
            }
            self.expect(b',', "`,` or `}` is expected")?;
        }
    }

    /// The name of a field, and the colon.
    fn name(&mut self) -> Parsed<String> {
        self.space();
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err("the name of a field is expected"),
            None => return Err(ENDS),
        }
        let name = self.text()?;
        self.space();
        self.expect(b':', "`:` is expected")?;
        Ok(name)
    }

    /// A list or an object `depth` deep, without recursion.
    fn skip_nested(&mut self, depth: usize) -> Parsed<Value> {
        // What each that is open ends with.
        let mut open: Vec<u8> = Vec::new();
        loop {
            // A value.
            self.space();
            let opened = match self.peek() {
                Some(b'[') => Some(b']'),
                Some(b'{') => Some(b'}'),
                _ => None,
            };
            match opened {
                Some(end) => {
                    self.at += 1;
                    open.push(end);
                    if depth + open.len() > DEPTH_MAX {
                        return Err("it nests deeper than 10000");
                    }
                    self.space();
                    if self.peek() != Some(end) {
                        if end == b'}' {
                            self.name()?;
                        }
                        continue;
                    }
                }
                None => {
                    self.scalar()?;
                }
            }
            // What follows it.
            loop {
                let Some(end) = open.last().copied() else {
                    return Ok(Value::Deep);
                };
                self.space();
                if self.take(end) {
                    open.pop();
                    continue;
                }
                self.expect(b',', "`,` or an end is expected")?;
                if end == b'}' {
                    self.name()?;
                }
                break;
            }
        }
    }

    fn word(&mut self, word: &[u8], value: Value) -> Parsed<Value> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return Err("a value is expected");
        }
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Parsed<String> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let written = self.bytes.get(start..self.at).unwrap_or_default();
        Ok(String::from_utf8_lossy(written).into_owned())
    }

    fn digits(&mut self) -> Parsed<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        match self.at > start {
            true => Ok(()),
            false => Err("a digit is expected"),
        }
    }

    fn text(&mut self) -> Parsed<String> {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let byte = self.peek().ok_or(ENDS)?;
            match byte {
                b'"' => break,
                b'\\' => self.escape(&mut text)?,
                0..0x20 => return Err("a control character in a text must be escaped"),
                byte => {
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Parsed<()> {
        let escaped = self.bytes.get(self.at + 1).copied().ok_or(ENDS)?;
        let byte = match escaped {
            b'"' | b'\\' | b'/' => escaped,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let character = self.character()?;
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err("this escape does not exist"),
        };
        text.push(byte);
        self.at += 2;
        Ok(())
    }

    /// Of one `\uXXXX`, or of two that are a pair of surrogates.
    fn character(&mut self) -> Parsed<char> {
        let first = self.unit().ok_or("four hexadecimal digits are expected")?;
        self.at += 6;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        let second = self.unit();
        let pair = second.filter(|second| first < 0xdc00 && (0xdc00..0xe000).contains(second));
        let Some(second) = pair else {
            return Ok(char::REPLACEMENT_CHARACTER);
        };
        self.at += 6;
        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// What the `\uXXXX` here says; `None`: there is none.
    fn unit(&self) -> Option<u32> {
        let escape = self.bytes.get(self.at..self.at + 6)?;
        let digits = std::str::from_utf8(escape.strip_prefix(b"\\u")?).ok()?;
        // `from_str_radix` takes a sign, too.
        let hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16).ok().filter(|_| hexadecimal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn what_go_takes_is_taken() {
        let number = |text: &str| Value::Number(text.to_owned());
        for (json, value) in [
            (&b" null\n"[..], Value::Null),
            (
                b"[true, -0.5e+7 ,1e999]",
                Value::List(vec![Value::Bool, number("-0.5e+7"), number("1e999")]),
            ),
            (br#""\ud800""#, text("\u{fffd}")),
            (
                br#""\ud83d\ude00 \ud83dx\ude00\u0041""#,
                text("\u{1f600} \u{fffd}x\u{fffd}A"),
            ),
            (br#""\ud83d\ud83d\ude00""#, text("\u{fffd}\u{1f600}")),
            (b"\"\xff\"", text("\u{fffd}")),
            (br#""\"\\\/\b\f\n\r\t""#, text("\"\\/\u{8}\u{c}\n\r\t")),
            (
                br#"{"a":1,"b":{},"a":[]}"#,
                Value::Object(vec![
                    ("a".into(), number("1")),
                    ("b".into(), Value::Object(Vec::new())),
                    ("a".into(), Value::List(Vec::new())),
                ]),
            ),
        ] {
            assert_eq!(parse(json), Ok(value), "{}", json.escape_ascii());
        }
    }

    #[test]
    fn what_nests_deep_is_checked_and_not_kept() {
        let nested = |depth: usize, inner: &str| {
            let objects = depth / 2;
            let lists = depth - objects;
            let (open, close) = (r#"{"a":0,"b":"#.repeat(objects), "}".repeat(objects));
            format!(
                "{open}{}{inner}{}{close}",
                "[".repeat(lists),
                "]".repeat(lists)
            )
        };
        for depth in [1, 15, 16, 17, 200, DEPTH_MAX] {
            for inner in ["", r#"1,"x",{"y":[]},{},[[],2]"#] {
                // Some of it is deeper by two.
                let depth = if inner.is_empty() {
                    depth
                } else {
                    depth.min(DEPTH_MAX - 2)
                };
                assert!(parse(nested(depth, inner).as_bytes()).is_ok(), "{depth}");
            }
            for bad in [
                ",",
                "1,",
                "{1}",
                r#"{"a"}"#,
                r#"{"a":}"#,
                "[}",
                "1 2",
                "nul",
            ] {
                assert!(
                    parse(nested(depth, bad).as_bytes()).is_err(),
                    "{depth} {bad}"
                );
            }
        }
        let error = parse(nested(DEPTH_MAX + 1, "").as_bytes()).unwrap_err();
        assert_eq!(error.reason, "it nests deeper than 10000");
        assert_eq!(
            parse(&vec![b'['; 1 << 20]).unwrap_err(),
            SyntaxError {
                reason: "it nests deeper than 10000",
                line: 1,
                column: DEPTH_MAX + 2
            }
        );
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        let error = parse(b"{\n  \"a\": 1,\n  b}").unwrap_err();
        assert_eq!((error.line, error.column), (3, 3));
        for bad in [
            &b""[..],
            b" ",
            b"[1",
            b"[1,]",
            b"{\"a\":1,}",
            b"{\"a\"",
            b"01",
            b"-",
            b"1.",
            b"1e",
            b"+1",
            b".5",
            b"nul",
            b"nulls",
            b"\"",
            b"\"a",
            b"\"\n\"",
            b"\"\\x\"",
            b"\"\\u12\"",
            b"\"\\u+123\"",
            b"\"\\",
            b"1 2",
            b"]",
            b"\xef\xbb\xbf{}",
            b"'a'",
            b"\xff",
        ] {
            assert!(parse(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
