//! What PID 1 says, as far as keelctl can see it.

use control::change::{Changes, Effect, What};
use control::explain::{GraphEdge, GraphUnit, PastRun, TimerStatus, UnitGraph, WhyStep};
use control::frame::{self, REQUEST_BYTES_MAX};
use control::reply::{
    BootChart, ChartSpan, ChartUnit, Denial, ImageSummary, Program, Reply, Top, Turns, UnitHealth,
    UnitStatus,
};
use control::request::{ExecRequest, Request, RequestFrame};
use control::row::UnitRow;
use nix::pty::openpty;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use unit::{Change, Diagnostic, UnitChange, UnitName};

/// What was asked of it, and what came in.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: Vec<Request>,
    /// Connections that the client has closed before their end.
    pub(crate) cancelled: usize,
    /// Bytes of the last archive.
    pub(crate) archive: Vec<u8>,
}

#[derive(Clone)]
pub(crate) struct FakeInit(Arc<Mutex<Seen>>);

impl FakeInit {
    pub(crate) fn start(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let init = Self(Arc::default());
        let server = init.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (server, connection) = (server.clone(), connection.unwrap());
                std::thread::spawn(move || server.serve(connection));
            }
        });
        init
    }

    pub(crate) fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// Wait until it is so.
    pub(crate) fn wait_for(&self, what: &str, so: impl Fn(&Seen) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !self.seen(|seen| so(seen)) {
            assert!(Instant::now() < end, "waited in vain for: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn serve(&self, mut connection: UnixStream) {
        let Some((request, descriptors)) = read_request(&connection) else {
            return;
        };
        self.seen(|seen| seen.requests.push(request.clone()));
        let mut say = |reply: &Reply| {
            let _ = connection.write_all(&frame::encode(reply).unwrap());
        };
        match request {
            Request::Ps => say(&Reply::Units(vec![unit("redis@1"), unit("web")])),
            Request::List { memory } => {
                let rows = ["redis@1", "web"].map(|name| row(name, memory));
                say(&Reply::Rows(rows.into_iter().collect()));
            }
            Request::Status { unit: name } if name == "redis@1" => {
                say(&Reply::Unit(Box::new(unit(&name))))
            }
            Request::Status { unit } => say(&unknown(&unit)),
            Request::Start { units }
            | Request::Stop { units }
            | Request::Restart { units }
            | Request::Pause { units }
            | Request::Unpause { units } => {
                say(&Reply::Accepted);
                say(&Reply::Progress {
                    message: "asked \x1b[2Jnicely".into(),
                });
                match units.iter().find(|unit| *unit != "redis@1") {
                    None => say(&Reply::Done),
                    Some(unit) if unit == "broken" => {
                        say(&Reply::Failed {
                            message: "unit `broken`: exec: /bin/x: no such file".into(),
                        });
                    }
                    Some(unit) => say(&unknown(unit)),
                }
            }
            Request::ResetFailed { .. } | Request::Reload { .. } | Request::Choose(_) => {
                say(&Reply::Done);
            }
            Request::Diff => self.change(&mut say, descriptors, None),
            Request::Apply { wait } => self.change(&mut say, descriptors, Some(wait)),
            Request::ImageLs => say(&Reply::Images(vec![image()])),
            Request::BootChart => say(&Reply::BootChart(chart())),
            Request::Trace => say(&Reply::Trace(vec![
                "12 start redis@1".into(),
                "40 up redis@1".into(),
            ])),
            Request::TraceDump => {
                let mut output = File::from(descriptors.into_iter().next().unwrap());
                output.write_all(b"{\"release\":\"0\"}\n").unwrap();
                drop(output);
                say(&Reply::Done);
            }
            Request::Why { unit } | Request::History { unit } if unit != "redis@1" => {
                say(&unknown(&unit));
            }
            Request::Why { unit } => say(&Reply::Why(vec![WhyStep {
                at_ms: 2901,
                age_ms: 133_000,
                unit,
                cause: "start default".into(),
                state: "running".into(),
            }])),
            Request::History { .. } => say(&Reply::History(vec![PastRun {
                run: 3,
                scheduled_ms: Some(1_795_255_200_000),
                began_ms: 1_795_255_200_250,
                duration_ms: 1250,
                succeeded: true,
                outcome: "exited with code 0".into(),
            }])),
            Request::Timers => say(&Reply::Timers(vec![TimerStatus {
                name: "backup.timer".into(),
                unit: "backup".into(),
                state: "running".into(),
                next_ms: Some(4_102_444_800_000),
                last_ms: None,
                missed: 0,
                times: vec!["daily".into()],
                timezone: "UTC".into(),
            }])),
            Request::Graph => say(&Reply::Graph(Box::new(graph()))),
            Request::Kin { unit } if unit == "redis@1" => say(&Reply::Graph(Box::new(graph()))),
            Request::Kin { unit } => say(&unknown(&unit)),
            Request::Top => say(&Reply::Top(Box::new(top()))),
            Request::WaitReady | Request::Reexec => say(&Reply::Done),
            // The machine is gone before it can say more.
            Request::PowerOff | Request::Reboot => say(&Reply::Accepted),
            Request::ImageLoad | Request::ImageLoadAs { .. } => self.load(&mut say, descriptors),
            Request::Logs(request) => {
                let mut output = File::from(descriptors.into_iter().next().unwrap());
                let mut lines = 0u64;
                while lines < 10 || request.follow {
                    lines += 1;
                    if writeln!(output, "line {lines}").is_err() {
                        self.seen(|seen| seen.cancelled += 1);
                        return;
                    }
                    if lines > 10 {
                        if self.left(&connection) {
                            return;
                        }
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
                drop(output);
                let _ = connection.write_all(&frame::encode(&Reply::Done).unwrap());
            }
            Request::Exec(request) => self.exec(&connection, &request, descriptors),
        }
    }

    /// Whether the client has gone; counted.
    fn left(&self, connection: &UnixStream) -> bool {
        connection.set_nonblocking(true).unwrap();
        let left = matches!((&*connection).read(&mut [0; 16]), Ok(0));
        connection.set_nonblocking(false).unwrap();
        if left {
            self.seen(|seen| seen.cancelled += 1);
        }
        left
    }

    /// `web` is bad when it says so, and new otherwise.
    fn change(&self, say: &mut dyn FnMut(&Reply), descriptors: Vec<OwnedFd>, wait: Option<bool>) {
        let mut text = String::new();
        let mut files = File::from(descriptors.into_iter().next().unwrap());
        files.read_to_string(&mut text).unwrap();
        let bad = text.contains("bad");
        self.seen(|seen| seen.archive = text.into_bytes());
        if bad {
            let file = "/var/units/web.container.toml";
            let diagnostics = vec![Diagnostic::error(file, None, "not like that")];
            return say(&Reply::Refused { diagnostics });
        }
        let unit = UnitName::new("web").unwrap();
        let change = Change::Added;
        let changes = Box::new(Changes {
            units: vec![UnitChange { unit, change }],
            effects: vec![Effect {
                unit: "web".into(),
                what: What::Starts,
            }],
            ..Changes::default()
        });
        if wait == Some(true) {
            say(&Reply::Changing(changes));
            say(&Reply::Failed {
                message: "web: exited with code 1".into(),
            });
        } else {
            say(&Reply::Changes(changes));
        }
    }

    /// As the store: everything up to the end, or a refusal after the first bytes.
    fn load(&self, say: &mut dyn FnMut(&Reply), descriptors: Vec<OwnedFd>) {
        let mut archive = File::from(descriptors.into_iter().next().unwrap());
        let mut bytes = vec![0; 512];
        archive.read_exact(&mut bytes).unwrap_or(());
        if bytes.starts_with(b"forged") {
            drop(archive);
            say(&Reply::Failed {
                message: "digest of layer 1 does not match".into(),
            });
            return;
        }
        say(&Reply::Progress {
            message: "reading".into(),
        });
        archive.read_to_end(&mut bytes).unwrap();
        self.seen(|seen| seen.archive = bytes);
        say(&Reply::Done);
    }

    /// As the launcher: a process of this machine stands for one in a container.
    fn exec(&self, connection: &UnixStream, request: &ExecRequest, descriptors: Vec<OwnedFd>) {
        let say = |reply: &Reply| {
            let mut connection = connection;
            let _ = connection.write_all(&frame::encode(reply).unwrap());
        };
        if request.unit != "redis@1" {
            say(&unknown(&request.unit));
            return;
        }
        let refused = match request.argv[0].as_str() {
            "no-such-command" => Some(("exec: no-such-command: command not found", 127)),
            "/etc" => Some(("exec: /etc: is a folder", 126)),
            _ => None,
        };
        if let Some((message, code)) = refused {
            let message = message.to_owned();
            return say(&Reply::NotStarted { message, code });
        }
        let mut riders = descriptors.into_iter();
        let mut command = Command::new("setsid");
        if request.tty {
            let console = riders.next().unwrap();
            let pty = openpty(None, None).unwrap();
            sys::socket::send(console.as_fd(), b"terminal", &[pty.master.as_fd()]).unwrap();
            let (slave, two) = (
                pty.slave.try_clone().unwrap(),
                pty.slave.try_clone().unwrap(),
            );
            command
                .arg("--ctty")
                .stdin(pty.slave)
                .stdout(slave)
                .stderr(two);
        } else {
            let mut next = || Stdio::from(riders.next().unwrap());
            command.stdin(next()).stdout(next()).stderr(next());
        }
        command.arg("--wait").args(&request.argv);
        for variable in &request.env {
            let (name, value) = variable.split_once('=').unwrap();
            command.env(name, value);
        }
        let mut child = command.spawn().unwrap();
        // Our copies of its descriptors: with them, it would never see an end.
        drop(command);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if self.left(connection) {
                let _ = child.kill();
                let _ = child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        // What was cancelled may have ended by its closed streams before we looked.
        if self.left(connection) {
            return;
        }
        let code = status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap());
        say(&Reply::Exited { code, reason: None });
    }
}

fn read_request(connection: &UnixStream) -> Option<(Request, Vec<OwnedFd>)> {
    let (mut bytes, mut descriptors) = (Vec::new(), Vec::new());
    let mut buffer = [0; 4096];
    loop {
        let (count, riders) = sys::socket::receive(connection.as_fd(), &mut buffer).ok()?;
        descriptors.extend(riders);
        bytes.extend_from_slice(&buffer[..count]);
        match frame::decode::<RequestFrame>(&bytes, REQUEST_BYTES_MAX).unwrap() {
            Some((frame, _)) => return Some((frame.request, descriptors)),
            None if count == 0 => return None,
            None => {}
        }
    }
}

fn unknown(unit: &str) -> Reply {
    let nearest = unit.starts_with("redis").then(|| "redis@1".to_owned());
    Reply::Denied {
        reason: Denial::UnknownUnit {
            unit: unit.to_owned(),
            nearest,
        },
    }
}

fn unit(name: &str) -> UnitStatus {
    UnitStatus {
        name: name.into(),
        kind: "container".into(),
        description: "Redis, the first".into(),
        state: "running".into(),
        reason: "started".into(),
        goal: "up".into(),
        image: "docker.io/library/redis:7".into(),
        command: vec!["redis-server".into(), "--port".into(), "6379".into()],
        pid: Some(412),
        address: Some("10.88.0.2".into()),
        ports: vec!["0.0.0.0:7001->6379/tcp".into()],
        since_ms: 2901,
        age_ms: 133_000,
        restarts: 2,
        run: 3,
        memory: Some(3 << 20),
        memory_max: Some(1 << 30),
        pids: None,
        pids_max: None,
        last_exit: Some("killed by SIGKILL (out of memory)".into()),
        next_start_ms: None,
        source: "/usr/lib/keelson/units/redis@.container.toml".into(),
        requires: Vec::new(),
        wants: Vec::new(),
        after: vec!["network.target".into()],
        health: Some(UnitHealth {
            status: "healthy".into(),
            probe: "tcp port 6379".into(),
            failures: 1,
            retries: 3,
            successes: 0,
            reason: "connection refused on 127.0.0.1:6379".into(),
        }),
        required_by: vec!["web".into()],
        enablement: "enabled".into(),
        ..UnitStatus::default()
    }
}

fn row(name: &str, memory: bool) -> UnitRow<'_> {
    UnitRow {
        name: name.into(),
        state: "running".into(),
        age_ms: 133_000,
        image: "docker.io/library/redis:7".into(),
        command: "redis-server --port 6379".into(),
        memory: memory.then_some(3 << 20),
        ports: "0.0.0.0:7001->6379/tcp".into(),
        health: "healthy".into(),
        ..UnitRow::default()
    }
}

fn graph() -> UnitGraph {
    let unit = |name: &str| GraphUnit {
        name: name.into(),
        kind: "container".into(),
        state: "running".into(),
    };
    UnitGraph {
        units: vec![unit("redis@1"), unit("web")],
        edges: vec![GraphEdge {
            from: "web".into(),
            to: "redis@1".into(),
            kind: "requires".into(),
        }],
    }
}

fn image() -> ImageSummary {
    ImageSummary {
        reference: "docker.io/library/redis:7".into(),
        digest: format!("sha256:{}", "ab".repeat(32)),
        size: 19 << 20,
        layers: 3,
        created: "2026-11-20T10:11:12Z".into(),
    }
}

fn top() -> Top {
    Top {
        uptime_ms: 133_000,
        memory: 2 << 30,
        memory_available: 1900 << 20,
        memory_free: 1800 << 20,
        memory_at_hand: 0,
        containers_memory: 10 << 20,
        containers_threads: 2,
        state_device: Some("/dev/vda3".into()),
        state: 8 << 30,
        state_available: 7 << 30,
        warnings: vec!["THE STATE PARTITION IS NEARLY FULL".into()],
        programs: vec![Program {
            name: "init".into(),
            pid: 1,
            pss: 2 << 20,
            descriptors: 40,
            cpu_ms: 1250,
        }],
        turns: Turns::default(),
    }
}

pub(crate) fn chart() -> BootChart {
    let stage = |name: &str, start_ms, end_ms, ok| ChartSpan {
        name: name.into(),
        start_ms,
        end_ms,
        ok,
    };
    let states = |states: &[(&str, u64)]| {
        states
            .iter()
            .map(|(s, at)| ((*s).to_owned(), *at))
            .collect()
    };
    let unit = |name: &str, all: &[(&str, u64)]| ChartUnit {
        name: name.into(),
        states: states(all),
    };
    BootChart {
        stages: vec![
            stage("mounts", 1900, 1912, true),
            stage("modules", 1912, 2104, true),
            stage("state", 2104, 2350, true),
            stage("network", 2350, 2610, false),
        ],
        units: vec![
            unit("default.target", &[("waiting", 2400), ("running", 3412)]),
            unit(
                "redis@1",
                &[
                    ("waiting", 2400),
                    ("preparing", 2410),
                    ("starting", 2700),
                    ("running", 2901),
                ],
            ),
            unit(
                "redis@2",
                &[
                    ("preparing", 2415),
                    ("starting", 2720),
                    ("failed", 2930),
                    ("backoff", 2931),
                    ("starting", 3100),
                    ("running", 3300),
                ],
            ),
            unit(
                "migrate",
                &[("preparing", 2420), ("starting", 2750), ("finished", 3000)],
            ),
            unit("web", &[("waiting", 2400), ("inactive", 2500)]),
            unit("later", &[("preparing", 60_000), ("running", 60_400)]),
        ],
        ready_ms: Some(3412),
        now_ms: 61_000,
    }
}
