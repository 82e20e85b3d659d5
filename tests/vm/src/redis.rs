//! A real client of the build host: `redis-cli`, and a connection of our own where every microsecond of a write counts.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

/// An answer takes this long only when there will be none.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A Redis behind a port of this host's loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redis {
    pub port: u16,
}

impl Redis {
    /// Run `redis-cli` with these words.
    ///
    /// # Errors
    /// What it said, when it failed.
    pub fn cli(self, words: &[&str]) -> Result<String, String> {
        let output = Command::new("timeout")
            .args(["60", "redis-cli", "-e", "-p", &self.port.to_string()])
            .args(words)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("redis-cli: {error}"))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(format!("{} {}", text(&output.stdout), text(&output.stderr)))
        }
    }

    /// One command over a connection of its own.
    ///
    /// # Errors
    /// When there is no connection or no answer.
    pub fn ask(self, command: &str) -> Result<String, String> {
        self.connect()?.ask(command)
    }

    /// # Errors
    /// When nobody takes the connection.
    pub fn connect(self) -> Result<Connection, String> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        let stream = stream.map_err(|error| error.to_string())?;
        stream
            .set_read_timeout(Some(TIMEOUT))
            .map_err(|error| error.to_string())?;
        // A question is one packet.
        stream
            .set_nodelay(true)
            .map_err(|error| error.to_string())?;
        Ok(Connection(BufReader::new(stream)))
    }
}

#[derive(Debug)]
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// An inline command (Redis protocol specification, "Inline commands"); answers its first line, or the value of a
    /// bulk string.
    ///
    /// # Errors
    /// When the connection ends or nothing comes.
    pub fn ask(&mut self, command: &str) -> Result<String, String> {
        let stream = self.0.get_mut();
        stream
            .write_all(format!("{command}\r\n").as_bytes())
            .map_err(|error| error.to_string())?;
        let line = self.line()?;
        if line.starts_with('$') && line != "$-1" {
            return self.line();
        }
        Ok(line)
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.0.read_line(&mut line) {
            Ok(0) => Err("the connection ended".to_owned()),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}
