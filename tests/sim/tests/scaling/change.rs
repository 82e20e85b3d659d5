//! Another set in the place of the present one: instances of a template, replacement without a gap, units that leave.

use crate::machine::{Machine, compare};
use crate::{plan, wanted};
use supervisor::{Edges, Event, Plan, UnitId};
use unit::{Replica, UpdateOrder};

/// All but unit 1 are instances of one template, and require unit 1.
fn instances(units: u32, max_parallel: u32, order: UpdateOrder) -> Plan {
    let mut plan = plan(&hub(units));
    for (index, rules) in (0..).zip(plan.rules.iter_mut().skip(2)) {
        let template = "web@".to_owned();
        rules.replica = Some(Replica {
            template,
            index,
            max_parallel,
        });
        rules.update.order = order;
    }
    plan
}

fn hub(units: u32) -> Edges {
    let mut edges = wanted(units);
    let spokes: Vec<(u32, u32)> = (2..units).map(|unit| (unit, 1)).collect();
    edges.after.extend(&spokes);
    edges.requires.extend(spokes);
    edges
}

/// With another definition of every unit from `first` on.
fn changed(mut plan: Plan, first: usize) -> Plan {
    for rules in plan.rules.iter_mut().skip(first) {
        rules.fingerprint += 1_000;
    }
    plan
}

fn live_through(first: &Plan, change: &Plan) -> u64 {
    let units = first.edges.units;
    let mut machine = Machine::new(first.clone());
    machine.boot();
    assert!(machine.are_ready(0..units));
    assert!(!machine.apply(change).changed.is_empty());
    assert!(machine.are_ready(0..units), "up after the change");
    let units_of = vec![UnitId(1)];
    machine.perform(Event::Restart {
        units: units_of,
        ticket: None,
    });
    assert!(machine.are_ready(0..units), "up after the restart");
    machine.steps_per_part()
}

#[test]
fn instances_that_restart_in_turns_are_linear() {
    for max_parallel in [1, 10] {
        compare("instances", |units| {
            let plan = instances(units, max_parallel, UpdateOrder::StopFirst);
            live_through(&plan, &changed(plan.clone(), 2))
        });
    }
}

#[test]
fn instances_that_are_replaced_in_turns_are_linear() {
    for max_parallel in [1, 10] {
        compare("instances, start-first", |units| {
            let plan = instances(units, max_parallel, UpdateOrder::StartFirst);
            live_through(&plan, &changed(plan.clone(), 2))
        });
    }
}

/// All but the first two are replaced start-first.
fn beside(units: u32) -> Plan {
    let mut plan = plan(&hub(units));
    for rules in plan.rules.iter_mut().skip(2) {
        rules.update.order = UpdateOrder::StartFirst;
    }
    plan
}

#[test]
fn a_replacement_of_everything_is_linear() {
    compare("start-first", |units| {
        let plan = beside(units);
        live_through(&plan, &changed(plan.clone(), 2))
    });
}

#[test]
fn replacements_that_a_restart_overtakes_are_linear() {
    // Unit 1, which all require, restarts: nobody needs a new version beside the old one.
    compare("adopted", |units| {
        let plan = beside(units);
        live_through(&plan, &changed(plan.clone(), 1))
    });
}

#[test]
fn replacements_that_another_set_overtakes_are_linear() {
    compare("overtaken", |units| {
        let plan = beside(units);
        let mut machine = Machine::new(plan.clone());
        machine.boot();
        let mut actions = Vec::new();
        // Nobody answers: the new versions are on their way when the next set comes.
        let now = machine.now;
        let first = changed(plan.clone(), 2);
        let applied = machine.supervisor.apply(now, &first, None, &mut actions);
        assert!(applied.is_some());
        machine.apply(&changed(first, 2));
        machine.steps_per_part()
    });
}

/// The plan without those of its units that `gone` names.
fn without(plan: &Plan, gone: impl Fn(u32) -> bool) -> Plan {
    let mut numbers = Vec::new();
    let mut next = 0;
    for unit in 0..plan.edges.units {
        numbers.push((!gone(unit)).then_some(next));
        next += u32::from(!gone(unit));
    }
    let number = |unit: u32| numbers[unit as usize];
    let map = |pairs: &[(u32, u32)]| -> Vec<(u32, u32)> {
        let both = |&(from, to): &(u32, u32)| Some((number(from)?, number(to)?));
        pairs.iter().filter_map(both).collect()
    };
    let rules = (0..).zip(&plan.rules).filter(|(unit, _)| !gone(*unit));
    Plan {
        rules: rules.map(|(_, rules)| rules.clone()).collect(),
        edges: Edges {
            units: next,
            after: map(&plan.edges.after),
            requires: map(&plan.edges.requires),
            wants: map(&plan.edges.wants),
            ..Edges::default()
        },
        default: plan.default,
    }
}

fn leave_and_come_back(edges: &Edges, gone: impl Fn(u32) -> bool) -> u64 {
    let all = plan(edges);
    let mut machine = Machine::new(all.clone());
    machine.boot();
    let fewer = without(&all, gone);
    let removed = machine.apply(&fewer).removed.len();
    assert_eq!(removed, all.rules.len() - fewer.rules.len());
    assert_eq!(machine.apply(&all).added.len(), removed);
    assert!(machine.are_ready(0..edges.units));
    machine.steps_per_part()
}

#[test]
fn units_that_leave_a_chain_are_linear() {
    compare("leaving a chain", |units| {
        let mut edges = wanted(units);
        let chain: Vec<(u32, u32)> = (2..units).map(|unit| (unit, unit - 1)).collect();
        edges.after.extend(&chain);
        edges.requires.extend(chain);
        leave_and_come_back(&edges, |unit| unit % 2 == 1)
    });
}

#[test]
fn units_that_leave_a_hub_are_linear() {
    compare("leaving a hub", |units| {
        leave_and_come_back(&hub(units), |unit| unit > 2)
    });
}

#[test]
fn a_hub_that_leaves_its_units_is_linear() {
    compare("the hub leaves", |units| {
        leave_and_come_back(&hub(units), |unit| unit == 1)
    });
}
