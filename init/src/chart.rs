//! When each unit entered which state: the boot chart's second half.

use crate::limits;
use crate::machine::Machine;
use control::reply::{BootChart, ChartSpan, ChartUnit};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use supervisor::UnitId;
use sys::clock::since_boot_ms;

/// Transitions by unit, bounded.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Chart {
    units: BTreeMap<String, Vec<(String, u64)>>,
    transitions: usize,
    /// When the boot was over.
    #[serde(default)]
    ready_ms: Option<u64>,
}

impl Machine {
    /// A place has entered another state. What a unit is drawn by is the place that stands for it: a new version beside it
    /// is not before it takes its place, and an old one on its way out is no more.
    pub(crate) fn chart_entered(&mut self, place: UnitId) {
        let Some(unit) = self.units.get(place) else {
            return;
        };
        if self.units.find(&unit.name) == Some(place) {
            let state = self.supervisor.state(place).name();
            self.chart
                .entered(unit.name.as_str(), state, since_boot_ms());
        }
    }
}

impl Chart {
    fn entered(&mut self, unit: &str, state: &str, at_ms: u64) {
        if self.transitions >= limits::CHART_TRANSITIONS_MAX {
            return;
        }
        let states = self.units.entry(unit.to_owned()).or_default();
        if states.last().is_some_and(|(last, _)| last == state) {
            return;
        }
        states.push((state.to_owned(), at_ms));
        self.transitions = self.transitions.saturating_add(1);
    }

    /// The boot is over; told once.
    pub(crate) fn ready(&mut self, at_ms: u64) {
        self.ready_ms.get_or_insert(at_ms);
    }

    pub(crate) fn report(&self, stages: &[ChartSpan]) -> BootChart {
        let units = self
            .units
            .iter()
            .map(|(name, states)| ChartUnit {
                name: name.clone(),
                states: states.clone(),
            })
            .collect();
        BootChart {
            stages: stages.to_vec(),
            units,
            ready_ms: self.ready_ms,
            now_ms: since_boot_ms(),
        }
    }
}
