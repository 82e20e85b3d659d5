//! The definitions of the machine's units, each at its place.
//!
//! ```text
//! UnitSet    name ─▶ index                the set as it was applied last
//! homes      index ─▶ UnitId              by which number requests and answers know the unit
//! places     UnitId ─▶ definition         the present one (an index of the set), or an old one that still runs
//! ```
//!
//! A [`UnitId`] is a place of the supervisor's. At boot it is the index in the set; later sets find their units other
//! places, and a unit that is removed or replaced keeps its old definition until its place is given back.

use serde::{Deserialize, Serialize};
use supervisor::{Applied, UnitId};
use unit::{BadUnit, Choices, Loaded, Unit, UnitName, UnitSet};

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Units {
    set: UnitSet,
    bad: Vec<BadUnit>,
    choices: Choices,
    homes: Vec<UnitId>,
    places: Vec<Place>,
}

/// What stands at a place.
#[derive(Debug, Serialize, Deserialize)]
enum Place {
    Vacant,
    /// The unit of the present set with this index.
    Present(u32),
    /// Not part of the present set: its unit is on its way out, or has a newer definition that is not in force yet.
    Old(Box<Unit>),
}

impl Units {
    /// Before anything was applied, places are indices.
    pub(crate) fn at_boot(loaded: Loaded, choices: Choices) -> Self {
        let indices = 0..u32::try_from(loaded.set.len()).unwrap_or(u32::MAX);
        Self {
            homes: indices.clone().map(UnitId).collect(),
            places: indices.map(Place::Present).collect(),
            set: loaded.set,
            bad: loaded.bad,
            choices,
        }
    }

    /// Take over the set that [`supervisor::Supervisor::apply`] has taken over.
    pub(crate) fn apply(&mut self, loaded: Loaded, choices: Choices, applied: &Applied) {
        for place in &mut self.places {
            if let Place::Present(index) = place {
                let kept = self.set.get(*index).cloned();
                *place = kept.map_or(Place::Vacant, |unit| Place::Old(Box::new(unit)));
            }
        }
        self.set = loaded.set;
        self.bad = loaded.bad;
        self.choices = choices;
        self.homes.clone_from(&applied.homes);
        for (index, place) in (0..).zip(&applied.places) {
            self.put(*place, Place::Present(index));
        }
    }

    /// The successor has taken the unit's place.
    pub(crate) fn swap(&mut self, one: UnitId, other: UnitId) {
        let first = self.take(one);
        let second = self.take(other);
        self.put(one, second);
        self.put(other, first);
    }

    /// The place is given back.
    pub(crate) fn remove(&mut self, unit: UnitId) {
        drop(self.take(unit));
        while let Some(Place::Vacant) = self.places.last() {
            self.places.pop();
        }
    }

    fn take(&mut self, unit: UnitId) -> Place {
        let place = position(unit).and_then(|at| self.places.get_mut(at));
        place.map_or(Place::Vacant, |place| {
            std::mem::replace(place, Place::Vacant)
        })
    }

    fn put(&mut self, unit: UnitId, definition: Place) {
        let Some(at) = position(unit) else { return };
        while self.places.len() <= at {
            self.places.push(Place::Vacant);
        }
        if let Some(place) = self.places.get_mut(at) {
            *place = definition;
        }
    }

    /// The definition in force at a place.
    pub(crate) fn get(&self, unit: UnitId) -> Option<&Unit> {
        match self.places.get(position(unit)?)? {
            Place::Vacant => None,
            Place::Present(index) => self.set.get(*index),
            Place::Old(unit) => Some(unit),
        }
    }

    /// By name; of a unit that is being replaced, the old one's place. One on its way out is found as long as it is there.
    pub(crate) fn find(&self, name: &UnitName) -> Option<UnitId> {
        let home = self.set.find(name).and_then(|index| self.home(index));
        home.or_else(|| {
            self.leaving()
                .find(|(_, unit)| unit.name == *name)?
                .0
                .into()
        })
    }

    /// The number of a unit of the set.
    pub(crate) fn home(&self, index: u32) -> Option<UnitId> {
        self.homes.get(usize::try_from(index).ok()?).copied()
    }

    /// The index of a unit in the set, by its home.
    pub(crate) fn index(&self, unit: UnitId) -> Option<u32> {
        let index = self.set.find(&self.get(unit)?.name)?;
        (self.home(index) == Some(unit)).then_some(index)
    }

