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
//! - A port without a host costs nothing: it stays hung up for hours, so it is waited for by edges.
//! - One port can't starve another: a pump is so many rounds long, then the next one has its turn.
//!
//! It knows nothing about requests: see `control::serial`.

mod ports;
mod pump;

pub use ports::find;
pub use pump::Port;

use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use sys::epoll::{Epoll, Interest};

/// The program `relay`, which has no arguments: started by `init` where the machine has virtio-serial ports.
#[must_use]
pub fn run() -> ExitCode {
    sys::kmsg::install("relay");
    let ports = match find(Path::new("/sys/class/virtio-ports"), Path::new("/dev")) {
        Ok(ports) if ports.is_empty() => {
            log::info!("no virtio-serial port named keelson.control.N: nothing to carry");
            return ExitCode::SUCCESS;
        }
        Ok(ports) => ports,
        Err(error) => {
            log::error!("/sys/class/virtio-ports: {error}");
            return ExitCode::FAILURE;
        }
    };
    match serve(ports, Path::new(sys::paths::CONTROL_SOCKET)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("cannot wait for the ports: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Carry until the kernel refuses to wait.
///
/// # Errors
/// As epoll_create1(2), epoll_ctl(2), poll(2).
pub fn serve(mut ports: Vec<Port>, control_socket: &Path) -> io::Result<()> {
    let edges = Epoll::new()?;
    for (token, port) in (0..).zip(&ports) {
        edges.add(port.device(), Interest::Edges, token)?;
    }
    loop {
        let mut unfinished = false;
        for port in &mut ports {
            if port.is_awake() {
                unfinished |= port.pump(control_socket);
            }
            port.settle();
        }
        let timeout = if unfinished {
            Some(Duration::ZERO)
        } else {
            let deadline = ports.iter().filter_map(Port::deadline).min();
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
