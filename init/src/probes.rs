//! Probes of health and readiness: asked of `prober`, or run inside the container; their answers become events.
//!
//! ```text
//! Probe ──┬─ http, tcp ─▶ prober, with the run's network namespace ─▶ answer ─┬─▶ Probed
//!         └─ exec ──────▶ a step inside the container ─▶ status, last line ───┘
//! WatchReadiness ─ port ─▶ prober, again and again ─▶ Ready
//!                  log ──▶ logd has looked for it since the container's first byte: see `logs`
//! ```
//!
//! prober runs from the first question on. When it dies, the next one is asked what is still to be answered; when it is
//! silent beyond the time limit of a probe, it is killed. So nothing that happens to it is a container's failure.

use crate::inside::Command;
use crate::limits;
use crate::machine::Machine;
use crate::source::HelperKind;
use crate::step::{Asked, Output, Purpose};
use control::probe::{
    HttpProbe, Probe, ProbeKind, ProbeNetwork, ProbeOutcome, ProbeReply, ProbeRequest,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::AsFd;
use supervisor::{Event, PROBE_GRACE_MS, RunId, State, UnitId};
use sys::clock::since_boot_ms;
use unit::{NetworkMode, Protocol, ReadinessMode};

/// What is open between PID 1 and prober.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Probes {
    /// Not answered yet, by their number at prober.
    asked: BTreeMap<u64, Question>,
    /// Runs whose port is waited for.
    ports: BTreeMap<u64, PortWatch>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Question {
    run: RunId,
    reason: Reason,
    kind: ProbeKind,
    timeout_ms: u64,
    /// When an answer is of no use any more.
    until_ms: u64,
}

/// Why it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Reason {
    /// With the supervisor's number.
    Health {
        probe: u64,
    },
    Readiness,
}

/// Readiness by port: asked until somebody listens.
#[derive(Debug, Serialize, Deserialize)]
struct PortWatch {
    protocol: Protocol,
    port: u16,
    since_ms: u64,
    /// `None`: it is being asked.
    next_ms: Option<u64>,
}

impl Probes {
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        let ports = self.ports.values().filter_map(|watch| watch.next_ms);
        let asked = self.asked.values().map(|asked| asked.until_ms);
        ports.chain(asked).min()
    }

    fn numbers_of(&self, run: RunId) -> Vec<u64> {
        let own = self.asked.iter().filter(|(_, asked)| asked.run == run);
        own.map(|(id, _)| *id).collect()
    }
}

impl Machine {
    /// Probe once, as the health plan says.
    pub(crate) fn probe(&mut self, unit: UnitId, run: RunId, probe: u64) {
        let Some(view) = self.supervisor.health_view(unit) else {
            return log::error!("run {}: a probe without a plan", run.0);
        };
        let timeout_ms = view.plan.timeout_ms;
        let kind = match &view.plan.probe {
            unit::Probe::Exec(argv) => {
                let command = Command {
                    argv: argv.clone(),
                    output: Output::Tail,
                };
                let asked = Asked {
                    unit,
                    run,
                    purpose: Purpose::Probe { probe },
                    timeout_ms: Some(timeout_ms),
                };
                return self.run_inside(asked, command);
            }
            unit::Probe::Tcp { port } => ProbeKind::Tcp { port: *port },
            unit::Probe::Http(http) => ProbeKind::Http(HttpProbe {
                port: http.port,
                path: http.path.clone(),
                host: None,
                status: http.status.clone(),
                headers: http.headers.clone(),
            }),
        };
        self.ask_prober(run, Reason::Health { probe }, kind, timeout_ms);
    }

    fn probed(&mut self, run: RunId, probe: u64, failure: Option<String>) {
        if let Some(entry) = self.runs.get(&run.0) {
            let unit = entry.unit;
            self.event(Event::Probed {
                unit,
                run,
                probe,
                failure,
            });
        }
    }

