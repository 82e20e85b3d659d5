//! Random sets of units, with every key that decisions depend on; and random changes of a set.

use crate::Chance;
use crate::scenario::DEFAULT;
use supervisor::{Condition, Edges, Plan, Rules};
use unit::{
    Concurrency, DependsOnCondition, HealthPlan, Hook, HookFailure, OnUnhealthy, Probe, Protocol,
    ReadinessMode, Reload, Replica, Restart, Service, ServiceKind, StartLimit, Timer, UnitName,
    UpdateOrder,
};

/// `u12` is unit 12, whatever its place.
pub(crate) fn number(name: &UnitName) -> u32 {
    let text = name.as_str();
    text.strip_prefix('u')
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(DEFAULT)
}

pub(crate) fn name(unit: u32) -> UnitName {
    let text = if unit == DEFAULT {
        "default.target".to_owned()
    } else {
        format!("u{unit}")
    };
    UnitName::new(&text).unwrap_or_else(|| unreachable!("`{text}` is a unit name"))
}

pub(crate) fn random_plan(chance: &mut Chance, units: u32) -> Plan {
    // A world has some of the rarer keys, not all at once: what they do is easier to tell.
    let taste = Taste {
        hooks: chance.pick(&[0, 0, 300]),
        readiness: chance.pick(&[0, 200, 600]),
        limits: chance.pick(&[0, 0, 300]),
        timers: chance.pick(&[0, 0, 300, 700]),
        replicas: chance.pick(&[0, 0, 0, 400]),
        kinds: chance.pick(&[0, 200, 500]),
        start_first: chance.pick(&[0, 500, 900]),
    };
    let rules: Vec<Rules> = (0..units)
        .map(|unit| random_rules(chance, unit, taste))
        .collect();
    let edges = random_edges(chance, &rules, taste);
    Plan {
        rules,
        edges,
        default: Some(DEFAULT),
    }
}

/// How often a unit has what, per mille.
#[derive(Clone, Copy)]
struct Taste {
    hooks: u64,
    readiness: u64,
    limits: u64,
    timers: u64,
    replicas: u64,
    /// Of dependency beside requires, wants and after.
    kinds: u64,
    start_first: u64,
}

fn random_rules(chance: &mut Chance, unit: u32, taste: Taste) -> Rules {
    if unit == DEFAULT || chance.per_mille(60) {
        return Rules {
            fingerprint: 1,
            ..Rules::new(name(unit), None)
        };
    }
    let service = random_service(chance, taste);
    let ends = service.kind.ends();
    let mut rules = Rules {
        fingerprint: 1,
        program: 1,
        ..Rules::new(name(unit), Some(service))
    };
    rules.readiness.timeout_ms = chance.pick(&[1_000, 5_000, 20_000]);
    if ends {
        rules.readiness.timeout_ms = chance.pick(&[20_000, 60_000]);
        if chance.per_mille(taste.timers) {
            rules.timer = Some(random_timer(chance));
        }
    } else {
        if chance.per_mille(taste.readiness) {
            rules.readiness.mode = match chance.number(4) {
                0 => ReadinessMode::Healthy,
                1 => ReadinessMode::Port {
                    protocol: Protocol::Tcp,
                    port: 80,
                },
                2 => ReadinessMode::Log {
                    pattern: "ready".to_owned(),
                },
                _ => ReadinessMode::Notify,
            };
        }
        if rules.readiness.mode == ReadinessMode::Healthy {
            // Two probes, each 10 s after the one before, must fit.
            rules.readiness.timeout_ms = 30_000;
        }
        if chance.per_mille(taste.start_first) {
            rules.update.order = UpdateOrder::StartFirst;
            rules.update.health_wait_ms = chance.pick(&[500, 5_000, 30_000]);
        }
    }
    if chance.per_mille(taste.replicas) {
        let max_parallel = 1 + chance.number(2);
        rules.replica = Some(Replica {
            template: format!("t{}@", max_parallel),
            index: unit,
            max_parallel,
        });
    }
    rules
}

