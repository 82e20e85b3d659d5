//! A virtio-serial port as the relay and the host see it: a byte stream that outlives the host's connections, and
//! keeps what was under way when one of them ended.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What QEMU carries at once.
const CHUNK: usize = 4096;
const PATIENCE: Duration = Duration::from_millis(2);

/// The relay's side can be exchanged: that is a relay that was killed and started again.
pub(crate) struct FakePort {
    guest: Arc<Mutex<UnixStream>>,
}

/// A relay of its own on a new device.
fn start_relay(pid1: &Path) -> UnixStream {
    let (ours, device) = UnixStream::pair().unwrap();
    device.set_nonblocking(true).unwrap();
    let device = File::from(OwnedFd::from(device));
    let pid1 = pid1.to_owned();
    std::thread::spawn(move || {
        let port = relay::Port::new("keelson.control.0".into(), device);
        relay::serve(vec![port], &pid1, None).unwrap();
    });
    ours
}

impl FakePort {
    pub(crate) fn start(folder: &Path, number: u32, pid1: &Path) -> Self {
        let listener = UnixListener::bind(folder.join(format!("control.{number}.sock"))).unwrap();
        let guest = Arc::new(Mutex::new(start_relay(pid1)));
        let port = Self {
            guest: guest.clone(),
        };
        std::thread::spawn(move || {
            // One host at a time, as QEMU's chardev.
            for host in listener.incoming() {
                carry(host.unwrap(), &guest);
            }
        });
        port
    }

    /// Kill the relay and start another one.
    pub(crate) fn restart_relay(&self, pid1: &Path) {
        *self.guest.lock().unwrap() = start_relay(pid1);
    }
}

/// Both ways until the host has gone; what the guest has said then stays for the next host.
fn carry(mut host: UnixStream, guest: &Arc<Mutex<UnixStream>>) {
    let gone = AtomicBool::new(false);
    let device = || {
        let device = guest.lock().unwrap().try_clone().unwrap();
        device.set_read_timeout(Some(PATIENCE)).unwrap();
        device
    };
    std::thread::scope(|scope| {
        let mut to_host = host.try_clone().unwrap();
        let gone = &gone;
        scope.spawn(move || {
            let mut buffer = [0; CHUNK];
            while !gone.load(Ordering::Relaxed) {
                match device().read(&mut buffer) {
                    Ok(0) => std::thread::sleep(PATIENCE),
                    Ok(count) if to_host.write_all(&buffer[..count]).is_err() => return,
                    Ok(_) | Err(_) => {}
                }
            }
        });
        let mut buffer = [0; CHUNK];
        loop {
            match host.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) if device().write_all(&buffer[..count]).is_err() => break,
                Ok(_) => {}
                // It closed before it read everything; what it said before is still to come (unix(7)). QEMU would
                // tell the guest of the hang-up instead, which a socket pair can't.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
                Err(_) => break,
            }
        }
        gone.store(true, Ordering::Relaxed);
    });
}