    /// All that an operator sees: the units of the set in its order, then those on their way out.
    pub(crate) fn all(&self) -> impl Iterator<Item = UnitId> {
        let leaving = self.leaving().map(|(unit, _)| unit);
        self.homes.iter().copied().chain(leaving)
    }

    /// Units that are not part of the set any more, but still have a place.
    fn leaving(&self) -> impl Iterator<Item = (UnitId, &Unit)> {
        let places = (0..).map(UnitId).zip(&self.places);
        places.filter_map(|(id, place)| match place {
            Place::Old(unit) if self.set.find(&unit.name).is_none() => Some((id, unit.as_ref())),
            Place::Vacant | Place::Present(_) | Place::Old(_) => None,
        })
    }

    /// Whether a file declares it, be it one with mistakes. Instances of a template that is bad (`cache@`) are not known one
    /// by one.
    pub(crate) fn is_declared(&self, name: &UnitName) -> bool {
        let is_bad = |bad: &str| {
            *bad == *name.as_str() || (bad.ends_with('@') && name.as_str().starts_with(bad))
        };
        self.find(name).is_some() || self.bad().iter().any(|bad| is_bad(&bad.name))
    }

    /// As it was applied last.
    pub(crate) fn set(&self) -> &UnitSet {
        &self.set
    }

    /// By index of the set.
    pub(crate) fn homes(&self) -> &[UnitId] {
        &self.homes
    }

    /// By which the set was loaded.
    pub(crate) fn choices(&self) -> &Choices {
        &self.choices
    }

    /// Units that are not loaded.
    pub(crate) fn bad(&self) -> &[BadUnit] {
        &self.bad
    }
}