    pub(crate) fn watch_readiness(&mut self, unit: UnitId, run: RunId) {
        let mode = self.container(unit).map(|(_, it)| &it.readiness.mode);
        let (protocol, port) = match mode {
            Some(ReadinessMode::Port { protocol, port }) => (*protocol, *port),
            // Looked for by logd; the others are not for us.
            Some(
                ReadinessMode::Log { .. }
                | ReadinessMode::Started
                | ReadinessMode::Notify
                | ReadinessMode::Healthy
                | ReadinessMode::Exit,
            )
            | None => return,
        };
        let watch = PortWatch {
            protocol,
            port,
            since_ms: since_boot_ms(),
            next_ms: None,
        };
        self.probes.ports.insert(run.0, watch);
        self.ask_for_port(run);
    }

    fn ask_for_port(&mut self, run: RunId) {
        let waits = self.runs.get(&run.0).is_some_and(|entry| {
            let state = self.supervisor.state(entry.unit);
            matches!(state, State::Started { run: present, .. } if *present == run)
        });
        let Some(watch) = self.probes.ports.get_mut(&run.0).filter(|_| waits) else {
            self.probes.ports.remove(&run.0);
            return;
        };
        watch.next_ms = None;
        let (protocol, port) = (watch.protocol, watch.port);
        self.ask_prober(
            run,
            Reason::Readiness,
            ProbeKind::PortOpen { protocol, port },
            limits::PORT_TIMEOUT_MS,
        );
    }

    fn ask_prober(&mut self, run: RunId, reason: Reason, kind: ProbeKind, timeout_ms: u64) {
        let id = self.id();
        let question = Question {
            run,
            reason,
            kind,
            timeout_ms,
            until_ms: since_boot_ms()
                .saturating_add(timeout_ms)
                .saturating_add(PROBE_GRACE_MS),
        };
        self.probes.asked.insert(id, question);
        if self.helper_is_needed(HelperKind::Prober) {
            self.tell_prober(id);
        }
    }

    /// A new prober: everything that is still to be answered.
    pub(crate) fn brief_prober(&mut self) {
        let all: Vec<u64> = self.probes.asked.keys().copied().collect();
        for id in all {
            self.tell_prober(id);
        }
    }

    fn tell_prober(&mut self, id: u64) {
        let Some(asked) = self.probes.asked.get(&id) else {
            return;
        };
        let run = asked.run;
        let unit = self.runs.get(&run.0).map(|entry| entry.unit);
        let container = unit.and_then(|unit| self.container(unit));
        let host =
            container.is_some_and(|(_, container)| container.network.mode == NetworkMode::Host);
        let attached = self.network.attached(run);
        let namespace = attached.and_then(|attached| attached.namespace.as_ref()?.try_clone().ok());
        let network = if host {
            ProbeNetwork::Machine
        } else {
            let address = attached.and_then(|attached| attached.address);
            ProbeNetwork::Container {
                address: address.map(IpAddr::V4),
            }
        };
        // The supervisor counts from its own question on: one that is asked anew has less time.
        let left = asked.until_ms.saturating_sub(since_boot_ms());
        let request = ProbeRequest::Probe(Probe {
            id,
            kind: asked.kind.clone(),
            network,
            timeout_ms: asked.timeout_ms.min(left),
        });
        let namespace: Vec<_> = namespace.iter().map(AsFd::as_fd).collect();
        if let Ok(bytes) = serde_json::to_vec(&request) {
            self.tell_helper(HelperKind::Prober, bytes, &namespace);
        }
    }

