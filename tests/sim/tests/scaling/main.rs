//! Nothing in the core costs more than O((units + edges) log units): counted in steps, so that no clock is needed.

mod change;
mod machine;
mod ties;

use machine::{Machine, compare};
use supervisor::{Action, Edges, Event, Plan, Rules, UnitId};
use unit::{Restart, Service, ServiceKind, UnitName};

/// Units of the three sizes.
const SIZES: [u32; 3] = [100, 1_000, 10_000];

/// Steps per unit and edge that a whole life (start, restart of everything, shutdown) may take; what matters is that it
/// is the same for every size.
const STEPS_PER_PART_MAX: u64 = 60;

fn rules(units: u32) -> Vec<Rules> {
    let service = Service {
        kind: ServiceKind::Simple,
        restart: Restart::Always,
        restart_delay_max_ms: 1_000,
        ..Service::default()
    };
    let rules = |unit: u32| {
        let name = UnitName::new(&format!("u{unit}")).expect("a unit name");
        let rules = Rules::new(name, (unit != 0).then(|| service.clone()));
        Rules {
            fingerprint: u64::from(unit % 7),
            ..rules
        }
    };
    (0..units).map(rules).collect()
}

/// The same set with every seventh unit changed; what was changed comes up again.
fn apply(machine: &mut Machine, edges: &Edges) {
    let mut plan = plan(edges);
    for rules in plan.rules.iter_mut().filter(|it| it.fingerprint == 3) {
        rules.fingerprint = 1_000;
    }
    assert!(!machine.apply(&plan).changed.is_empty());
}

fn plan(edges: &Edges) -> Plan {
    Plan {
        rules: rules(edges.units),
        edges: edges.clone(),
        default: Some(0),
    }
}

/// Steps of a whole life, for each unit and edge.
fn steps_per_part(edges: &Edges, roots: &[u32]) -> u64 {
    let mut machine = Machine::new(plan(edges));
    machine.boot();
    assert!(machine.are_ready(0..edges.units), "everything is up");
    let units = roots.iter().map(|root| UnitId(*root)).collect();
    machine.perform(Event::Restart {
        units,
        ticket: None,
    });
    apply(&mut machine, edges);
    assert!(
        machine.are_ready(0..edges.units),
        "everything is up after the change"
    );
    machine.steps_per_part()
}

fn check(shape: &str, edges: impl Fn(u32) -> (Edges, Vec<u32>)) {
    compare(shape, |units| {
        let (edges, roots) = edges(units);
        steps_per_part(&edges, &roots)
    });
}

/// Everything is wanted by the default target, unit 0.
fn wanted(units: u32) -> Edges {
    let members: Vec<(u32, u32)> = (1..units).map(|unit| (0, unit)).collect();
    Edges {
        units,
        after: members.clone(),
        wants: members,
        ..Edges::default()
    }
}

#[test]
fn a_target_of_many_units_is_linear() {
    check("star", |units| (wanted(units), vec![1]));
}

#[test]
fn a_chain_is_linear() {
    check("chain", |units| {
        let mut edges = wanted(units);
        let chain: Vec<(u32, u32)> = (2..units).map(|unit| (unit, unit - 1)).collect();
        edges.after.extend(&chain);
        edges.requires.extend(chain);
        (edges, vec![1])
    });
}

#[test]
fn one_unit_that_all_require_is_linear() {
    check("hub", |units| {
        let mut edges = wanted(units);
        let spokes: Vec<(u32, u32)> = (2..units).map(|unit| (unit, 1)).collect();
        edges.after.extend(&spokes);
        edges.requires.extend(spokes);
        (edges, vec![1])
    });
}

#[test]
fn layers_that_all_require_the_layer_below_are_linear() {
    /// Units of one layer.
    const WIDTH: u32 = 10;
    check("layers", |units| {
        let mut edges = wanted(units);
        let below = |unit: u32| {
            let layer = (unit - 1) / WIDTH * WIDTH + 1;
            (layer.saturating_sub(WIDTH).max(1)..layer).map(move |other| (unit, other))
        };
        let pairs: Vec<(u32, u32)> = (1..units).flat_map(below).collect();
        edges.after.extend(&pairs);
        edges.requires.extend(pairs);
        (edges, (1..=WIDTH).collect())
    });
}

#[test]
fn units_that_are_bound_to_one_and_part_of_it_are_linear() {
    check("bound", |units| {
        let mut edges = wanted(units);
        let spokes: Vec<(u32, u32)> = (2..units).map(|unit| (unit, 1)).collect();
        edges.after.extend(&spokes);
        edges.binds_to.extend(&spokes);
        edges.part_of.extend(spokes);
        (edges, vec![1])
    });
}

#[test]
fn units_that_start_one_when_they_fail_are_linear() {
    let steps = SIZES.map(|units| {
        let mut edges = wanted(units);
        // All but the last two come after unit 1, require it, and start the last one when they fail.
        let spokes: Vec<(u32, u32)> = (2..units - 1).map(|unit| (unit, 1)).collect();
        edges.wants.retain(|(_, to)| *to != units - 1);
        edges.after.extend(&spokes);
        edges.requires.extend(spokes);
        edges.on_failure = (2..units - 1).map(|unit| (unit, units - 1)).collect();
        let mut plan = plan(&edges);
        if let Some(service) = &mut plan.rules[1].service {
            service.restart = Restart::No;
        }
        let mut machine = Machine::new(plan);
        let mut actions = Vec::new();
        let now = machine.now;
        let supervisor = &mut machine.supervisor;
        supervisor.handle(now, Event::StartDefault, &mut actions);
        let failed = actions.iter().find_map(|action| match action {
            Action::Prepare { unit, run } if unit.0 == 1 => Some((*unit, *run)),
            _ => None,
        });
        let (unit, run) = failed.expect("unit 1 starts");
        let reason = "no image".to_owned();
        machine.perform(Event::PrepareFailed {
            unit,
            run,
            reason,
            lasting: false,
        });
        machine.perform(Event::Released { unit, run });
        let supervisor = &machine.supervisor;
        assert_eq!(supervisor.goal(UnitId(units - 1)), supervisor::Goal::Up);
        supervisor.steps() / u64::from(units)
    });
    println!("failures: steps per unit at {SIZES:?} units: {steps:?}");
    assert!(
        steps[2] <= steps[0] + steps[0] / 2 + 2,
        "not linear: {steps:?}"
    );
}
