//! What is recorded: the machine's boot, and what an operator and a unit's probes let it do.

use super::{LOOK_AGAIN, failed};
use crate::launch::place;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Stops at first calls make all slow.
const READY: Duration = Duration::from_secs(240);
/// For probes, which come every second.
const PROBES: Duration = Duration::from_secs(5);

/// Units of tests/bench/src/order, which have these names.
const ONCE: &str = "bench-once";
const ALONE: &str = "bench-alone";
const SLEEPER: &str = "bench-sleeper";
const REDIS: &str = "bench-redis";

/// What follows the wait for the first unit.
const COMMANDS: [&[&str]; 20] = [
    &["version"],
    &["ps"],
    &["start", ALONE],
    &["start", ONCE],
    &["start", SLEEPER],
    &["start", REDIS],
    &["exec", SLEEPER, "--", "/bin/true"],
    &[
        "exec", "-i", "-u", "redis", "-e", "A=b", SLEEPER, "/bin/cat",
    ],
    &["ps"],
    &["ps", "--json"],
    &["status"],
    &["status", REDIS],
    &["logs", "-n", "10", REDIS],
    &["logs", "-p", "--since", "1m"],
    &["top"],
    &["image", "ls"],
    &["restart", REDIS],
    &["why", REDIS],
    &["reload", SLEEPER],
    &["stop", SLEEPER],
];

pub(super) fn run() -> io::Result<()> {
    place::wait_for_images()?;
    std::env::set_current_dir(format!("{}/1/root", place::PROC))?;
    nix::unistd::chroot(".")?;
    let until = Instant::now() + READY;
    while let Err(error) = keelctl(&["start", ONCE]) {
        if Instant::now() > until {
            return Err(error);
        }
        std::thread::sleep(LOOK_AGAIN * 100);
    }
    for words in COMMANDS {
        keelctl(words)?;
        if words == ["start", REDIS] {
            std::thread::sleep(PROBES);
        }
    }
    Ok(())
}

fn keelctl(words: &[&str]) -> io::Result<()> {
    let program = Path::new(sys::paths::PROGRAMS).join("keelctl");
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?
        .wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(failed(format!("{words:?}: {} {text}", output.status)))
}
