//! From `kill -9` of Redis to its next answer.

use super::{crun, failed};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

const ANSWER: Duration = Duration::from_secs(30);
/// A first packet that goes nowhere is sent again after a second: try anew instead.
const CONNECT: Duration = Duration::from_millis(20);
const READ: Duration = Duration::from_millis(300);
const AGAIN: Duration = Duration::from_millis(2);

/// Who keeps it running.
pub(crate) enum Service<'a> {
    Peer(&'a crun::Loop),
    Unit(&'static str),
}

impl Service<'_> {
    /// Of all its processes, the one that was first.
    fn process(&self) -> io::Result<i32> {
        let group = match self {
            Self::Peer(running) => running.group().to_owned(),
            Self::Unit(name) => group_of(name)?,
        };
        let text = fs::read_to_string(group.join("cgroup.procs"))?;
        let first = text.lines().next().and_then(|line| line.parse().ok());
        first.ok_or_else(|| failed(format!("{}: empty", group.display())))
    }
}

/// `NAME:RUN/main`, where the container's own processes are.
fn group_of(unit: &str) -> io::Result<PathBuf> {
    for entry in fs::read_dir(sys::paths::CGROUP_CONTAINERS)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name
            .strip_prefix(unit)
            .is_some_and(|rest| rest.starts_with(':'))
        {
            return Ok(path.join("main"));
        }
    }
    Err(failed(format!("{unit} does not run")))
}

pub(crate) fn killed_to_pong(
    service: &Service<'_>,
    address: Ipv4Addr,
    port: u16,
) -> io::Result<Duration> {
    let at = SocketAddr::from((address, port));
    until_pong(at)?;
    let process = service.process()?;
    let begun = Instant::now();
    kill(Pid::from_raw(process), Signal::SIGKILL)?;
    until_pong(at)?;
    Ok(begun.elapsed())
}

fn until_pong(at: SocketAddr) -> io::Result<()> {
    let until = Instant::now() + ANSWER;
    loop {
        match ping(at) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > until => return Err(error),
            Err(_) => std::thread::sleep(AGAIN),
        }
    }
}

fn ping(at: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&at, CONNECT)?;
    stream.set_read_timeout(Some(READ))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    if answer == *b"+PONG\r\n" {
        Ok(())
    } else {
        Err(failed("not a PONG"))
    }
}
