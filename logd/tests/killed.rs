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
        pair: run + 100,
        max_size: 1 << 20,
        max_files: 4,
        pattern: None,
    }
}

/// The same with files of another size and number.
fn sized(request: LogRequest, max_size: u64, max_files: u32) -> LogRequest {
    match request {
        LogRequest::Keep {
            unit,
            run,
            pair,
            pattern,
            ..
        } => LogRequest::Keep {
            unit,
            run,
            pair,
            max_size,
            max_files,
            pattern,
        },
        other => other,
    }
}

fn keep_until(run: u64, pattern: &str) -> LogRequest {
    match keep(run) {
        LogRequest::Keep {
            unit,
            run,
            pair,
            max_size,
            max_files,
            pattern: _,
        } => LogRequest::Keep {
            unit,
            run,
            pair,
            max_size,
            max_files,
            pattern: Some(pattern.to_owned()),
        },
        other => other,
    }
}

fn pipe() -> (OwnedFd, File) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader.into(), File::from(OwnedFd::from(writer)))
}

#[test]
fn a_killed_logd_keeps_every_line_once_and_the_writer_never_notices() {
    // One file, and files that turn over between most of the batches.
    for (name, max_size, max_files) in [("killed", 1 << 20, 4), ("killed-small", 4096, 1000)] {
        keeps_every_line_once(name, max_size, max_files);
    }
}

