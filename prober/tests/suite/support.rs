//! PID 1's side of the prober, containers to probe, and services in them.

use control::probe::{
    HttpProbe, Probe, ProbeKind, ProbeNetwork, ProbeOutcome, ProbeReply, ProbeRequest,
};
use netns::Namespace;
use nix::sys::socket::{setsockopt, sockopt};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A namespace with loopback up.
pub(crate) fn container() -> Namespace {
    let namespace = Namespace::new();
    namespace.ip("link set lo up");
    namespace
}

/// A listener in a namespace.
pub(crate) fn listen(namespace: &Namespace, address: &str) -> TcpListener {
    namespace.run(|| TcpListener::bind(address)).expect("bind")
}

/// Do something with each connection, on threads of their own, for as long as the tests run.
pub(crate) fn serve(listener: TcpListener, act: impl Fn(TcpStream) + Clone + Send + 'static) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let act = act.clone();
            thread::spawn(move || act(stream));
        }
    });
}

/// Read a request's head; its text.
pub(crate) fn read_head(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut text = String::new();
    while reader.read_line(&mut text).is_ok_and(|bytes| bytes > 2) {}
    text
}

/// A service that answers each request with these bytes.
pub(crate) fn answers(answer: &'static str) -> impl Fn(TcpStream) + Clone + Send + 'static {
    move |mut stream| {
        read_head(&mut stream);
        let _ = stream.write_all(answer.as_bytes());
    }
}

pub(crate) fn get(port: u16, path: &str) -> ProbeKind {
    ProbeKind::Http(HttpProbe {
        port,
        path: path.to_owned(),
        host: None,
        status: vec![(200, 399)],
        headers: Vec::new(),
    })
}

pub(crate) fn reason(outcome: &ProbeOutcome) -> &str {
    match outcome {
        ProbeOutcome::Success => "success",
        ProbeOutcome::Failure { reason } => reason,
    }
}

/// The program that `KEELSON_PROBER` names (to measure the one of an image), or else our own.
fn program() -> OsString {
    std::env::var_os("KEELSON_PROBER").unwrap_or_else(|| env!("CARGO_BIN_EXE_prober").into())
}

#[derive(Debug)]
pub(crate) struct Prober {
    child: Child,
    socket: OwnedFd,
    last_id: u64,
}

impl Prober {
    /// In a machine of its own, so that nothing here touches the build host's network.
    pub(crate) fn start(machine: &Namespace) -> Self {
        let (ours, theirs) = sys::socket::seqpacket_pair().expect("socket pair");
        let time = nix::sys::time::TimeVal::new(PATIENCE.as_secs().cast_signed(), 0);
        setsockopt(&ours, sockopt::ReceiveTimeout, &time).expect("time limit");
        // The shell puts the socket where PID 1 does.
        let child = machine.run(|| {
            Command::new("sh")
                .args(["-c", "exec \"$0\" 3<&0 </dev/null"])
                .arg(program())
                .stdin(Stdio::from(theirs))
                .spawn()
        });
        Self {
            child: child.expect("prober"),
            socket: ours,
            last_id: 0,
        }
    }

    pub(crate) fn send(&self, request: &ProbeRequest, namespace: Option<&Namespace>) {
        let bytes = serde_json::to_vec(request).expect("request");
        self.send_bytes(&bytes, namespace);
    }

    pub(crate) fn send_bytes(&self, bytes: &[u8], namespace: Option<&Namespace>) {
        let descriptors: Vec<_> = namespace
            .map(|namespace| namespace.descriptor().as_fd())
            .into_iter()
            .collect();
        sys::socket::send(self.socket.as_fd(), bytes, &descriptors).expect("prober listens");
    }

    /// Ask; the number of the probe.
    pub(crate) fn begin(
        &mut self,
        namespace: Option<&Namespace>,
        kind: ProbeKind,
        network: ProbeNetwork,
        timeout_ms: u64,
    ) -> u64 {
        self.last_id += 1;
        let request = Probe {
            id: self.last_id,
            kind,
            network,
            timeout_ms,
        };
        self.send(&ProbeRequest::Probe(request), namespace);
        self.last_id
    }

    pub(crate) fn receive(&self) -> ProbeReply {
        let mut buffer = vec![0; 64 << 10];
        let (bytes, _) = sys::socket::receive(self.socket.as_fd(), &mut buffer).expect("a reply");
        serde_json::from_slice(&buffer[..bytes]).expect("a reply")
    }

    /// Whether a reply comes within a time.
    pub(crate) fn has_reply_within(&self, time: Duration) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let mut polled = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let time = PollTimeout::try_from(time).expect("time");
        poll(&mut polled, time).expect("poll") > 0
    }

    /// Probe a container, with two seconds of time.
    pub(crate) fn probe(&mut self, namespace: &Namespace, kind: ProbeKind) -> ProbeOutcome {
        self.probe_for(namespace, kind, None, 2_000)
    }

    pub(crate) fn probe_for(
        &mut self,
        namespace: &Namespace,
        kind: ProbeKind,
        address: Option<IpAddr>,
        timeout_ms: u64,
    ) -> ProbeOutcome {
        let network = ProbeNetwork::Container { address };
        let id = self.begin(Some(namespace), kind, network, timeout_ms);
        let reply = self.receive();
        assert_eq!(reply.id, id);
        reply.outcome
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Close the socket, as the end of PID 1 would; the exit status.
    pub(crate) fn hang_up(mut self) -> Option<i32> {
        let (other, _) = sys::socket::seqpacket_pair().expect("socket pair");
        drop(std::mem::replace(&mut self.socket, other));
        self.child.wait().expect("wait").code()
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A free port's listener on 127.0.0.1, and the port.
pub(crate) fn local(namespace: &Namespace) -> (TcpListener, u16) {
    let listener = listen(namespace, "127.0.0.1:0");
    let port = listener.local_addr().expect("address").port();
    (listener, port)
}

/// All that comes until the other side closes.
pub(crate) fn read_all(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map(|_| bytes)
}

pub(crate) fn socket_address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}