    pub(crate) fn prober_says(&mut self, bytes: &[u8]) {
        let reply: ProbeReply = match serde_json::from_slice(bytes) {
            Ok(reply) => reply,
            Err(error) => return log::error!("prober: not a message: {error}"),
        };
        // One that was cancelled, or asked of a prober before.
        let Some(asked) = self.probes.asked.remove(&reply.id) else {
            return;
        };
        let failure = match reply.outcome {
            ProbeOutcome::Success => None,
            ProbeOutcome::Failure { reason } => Some(reason),
        };
        match (asked.reason, failure) {
            (Reason::Health { probe }, failure) => self.probed(asked.run, probe, failure),
            (Reason::Readiness, None) => {
                self.probes.ports.remove(&asked.run.0);
                self.saw_readiness(asked.run);
            }
            (Reason::Readiness, Some(_)) => {
                let now = since_boot_ms();
                if let Some(watch) = self.probes.ports.get_mut(&asked.run.0) {
                    let waited = now.saturating_sub(watch.since_ms);
                    watch.next_ms = Some(now.saturating_add(port_pause_ms(waited)));
                }
            }
        }
    }

    /// The port is open, the line has been written.
    pub(crate) fn saw_readiness(&mut self, run: RunId) {
        if let Some(entry) = self.runs.get(&run.0) {
            let unit = entry.unit;
            self.event(Event::Ready { unit, run });
        }
    }

    /// The run has ended, and no answer about it means anything any more. An open connection would keep its network.
    pub(crate) fn forget_probes(&mut self, run: RunId) {
        self.probes.ports.remove(&run.0);
        self.cancel_probes(run);
    }

    /// Nobody waits for the answers of the probes under way.
    pub(crate) fn cancel_probes(&mut self, run: RunId) {
        for id in self.probes.numbers_of(run) {
            self.probes.asked.remove(&id);
            if let Ok(bytes) = serde_json::to_vec(&ProbeRequest::Cancel { id }) {
                self.tell_helper(HelperKind::Prober, bytes, &[]);
            }
        }
        self.kill_probes(run);
    }

    pub(crate) fn probe_timeouts(&mut self, now: u64) {
        let is_due = |watch: &&PortWatch| watch.next_ms.is_some_and(|at| at <= now);
        let ports = self.probes.ports.iter();
        let ports = ports.filter(|(_, watch)| is_due(watch));
        let due: Vec<u64> = ports.map(|(run, _)| *run).collect();
        for run in due {
            self.ask_for_port(RunId(run));
        }
        self.give_up_silent_prober(now);
    }

    /// prober keeps to the time limits by itself: one that does not is stuck.
    fn give_up_silent_prober(&mut self, now: u64) {
        let asked = self.probes.asked.iter();
        let late = asked.filter(|(_, asked)| asked.until_ms <= now);
        let late: Vec<u64> = late.map(|(id, _)| *id).collect();
        if late.is_empty() {
            return;
        }
        for id in late {
            let Some(asked) = self.probes.asked.remove(&id) else {
                continue;
            };
            if let Some(watch) = self.probes.ports.get_mut(&asked.run.0)
                && asked.reason == Reason::Readiness
            {
                watch.next_ms = Some(now.saturating_add(port_pause_ms(0)));
            }
        }
        let prober = |helper: &&crate::helper::Helper| helper.kind == HelperKind::Prober;
        if let Some(pid) = self.helpers.iter().find(prober).and_then(|it| it.pid) {
            log::error!("prober does not answer: starting it again");
            crate::helpers::kill(pid);
        }
    }
}

/// Between two looks at a port. A service that needs long to start is not asked the more often for it.
fn port_pause_ms(waited_ms: u64) -> u64 {
    let share = waited_ms / limits::PORT_PAUSE_SHARE;
    share.clamp(limits::PORT_PAUSE_MS, limits::PORT_PAUSE_MAX_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_seen_to_open_soon_after_it_does() {
        let (mut now, mut looks) = (0, 0);
        while now < 10_000 {
            let pause = port_pause_ms(now);
            assert!(pause <= (now / 8).max(limits::PORT_PAUSE_MS));
            now += pause;
            looks += 1;
        }
        assert!(looks < 100, "{looks} looks in 10 s");
    }
}