fn random_service(chance: &mut Chance, taste: Taste) -> Service {
    let delay_ms = chance.pick(&[0, 50, 100, 700]);
    let kind = match chance.number(100) {
        0..20 => ServiceKind::Oneshot,
        20..28 => ServiceKind::Job,
        28..40 => ServiceKind::Notify,
        _ => ServiceKind::Simple,
    };
    let mut service = Service {
        kind,
        restart: match chance.number(12) {
            _ if kind.ends() && chance.per_mille(600) => Restart::No,
            0..2 => Restart::No,
            2..6 => Restart::Always,
            6..9 => Restart::OnFailure,
            9 => Restart::OnAbnormal,
            10 => Restart::OnWatchdog,
            _ => Restart::UnlessStopped,
        },
        restart_delay_ms: delay_ms,
        restart_delay_max_ms: delay_ms * chance.between(1, 40),
        restart_backoff_milli: chance.pick(&[1_000, 1_500, 2_000, 10_000]),
        restart_reset_after_ms: chance.pick(&[500, 2_000, 10_000]),
        restart_max: chance.pick(&[0, 0, 1, 3]),
        remain_after_exit: chance.per_mille(500),
        start_timeout_ms: chance.pick(&[200, 1_000, 90_000]),
        stop_timeout_ms: chance.pick(&[50, 500, 2_000]),
        ..Service::default()
    };
    if chance.per_mille(taste.limits) {
        match chance.number(5) {
            0 => {
                service.start_limit = StartLimit {
                    burst: 1 + chance.number(4),
                    interval_ms: chance.pick(&[500, 5_000, 60_000]),
                }
            }
            1 => service.restart_prevent_exit_codes = vec![1],
            2 if kind.ends() => service.runtime_max_ms = Some(chance.pick(&[300, 3_000])),
            3 => service.success_exit_codes = vec![0, 1],
            _ => service.watchdog_ms = Some(chance.pick(&[500, 3_000])),
        }
    }
    if chance.per_mille(300) {
        service.reload = Some(Reload::Signal(1));
    }
    for list in [
        &mut service.pre_start,
        &mut service.post_start,
        &mut service.pre_stop,
        &mut service.post_stop,
    ] {
        if chance.per_mille(taste.hooks) {
            let count = 1 + chance.number(2);
            list.extend((0..count).map(|_| random_hook(chance)));
        }
    }
    service
}

fn random_hook(chance: &mut Chance) -> Hook {
    Hook {
        command: vec!["step".to_owned()],
        image: None,
        timeout_ms: chance.pick(&[100, 1_000]),
        on_failure: chance.pick(&[HookFailure::Fail, HookFailure::Ignore]),
    }
}

fn random_timer(chance: &mut Chance) -> Timer {
    let mut timer = Timer {
        concurrency: chance.pick(&[
            Concurrency::Forbid,
            Concurrency::Replace,
            Concurrency::Allow,
        ]),
        randomized_delay_ms: chance.pick(&[0, 0, 300]),
        ..Timer::default()
    };
    match chance.number(3) {
        0 => timer.on_calendar = vec!["*-*-* *:*:*".to_owned()],
        1 => timer.on_boot_ms = Some(chance.between(0, 5_000)),
        _ => timer.on_unit_active_ms = Some(chance.between(2_000, 20_000)),
    }
    timer
}

/// As `init` makes it of the unit and its image; `None`: nobody probes this version.
pub(crate) fn health_plan(seed: u64, unit: u32, rules: &Rules) -> Option<HealthPlan> {
    let mut chance = Chance::of(seed, &[21, u64::from(unit)]);
    let wanted = rules.readiness.mode == ReadinessMode::Healthy || chance.per_mille(200);
    wanted.then(|| HealthPlan {
        probe: Probe::Tcp { port: 80 },
        interval_ms: chance.pick(&[200, 2_000, 10_000]),
        timeout_ms: chance.pick(&[50, 500]),
        retries: 1 + chance.number(4),
        start_period_ms: chance.pick(&[0, 0, 3_000]),
        start_interval_ms: chance.pick(&[100, 1_000]),
        success_threshold: 1 + chance.number(2),
        on_unhealthy: chance.pick(&[
            OnUnhealthy::None,
            OnUnhealthy::Restart,
            OnUnhealthy::Restart,
            OnUnhealthy::Kill,
            OnUnhealthy::Stop,
        ]),
        pause_aware: chance.per_mille(800),
    })
}

/// Every edge of order goes down an order of the units, so that there is no cycle; the default target is its last.
fn random_edges(chance: &mut Chance, rules: &[Rules], taste: Taste) -> Edges {
    let units = u32::try_from(rules.len()).unwrap_or(u32::MAX);
    let mut edges = Edges {
        units,
        ..Edges::default()
    };
    let mut order: Vec<u32> = (1..units).collect();
    for place in (1..order.len()).rev() {
        let other = chance.between(0, place as u64 + 1);
        order.swap(place, usize::try_from(other).unwrap_or_default());
    }
    let density = chance.pick(&[0, 1, 2, 4]);
    for (place, &unit) in order.iter().enumerate() {
        let count = if place == 0 {
            0
        } else {
            chance.between(0, density + 1)
        };
        for _ in 0..count {
            let other = chance.pick(&order[..place]);
            if chance.per_mille(taste.kinds) {
                random_kind(chance, &mut edges, (unit, other), rules);
            } else {
                random_edge(chance, &mut edges, (unit, other), rules);
            }
        }
        if chance.per_mille(800) {
            edges.wants.push((DEFAULT, unit));
            edges.after.push((DEFAULT, unit));
        }
    }
    edges
}

