//! When each unit entered which state: the boot chart's second half.

use crate::limits;
use control::reply::{BootChart, ChartSpan, ChartUnit};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Transitions by unit, bounded.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Chart {
    units: BTreeMap<String, Vec<(String, u64)>>,
    transitions: usize,
}

impl Chart {
    pub(crate) fn entered(&mut self, unit: &str, state: &str, at_ms: u64) {
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
        }
    }
}
