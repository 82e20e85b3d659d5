//! A DHCP server of a few lines, written apart from netd's client: fixed offsets, one lease.

use crate::{MACHINE, Namespace, OUTSIDE};
use nix::sys::socket::{setsockopt, sockopt};
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Offer {
    pub address: Ipv4Addr,
    pub router: Ipv4Addr,
    pub mtu: u16,
    pub seconds: u32,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            address: MACHINE,
            router: OUTSIDE,
            mtu: 1400,
            seconds: 3600,
        }
    }
}

#[derive(Debug)]
pub struct DhcpServer {
    stop: Arc<AtomicBool>,
    /// Messages answered.
    pub answered: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl DhcpServer {
    /// # Panics
    /// When it can't open its socket.
    #[must_use]
    pub fn start(outside: &Namespace, offer: Offer) -> Self {
        let socket = outside.run(|| {
            let socket = UdpSocket::bind("0.0.0.0:67").expect("port 67");
            socket.set_broadcast(true).expect("broadcast");
            setsockopt(&socket, sockopt::BindToDevice, &"wan0".into()).expect("device");
            socket
        });
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("time limit");
        let (stop, answered) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU32::new(0)),
        );
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&answered));
        let copy = outside.descriptor().try_clone().expect("namespace");
        let outside = Namespace::from_descriptor(copy);
        let thread = thread::spawn(move || {
            let mut buffer = [0; 1500];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((bytes, _)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                if let Some(answer) = answer(&buffer[..bytes], &offer) {
                    // The cable has just got its carrier, at this end too, and what is sent before the kernel has taken
                    // note of it is lost. Asking makes it take note; a real server's switch has had its cable for long.
                    outside.ip("link show wan0");
                    // Counted first: whoever has the answer finds it counted.
                    count.fetch_add(1, Ordering::Relaxed);
                    let _ = socket.send_to(&answer, (Ipv4Addr::BROADCAST, 68));
                }
            }
        });
        Self {
            stop,
            answered,
            thread: Some(thread),
        }
    }
}

impl Drop for DhcpServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// DISCOVER → OFFER, REQUEST → ACK, or NAK when another address is asked for.
fn answer(message: &[u8], offer: &Offer) -> Option<Vec<u8>> {
    let mut options = message.get(240..)?;
    let (mut kind, mut asked) = (0, None);
    while let [code, length, rest @ ..] = options {
        let (value, rest) = rest.split_at_checked(usize::from(*length))?;
        match (code, value) {
            (53, [value]) => kind = *value,
            (50, [a, b, c, d]) => asked = Some(Ipv4Addr::new(*a, *b, *c, *d)),
            (255, _) => break,
            _ => {}
        }
        options = rest;
    }
    let reply_kind = match (kind, asked) {
        (1, _) => 2,
        (3, Some(asked)) if asked != offer.address => 6,
        (3, _) => 5,
        _ => return None,
    };
    let mut answer = vec![0; 240];
    answer[..4].copy_from_slice(&[2, 1, 6, 0]);
    answer[4..8].copy_from_slice(&message[4..8]);
    answer[16..20].copy_from_slice(&offer.address.octets());
    answer[28..34].copy_from_slice(&message[28..34]);
    answer[236..240].copy_from_slice(&[99, 130, 83, 99]);
    let mut put = |code: u8, value: &[u8]| {
        answer.push(code);
        answer.push(u8::try_from(value.len()).unwrap_or(0));
        answer.extend_from_slice(value);
    };
    put(53, &[reply_kind]);
    put(54, &OUTSIDE.octets());
    put(1, &[255, 255, 255, 0]);
    put(3, &offer.router.octets());
    put(6, &[OUTSIDE.octets(), [127, 0, 0, 53]].concat());
    put(15, b"example.test");
    put(26, &offer.mtu.to_be_bytes());
    put(51, &offer.seconds.to_be_bytes());
    answer.push(255);
    Some(answer)
}
