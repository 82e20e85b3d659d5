//! logd as PID 1 knows it: a socket on descriptor 3, pipes lent to it, and SIGKILL at any moment.

use control::log::{LogReply, LogRequest};
use control::request::LogsRequest;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use unit::UnitName;

/// logd and our end of its socket. It is ended when this goes.
struct Logd {
    child: Child,
    socket: OwnedFd,
}

impl Logd {
    fn start(folder: &Path) -> Self {
        let (ours, theirs) = sys::socket::seqpacket_pair().unwrap();
        // bash (dash knows one-digit numbers only) puts the inherited socket under number 3, as PID 1's clone does.
        let number = theirs.as_raw_fd();
        sys::descriptor::set_close_on_exec(theirs.as_fd(), false).unwrap();
        let command = format!("exec \"$0\" 3<&{number}");
        let child = Command::new("bash")
            .args(["-c", &command, env!("CARGO_BIN_EXE_logd")])
            .env("KEELSON_LOGS", folder)
            .spawn()
            .unwrap();
        drop(theirs);
        let logd = Self {
            child,
            socket: ours,
        };
        assert_eq!(logd.reply(), LogReply::Ready);
        logd
    }

    fn ask(&self, request: &LogRequest, descriptors: &[&OwnedFd]) {
        let borrowed: Vec<_> = descriptors
            .iter()
            .map(|descriptor| descriptor.as_fd())
            .collect();
        sys::socket::send(
            self.socket.as_fd(),
            &serde_json::to_vec(request).unwrap(),
            &borrowed,
        )
        .unwrap();
    }

    fn reply(&self) -> LogReply {
        let mut buffer = [0; 4096];
        let ready = sys::poll::wait(
            &[(self.socket.as_fd(), sys::epoll::Interest::Read)],
            Some(Duration::from_secs(10)),
        );
        assert!(!ready.unwrap().is_empty(), "logd does not answer");
        let (bytes, _) = sys::socket::receive(self.socket.as_fd(), &mut buffer).unwrap();
        serde_json::from_slice(&buffer[..bytes]).unwrap()
    }

    fn query(&self, query: LogsRequest) -> String {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let writer = OwnedFd::from(writer);
        self.ask(&LogRequest::Query { id: 9, query }, &[&writer]);
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        while !matches!(self.reply(), LogReply::QueryDone { id: 9, error: None }) {}
        text
    }
}

impl Drop for Logd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("keelson-logd-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn keep(run: u64) -> LogRequest {
    LogRequest::Keep {
        unit: UnitName::new("web").unwrap(),
        run,
        max_size: 1 << 20,
        max_files: 4,
    }
}

fn pipe() -> (OwnedFd, File) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader.into(), File::from(OwnedFd::from(writer)))
}

#[test]
fn a_killed_logd_loses_no_line_and_the_writer_never_notices() {
    let folder = folder("killed");
    let (stdout, mut writer) = pipe();
    let (stderr, other) = pipe();
    const LINES: u32 = 20_000;
    let container = std::thread::spawn(move || {
        for number in 0..LINES {
            writeln!(writer, "line {number}").expect("a container never sees a closed pipe");
        }
    });
    let mut kills = 0;
    while !container.is_finished() {
        let logd = Logd::start(&folder);
        logd.ask(&keep(1), &[&stdout, &stderr]);
        std::thread::sleep(Duration::from_micros(300 + 700 * (kills % 10)));
        drop(logd);
        kills += 1;
    }
    container.join().unwrap();
    drop(other);
    let logd = Logd::start(&folder);
    logd.ask(&keep(1), &[&stdout, &stderr]);
    while !matches!(logd.reply(), LogReply::Drained { run: 1, .. }) {}
    let text = logd.query(LogsRequest {
        units: vec!["web".into()],
        ..LogsRequest::default()
    });
    let mut next = 0;
    for line in text.lines() {
        let number: u32 = line.strip_prefix("line ").expect(line).parse().unwrap();
        // A batch may come twice, never out of its order, never with a gap.
        assert!(
            number <= next,
            "lines {next} to {number} are lost, after {kills} kills"
        );
        next = next.max(number + 1);
    }
    assert_eq!(next, LINES);
    assert!(
        kills > 3,
        "the test has not killed it in the middle: {kills}"
    );
    println!(
        "{kills} kills, {} lines kept for {LINES} written",
        text.lines().count()
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_query_tells_tail_streams_notes_and_follows() {
    let folder = folder("query");
    let logd = Logd::start(&folder);
    let (stdout, mut out) = pipe();
    let (stderr, mut err) = pipe();
    logd.ask(&keep(7), &[&stdout, &stderr]);
    writeln!(out, "one\ntwo").unwrap();
    logd.ask(
        &LogRequest::Note {
            unit: UnitName::new("web").unwrap(),
            run: 7,
            message: "started".into(),
        },
        &[],
    );
    let units = vec!["web".to_owned()];
    let text = logd.query(LogsRequest {
        units: units.clone(),
        ..LogsRequest::default()
    });
    assert_eq!(text, "one\ntwo\n-- started\n");
    writeln!(err, "bad").unwrap();
    let json = logd.query(LogsRequest {
        units: units.clone(),
        tail: Some(1),
        json: true,
        ..LogsRequest::default()
    });
    let line: control::log::LogLine = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (
            line.message.as_str(),
            line.stream.as_str(),
            line.run,
            line.unit.as_str()
        ),
        ("bad", "stderr", 7, "web")
    );

    let (mut reader, writer) = std::io::pipe().unwrap();
    let writer = OwnedFd::from(writer);
    logd.ask(
        &LogRequest::Query {
            id: 3,
            query: LogsRequest {
                units,
                follow: true,
                tail: Some(0),
                ..LogsRequest::default()
            },
        },
        &[&writer],
    );
    drop(writer);
    std::thread::sleep(Duration::from_millis(50));
    write!(out, "pro").unwrap();
    writeln!(out, "mpt\nnext").unwrap();
    let mut buffer = [0; 64];
    let mut followed = String::new();
    let start = Instant::now();
    while !followed.ends_with("next\n") && start.elapsed() < Duration::from_secs(10) {
        let bytes = reader.read(&mut buffer).unwrap();
        followed.push_str(std::str::from_utf8(&buffer[..bytes]).unwrap());
    }
    assert_eq!(followed, "prompt\nnext\n");
    drop(reader);
    logd.ask(&LogRequest::Cancel { id: 3 }, &[]);
    logd.ask(&LogRequest::Flush, &[]);
    while !matches!(logd.reply(), LogReply::Flushed) {}
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_line_without_its_end_is_kept_after_a_while_and_at_the_end() {
    let folder = folder("partial");
    let logd = Logd::start(&folder);
    let (stdout, mut out) = pipe();
    let (stderr, err) = pipe();
    logd.ask(&keep(1), &[&stdout, &stderr]);
    write!(out, "password: ").unwrap();
    std::thread::sleep(Duration::from_millis(900));
    let units = vec!["web".to_owned()];
    assert_eq!(
        logd.query(LogsRequest {
            units: units.clone(),
            ..LogsRequest::default()
        }),
        "password: "
    );
    write!(out, "last words").unwrap();
    drop((out, err));
    while !matches!(logd.reply(), LogReply::Drained { run: 1, .. }) {}
    assert_eq!(
        logd.query(LogsRequest {
            units,
            ..LogsRequest::default()
        }),
        "password: last words\n"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}
