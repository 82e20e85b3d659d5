//! Ties between units beside order and requirement.

use crate::machine::{Machine, compare};
use crate::{plan, wanted};
use supervisor::{Condition, Edges, Event, Exit, Plan, State, UnitId};
use unit::{Concurrency, DependsOnCondition, Restart, ServiceKind, Timer};

fn ids(units: impl Iterator<Item = u32>) -> Vec<UnitId> {
    units.map(UnitId).collect()
}

fn start(machine: &mut Machine, units: impl Iterator<Item = u32>) {
    let units = ids(units);
    let ticket = Some(supervisor::Ticket(2));
    machine.perform(Event::Start { units, ticket });
}

/// The first half of the units is up at the boot.
fn first_half_wanted(units: u32) -> Edges {
    let mut edges = wanted(units);
    edges.after.retain(|(_, to)| *to < units / 2);
    edges.wants.retain(|(_, to)| *to < units / 2);
    edges
}

#[test]
fn halves_that_take_each_others_place_are_linear() {
    compare("conflicts", |units| {
        let half = units / 2;
        let mut edges = first_half_wanted(units);
        // A chain on each side; unit n of one side and unit n of the other never run together.
        let chain = |first: u32| (first + 1..first + half - 1).map(|unit| (unit, unit - 1));
        edges.after.extend(chain(1).chain(chain(half)));
        edges.requires.extend(chain(1).chain(chain(half)));
        edges.conflicts = (1..half).map(|unit| (unit, unit + half - 1)).collect();
        let mut machine = Machine::new(plan(&edges));
        machine.boot();
        assert!(machine.are_ready(1..half));
        // From the far end of the chain, the walks through what goes down would overlap most.
        start(&mut machine, (half..units - 1).rev());
        assert!(machine.are_ready(half..units - 1) && !machine.are_ready(1..2));
        start(&mut machine, 1..half);
        assert!(machine.are_ready(1..half) && !machine.are_ready(half..half + 1));
        machine.steps_per_part()
    });
}

#[test]
fn units_that_all_conflict_with_one_are_linear() {
    compare("one rival", |units| {
        let mut edges = wanted(units);
        edges.after.retain(|(_, to)| *to != 1);
        edges.wants.retain(|(_, to)| *to != 1);
        edges.conflicts = (2..units).map(|unit| (unit, 1)).collect();
        let mut machine = Machine::new(plan(&edges));
        machine.boot();
        assert!(machine.are_ready(2..units));
        start(&mut machine, 1..2);
        assert!(machine.are_ready(1..2) && !machine.are_ready(2..3));
        start(&mut machine, 2..units);
        assert!(machine.are_ready(2..units) && !machine.are_ready(1..2));
        machine.steps_per_part()
    });
}

#[test]
fn units_that_one_must_find_active_are_linear() {
    compare("requisite", |units| {
        let mut edges = wanted(units);
        // All find unit 1 active, and the last one finds all.
        let spokes = (2..units).map(|unit| (unit, 1));
        let pairs: Vec<(u32, u32)> = spokes
            .chain((2..units - 1).map(|unit| (units - 1, unit)))
            .collect();
        edges.after.extend(&pairs);
        edges.requisite = pairs;
        let mut machine = Machine::new(plan(&edges));
        machine.boot();
        assert!(machine.are_ready(0..units));
        let units_of = |first: u32| ids(first..first + 1);
        let ticket = None;
        machine.perform(Event::Restart {
            units: units_of(1),
            ticket,
        });
        assert!(machine.are_ready(0..units));
        machine.perform(Event::Stop {
            units: units_of(1),
            ticket,
        });
        start(&mut machine, 2..units);
        assert!(!machine.are_ready(2..3));
        machine.perform(Event::ResetFailed {
            units: ids(2..units),
            ticket,
        });
        machine.steps_per_part()
    });
}

