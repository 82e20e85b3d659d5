//! What can be known of a unit from what the supervisor was told: for the oracle.

use crate::kernel::Kernel;
use crate::run::{Run, ends};
use supervisor::{Goal, Rules, State, Supervisor, UnitId};

/// As far as the supervisor can know.
pub(crate) fn is_ready(world: &Supervisor, kernel: &Kernel, unit: UnitId) -> bool {
    if rules(world, unit).is_ok_and(|rules| rules.service.is_some() && rules.timer.is_some()) {
        return world.goal(unit) == Goal::Up;
    }
    match world.state(unit) {
        // Nothing of these is a run that could be judged.
        State::Scheduled | State::Skipped { .. } => return true,
        // A job that was completed before its last run, or before this boot.
        State::Finished { .. } if rules(world, unit).is_ok_and(is_job) => return true,
        _ => {}
    }
    match rules(world, unit) {
        Ok(rules) if rules.service.is_none() => matches!(world.state(unit), State::Running { .. }),
        Ok(_) => kernel.at(unit).is_some_and(Run::is_ready),
        Err(_) => false,
    }
}

pub(crate) fn is_active(world: &Supervisor, kernel: &Kernel, unit: UnitId) -> bool {
    let Ok(rules) = rules(world, unit) else {
        return false;
    };
    let remains = ends(rules)
        || rules
            .service
            .as_ref()
            .is_some_and(|service| service.remain_after_exit);
    match world.state(unit) {
        State::Skipped { .. } => false,
        State::Finished { .. } => remains,
        _ => is_ready(world, kernel, unit),
    }
}

pub(crate) fn is_completed(world: &Supervisor, kernel: &Kernel, unit: UnitId) -> bool {
    if rules(world, unit).is_ok_and(|rules| rules.timer.is_some()) {
        return world
            .history(unit)
            .iter()
            .any(supervisor::PastRun::succeeded);
    }
    match world.state(unit) {
        State::Running { .. } | State::Started { .. } => false,
        _ => is_ready(world, kernel, unit),
    }
}

pub(crate) fn is_healthy(world: &Supervisor, kernel: &Kernel, unit: UnitId) -> bool {
    // Its run has ended, or there never was one to be checked.
    let skipped = matches!(world.state(unit), State::Skipped { .. });
    let checked = kernel.at(unit).filter(|run| {
        let over = skipped || run.told.skipped || run.told.ended.is_some();
        !over && run.definition.plan.is_some()
    });
    match checked {
        Some(run) => run.told.healthy && is_ready(world, kernel, unit),
        None => is_ready(world, kernel, unit),
    }
}

pub(crate) fn is_job(rules: &Rules) -> bool {
    rules
        .service
        .as_ref()
        .is_some_and(|service| service.kind == unit::ServiceKind::Job)
}

pub(crate) fn wanted_up(world: &Supervisor, unit: UnitId) -> Result<(), String> {
    match world.goal(unit) {
        Goal::Up => Ok(()),
        Goal::Down => Err("it is started though its goal is down".to_owned()),
    }
}

pub(crate) fn rules(world: &Supervisor, unit: UnitId) -> Result<&Rules, String> {
    world
        .rules()
        .get(unit.0 as usize)
        .ok_or_else(|| format!("there is no unit {}", unit.0))
}

pub(crate) fn name(world: &Supervisor, unit: UnitId) -> String {
    rules(world, unit).map_or_else(
        |_| format!("unit {}", unit.0),
        |rules| rules.name.to_string(),
    )
}
