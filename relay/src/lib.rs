//! The relay: `keelctl` on the build host comes in by a virtio-serial port and is a local client of PID 1 from here on.
//!
//! ```text
//!   /dev/vport0p1 ─▶ Session ─events─▶ Client ─▶ control.sock, pipes or terminal
//!                 ◀─ frames ◀──────────────────
//!   one Port per device; one loop:  pump every port that was woken, wait, repeat
//! ```
//!
//! Invariants:
//! - A host that goes away takes its client with it: PID 1 sees the connection close, and cancels. Its going is believed
//!   only when no other has come: the kernel may tell of it after the next host's first bytes.
//! - Nothing that a host or a program sends ends the relay, or makes it hold more than a window per channel.
//! - A port without a host costs nothing: it stays hung up for hours, so it is waited for by edges. When none has a host
//!   for a while, the relay ends; PID 1 has the ports too, and starts it again for the next host. Whatever that one says
//!   meanwhile waits in its port.
//! - One port can't starve another: a pump is so many rounds long, then the next one has its turn.
//!
//! It knows nothing about requests: see `control::serial`.

mod ports;
mod pump;

pub use ports::handed_over;
pub use pump::Port;

use std::env::ArgsOs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use sys::epoll::{Epoll, Interest};

/// How long nobody is there before it ends: a person's next command comes sooner.
const IDLE: Duration = Duration::from_secs(10);

/// The program `relay`: started by `init` when somebody has opened a port, with the ports' names for arguments.
#[must_use]
pub fn run(names: ArgsOs) -> ExitCode {
    sys::kmsg::install("relay");
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let ports = match handed_over(names) {
        Ok(ports) => ports,
        Err(error) => {
            log::error!("the ports are not handed over: {error}");
            return ExitCode::FAILURE;
        }
    };
    match serve(ports, Path::new(sys::paths::CONTROL_SOCKET), Some(IDLE)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("cannot wait for the ports: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Carry until nobody has been there for `idle` (`None`: for ever).
///
/// # Errors
/// As epoll_create1(2), epoll_ctl(2), poll(2).
pub fn serve(
    mut ports: Vec<Port>,
    control_socket: &Path,
    idle: Option<Duration>,
) -> io::Result<()> {
    let edges = Epoll::new()?;
    for (token, port) in (0..).zip(&ports) {
        edges.add(port.device(), Interest::Edges, token)?;
    }
    let mut quiet_since = Instant::now();
    loop {
        let mut unfinished = false;
        for port in &mut ports {
            if port.is_awake() {
                quiet_since = Instant::now();
                unfinished |= port.pump(control_socket);
            }
            port.settle();
        }
        let end = match idle {
            Some(idle) if !ports.iter().any(Port::is_in_use) => Some(quiet_since + idle),
            _ => None,
        };
        if end.is_some_and(|end| end <= Instant::now()) {
            return Ok(());
        }
        let timeout = if unfinished {
            Some(Duration::ZERO)
        } else {
            let deadlines = ports.iter().filter_map(Port::deadline).chain(end);
            let deadline = deadlines.min();
            deadline.map(|end| end.saturating_duration_since(Instant::now()))
        };
        wait(&edges, &mut ports, timeout)?;
    }
}

/// Wait for any port's device, and for what its client waits for; wake those ports.
fn wait(edges: &Epoll, ports: &mut [Port], timeout: Option<Duration>) -> io::Result<()> {
    let mut watched = vec![(edges.as_fd(), Interest::Read)];
    let mut owners = vec![0];
    for (number, port) in ports.iter().enumerate() {
        let descriptors = port.descriptors();
        owners.extend(descriptors.iter().map(|_| number));
        watched.extend(descriptors);
    }
    let ready = sys::poll::wait(&watched, timeout)?;
    drop(watched);
    for ready in ready {
        if ready.token == 0 {
            for event in edges.wait(Some(0))? {
                let port = usize::try_from(event.token)
                    .ok()
                    .and_then(|token| ports.get_mut(token));
                if let Some(port) = port {
                    if event.hung_up {
                        port.host_left();
                    }
                    port.wake();
                }
            }
        } else {
            let owner = usize::try_from(ready.token)
                .ok()
                .and_then(|token| owners.get(token));
            if let Some(port) = owner.and_then(|owner| ports.get_mut(*owner)) {
                port.wake();
            }
        }
    }
    Ok(())
}
