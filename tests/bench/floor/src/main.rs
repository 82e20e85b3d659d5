//! The least possible PID 1: the floor below which no system on the same kernel can get.
//!
//! ```text
//! kernel ─▶ floor-init ─┬─ floor=bare    one line, what it uses, power off
//!                       ├─ floor=redis   modules, the machine's disk, a fixed address ─▶ redis-server as PID 1,
//!                       │                 N of them with floor_instances=N, on one port after the other
//!                       │                 └─ a child says after a while what all of it uses, and ends
//!                       ├─ floor=launch  Keelson, and beside its PID 1 a child that measures launches [launch]
//!                       └─ floor=order   Keelson, and a child that records which functions its programs call [order]
//! ```
//!
//! No cgroup, no namespace, no supervision, no log, no DHCP, no check of the disk, which is mounted read-only: whatever
//! a real system does beyond this is what its difference to this floor pays for. Lines on the console:
//!
//! ```text
//! floor: init at N ms
//! floor: redis at N ms
//! floor: memory total=N available=N free=N at-hand=N pss=N descriptors=N processes=N     (bytes; the reporter itself left out)
//! ```

mod facts;
mod launch;
mod network;
mod order;
mod redis;

use std::io;
use std::process::ExitCode;
use sys::power::{self, PowerAction};

/// As the child of PID 1 that reports.
const REPORT: &str = "report";

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(REPORT) => {
            facts::report_later();
            return ExitCode::SUCCESS;
        }
        Some(launch::CHILD) => {
            launch::measure();
            return ExitCode::SUCCESS;
        }
        Some(launch::LOOP) => {
            launch::run_redis_again_and_again();
            return ExitCode::SUCCESS;
        }
        Some(order::RECORDER) => {
            order::record();
            return ExitCode::SUCCESS;
        }
        Some(order::OPERATOR) => {
            return match order::operate() {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    println!("floor: failed: order: {error}");
                    ExitCode::FAILURE
                }
            };
        }
        Some(_) | None => {}
    }
    say("init");
    // What the kernel does not know of its command line it gives to init as environment (kernel-parameters.rst).
    let error = match std::env::var("floor").as_deref() {
        Ok("redis") => redis::start(instances()),
        Ok("launch") => Some(launch::start()),
        Ok("order") => Some(order::start()),
        Ok(_) | Err(_) => bare().err(),
    };
    if let Some(error) = error {
        println!("floor: failed: {error}");
    }
    println!("floor: {}", power::end(PowerAction::PowerOff));
    ExitCode::FAILURE
}

/// `floor_instances=N`
fn instances() -> u16 {
    let text = std::env::var("floor_instances").unwrap_or_default();
    text.parse().unwrap_or(1)
}

fn bare() -> io::Result<()> {
    redis::mount("proc", "/proc", "proc", nix::mount::MsFlags::empty())?;
    println!("{}", facts::Facts::read()?);
    Ok(())
}

/// One line with the time since the kernel's start.
fn say(what: &str) {
    println!("floor: {what} at {} ms", sys::clock::since_boot_ms());
}
