//! What a seed stands for: the units, how they behave, and what the operator does.

use crate::{Chance, units};
use supervisor::Plan;

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
    /// A report is lost and found half a minute later.
    pub found: u64,
    /// A deadline is served late.
    pub slow_loop: u64,
}

/// What happens at one moment from outside. Units by the number in their name.
#[derive(Clone, Debug)]
pub enum Command {
    /// What was on disk before this boot.
    Recall {
        stopped: Vec<u32>,
        completed: Vec<u32>,
    },
    StartDefault,
    Start(Vec<u32>),
    Stop(Vec<u32>),
    Restart(Vec<u32>),
    Reload(Vec<u32>),
    Pause(Vec<u32>),
    Unpause(Vec<u32>),
    ResetFailed(Vec<u32>),
    /// The set, changed at random by this number.
    Apply(u64),
    /// PID 1 hands its state over to itself.
    Reexecute,
    /// The power goes after so many further actions; the machine boots again.
    PowerLoss(u32),
    /// The process dies of a signal.
    Crash(u32),
    /// The kernel's OOM killer takes it.
    OutOfMemory(u32),
    /// netd, store or the prober dies: preparations under way fail, and answers are lost.
    HelperDies,
    /// The machine was suspended: nothing runs for so many milliseconds.
    ClockJump(u64),
    Shutdown(u64),
}

#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub plan: Plan,
    /// How bad programs and helpers are, per mille.
    pub bad_day: u64,
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
        let count = match chance.number(100) {
            0..75 => 2 + chance.number(11),
            75..97 => 13 + chance.number(38),
            _ => 51 + chance.number(150),
        };
        let plan = units::random_plan(&mut chance, count);
        let bad_day = chance.pick(&[0, 20, 100, 300]);
        let level = chance.pick(&[0, 10, 50, 200]);
        let mut fault = || if chance.per_mille(600) { level } else { 0 };
        let faults = Faults {
            late: fault(),
            duplicate: fault(),
            stale: fault(),
            invented: fault(),
            found: fault() / 4,
            slow_loop: fault(),
        };
        let commands = random_commands(&mut chance, count);
        Self {
            seed,
            plan,
            bad_day,
            faults,
            commands,
        }
    }
}

fn random_commands(chance: &mut Chance, units: u32) -> Vec<(u64, Command)> {
    let mut commands = Vec::new();
    let mut at = chance.between(100, 2_000);
    if chance.per_mille(200) {
        let stopped = some_units(chance, units);
        let completed = some_units(chance, units);
        commands.push((at, Command::Recall { stopped, completed }));
    }
    if chance.per_mille(900) {
        commands.push((at, Command::StartDefault));
    }
    let pace = chance.pick(&[5, 300, 2_000]);
    for _ in 0..chance.between(0, 40) {
        at += chance.between(0, pace * 2);
        let command = match chance.number(1_000) {
            0..200 => Command::Start(some_units(chance, units)),
            200..350 => Command::Stop(some_units(chance, units)),
            350..470 => Command::Restart(some_units(chance, units)),
            470..520 => Command::Reload(some_units(chance, units)),
            520..570 => Command::Pause(some_units(chance, units)),
            570..610 => Command::Unpause(some_units(chance, units)),
            610..650 => Command::ResetFailed(some_units(chance, units)),
            650..710 => Command::Apply(chance.next()),
            710..730 => Command::Reexecute,
            730..750 => Command::PowerLoss(chance.number(8)),
            750..800 => Command::OutOfMemory(chance.number(units)),
            800..850 => Command::HelperDies,
            850..880 => Command::ClockJump(chance.pick(&[10, 1_000, 60_000])),
            880..900 => Command::StartDefault,
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
