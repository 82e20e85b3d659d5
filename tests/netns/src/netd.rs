//! `netd` as PID 1 runs it: its socket on descriptor 3, requests out, replies in.

use crate::Namespace;
use control::net::{AttachRequest, NetReply, NetRequest};
use nix::sys::socket::{setsockopt, sockopt};
use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use unit::{NetworkMode, Port, Protocol, UnitName};

/// Longer than anything that is tested takes: netd tells of trouble after ten seconds.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub struct Netd {
    child: Child,
    socket: OwnedFd,
    /// News about the machine's link that came between answers.
    pub news: VecDeque<NetReply>,
    pub started: Instant,
    /// Whether the last refusal is one for ever.
    pub lasting: bool,
}

/// What an `Attached` brought.
#[derive(Debug)]
pub struct Container {
    pub request: AttachRequest,
    pub namespace: Namespace,
    pub address: Ipv4Addr,
    pub hosts: String,
    pub resolv_conf: String,
    pub ports: Vec<String>,
}

impl Netd {
    /// # Panics
    /// When it can't be built or started.
    #[must_use]
    pub fn start(machine: &Namespace, root: &Path) -> Self {
        let (ours, theirs) = sys::socket::seqpacket_pair().expect("socket pair");
        let time = nix::sys::time::TimeVal::new(PATIENCE.as_secs().cast_signed(), 0);
        setsockopt(&ours, sockopt::ReceiveTimeout, &time).expect("time limit");
        let started = Instant::now();
        // The shell puts the socket where PID 1 does.
        let child = machine.run(|| {
            Command::new("sh")
                .args(["-c", "exec \"$0\" --root \"$1\" 3<&0 </dev/null"])
                .arg(program())
                .arg(root)
                .stdin(Stdio::from(theirs))
                .spawn()
        });
        let netd = Self {
            child: child.expect("netd"),
            socket: ours,
            news: VecDeque::new(),
            started,
            lasting: false,
        };
        netd.send(&NetRequest::Kept, &[]);
        netd
    }