fn random_edge(chance: &mut Chance, edges: &mut Edges, edge: (u32, u32), rules: &[Rules]) {
    let target = rules[edge.0 as usize].service.is_none();
    let (after, requires, wants) = match chance.number(100) {
        0..45 => (true, true, false),
        45..55 => (target, true, false),
        55..70 => (true, false, false),
        70..90 => (true, false, true),
        _ => (target, false, true),
    };
    let lists = [
        (after, &mut edges.after),
        (requires, &mut edges.requires),
        (wants, &mut edges.wants),
    ];
    for (_, list) in lists.into_iter().filter(|(wanted, _)| *wanted) {
        list.push(edge);
    }
}

fn random_kind(chance: &mut Chance, edges: &mut Edges, edge: (u32, u32), rules: &[Rules]) {
    let other = &rules[edge.1 as usize];
    let ends = other
        .service
        .as_ref()
        .is_some_and(|service| service.kind.ends());
    let scheduled = other.timer.is_some();
    match chance.number(8) {
        0 => {
            edges.requisite.push(edge);
            edges.after.push(edge);
        }
        1 if !ends => {
            edges.binds_to.push(edge);
            edges.after.push(edge);
        }
        2 => edges.part_of.push(edge),
        3 => edges.conflicts.push(edge),
        4 => edges.on_failure.push(edge),
        5 => edges.on_success.push(edge),
        _ => {
            let condition = match chance.number(3) {
                0 => DependsOnCondition::Started,
                1 if !ends => DependsOnCondition::Healthy,
                _ if ends && !scheduled => DependsOnCondition::CompletedSuccessfully,
                _ => DependsOnCondition::Started,
            };
            edges.after.push(edge);
            if chance.per_mille(700) {
                edges.requires.push(edge);
            } else {
                edges.wants.push(edge);
            }
            edges.depends_on.push(Condition {
                from: edge.0,
                to: edge.1,
                condition,
                restart: chance.per_mille(400),
            });
        }
    }
}

/// Some units changed, some gone, some new; a few other edges.
pub(crate) fn mutated(plan: &Plan, number_of_change: u64) -> Plan {
    let mut chance = Chance::of(number_of_change, &[22]);
    let mut plan = plan.clone();
    let much = chance.pick(&[0, 100, 400]);
    for rules in plan.rules.iter_mut().skip(1) {
        if !chance.per_mille(much) {
            continue;
        }
        rules.fingerprint = chance.next();
        if chance.per_mille(500) {
            rules.program = rules.fingerprint;
        }
        if let Some(service) = &mut rules.service {
            service.stop_timeout_ms = chance.pick(&[50, 500, 2_000]);
        }
    }
    let mut other = Chance::of(number_of_change, &[24]);
    change_keys(&mut plan, &mut other);
    change_edges(&mut plan, &mut other);
    if chance.per_mille(500) {
        remove_some(&mut plan, &mut chance);
    }
    if chance.per_mille(500) {
        add_some(&mut plan, &mut chance);
    }
    plan
}

/// Another timer, restart policy or way of being replaced for some.
fn change_keys(plan: &mut Plan, chance: &mut Chance) {
    let much = chance.pick(&[0, 0, 100, 300]);
    let awaited = plan.edges.depends_on.iter();
    let awaited = awaited.filter(|it| it.condition == DependsOnCondition::CompletedSuccessfully);
    let awaited: Vec<u32> = awaited.map(|it| it.to).collect();
    for (index, rules) in (0u32..).zip(&mut plan.rules).skip(1) {
        let Some(service) = rules.service.as_mut().filter(|_| chance.per_mille(much)) else {
            continue;
        };
        rules.fingerprint = chance.next();
        match chance.number(2) {
            0 => service.restart = chance.pick(&[Restart::No, Restart::Always, Restart::OnFailure]),
            _ if !service.kind.ends() => {
                rules.update.order =
                    chance.pick(&[UpdateOrder::StartFirst, UpdateOrder::StopFirst]);
            }
            // Who waits for its success would wait for a time of the clock.
            _ if rules.timer.is_some() || awaited.contains(&index) => rules.timer = None,
            _ => rules.timer = Some(random_timer(chance)),
        }
        if rules.timer.is_some() && chance.per_mille(300) {
            rules.timer = Some(random_timer(chance));
        }
    }
}

