//! A container's program for tests: each argument is one act, done in order.
//!
//! | act | does |
//! |---|---|
//! | `print TEXT` | writes a line |
//! | `env NAME` | writes `NAME=value`, or `NAME is unset` |
//! | `say TEXT` | sends TEXT over the notify socket, `;` as line feed |
//! | `feed MS TIMES` | so many times: waits, then says `WATCHDOG=1` |
//! | `flood MS` | says something as fast as it can, for so long; writes how often |
//! | `linger` | says something with a TCP socket that waits ten minutes when it is closed |
//! | `serve TCP UDP MS` | answers there with `VERSION`, by HTTP with 503 for so long after its start |
//! | `wait MS` | |
//! | `await SIGNAL` | until the signal comes, by signalfd(2): `await HUP` |
//! | `sigwait SIGNAL` | the same by sigwait(3), as `tini` and `dumb-init` do: nothing in /proc says that it waits |
//! | `kill SIGNAL` | sends it to the container's first process |
//! | `processes` | writes how many the machine has made since its boot |
//! | `bomb` | forks until it can't, and writes how often it could |
//! | `exit N`, `forever` | |
//!
//! Signals that can be waited for are blocked from the beginning: nothing but SIGKILL ends it before its time. A failure is
//! written and ends it with status 101.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

const SIGNALS: [Signal; 5] = [
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGINT,
];

fn main() -> ExitCode {
    match act() {
        Ok(status) => status,
        Err(error) => {
            print(&format!("actor: {error}"));
            ExitCode::from(101)
        }
    }
}

fn act() -> io::Result<ExitCode> {
    let signals = sys::signal::descriptor(&SIGNALS)?;
    sys::descriptor::set_nonblocking(signals.as_fd(), false)?;
    for argument in std::env::args().skip(1) {
        let (act, rest) = argument.split_once(' ').unwrap_or((&argument, ""));
        match act {
            "print" => print(rest),
            "env" => print(&std::env::var(rest).map_or_else(
                |_| format!("{rest} is unset"),
                |value| format!("{rest}={value}"),
            )),
            "say" => say(&rest.replace(';', "\n"))?,
            "feed" => {
                let (ms, times) = rest.split_once(' ').unwrap_or((rest, "1"));
                for _ in 0..number(times)? {
                    sleep(Duration::from_millis(number(ms)?));
                    say("WATCHDOG=1")?;
                }
            }
            "flood" => flood(Duration::from_millis(number(rest)?))?,
            "linger" => linger()?,
            "serve" => serve(rest)?,
            "wait" => sleep(Duration::from_millis(number(rest)?)),
            "await" => wait_for(&signals, signal(rest)?)?,
            "sigwait" => sigwait(signal(rest)?)?,
            "kill" => nix::sys::signal::kill(nix::unistd::Pid::from_raw(1), signal(rest)?)?,
            "processes" => print(&processes()?),
            "bomb" => bomb(),
            "exit" => return Ok(ExitCode::from(u8::try_from(number(rest)?).unwrap_or(255))),
            "forever" => loop {
                sleep(Duration::from_secs(3600));
            },
            unknown => return Err(io::Error::other(format!("unknown act `{unknown}`"))),
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(text: &str) {
    // Nobody is there to be told.
    let _ = writeln!(io::stdout(), "{text}");
}

fn number(text: &str) -> io::Result<u64> {
    text.parse()
        .map_err(|_| io::Error::other(format!("`{text}` is not a number")))
}

fn signal(text: &str) -> io::Result<Signal> {
    format!("SIG{text}")
        .parse()
        .map_err(|_| io::Error::other(format!("`{text}` is not a signal")))
}

fn notify_socket() -> io::Result<UnixDatagram> {
    let path = std::env::var("NOTIFY_SOCKET").map_err(io::Error::other)?;
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

fn say(text: &str) -> io::Result<()> {
    notify_socket()?.send(text.as_bytes()).map(drop)
}

fn flood(time: Duration) -> io::Result<()> {
    let socket = notify_socket()?;
    let start = Instant::now();
    let mut heard = 0_u32;
    while start.elapsed() < time {
        socket.send(format!("WATCHDOG=1\nSTATUS={heard}\nSTOPPING=0\n").as_bytes())?;
        heard += 1;
    }
    print(&format!("heard {heard}"));
    Ok(())
}

/// The socket's buffers are full and nobody reads: whoever closes it last has to wait.
fn linger() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    let linger = nix::libc::linger {
        l_onoff: 1,
        l_linger: 600,
    };
    nix::sys::socket::setsockopt(&client, nix::sys::socket::sockopt::Linger, &linger)?;
    client.set_nonblocking(true)?;
    while client.write(&[7; 65_536]).is_ok() {}
    let notify = notify_socket()?;
    sys::socket::send(notify.as_fd(), b"STATUS=look at this", &[client.as_fd()])?;
    // It must be the receiver's own by the time that it closes it; the server's end stays open until we end.
    drop(client);
    std::mem::forget(server);
    Ok(())
}

fn serve(how: &str) -> io::Result<()> {
    let numbers: io::Result<Vec<u64>> = how.split(' ').map(number).collect();
    let [http, datagrams, ready_ms] = numbers?[..] else {
        return Err(io::Error::other("serve TCP UDP MS"));
    };
    let port = |number: u64| u16::try_from(number).map_err(io::Error::other);
    let version = std::env::var("VERSION").map_err(io::Error::other)?;
    let start = Instant::now();
    let socket = UdpSocket::bind(("0.0.0.0", port(datagrams)?))?;
    let answer = version.clone();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((_, from)) = socket.recv_from(&mut question) {
            // Who has gone is not answered.
            let _ = socket.send_to(answer.as_bytes(), from);
        }
    });
    let listener = TcpListener::bind(("0.0.0.0", port(http)?))?;
    for client in listener.incoming() {
        let status = match start.elapsed() >= Duration::from_millis(ready_ms) {
            true => "200 OK",
            false => "503 Service Unavailable",
        };
        let mut client = client?;
        // One that says nothing, or goes, is no reason to end.
        let mut question = [0; 1024];
        if client.read(&mut question).is_ok_and(|bytes| bytes > 0) {
            let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
            let _ = write!(
                client,
                "{head}Content-Length: {}\r\n\r\n{version}",
                version.len()
            );
        }
    }
    Ok(())
}

fn wait_for(signals: &SignalFd, wanted: Signal) -> io::Result<()> {
    loop {
        if let Some(signal) = signals.read_signal()? {
            let is_it = i32::try_from(signal.ssi_signo).is_ok_and(|number| number == wanted as i32);
            if is_it {
                print(&format!("got {wanted}"));
                return Ok(());
            }
        }
    }
}

fn sigwait(wanted: Signal) -> io::Result<()> {
    let set: SigSet = [wanted].into_iter().collect();
    print(&format!("got {}", set.wait()?));
    Ok(())
}

/// What is forked stays.
fn bomb() {
    let mut forked = 0;
    loop {
        match sys::program::fork() {
            Ok(sys::program::Fork::Child) => loop {
                sleep(Duration::from_secs(3600));
            },
            Ok(sys::program::Fork::Parent(_)) => forked += 1,
            Err(_) => return print(&format!("forked {forked}")),
        }
    }
}

/// proc_stat(5): a line `processes N`.
fn processes() -> io::Result<String> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let mut lines = text.lines();
    let found = lines.find_map(|line| line.strip_prefix("processes "));
    Ok(found.unwrap_or_default().to_owned())
}