    /// # Panics
    /// When netd is gone.
    pub fn send(&self, request: &NetRequest, descriptors: &[BorrowedFd<'_>]) {
        let bytes = serde_json::to_vec(request).expect("request");
        sys::socket::send(self.socket.as_fd(), &bytes, descriptors).expect("netd listens");
    }

    /// Something that need not be a request.
    ///
    /// # Panics
    /// When netd is gone.
    pub fn send_bytes(&self, bytes: &[u8]) {
        sys::socket::send(self.socket.as_fd(), bytes, &[]).expect("netd listens");
    }

    /// What units publish, running or not: ranges with both ends.
    pub fn reserve(&self, ports: &[(u16, u16)]) {
        let ports = ports.to_vec();
        self.send(&NetRequest::Reserve { ports }, &[]);
    }

    pub fn synced(&self) {
        self.send(&NetRequest::Synced, &[]);
    }

    /// # Panics
    /// When nothing comes in time.
    pub fn receive(&self) -> (NetReply, Option<OwnedFd>) {
        let mut buffer = vec![0; 1 << 20];
        let (bytes, mut descriptors) =
            sys::socket::receive(self.socket.as_fd(), &mut buffer).expect("a reply in time");
        let reply = serde_json::from_slice(&buffer[..bytes]).expect("a reply");
        (reply, descriptors.pop())
    }

    /// The next news about the machine's link.
    pub fn next_news(&mut self) -> NetReply {
        self.news.pop_front().unwrap_or_else(|| self.receive().0)
    }

    /// # Panics
    /// When something else is told.
    pub fn wait_ready(&mut self) -> NetReply {
        loop {
            let news = self.next_news();
            match news {
                NetReply::Ready { .. } => return news,
                NetReply::Degraded { .. } => {}
                NetReply::Attached { .. }
                | NetReply::AttachFailed { .. }
                | NetReply::Flipped { .. }
                | NetReply::FlipFailed { .. } => panic!("{news:?}"),
            }
        }
    }

    /// # Panics
    /// When it is refused.
    pub fn attach(&mut self, unit: &str, run: u64, ports: &[Port]) -> Container {
        self.try_attach(request(unit, run, ports))
            .unwrap_or_else(|message| panic!("{unit}: {message}"))
    }

    /// # Errors
    /// With netd's message.
    ///
    /// # Panics
    /// When the answer is for another unit.
    pub fn try_attach(&mut self, request: AttachRequest) -> Result<Container, String> {
        self.send(&NetRequest::Attach(request.clone()), &[]);
        self.attached(request)
    }

    /// The answer to an `Attach` that was sent.
    ///
    /// # Errors
    /// With netd's message.
    ///
    /// # Panics
    /// When the answer is for another unit.
    pub fn attached(&mut self, request: AttachRequest) -> Result<Container, String> {
        loop {
            match self.receive() {
                (
                    NetReply::Attached {
                        unit,
                        run,
                        address,
                        hosts,
                        resolv_conf,
                        ports,
                    },
                    namespace,
                ) => {
                    assert_eq!((&unit, run), (&request.unit, request.run));
                    return Ok(Container {
                        request,
                        // A unit on the machine's network has none: its own stands in.
                        namespace: namespace
                            .map_or_else(Namespace::new, Namespace::from_descriptor),
                        address: address.unwrap_or(Ipv4Addr::UNSPECIFIED),
                        hosts,
                        resolv_conf,
                        ports,
                    });
                }
                (
                    NetReply::AttachFailed {
                        unit,
                        run,
                        message,
                        lasting,
                    },
                    _,
                ) => {
                    assert_eq!((&unit, run), (&request.unit, request.run));
                    self.lasting = lasting;
                    return Err(message);
                }
                (news, _) => self.news.push_back(news),
            }
        }
    }

    /// A run beside the present one of its unit.
    ///
    /// # Panics
    /// When it is refused.
    pub fn attach_beside(&mut self, unit: &str, run: u64, ports: &[Port]) -> Container {
        let request = AttachRequest {
            beside: true,
            ..request(unit, run, ports)
        };
        self.try_attach(request)
            .unwrap_or_else(|message| panic!("{unit}: {message}"))
    }

    /// Lead the unit's ports to this run; how they are published then.
    ///
    /// # Errors
    /// With netd's message.
    pub fn flip(&mut self, unit: &str, run: u64) -> Result<Vec<String>, String> {
        self.send_flip(unit, run);
        self.flipped(unit, run)
    }

    pub fn send_flip(&self, unit: &str, run: u64) {
        let unit = name(unit);
        self.send(&NetRequest::Flip { unit, run }, &[]);
    }

    /// The answer to a flip that was sent.
    ///
    /// # Errors
    /// With netd's message.
    ///
    /// # Panics
    /// When the answer is for another unit.
    pub fn flipped(&mut self, asked: &str, asked_run: u64) -> Result<Vec<String>, String> {
        loop {
            let (unit, run, result) = match self.receive().0 {
                NetReply::Flipped { unit, run, ports } => (unit, run, Ok(ports)),
                NetReply::FlipFailed { unit, run, message } => (unit, run, Err(message)),
                news => {
                    self.news.push_back(news);
                    continue;
                }
            };
            assert_eq!((unit, run), (name(asked), asked_run));
            return result;
        }
    }

    pub fn detach(&self, unit: &str, run: u64) {
        self.send(
            &NetRequest::Detach {
                unit: name(unit),
                run,
                keep: false,
            },
            &[],
        );
    }

    /// Its unit will have another run by itself.
    pub fn detach_and_keep(&self, container: &Container) {
        let AttachRequest { unit, run, .. } = container.request.clone();
        let keep = true;
        let namespace = container.namespace.descriptor().as_fd();
        self.send(&NetRequest::Detach { unit, run, keep }, &[namespace]);
    }

    /// What PID 1 says to a new netd.
    pub fn hold(&self, containers: &[&Container]) {
        for container in containers {
            let namespace = container.namespace.descriptor().as_fd();
            self.send(&NetRequest::Held(container.request.clone()), &[namespace]);
        }
        self.synced();
    }

    /// kill -9.
    ///
    /// # Panics
    /// When it is gone already.
    pub fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Close the socket, as the end of PID 1 would; netd's exit status.
    ///
    /// # Panics
    /// When it doesn't end.
    pub fn hang_up(mut self) -> Option<i32> {
        let (other, _) = sys::socket::seqpacket_pair().expect("socket pair");
        drop(std::mem::replace(&mut self.socket, other));
        self.child.wait().expect("wait").code()
    }
}

impl Drop for Netd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request for a unit on the bridge.
#[must_use]
pub fn request(unit: &str, run: u64, ports: &[Port]) -> AttachRequest {
    AttachRequest {
        unit: name(unit),
        run,
        mode: NetworkMode::Bridge,
        ports: ports.to_vec(),
        hostname: unit.replace('@', "-"),
        beside: false,
        extra_hosts: vec![("machine".into(), "host-gateway".into())],
    }
}

/// # Panics
/// When it is not a unit name.
#[must_use]
pub fn name(unit: &str) -> UnitName {
    UnitName::new(unit).expect("a unit name")
}

/// One port on every address.
#[must_use]
pub fn port(protocol: Protocol, host_port: u16, container_port: u16) -> Port {
    Port {
        host_ip: None,
        host_port: Some(host_port),
        container_port,
        count: 1,
        protocol,
    }
}

/// The program that `KEELSON_NETD` names (to measure the one of an image), or else our own, built once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(named) = std::env::var_os("KEELSON_NETD") {
            return named.into();
        }
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--package", "netd"])
            .status();
        assert!(built.expect("cargo").success(), "netd does not build");
        // target/debug/deps/netns-… → target/debug/netd
        let own = std::env::current_exe().expect("own path");
        let profile = own.parent().and_then(Path::parent).expect("target folder");
        profile.join("netd")
    })
}