#[test]
fn units_that_wait_for_the_health_of_others_are_linear() {
    compare("health", |units| {
        let mut edges = wanted(units);
        let hub = (2..units).map(|unit| (unit, 1));
        let pairs: Vec<(u32, u32)> = hub.chain((3..units).map(|unit| (unit, unit - 1))).collect();
        edges.after.extend(&pairs);
        edges.requires.extend(&pairs);
        let condition = |(from, to): &(u32, u32)| Condition {
            from: *from,
            to: *to,
            condition: DependsOnCondition::Healthy,
            restart: true,
        };
        edges.depends_on = pairs.iter().map(condition).collect();
        let mut machine = Machine::new(plan(&edges));
        machine.probed = true;
        machine.boot();
        // Not to the end of the chain: what they do in the meantime is to be probed, each second.
        machine.wait(5_000);
        assert!(machine.are_ready(1..5));
        machine.steps_per_part()
    });
}

#[test]
fn a_chain_that_has_failed_is_forgiven_in_one_walk() {
    compare("reset-failed", |units| {
        let mut edges = wanted(units);
        let chain: Vec<(u32, u32)> = (2..units).map(|unit| (unit, unit - 1)).collect();
        edges.after.extend(&chain);
        edges.requires.extend(chain);
        let mut plan = plan(&edges);
        if let Some(service) = &mut plan.rules[1].service {
            service.kind = ServiceKind::Oneshot;
            service.restart = Restart::No;
        }
        let mut machine = Machine::new(plan);
        machine.ends = Some(Exit::Code(1));
        machine.boot();
        assert!(matches!(
            machine.supervisor.state(UnitId(units - 1)),
            State::Failed { .. }
        ));
        let ticket = Some(supervisor::Ticket(2));
        machine.perform(Event::ResetFailed {
            units: ids(1..units),
            ticket,
        });
        assert_eq!(
            *machine.supervisor.state(UnitId(units - 1)),
            State::Inactive
        );
        machine.steps_per_part()
    });
}

/// Every second unit is a job; the others are timers that start them.
fn timers(units: u32, timer: &Timer) -> Plan {
    let mut edges = wanted(units);
    let timers = || (1..units - 1).step_by(2);
    edges.wants.retain(|(_, to)| to % 2 == 1);
    edges.after.retain(|(_, to)| to % 2 == 1);
    edges.triggers = timers().map(|it| (it, it + 1)).collect();
    let mut plan = plan(&edges);
    for (unit, rules) in plan.rules.iter_mut().enumerate().skip(1) {
        if unit % 2 == 1 {
            rules.service = None;
            rules.timer = Some(timer.clone());
        } else if let Some(service) = &mut rules.service {
            service.kind = ServiceKind::Job;
            service.restart = Restart::No;
        }
    }
    plan
}

#[test]
fn timers_that_come_at_once_are_linear() {
    compare("timers", |units| {
        let timer = Timer {
            on_boot_ms: Some(2_000),
            on_unit_active_ms: Some(2_000),
            concurrency: Concurrency::Allow,
            ..Timer::default()
        };
        let mut machine = Machine::new(timers(units, &timer));
        machine.ends = Some(Exit::Code(0));
        machine.boot();
        machine.wait(6_500);
        assert!(machine.supervisor.last_past_run(UnitId(2)).is_some());
        machine.steps_per_part()
    });
}

#[test]
fn calendar_times_are_linear() {
    compare("calendar", |units| {
        let timer = Timer {
            on_calendar: vec!["daily".to_owned()],
            ..Timer::default()
        };
        let mut machine = Machine::new(timers(units, &timer));
        machine.ends = Some(Exit::Code(0));
        machine.boot();
        for unit in (1..units - 1).step_by(2).map(UnitId) {
            machine.perform(Event::TimerElapsed {
                unit,
                scheduled_wall_ms: 1,
            });
        }
        let jobs = machine.supervisor.record().timers.len();
        assert!(jobs >= (units / 2 - 1) as usize);
        machine.steps_per_part()
    });
}