fn keeps_every_line_once(name: &str, max_size: u64, max_files: u32) {
    let folder = folder(name);
    let keep = sized(keep(1), max_size, max_files);
    let (stdout, mut writer) = pipe();
    let (stderr, other) = pipe();
    const KILLS: u64 = 30;
    const LINES_OF_EACH: u32 = 1000;
    let (start, started) = std::sync::mpsc::channel();
    let container = std::thread::spawn(move || {
        let mut number = 0;
        for () in started {
            for _ in 0..LINES_OF_EACH {
                writeln!(writer, "line {number}").expect("a container never sees a closed pipe");
                number += 1;
            }
        }
        number
    });
    for kill in 0..KILLS {
        let logd = Logd::start(&folder);
        logd.ask(&keep, &[&stdout, &stderr]);
        start.send(()).unwrap();
        // Before, while and after it writes them.
        std::thread::sleep(Duration::from_micros(700 * (kill % 10)));
        drop(logd);
    }
    drop(start);
    drop(other);
    let logd = Logd::start(&folder);
    logd.ask(&keep, &[&stdout, &stderr]);
    let lines: u32 = container.join().unwrap();
    while !matches!(logd.reply(), LogReply::Drained { pair: 101, .. }) {}
    let text = logd.query(LogsRequest {
        units: vec!["web".into()],
        ..LogsRequest::default()
    });
    let mut next = 0;
    for line in text.lines() {
        let number: u32 = line.strip_prefix("line ").expect(line).parse().unwrap();
        assert_eq!(number, next, "lost or twice");
        next += 1;
    }
    assert_eq!(next, lines);
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
    while !matches!(logd.reply(), LogReply::Drained { pair: 101, .. }) {}
    assert_eq!(
        logd.query(LogsRequest {
            units,
            ..LogsRequest::default()
        }),
        "password: last words\n"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Messages that a logd that is gone has left in the socket.
fn last_words(logd: &Logd) -> Vec<LogReply> {
    sys::descriptor::set_nonblocking(logd.socket.as_fd(), true).unwrap();
    let mut buffer = [0; 4096];
    let mut replies = Vec::new();
    while let Ok((bytes @ 1.., _)) = sys::socket::receive(logd.socket.as_fd(), &mut buffer) {
        replies.push(serde_json::from_slice(&buffer[..bytes]).unwrap());
    }
    replies
}

#[test]
fn a_pattern_is_found_however_often_logd_is_killed() {
    let folder = folder("pattern");
    for round in 0..40 {
        let (stdout, mut out) = pipe();
        let (stderr, err) = pipe();
        let line = "ready to accept connections";
        let request = keep_until(round, "^ready to accept");
        let is_found = |reply: &LogReply| *reply == LogReply::Matched { pair: round + 100 };
        let mut logd = Logd::start(&folder);
        logd.ask(&request, &[&stdout, &stderr]);
        writeln!(out, "starting\n{line}").unwrap();
        // Before, while and after it reads the line.
        std::thread::sleep(Duration::from_micros(100 * (round % 20)));
        logd.child.kill().unwrap();
        logd.child.wait().unwrap();
        let mut found = last_words(&logd)
            .iter()
            .filter(|reply| is_found(reply))
            .count();
        assert!(found <= 1, "told {found} times by one logd");
        let logd = Logd::start(&folder);
        logd.ask(&request, &[&stdout, &stderr]);
        drop((out, err));
        loop {
            let reply = logd.reply();
            found += usize::from(is_found(&reply));
            if matches!(reply, LogReply::Drained { .. }) {
                break;
            }
        }
        assert!(found > 0, "round {round}: nobody told of the line");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_pattern_is_told_once_and_only_of_its_own_run() {
    let folder = folder("once");
    let logd = Logd::start(&folder);
    let ends: Vec<_> = (1..=2).map(|run| (run, pipe(), pipe())).collect();
    for (run, (stdout, _), (stderr, _)) in &ends {
        let request = if *run == 1 {
            keep_until(1, "up")
        } else {
            keep(2)
        };
        logd.ask(&request, &[stdout, stderr]);
    }
    for (_, (_, mut out), (_, mut err)) in ends {
        writeln!(out, "not yet\nup\nup").unwrap();
        writeln!(err, "up").unwrap();
    }
    let mut replies = Vec::new();
    while replies.len() < 3 {
        replies.push(logd.reply());
    }
    let found = replies
        .iter()
        .filter(|reply| matches!(reply, LogReply::Matched { .. }));
    assert_eq!(
        found.collect::<Vec<_>>(),
        [&LogReply::Matched { pair: 101 }]
    );
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn the_last_line_of_a_pair_is_told_when_both_are_at_their_end() {
    let folder = folder("last-line");
    let logd = Logd::start(&folder);
    let cases: [(u64, &str, &str, Option<&str>); 4] = [
        (1, "one\ntwo\n\n", "", Some("two")),
        (2, "one\n", "wrong\nworse\n \n", Some("worse")),
        (3, "no end", "", Some("no end")),
        (4, "\n", "", None),
    ];
    for (run, text, errors, expected) in cases {
        let (stdout, mut out) = pipe();
        let (stderr, mut err) = pipe();
        logd.ask(&keep(run), &[&stdout, &stderr]);
        write!(out, "{text}").unwrap();
        write!(err, "{errors}").unwrap();
        drop((out, err));
        let told = loop {
            if let LogReply::Drained { pair, last_line } = logd.reply() {
                assert_eq!(pair, run + 100);
                break last_line;
            }
        };
        assert_eq!(told.as_deref(), expected, "{text:?} {errors:?}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A query that outlives its logd: what PID 1 keeps of it.
struct Asked {
    request: LogRequest,
    output: OwnedFd,
    bookmark: OwnedFd,
}

impl Asked {
    fn new(query: LogsRequest) -> (Self, File) {
        let (reader, writer) = pipe();
        let asked = Self {
            request: LogRequest::Query { id: 9, query },
            output: writer.into(),
            bookmark: sys::memfd::open("bookmark").unwrap(),
        };
        (asked, reader.into())
    }

    fn ask(&self, logd: &Logd) {
        logd.ask(&self.request, &[&self.output, &self.bookmark]);
    }

    /// Until its bookmark begins with this byte.
    fn until(&self, state: u8) {
        let start = Instant::now();
        loop {
            let mut first = [0];
            let bookmark = File::from(self.bookmark.try_clone().unwrap());
            let read = std::os::unix::fs::FileExt::read_at(&bookmark, &mut first, 0).unwrap();
            if read == 1 && first == [state] {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(30), "{first:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn done(logd: &Logd) -> Option<String> {
    loop {
        if let LogReply::QueryDone { id: 9, error } = logd.reply() {
            return error;
        }
    }
}

fn of_web() -> LogsRequest {
    LogsRequest {
        units: vec!["web".to_owned()],
        ..LogsRequest::default()
    }
}

#[test]
fn a_follower_sees_every_line_once_however_often_logd_is_killed() {
    let folder = folder("follower");
    let (stdout, mut out) = pipe();
    let (stderr, _err) = pipe();
    let (asked, follower) = Asked::new(LogsRequest {
        follow: true,
        tail: Some(0),
        ..of_web()
    });
    let (lines, seen) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut follower = std::io::BufRead::lines(std::io::BufReader::new(follower));
        while follower
            .next()
            .is_some_and(|line| lines.send(line.unwrap()).is_ok())
        {}
    });
    // Small files, so that they turn over between one logd and the next.
    let keep = sized(keep(1), 200, 8);
    writeln!(out, "before it was asked").unwrap();
    let mut next = 0;
    for round in 0..12 {
        let logd = Logd::start(&folder);
        if round == 0 {
            logd.ask(&keep, &[&stdout, &stderr]);
            asked.ask(&logd);
            // It has begun; now everything is for it.
            asked.until(b'+');
        } else {
            asked.ask(&logd);
            logd.ask(&keep, &[&stdout, &stderr]);
        }
        for number in next..next + 3 {
            writeln!(out, "line {number}").unwrap();
        }
        // Those that were written when there was no logd, and these.
        let end = next + 3;
        let first = if round == 0 { 0 } else { next - 3 };
        for number in first..end {
            let line = seen.recv_timeout(Duration::from_secs(30));
            assert_eq!(line.unwrap(), format!("line {number}"));
        }
        asked.until(b'+');
        drop(logd);
        for number in end..end + 3 {
            writeln!(out, "line {number}").unwrap();
        }
        next = end + 3;
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_follower_of_all_sees_a_unit_that_came_while_logd_was_gone() {
    let folder = folder("newcomer");
    let (asked, follower) = Asked::new(LogsRequest {
        follow: true,
        ..LogsRequest::default()
    });
    let logd = Logd::start(&folder);
    asked.ask(&logd);
    asked.until(b'+');
    drop(logd);
    // Kept by a logd that died before the follower had seen it.
    std::fs::create_dir_all(folder.join("web")).unwrap();
    std::fs::write(folder.join("web").join("current"), "1 1 o one\n").unwrap();
    let logd = Logd::start(&folder);
    asked.ask(&logd);
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(follower), &mut line).unwrap();
    assert_eq!(line, "one\n");
    drop(logd);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_query_that_logd_has_not_begun_is_answered_by_the_next() {
    let folder = folder("not-begun");
    let (stdout, mut out) = pipe();
    let (stderr, _err) = pipe();
    let (asked, mut reader) = Asked::new(LogsRequest {
        tail: Some(2),
        ..of_web()
    });
    writeln!(out, "one\ntwo\nthree").unwrap();
    let logd = Logd::start(&folder);
    logd.ask(&keep(1), &[&stdout, &stderr]);
    asked.ask(&logd);
    let Asked {
        request,
        output,
        bookmark,
    } = asked;
    drop(output);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "two\nthree\n");
    assert_eq!(done(&logd), None);
    drop(logd);

    // Its last word was not heard: there is nothing to add.
    let logd = Logd::start(&folder);
    let (mut reader, output) = pipe_of_ours();
    logd.ask(&request, &[&output, &bookmark]);
    drop(output);
    logd.ask(&keep(1), &[&stdout, &stderr]);
    assert_eq!(done(&logd), None);
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "two\nthree\n");
    std::fs::remove_dir_all(&folder).unwrap();
}

fn pipe_of_ours() -> (File, OwnedFd) {
    let (reader, writer) = pipe();
    (reader.into(), writer.into())
}

#[test]
fn a_query_that_was_cut_while_it_sent_says_so() {
    let folder = folder("cut");
    let (stdout, mut out) = pipe();
    let (stderr, _err) = pipe();
    let logd = Logd::start(&folder);
    logd.ask(&keep(1), &[&stdout, &stderr]);
    for number in 0..20_000 {
        writeln!(out, "line {number}").unwrap();
    }
    // More than its pipe holds, and nobody reads.
    let (asked, mut reader) = Asked::new(of_web());
    asked.ask(&logd);
    let start = Instant::now();
    while !sys::poll::wait(
        &[(asked.output.as_fd(), sys::epoll::Interest::Write)],
        Some(Duration::ZERO),
    )
    .unwrap()
    .is_empty()
    {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(1));
    }
    asked.until(b'-');
    drop(logd);
    let logd = Logd::start(&folder);
    asked.ask(&logd);
    logd.ask(&keep(1), &[&stdout, &stderr]);
    let error = done(&logd).expect("an answer that was cut in the middle is no success");
    assert!(error.contains("ask again"), "{error}");
    drop(asked);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("line 0\nline 1\n") && !text.contains("line 19999\n"));
    std::fs::remove_dir_all(&folder).unwrap();
}
