//! Launching measured from within: beside Keelson's own PID 1 on the same kernel, in the same minute, a process that starts
//! the least container, one with crun, and one with `keelctl`, in turns.
//!
//! ```text
//! kernel ─▶ floor-init ─┬─ child ─▶ waits for the machine ─▶ a root of its own with crun's files ─▶ rounds ─▶ lines on the console
//!                       └─ becomes /init: Keelson
//! ```
//!
//! ```text
//! floor: launch pss N KiB        of Keelson's programs, before any unit was started; nobody is connected
//! floor: launch ROW N us
//! trace: ROW LINE               with floor_trace=1, one of each [trace]
//! floor: launch done
//! ```
//!
//! Rows are measured one after the other in each round, so that a slow minute falls on all alike.

mod container;
mod crun;
pub(crate) mod place;
mod pong;
mod trace;

use crate::facts;
pub(crate) use crun::{LOOP, run_redis_again_and_again};
use pong::Service;
use std::fmt::Display;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// As the child of PID 1 that measures.
pub(crate) const CHILD: &str = "measure-launches";
/// Rounds before what is measured: code is translated, files are in memory.
const ROUNDS_OF_WARMTH: u32 = 2;
/// So long the machine may take to start its first unit.
const READY: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// After so long the boot has loaded and done what it does behind the units.
const SETTLED: Duration = Duration::from_secs(5);
/// Between two starts, for what the one before leaves to the kernel (a namespace's end takes tens of milliseconds).
const PAUSE: Duration = Duration::from_millis(150);

/// Units of tests/bench/src/launch, which have these names.
const ALONE: &str = "bench-alone";
const BRIDGED: &str = "bench-bridged";
const SLEEPER: &str = "bench-sleeper";
const REDIS: &str = "bench-redis";
/// `bench-more-0` and so on, [`MORE`] of them, which sleep.
const ONE_MORE: &str = "bench-more";
const MORE: u32 = 60;
/// By one command.
const STARTED_AT_ONCE: usize = 10;
/// `bench-redis`, published.
const REDIS_PORT: u16 = 6390;

/// Start the child, and become Keelson's PID 1. Returns only the reason why not.
pub(crate) fn start() -> io::Error {
    let child = place::prepare().and_then(|()| Command::new(place::AGENT).arg(CHILD).spawn());
    match child {
        Ok(_) => Command::new("/init").exec(),
        Err(error) => error,
    }
}

/// The child's work.
pub(crate) fn measure() {
    match measure_all() {
        Ok(()) => println!("floor: launch done"),
        Err(error) => println!("floor: failed: launch: {error}"),
    }
}

fn measure_all() -> io::Result<()> {
    let rounds: u32 = std::env::var("floor_rounds")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(10);
    let layers = place::enter()?;
    wait_ready()?;
    std::thread::sleep(SETTLED);
    println!("floor: launch pss {} KiB", facts::pss_of_others()? / 1024);
    start_once()?;
    let peer = crun::Peer::new(&layers)?;
    let least = container::Least::new(&layers)?;
    let redis = crun::Loop::start(&peer)?;
    keelctl(&["start", SLEEPER])?;
    keelctl(&["start", REDIS])?;
    peer.start_sleeper()?;
    for round in 0..ROUNDS_OF_WARMTH + rounds {
        let told = |row: &str, time: io::Result<Duration>| -> io::Result<()> {
            let time = time.map_err(|error| io::Error::other(format!("{row}: {error}")))?;
            if round >= ROUNDS_OF_WARMTH {
                println!("floor: launch {row} {} us", time.as_micros());
            }
            std::thread::sleep(PAUSE);
            Ok(())
        };
        told("fork-exec", fork_exec())?;
        told("least", least.run())?;
        told("crun", peer.run_true())?;
        told("alone", keelctl(&["start", ALONE]))?;
        told("bridged", keelctl(&["start", BRIDGED]))?;
        told("crun-exec", peer.exec_true())?;
        told("exec", keelctl(&["exec", SLEEPER, "--", "/bin/true"]))?;
        told("version", keelctl(&["version"]))?;
        told("ps", keelctl(&["ps"]))?;
        told(
            "crun-pong",
            pong::killed_to_pong(&Service::Peer(&redis), crun::ADDRESS, 6379),
        )?;
        told(
            "pong",
            pong::killed_to_pong(&Service::Unit(REDIS), place::MACHINE, REDIS_PORT),
        )?;
    }
    redis.end();
    if std::env::var_os("floor_trace").is_some() {
        trace_all(&peer, &least)?;
    }
    list_many(rounds)
}

/// What a list costs when [`MORE`] units more run.
fn list_many(rounds: u32) -> io::Result<()> {
    let names: Vec<String> = (0..MORE)
        .map(|number| format!("{ONE_MORE}-{number}"))
        .collect();
    for some in names.chunks(STARTED_AT_ONCE) {
        let words: Vec<&str> = std::iter::once("start")
            .chain(some.iter().map(String::as_str))
            .collect();
        keelctl(&words)?;
    }
    for _ in 0..rounds {
        std::thread::sleep(PAUSE);
        let floor = fork_exec()?;
        println!("floor: launch fork-exec-many {} us", floor.as_micros());
        std::thread::sleep(PAUSE);
        let list = keelctl(&["ps"])?;
        println!("floor: launch ps-many {} us", list.as_micros());
    }
    Ok(())
}

fn trace_all(peer: &crun::Peer, least: &container::Least) -> io::Result<()> {
    trace::trace("least", || least.run())?;
    trace::trace("alone", || keelctl(&["start", ALONE]))?;
    trace::trace("crun-exec", || peer.exec_true())?;
    trace::trace("exec", || keelctl(&["exec", SLEEPER, "--", "/bin/true"]))
}

fn fork_exec() -> io::Result<Duration> {
    timed(Command::new(place::BUSYBOX).arg("true"))
}

fn keelctl(words: &[&str]) -> io::Result<Duration> {
    let program = Path::new(sys::paths::PROGRAMS).join("keelctl");
    timed(Command::new(place::machine(&program)).args(words))
}

/// From before the fork until the command has ended, which it must with success.
fn timed(command: &mut Command) -> io::Result<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let begun = Instant::now();
    let output = command.stderr(Stdio::piped()).spawn()?.wait_with_output()?;
    let time = begun.elapsed();
    if output.status.success() {
        return Ok(time);
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(failed(format!("{command:?}: {} {text}", output.status)))
}

/// PID 1 answers.
fn wait_ready() -> io::Result<()> {
    until_done(&["ps"])
}

/// Containers can be started: the boot is over.
fn start_once() -> io::Result<()> {
    until_done(&["start", BRIDGED])
}

fn until_done(words: &[&str]) -> io::Result<()> {
    let until = Instant::now() + READY;
    loop {
        match keelctl(words) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > until => return Err(error),
            Err(_) => std::thread::sleep(LOOK_AGAIN),
        }
    }
}

fn failed(text: impl Display) -> io::Error {
    io::Error::other(text.to_string())
}