fn position(unit: UnitId) -> Option<usize> {
    usize::try_from(unit.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use supervisor::{Action, Event, Exit, Plan, Supervisor, Timestamp};
    use unit::{Source, load_sources};

    fn loaded(units: &[(&str, &str)]) -> Loaded {
        let source = |(name, body): &(&str, &str)| Source {
            file: format!("{name}.container.toml"),
            text: format!("[container]\nimage = \"{body}\"\n"),
        };
        let loaded = load_sources(units.iter().map(source).collect());
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        loaded
    }

    fn image(units: &Units, place: UnitId) -> Option<&str> {
        Some(&units.get(place)?.container()?.container.image)
    }

    fn name(text: &str) -> UnitName {
        UnitName::new(text).unwrap()
    }

    /// Runs everything that is prepared, ends everything that is stopped.
    fn run(supervisor: &mut Supervisor, units: &mut Units, mut actions: Vec<Action>) {
        while let Some(action) = (!actions.is_empty()).then(|| actions.remove(0)) {
            let events = match action {
                Action::Prepare { unit, run } => vec![Event::Prepared { unit, run }],
                Action::Spawn { unit, run } => vec![Event::Started { unit, run }],
                Action::Terminate { unit, run } => {
                    let exit = Exit::Code(0);
                    vec![Event::Exited { unit, run, exit }]
                }
                Action::Release { unit, run } => vec![Event::Released { unit, run }],
                Action::RemoveUnit { unit } => {
                    units.remove(unit);
                    vec![]
                }
                Action::Changed { .. } | Action::RestartsAtOnce { .. } | Action::Settled { .. } => {
                    vec![]
                }
                other => panic!("{other:?}"),
            };
            for event in events {
                supervisor.handle(Timestamp(1), event, &mut actions);
            }
        }
    }

    #[test]
    fn each_definition_stands_where_the_supervisor_has_its_unit() {
        let first = loaded(&[("b", "one"), ("c", "one"), ("d", "one")]);
        let mut supervisor = Supervisor::new(&first.set);
        let mut units = Units::at_boot(first, Choices::default());
        let mut actions = Vec::new();
        supervisor.handle(Timestamp(0), Event::StartDefault, &mut actions);
        run(&mut supervisor, &mut units, actions);

        let second = loaded(&[("a", "new"), ("b", "two"), ("d", "one")]);
        let mut actions = Vec::new();
        let plan = Plan::from(&second.set);
        let applied = supervisor
            .apply(Timestamp(2), &plan, None, &mut actions)
            .unwrap();
        units.apply(second, Choices::default(), &applied);
        for unit in ["a", "b", "d", "default.target"].map(name) {
            assert_eq!(units.find(&unit), supervisor.find(&unit), "{unit}");
            let place = units.find(&unit).unwrap();
            assert_eq!(units.get(place).map(|unit| &unit.name), Some(&unit));
            assert_eq!(units.home(units.index(place).unwrap()), Some(place));
        }
        let b = units.find(&name("b")).unwrap();
        assert_eq!(image(&units, b), Some("docker.io/library/two:latest"));
        let c = units.find(&name("c")).expect("it still runs");
        assert_eq!(image(&units, c), Some("docker.io/library/one:latest"));
        assert_eq!(units.index(c), None);
        assert_eq!(units.all().count(), 5);

        run(&mut supervisor, &mut units, actions);
        assert_eq!(units.find(&name("c")), None);
        assert_eq!(units.get(c), None);
        assert_eq!(units.all().count(), 4);
        assert!(supervisor.is_ready(b));
    }

    #[test]
    fn a_unit_that_is_put_back_while_it_stops_has_its_place_with_its_new_definition() {
        let first = loaded(&[("web", "one")]);
        let mut supervisor = Supervisor::new(&first.set);
        let mut units = Units::at_boot(first, Choices::default());
        let mut actions = Vec::new();
        supervisor.handle(Timestamp(0), Event::StartDefault, &mut actions);
        run(&mut supervisor, &mut units, actions);
        let place = units.find(&name("web")).unwrap();

        let mut actions = Vec::new();
        for files in [&[][..], &[("web", "two")]] {
            let set = loaded(files);
            let plan = Plan::from(&set.set);
            let applied = supervisor.apply(Timestamp(2), &plan, None, &mut actions);
            units.apply(set, Choices::default(), &applied.unwrap());
        }
        assert_eq!(units.find(&name("web")), Some(place));
        assert_eq!(image(&units, place), Some("docker.io/library/two:latest"));
        assert_eq!(units.all().count(), 2);
        run(&mut supervisor, &mut units, actions);
        assert_eq!(supervisor.find(&name("web")), Some(place));
        assert_eq!(image(&units, place), Some("docker.io/library/two:latest"));
        assert!(supervisor.is_ready(place));
    }

    /// As another release would have computed them.
    fn with_other_fingerprints(supervisor: &Supervisor) -> Supervisor {
        let mut value = serde_json::to_value(supervisor).unwrap();
        for rules in value["rules"].as_array_mut().unwrap() {
            for key in ["fingerprint", "program"] {
                rules[key] = (rules[key].as_u64().unwrap() ^ 1).into();
            }
        }
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn after_a_re_execution_into_another_release_the_same_set_changes_nothing() {
        let first = [("web", "one"), ("old", "one")];
        let mut supervisor = Supervisor::new(&loaded(&first).set);
        let mut units = Units::at_boot(loaded(&first), Choices::default());
        let mut actions = Vec::new();
        supervisor.handle(Timestamp(0), Event::StartDefault, &mut actions);
        run(&mut supervisor, &mut units, actions);
        // Whatever is on its way out may come back.
        let second = loaded(&[("web", "one")]);
        let mut actions = Vec::new();
        let applied = supervisor.apply(Timestamp(1), &Plan::from(&second.set), None, &mut actions);
        units.apply(second, Choices::default(), &applied.unwrap());

        let mut next = with_other_fingerprints(&supervisor);
        assert_ne!(next.rules(), supervisor.rules());
        assert!(next.recompute_fingerprints(|unit| units.get(unit)));
        assert!(!next.recompute_fingerprints(|unit| units.get(unit)));
        assert_eq!(next.rules(), supervisor.rules());
        let plan = Plan::from(units.set());
        let applied = next.apply(Timestamp(2), &plan, None, &mut Vec::new());
        assert_eq!(applied.unwrap().changed, []);
    }

    #[test]
    fn a_successor_and_the_old_definition_change_places() {
        let first = loaded(&[("web", "one")]);
        let mut units = Units::at_boot(first, Choices::default());
        let (home, successor) = (UnitId(1), UnitId(2));
        assert_eq!(units.find(&name("web")), Some(home));
        let applied = Applied {
            places: vec![UnitId(0), successor],
            homes: vec![UnitId(0), home],
            ..Applied::default()
        };
        units.apply(loaded(&[("web", "two")]), Choices::default(), &applied);
        let (one, two) = (
            Some("docker.io/library/one:latest"),
            Some("docker.io/library/two:latest"),
        );
        assert_eq!((image(&units, home), image(&units, successor)), (one, two));
        assert_eq!(units.find(&name("web")), Some(home));
        assert_eq!(units.all().collect::<Vec<_>>(), [UnitId(0), home]);
        units.swap(home, successor);
        assert_eq!((image(&units, home), image(&units, successor)), (two, one));
        units.remove(successor);
        assert_eq!((image(&units, home), image(&units, successor)), (two, None));
    }
}
