//! Probes for PID 1: whether a container's service answers, by HTTP or TCP, without a process in the container.
//!
//! ```text
//! PID 1 ◀─ fd 3 ─▶ daemon ─▶ probe ─▶ attempt on 127.0.0.1, else ::1, else the container's address
//!                    │         │        setns in, socket(2), setns back; connect(2), send(2), recv(2) from here
//!                    │         └─▶ http: request text, judgement of an answer's head (pure)
//!                    └─ deadlines: the nearest is how long epoll(7) waits
//! ```
//!
//! A socket belongs to the network namespace that it was made in for as long as it lives (network_namespaces(7)), so
//! one thread can serve them all. A probe costs no process and no thread: some 15 system calls and a few KiB.
//!
//! Loopback comes first, since most services listen on all addresses or on loopback, and it is where a `HEALTHCHECK` of
//! Docker looks, from inside; the container's own address is where a kubelet looks. The next address is tried only when
//! nobody listens on the one before, so an answer, whatever it says, is the answer.
//!
//! Invariants:
//! - One thread; nothing waits but epoll(7). The thread is in another namespace only between two lines of `network`.
//! - Each probe is answered once, by its deadline; a cancelled one is not.
//! - What a service sends is bounded before it is kept (`limits`), and escaped before it is shown.
//! - No state outlives this program: killed at any time and started again, PID 1 asks anew.
//!
//! To add a kind of probe: a variant in `control::probe`, an arm in `probe`, a test in `tests/` with a real listener.

mod attempt;
mod daemon;
mod http;
mod limits;
mod network;
mod probe;
mod reason;
mod udp;

use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

/// Descriptor that PID 1 leaves open: one end of a socket pair.
const INIT_DESCRIPTOR: i32 = 3;

/// The program `prober`, with its arguments (without its name): there are none.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    sys::kmsg::install("prober");
    match serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Box<dyn Error>> {
    if arguments.into_iter().next().is_some() {
        return Err("usage: prober, with PID 1's socket on descriptor 3".into());
    }
    let init = sys::descriptor::inherited(INIT_DESCRIPTOR)
        .map_err(|error| format!("no socket of PID 1 on descriptor {INIT_DESCRIPTOR}: {error}"))?;
    if let Err(error) = limits::raise_descriptor_limit() {
        log::warn!("can't raise the limit of open files: {error}");
    }
    daemon::Daemon::new(init)?.run()?;
    Ok(())
}