/// Other dependencies between units that stay, without a cycle.
fn change_edges(plan: &mut Plan, chance: &mut Chance) {
    if !chance.per_mille(300) {
        return;
    }
    let gone: Vec<(u32, u32)> = {
        let all = plan.edges.after.iter().chain(&plan.edges.requires);
        all.filter(|_| chance.per_mille(100)).copied().collect()
    };
    let edges = &mut plan.edges;
    for list in [
        &mut edges.after,
        &mut edges.requires,
        &mut edges.wants,
        &mut edges.requisite,
        &mut edges.binds_to,
        &mut edges.part_of,
    ] {
        list.retain(|pair| !gone.contains(pair));
    }
    edges
        .depends_on
        .retain(|it| !gone.contains(&(it.from, it.to)));
    let units = u32::try_from(plan.rules.len()).unwrap_or(u32::MAX);
    for _ in 0..chance.number(3) {
        if units < 3 {
            return;
        }
        let pair = (1 + chance.number(units - 1), 1 + chance.number(units - 1));
        if !comes_after(&plan.edges, pair.1, pair.0) {
            random_edge(chance, &mut plan.edges, pair, &plan.rules);
        }
    }
}

/// Whether the one comes after the other, or requires or wants it, directly or not.
fn comes_after(edges: &Edges, one: u32, other: u32) -> bool {
    let mut seen = vec![one];
    let mut place = 0;
    while let Some(unit) = seen.get(place).copied() {
        place += 1;
        let all = edges
            .after
            .iter()
            .chain(&edges.requires)
            .chain(&edges.wants);
        for (_, to) in all.filter(|(from, _)| *from == unit) {
            if !seen.contains(to) {
                seen.push(*to);
            }
        }
    }
    seen.contains(&other)
}

pub(crate) fn without_some(plan: &Plan, chance: &mut Chance) -> Plan {
    let mut plan = plan.clone();
    remove_some(&mut plan, chance);
    plan
}

/// The same units, some of them with another definition.
pub(crate) fn slightly_changed(mut plan: Plan, chance: &mut Chance) -> Plan {
    let much = chance.pick(&[0, 300]);
    for rules in plan.rules.iter_mut().skip(1) {
        if chance.per_mille(much) {
            rules.fingerprint = chance.next();
            rules.program = rules.fingerprint;
        }
    }
    plan
}

fn remove_some(plan: &mut Plan, chance: &mut Chance) {
    let mut kept: Vec<Option<u32>> = Vec::new();
    let mut rules = Vec::new();
    for (index, unit) in plan.rules.drain(..).enumerate() {
        if index > 0 && chance.per_mille(200) {
            kept.push(None);
        } else {
            kept.push(u32::try_from(rules.len()).ok());
            rules.push(unit);
        }
    }
    plan.rules = rules;
    let new = |old: u32| kept.get(old as usize).copied().flatten();
    let edges = &mut plan.edges;
    for list in [
        &mut edges.after,
        &mut edges.requires,
        &mut edges.wants,
        &mut edges.requisite,
        &mut edges.binds_to,
        &mut edges.part_of,
        &mut edges.conflicts,
        &mut edges.on_failure,
        &mut edges.on_success,
    ] {
        let mapped = list.iter().filter_map(|&(a, b)| Some((new(a)?, new(b)?)));
        *list = mapped.collect();
    }
    let mapped = edges.depends_on.iter().filter_map(|it| {
        Some(Condition {
            from: new(it.from)?,
            to: new(it.to)?,
            ..*it
        })
    });
    edges.depends_on = mapped.collect();
    edges.units = u32::try_from(plan.rules.len()).unwrap_or(u32::MAX);
}

/// At the end of the list, after units that were there: no cycle.
fn add_some(plan: &mut Plan, chance: &mut Chance) {
    let taste = Taste {
        hooks: 0,
        readiness: 200,
        limits: 0,
        timers: 0,
        replicas: 0,
        kinds: 0,
        start_first: 500,
    };
    for _ in 0..chance.number(3) {
        // A name that no other unit has had: what was there before would be another definition of it.
        let unit = 1_000 + chance.number(1_000_000_000);
        let index = u32::try_from(plan.rules.len()).unwrap_or(u32::MAX);
        plan.rules.push(random_rules(chance, unit, taste));
        if index > 1 {
            let other = 1 + chance.number(index - 1);
            random_edge(chance, &mut plan.edges, (index, other), &plan.rules);
        }
        plan.edges.wants.push((DEFAULT, index));
        plan.edges.after.push((DEFAULT, index));
    }
    plan.edges.units = u32::try_from(plan.rules.len()).unwrap_or(u32::MAX);
}
