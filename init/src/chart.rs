//! When each unit entered which state: the boot chart's second half.

use crate::limits;
use crate::machine::Machine;
use crate::units::Units;
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
    /// When the default units were ready or had failed.
    #[serde(default)]
    ready_ms: Option<u64>,
}

impl Machine {
    /// A place has entered another state.
    pub(crate) fn chart_entered(&mut self, place: UnitId) {
        let state = self.supervisor.state(place).name();
        self.chart
            .place_entered(&self.units, place, state, since_boot_ms());
    }
}

impl Chart {
    /// What a unit is drawn by is the place that stands for it: a new version beside it is not before it takes its place, and
    /// an old one on its way out is no more.
    fn place_entered(&mut self, units: &Units, place: UnitId, state: &str, at_ms: u64) {
        let Some(unit) = units.get(place) else {
            return;
        };
        if units.find(&unit.name) == Some(place) {
            self.entered(unit.name.as_str(), state, at_ms);
        }
    }

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

    /// The default units are ready or have failed; what is told later does not count.
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

#[cfg(test)]
mod tests {
    use super::*;
    use supervisor::{Action, Event, Plan, Supervisor, Timestamp};
    use unit::{Choices, Loaded, Source, UnitName, load_sources};

    fn web(image: &str) -> Loaded {
        let text = format!("[container]\nimage = \"{image}\"\n[update]\norder = \"start-first\"\n");
        let file = "web.container.toml".to_owned();
        let loaded = load_sources(vec![Source { file, text }]);
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        loaded
    }

    #[test]
    fn a_unit_that_was_replaced_is_one_line_that_runs() {
        let first = web("one");
        let mut supervisor = Supervisor::new(&first.set);
        let mut units = Units::at_boot(first, Choices::default());
        let mut chart = Chart::default();
        let mut actions = Vec::new();
        supervisor.handle(Timestamp(0), Event::StartDefault, &mut actions);
        let mut swapped = false;
        let mut applied_once = false;
        let mut at_ms = 0;
        loop {
            while let Some(action) = (!actions.is_empty()).then(|| actions.remove(0)) {
                at_ms += 1;
                let event = match action {
                    Action::Prepare { unit, run } => Event::Prepared { unit, run },
                    Action::Spawn { unit, run } => Event::Started { unit, run },
                    Action::Terminate { unit, run } => {
                        let exit = supervisor::Exit::Code(0);
                        Event::Exited { unit, run, exit }
                    }
                    Action::Release { unit, run } => Event::Released { unit, run },
                    Action::FlipPorts { unit, to, .. } => Event::Flipped {
                        unit,
                        run: to,
                        failure: None,
                    },
                    Action::Changed { unit } => {
                        let state = supervisor.state(unit).name();
                        chart.place_entered(&units, unit, state, at_ms);
                        continue;
                    }
                    Action::Swapped { unit, successor } => {
                        swapped = true;
                        units.swap(unit, successor);
                        let state = supervisor.state(unit).name();
                        chart.place_entered(&units, unit, state, at_ms);
                        continue;
                    }
                    Action::RemoveUnit { unit } => {
                        units.remove(unit);
                        continue;
                    }
                    _ => continue,
                };
                supervisor.handle(Timestamp(at_ms), event, &mut actions);
            }
            if std::mem::replace(&mut applied_once, true) {
                let Some(at) = supervisor.next_deadline().filter(|_| !swapped) else {
                    break;
                };
                at_ms = at.0;
                supervisor.handle_timeout(at, &mut actions);
                continue;
            }
            let second = web("two");
            let plan = Plan::from(&second.set);
            let applied = supervisor.apply(Timestamp(at_ms), &plan, None, &mut actions);
            units.apply(second, Choices::default(), &applied.unwrap());
        }
        assert!(swapped);
        let report = chart.report(&[]);
        let lines: Vec<_> = report.units.iter().filter(|it| it.name == "web").collect();
        assert_eq!(lines.len(), 1);
        let states: Vec<&str> = lines[0].states.iter().map(|(it, _)| it.as_str()).collect();
        assert_eq!(states.last(), Some(&"running"), "{states:?}");
        assert!(!states.contains(&"releasing"), "{states:?}");
        let web = units.find(&UnitName::new("web").unwrap()).unwrap();
        assert!(supervisor.is_ready(web));
    }

    #[test]
    fn the_boot_ends_when_the_units_are_ready_for_the_first_time() {
        let mut chart = Chart::default();
        chart.ready(3000);
        chart.ready(9000);
        assert_eq!(chart.report(&[]).ready_ms, Some(3000));
    }
}
