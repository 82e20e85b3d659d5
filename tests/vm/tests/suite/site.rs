//! A new version that counts as ready when it is healthy, with a TCP and a UDP port: who asks by a socket of its own each time
//! is answered each time; one that never gets healthy changes nothing.

use crate::apply::Folder;
use crate::outlive::SCENARIO;
use crate::replace;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use vm::{Checks, Guest, Load, actor, actor_archive, progress, times};

pub(crate) const HTTP: u16 = 7202;
pub(crate) const DATAGRAMS: u16 = 7203;

/// An answer takes this long only when there will be none.
const TIMEOUT: Duration = Duration::from_secs(10);
/// An emulated machine answers sooner.
const RESEND: Duration = Duration::from_secs(1);

/// A server that is healthy so long after its start.
fn site(version: &str, healthy_after_ms: u64, wait: &str) -> (String, String) {
    actor(
        "site",
        &[&format!("serve 8080 5300 {healthy_after_ms}")],
        &format!(
            "user = \"0\"\nstop_signal = \"SIGKILL\"\n\
             [[ports]]\npublish = \"{HTTP}:8080\"\n[[ports]]\npublish = \"{DATAGRAMS}:5300/udp\"\n\
             [env]\nVERSION = \"{version}\"\n[readiness]\nmode = \"healthy\"\n\
             [health]\nhttp = {{ port = 8080 }}\ninterval = \"200ms\"\ntimeout = \"5s\"\nstart_period = \"60s\"\n\
             [update]\norder = \"start-first\"\nhealth_wait = \"{wait}\"\n"
        ),
    )
}

fn host_port(guest: &Guest, port: u16) -> u16 {
    let forwards = guest.machine.forwards();
    let found = forwards.iter().find(|forward| forward.guest_port == port);
    found.unwrap_or_else(|| panic!("{forwards:?}")).host_port
}

/// The version that answers.
fn by_http(port: u16) -> Result<String, String> {
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: site\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|error: std::io::Error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    match head.starts_with("HTTP/1.1 200 ") {
        true => Ok(body.to_owned()),
        false => Err(format!("{answer:?}")),
    }
}

/// Asks once more, as whoever asks by UDP does: a client that happens to have the port of one that has asked the old version
/// in the last half minute asks that one too, and it may be ending just then.
fn by_udp(port: u16, again: &AtomicU64) -> Result<String, String> {
    let ask = |patience| {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(patience))?;
        socket.send_to(b"version?", (Ipv4Addr::LOCALHOST, port))?;
        let mut answer = [0; 64];
        let (bytes, _) = socket.recv_from(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..bytes]).into_owned())
    };
    let answer = ask(RESEND).or_else(|_| {
        again.fetch_add(1, Ordering::Relaxed);
        ask(TIMEOUT)
    });
    answer.map_err(|error: std::io::Error| error.to_string())
}

/// Ask both ways all the time while `act` goes on: nobody stays without an answer.
fn while_asked<T>(guest: &Guest, what: &str, act: impl FnOnce(&dyn Fn()) -> T) -> T {
    let (http, udp) = (host_port(guest, HTTP), host_port(guest, DATAGRAMS));
    let http = move || by_http(http).map(drop);
    let again = AtomicU64::new(0);
    let udp = || by_udp(udp, &again).map(drop);
    let ((result, datagrams), requests) = Load::of(&http, 2, |http| {
        Load::of(&udp, 1, |udp| {
            act(&|| {
                http.more();
                udp.more();
            })
        })
    });
    progress(
        SCENARIO,
        &format!("{what}: HTTP {requests:?}, UDP {datagrams:?}, {again:?} asked again"),
    );
    requests.is_flawless();
    datagrams.is_flawless();
    result
}

pub(crate) fn rules(checks: &mut Checks, guest: &Guest, folder: &Folder) {
    guest.told(&["image", "load", actor_archive().to_str().unwrap()]);
    let asked = |version: &str| {
        assert_eq!(by_http(host_port(guest, HTTP)).as_deref(), Ok(version));
        let answer = by_udp(host_port(guest, DATAGRAMS), &AtomicU64::new(0));
        assert_eq!(answer.as_deref(), Ok(version));
    };
    // The last version there was a bad one.
    folder.put(replace::web("6"));
    folder.put(site("1", 500, "30s"));
    guest.told(&["apply", "--wait", folder.path()]);
    asked("1");
    checks.that(
        "a version takes over when it is healthy, by TCP and by UDP",
        || {
            while_asked(guest, "healthy versions", |more| {
                for round in 0..times(3, 50) {
                    let version = format!("2.{round}");
                    folder.put(site(&version, 500, "30s"));
                    let told = guest.told(&["apply", "--wait", folder.path()]);
                    assert!(told.contains("is replaced without a gap"), "{told}");
                    asked(&version);
                    more();
                }
            });
        },
    );
    checks.that("one that never gets healthy changes nothing", || {
        let before = guest.status("site");
        while_asked(guest, "one that is ill", |_| {
            folder.put(site("ill", 3_600_000, "3s"));
            let finished = guest.keelctl(&["apply", "--wait", folder.path()]);
            assert_eq!(finished.status.code(), Some(1), "{finished:?}");
            assert!(
                finished.stderr.contains("the old one goes on"),
                "{finished:?}"
            );
        });
        let after = guest.status("site");
        assert_eq!((after.pid, after.run), (before.pid, before.run));
        assert_eq!(after.ports, before.ports);
        let told = guest.told(&["status", "site"]);
        let line = "Not replaced: it did not get ready within update.health_wait";
        assert!(told.contains(line), "{told}");
    });
    checks.that("the kernel can track as many flows as that makes", || {
        let text = guest.shell("probe", "cat /proc/sys/net/netfilter/nf_conntrack_max");
        let most: u64 = text.parse().unwrap();
        // Of 1 GiB, less what the kernel itself takes.
        assert!((50_000..=65_536).contains(&most), "{most}");
        assert!(!guest.console().contains("nf_conntrack: table full"));
    });
    checks.that("the next good one is told no old stories", || {
        folder.put(site("3", 0, "30s"));
        guest.told(&["apply", "--wait", folder.path()]);
        asked("3");
        let told = guest.told(&["status", "site"]);
        assert!(!told.contains("Not replaced"), "{told}");
    });
}
