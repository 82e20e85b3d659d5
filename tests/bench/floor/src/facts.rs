//! What PID 1 uses, from /proc, as `keelctl top` says it of Keelson's programs.

use std::fmt;
use std::fs;
use std::io;
use std::time::Duration;

/// After so long Redis serves, and nothing more is being loaded.
const SETTLED: Duration = Duration::from_secs(4);

/// Bytes and counts.
#[derive(Debug)]
pub(crate) struct Facts {
    total: u64,
    available: u64,
    free: u64,
    at_hand: u64,
    pss: u64,
    descriptors: u64,
    processes: u64,
}

impl Facts {
    /// Of PID 1; the caller, when it is another process, is left out.
    pub(crate) fn read() -> io::Result<Self> {
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let is_other = std::process::id() != 1;
        let own = if is_other { pss("self")? } else { 0 };
        let listing_itself = u64::from(!is_other);
        let descriptors = fs::read_dir("/proc/1/fd")?.count() as u64;
        let processes = fs::read_dir("/proc")?
            .flatten()
            .filter(|entry| is_program(&entry.file_name().to_string_lossy()))
            .count() as u64;
        Ok(Self {
            total: kibibytes(&meminfo, "MemTotal"),
            available: kibibytes(&meminfo, "MemAvailable").saturating_add(own),
            free: kibibytes(&meminfo, "MemFree").saturating_add(own),
            at_hand: sys::memory::at_hand().unwrap_or(0),
            pss: pss("1")?,
            descriptors: descriptors.saturating_sub(listing_itself),
            processes: processes.saturating_sub(u64::from(is_other)),
        })
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            total,
            available,
            free,
            at_hand,
            pss,
            descriptors,
            processes,
        } = self;
        write!(
            f,
            "floor: memory total={total} available={available} free={free} at-hand={at_hand} pss={pss} descriptors={descriptors} processes={processes}"
        )
    }
}

/// The child's work: wait, look, say.
pub(crate) fn report_later() {
    std::thread::sleep(SETTLED);
    match Facts::read() {
        Ok(facts) => println!("{facts}"),
        Err(error) => println!("floor: failed: facts: {error}"),
    }
}

/// Of every program but the caller, bytes.
pub(crate) fn pss_of_others() -> io::Result<u64> {
    let own = std::process::id().to_string();
    let mut sum = 0;
    for entry in fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_program(&name) && name != own {
            // Who has ended meanwhile has none.
            sum += pss(&name).unwrap_or(0);
        }
    }
    Ok(sum)
}

/// Kernel threads have no command line.
fn is_program(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
        && fs::read(format!("/proc/{name}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn pss(process: &str) -> io::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    Ok(kibibytes(&rollup, "Pss"))
}

/// The value of `KEY:   123 kB`, in bytes.
fn kibibytes(text: &str, key: &str) -> u64 {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
        .and_then(|value| value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    value.unwrap_or(0) * 1024
}
