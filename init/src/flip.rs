//! The ports of a unit go over from its old version to the new one.
//!
//! ```text
//! FlipPorts ─▶ netd: one transaction ─▶ Flipped ── the old version goes on for a moment ──▶ Event::Flipped ─▶ it stops
//!                └── netd dies: the next one is asked again, which does no harm ┘
//! ```
//!
//! In that moment the old version takes the connections that had just come to it, and answers what it was asked.

use crate::console;
use crate::limits;
use crate::machine::Machine;
use control::net::NetRequest;
use serde::{Deserialize, Serialize};
use supervisor::{Event, RunId, UnitId};
use sys::clock::since_boot_ms;
use unit::UnitName;

/// Ports on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flip {
    pub unit: UnitId,
    pub to: RunId,
    /// They lead there; the supervisor is told at this time.
    tell_at: Option<u64>,
}

impl Flip {
    /// netd has not answered.
    pub(crate) fn is_asked(&self) -> bool {
        self.tell_at.is_none()
    }
}

impl Machine {
    pub(crate) fn flip_ports(&mut self, unit: UnitId, to: RunId) {
        self.network.flips.retain(|flip| flip.unit != unit);
        let Some(name) = self.network.unit_of(to).cloned() else {
            let failure = Some("the run has no network any more".to_owned());
            return self.event(Event::Flipped {
                unit,
                run: to,
                failure,
            });
        };
        let tell_at = None;
        self.network.flips.push(Flip { unit, to, tell_at });
        let run = to.0;
        self.tell_netd(&NetRequest::Flip { unit: name, run }, None);
    }

    pub(crate) fn flipped(&mut self, unit: &UnitName, run: RunId, ports: &[String]) {
        self.network.ports_lead_to(unit, run.0, ports);
        let at = since_boot_ms().saturating_add(limits::FLIP_GRACE_MS);
        for flip in &mut self.network.flips {
            if flip.to == run {
                flip.tell_at.get_or_insert(at);
            }
        }
    }

    pub(crate) fn flip_failed(&mut self, run: RunId, message: String) {
        let mut flips = self.network.flips.iter();
        if let Some(at) = flips.position(|flip| flip.to == run && flip.is_asked()) {
            let Flip { unit, .. } = self.network.flips.remove(at);
            if let Some(name) = self.network.unit_of(run).cloned() {
                // On its way back to the old version nobody but its operator is left who could hear of it.
                let message = format!("published ports do not lead to run {}: {message}", run.0);
                console::warn(format_args!("{name}: {message}"));
                self.note(&name, run.0, message);
            }
            let failure = Some(message);
            self.event(Event::Flipped { unit, run, failure });
        }
    }

    /// Nobody can carry them out.
    pub(crate) fn fail_flips(&mut self, why: &str) {
        let asked: Vec<RunId> = self
            .network
            .flips
            .iter()
            .filter(|flip| flip.is_asked())
            .map(|flip| flip.to)
            .collect();
        for run in asked {
            self.flip_failed(run, why.to_owned());
        }
    }

    pub(crate) fn flip_deadline(&self) -> Option<u64> {
        let flips = self.network.flips.iter();
        flips.filter_map(|flip| flip.tell_at).min()
    }

    pub(crate) fn flip_timeouts(&mut self, now: u64) {
        let due = |flip: &Flip| flip.tell_at.is_some_and(|at| at <= now);
        let (told, kept) = std::mem::take(&mut self.network.flips)
            .into_iter()
            .partition(due);
        self.network.flips = kept;
        let told: Vec<Flip> = told;
        for Flip { unit, to: run, .. } in told {
            let failure = None;
            self.event(Event::Flipped { unit, run, failure });
        }
    }
}
