//! What a seed stands for: the units, how they behave, and what the operator does.

use crate::Chance;
use supervisor::{Edges, Rules};
use unit::{Restart, Service, ServiceKind, UnitName};

/// How often what goes wrong, in times per mille of the chances it has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A report comes seconds late, and so out of order with others.
    pub late: u64,
    /// A report comes twice.
    pub duplicate: u64,
    /// A report of long ago comes again, mostly one of an older run.
    pub stale: u64,
    /// A report of a run or unit that never was.
    pub invented: u64,
    /// A deadline is served late.
    pub slow_loop: u64,
}

/// How the program of one unit, and what it needs, behave. Times in milliseconds; chances per mille.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    pub prepare_fails: u64,
    pub spawn_fails: u64,
    /// The image is slow to come.
    pub slow_prepare: u64,
    /// The launcher hangs, perhaps beyond `start_timeout`.
    pub slow_start: u64,
    /// A run ends by itself.
    pub ends: u64,
    /// … within so many milliseconds.
    pub lives_ms: u64,
    /// … with an exit code that is not 0; otherwise with 0, and now and then by a signal.
    pub fails: u64,
    pub ignores_sigterm: bool,
}

/// What happens at one moment from outside.
#[derive(Clone, Debug)]
pub enum Command {
    StoppedBefore(Vec<u32>),
    StartDefault,
    Start(Vec<u32>),
    Stop(Vec<u32>),
    Restart(Vec<u32>),
    /// The process dies of a signal.
    Crash(u32),
    /// The kernel's OOM killer takes it.
    OutOfMemory(u32),
    /// netd or store dies: every preparation under way fails, and everything being given back takes longer.
    HelperDies,
    /// The machine was suspended: nothing runs for so many milliseconds.
    ClockJump(u64),
    Shutdown(u64),
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub edges: Edges,
    pub rules: Vec<Rules>,
    pub behaviours: Vec<Behaviour>,
    pub faults: Faults,
    /// In order of time, in milliseconds since boot.
    pub commands: Vec<(u64, Command)>,
}

/// Number of the default target in every scenario.
pub(crate) const DEFAULT: u32 = 0;

impl Scenario {
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let mut chance = Chance::of(seed, &[1]);
        let units = match chance.number(100) {
            0..70 => 2 + chance.number(11),
            70..95 => 13 + chance.number(38),
            _ => 51 + chance.number(150),
        };
        let rules: Vec<Rules> = (0..units)
            .map(|unit| random_rules(&mut chance, unit))
            .collect();
        let edges = random_edges(&mut chance, units, &rules);
        let bad_day = chance.pick(&[0, 20, 100, 300]);
        let behaviours = (0..units)
            .map(|_| random_behaviour(&mut chance, bad_day))
            .collect();
        let level = chance.pick(&[0, 10, 50, 200]);
        let mut fault = || if chance.per_mille(600) { level } else { 0 };
        let faults = Faults {
            late: fault(),
            duplicate: fault(),
            stale: fault(),
            invented: fault(),
            slow_loop: fault(),
        };
        let commands = random_commands(&mut chance, units);
        Self {
            seed,
            edges,
            rules,
            behaviours,
            faults,
            commands,
        }
    }
}

fn random_rules(chance: &mut Chance, unit: u32) -> Rules {
    let target = unit == DEFAULT || chance.per_mille(60);
    let name = if unit == DEFAULT {
        "default.target".to_owned()
    } else {
        format!("u{unit}")
    };
    let delay_ms = chance.pick(&[0, 50, 100, 700]);
    let oneshot = chance.per_mille(250);
    let service = Service {
        kind: if oneshot {
            ServiceKind::Oneshot
        } else {
            ServiceKind::Simple
        },
        restart: match chance.number(10) {
            _ if oneshot && chance.per_mille(600) => Restart::No,
            0..2 => Restart::No,
            2..6 => Restart::Always,
            6..9 => Restart::OnFailure,
            _ => Restart::UnlessStopped,
        },
        restart_delay_ms: delay_ms,
        restart_delay_max_ms: delay_ms * chance.between(1, 40),
        restart_backoff_milli: chance.pick(&[1_000, 1_500, 2_000, 10_000]),
        restart_reset_after_ms: chance.pick(&[500, 2_000, 10_000]),
        restart_max: chance.pick(&[0, 0, 1, 3]),
        success_exit_codes: vec![0],
        remain_after_exit: chance.per_mille(500),
        start_timeout_ms: chance.pick(&[200, 1_000, 90_000]),
        stop_timeout_ms: chance.pick(&[50, 500, 2_000]),
        ..Service::default()
    };
    let name = UnitName::new(&name).unwrap_or_else(|| unreachable!("`{name}` is a unit name"));
    Rules {
        name,
        service: (!target).then_some(service),
    }
}

/// Every edge goes down an order of the units, so that there is no cycle; the default target is the last of the order.
fn random_edges(chance: &mut Chance, units: u32, rules: &[Rules]) -> Edges {
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
            let edge = (unit, chance.pick(&order[..place]));
            let target = rules[unit as usize].service.is_none();
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
        if chance.per_mille(800) {
            edges.wants.push((DEFAULT, unit));
            edges.after.push((DEFAULT, unit));
        }
    }
    edges
}

fn random_behaviour(chance: &mut Chance, bad_day: u64) -> Behaviour {
    let mut level = |most: u64| {
        if chance.per_mille(500) {
            bad_day.min(most)
        } else {
            0
        }
    };
    Behaviour {
        prepare_fails: level(900),
        spawn_fails: level(900),
        slow_prepare: level(300),
        slow_start: level(300),
        ends: level(900) * 3,
        fails: 400,
        lives_ms: chance.pick(&[1, 50, 1_000, 15_000]),
        ignores_sigterm: chance.per_mille(100),
    }
}

fn random_commands(chance: &mut Chance, units: u32) -> Vec<(u64, Command)> {
    let mut commands = Vec::new();
    let mut at = chance.between(100, 2_000);
    if chance.per_mille(200) {
        commands.push((at, Command::StoppedBefore(some_units(chance, units))));
    }
    if chance.per_mille(900) {
        commands.push((at, Command::StartDefault));
    }
    let pace = chance.pick(&[5, 300, 2_000]);
    for _ in 0..chance.between(0, 40) {
        at += chance.between(0, pace * 2);
        let command = match chance.number(100) {
            0..25 => Command::Start(some_units(chance, units)),
            25..45 => Command::Stop(some_units(chance, units)),
            45..60 => Command::Restart(some_units(chance, units)),
            60..80 => Command::Crash(chance.number(units)),
            80..85 => Command::OutOfMemory(chance.number(units)),
            85..90 => Command::HelperDies,
            90..93 => Command::ClockJump(chance.pick(&[10, 1_000, 60_000])),
            93..95 => Command::StartDefault,
            _ => Command::Crash(chance.number(units)),
        };
        commands.push((at, command));
    }
    if chance.per_mille(250) {
        let within_ms = chance.pick(&[0, 100, 1_000, 10_000]);
        commands.push((
            at + chance.between(0, pace * 4),
            Command::Shutdown(within_ms),
        ));
    }
    commands
}

/// Mostly one, sometimes several, now and then one twice.
pub(crate) fn some_units(chance: &mut Chance, units: u32) -> Vec<u32> {
    let count = if chance.per_mille(700) {
        1
    } else {
        chance.between(1, 6)
    };
    (0..count).map(|_| chance.number(units)).collect()
}
