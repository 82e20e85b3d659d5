//! One probe: its addresses one after the other, until somebody answers or its time is up.

use crate::attempt::{Attempt, Progress, Question, failure};
use crate::network::{Home, Lost, tcp_socket};
use crate::{http, reason, udp};
use control::probe::{Probe as Request, ProbeKind, ProbeNetwork, ProbeOutcome};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use sys::epoll::Interest;
use unit::Protocol;

/// A probe under way.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) id: u64,
    question: Question,
    /// `None`: the machine's own, or nothing is to be opened there any more.
    namespace: Option<OwnedFd>,
    /// Still to be tried, the next one last.
    addresses: Vec<SocketAddr>,
    failures: Vec<(SocketAddr, io::Error)>,
    attempt: Option<Attempt>,
    /// What the event loop waits for on the attempt's socket; `None` when it does not know that socket yet.
    pub(crate) watched: Option<Interest>,
    timeout_ms: u64,
    pub(crate) deadline_ms: u64,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum Begun {
    Probe(Probe),
    Answered(ProbeOutcome),
}

/// How far a probe has come.
#[derive(Debug)]
pub(crate) enum Step {
    /// For the present socket.
    Wait(Interest),
    Answered(ProbeOutcome),
    Ended(Option<ProbeOutcome>),
}

impl Probe {
    /// # Errors
    /// `Lost` ends the program.
    pub(crate) fn begin(
        request: Request,
        namespace: Option<OwnedFd>,
        now_ms: u64,
        home: &Home,
    ) -> Result<Begun, Lost> {
        let (namespace, own) = match (request.network, namespace) {
            (ProbeNetwork::Machine, _) => (None, None),
            (ProbeNetwork::Container { address }, Some(namespace)) => (Some(namespace), address),
            // Never the machine's instead.
            (ProbeNetwork::Container { .. }, None) => {
                let text = "no network namespace of the container came with the request";
                return Ok(Begun::Answered(failure(text.to_owned())));
            }
        };
        let (question, port) = match request.kind {
            ProbeKind::Tcp { port } => (Question::Connect, port),
            ProbeKind::PortOpen { protocol, port } => match protocol {
                Protocol::Tcp => (Question::Connect, port),
                Protocol::Udp => {
                    let namespace = namespace.as_ref().map(AsFd::as_fd);
                    let found = home.within(namespace, || udp::is_open(port))?;
                    return Ok(Begun::Answered(udp_outcome(port, found)));
                }
            },
            ProbeKind::Http(probe) => match http::request(&probe) {
                Ok(request) => {
                    let question = Question::Http {
                        request,
                        path: probe.path,
                        status: probe.status,
                    };
                    (question, probe.port)
                }
                Err(text) => return Ok(Begun::Answered(failure(text))),
            },
        };
        let loopback = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        let addresses: Vec<IpAddr> = loopback.into_iter().chain(own).collect();
        let addresses = addresses.into_iter().rev();
        Ok(Begun::Probe(Self {
            id: request.id,
            question,
            namespace,
            addresses: addresses
                .map(|address| SocketAddr::new(address, port))
                .collect(),
            failures: Vec::new(),
            attempt: None,
            watched: None,
            timeout_ms: request.timeout_ms,
            deadline_ms: now_ms.saturating_add(request.timeout_ms),
        }))
    }

    /// Go on as far as it goes without waiting.
    ///
    /// # Errors
    /// `Lost` ends the program.
    pub(crate) fn advance(&mut self, home: &Home) -> Result<Step, Lost> {
        loop {
            let Some(attempt) = &mut self.attempt else {
                let Some(address) = self.addresses.pop() else {
                    let text = reason::unconnected(&self.failures);
                    return Ok(Step::Ended(Some(failure(text))));
                };
                let namespace = self.namespace.as_ref().map(AsFd::as_fd);
                match home.within(namespace, || tcp_socket(address))? {
                    Ok(socket) => self.attempt = Some(Attempt::new(address, socket)),
                    Err(error) => self.failures.push((address, error)),
                }
                self.watched = None;
                continue;
            };
            let progress = attempt.advance(&self.question);
            if attempt.is_connected() {
                // A container that ends is not to wait for us with its network; and nothing is tried elsewhere.
                self.namespace = None;
                self.addresses.clear();
            }
            match progress {
                Progress::Wait(interest) => return Ok(Step::Wait(interest)),
                Progress::Answered(outcome) => return Ok(Step::Answered(outcome)),
                Progress::Ended(outcome) => return Ok(Step::Ended(outcome)),
                Progress::NoConnection(error) => {
                    self.failures.push((attempt.address, error));
                    self.attempt = None;
                }
            }
        }
    }

    /// The outcome when its time is up, if it has none yet.
    pub(crate) fn too_late(&self) -> Option<ProbeOutcome> {
        self.attempt
            .as_ref()
            .and_then(|attempt| attempt.too_late(self.timeout_ms))
    }

    pub(crate) fn attempt(&self) -> Option<&Attempt> {
        self.attempt.as_ref()
    }
}

fn udp_outcome(port: u16, found: io::Result<bool>) -> ProbeOutcome {
    match found {
        Ok(true) => ProbeOutcome::Success,
        Ok(false) => failure(format!("no socket on UDP port {port}")),
        Err(error) => failure(format!(
            "can't look for UDP port {port}: {}",
            reason::plain(&error)
        )),
    }
}
