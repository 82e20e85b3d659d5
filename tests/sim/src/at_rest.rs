//! Where a unit has to be when nothing is under way, and what a stop takes along.

use crate::kernel::Kernel;
use crate::known::{is_active, name, rules};
use std::collections::BTreeSet;
use supervisor::{Failure, Goal, State, Supervisor, TRIGGER_INTERVAL_MS_MIN, Timestamp, UnitId};
use unit::{OnUnhealthy, Restart};

/// All that cannot be without a unit that was stopped is down.
pub(crate) fn stopped_along(world: &Supervisor, units: &[UnitId]) -> Result<(), String> {
    for unit in units {
        for other in world.graph().stopped_with(*unit) {
            if world.goal(*unit) == Goal::Down && world.goal(*other) == Goal::Up {
                return Err(format!(
                    "{} is stopped, but {} is not",
                    name(world, *unit),
                    name(world, *other)
                ));
            }
        }
    }
    Ok(())
}

/// What was stopped at `stopped_at` is still down, unless another unit's end or a timer has
/// started it since.
pub(crate) fn stays_down(
    world: &Supervisor,
    kernel: &Kernel,
    units: &[UnitId],
    stopped_at: Timestamp,
) -> Result<(), String> {
    let all = units.iter().copied();
    let up: Vec<UnitId> = all.filter(|unit| world.goal(*unit) == Goal::Up).collect();
    if up.is_empty() {
        return Ok(());
    }
    let started = started_by_others(world, kernel, stopped_at);
    match up.into_iter().find(|unit| !started.contains(unit)) {
        Some(unit) => Err(format!("{} is up after its stop", name(world, unit))),
        None => Ok(()),
    }
}

/// All that ends and timers may have started since then, with what that pulls up.
fn started_by_others(world: &Supervisor, kernel: &Kernel, since: Timestamp) -> BTreeSet<UnitId> {
    let graph = world.graph();
    // What came too soon after another start was put off for so long.
    let lately = |at: Timestamp| at.plus(TRIGGER_INTERVAL_MS_MIN) >= since;
    let by_itself = |unit: UnitId| {
        let mut runs = kernel.runs.values().filter(|run| run.place == unit);
        let ended = |run: &crate::run::Run| {
            let ended = run.told.ended.is_some_and(|ended| lately(ended.at));
            ended && !run.asked_to_stop()
        };
        (world.goal(unit) == Goal::Up && lately(world.since(unit))) || runs.any(ended)
    };
    let mut queue: Vec<UnitId> = Vec::new();
    for unit in (0..u32::try_from(graph.len()).unwrap_or(u32::MAX)).map(UnitId) {
        if world.goal(unit) == Goal::Up {
            queue.extend(graph.triggers(unit));
        }
        let starts = [graph.on_success(unit), graph.on_failure(unit)].concat();
        if !starts.is_empty() && by_itself(unit) {
            queue.extend(starts);
        }
    }
    let mut started = BTreeSet::new();
    while let Some(unit) = queue.pop() {
        if started.insert(unit) {
            queue.extend(graph.pulls(unit).iter().chain(graph.wants(unit)));
        }
    }
    started
}

pub(crate) fn unit_at_rest(
    world: &Supervisor,
    kernel: &Kernel,
    unit: UnitId,
) -> Result<(), String> {
    let service = rules(world, unit)?.service.as_ref();
    let run = kernel.at(unit);
    let alive = run.is_some_and(|run| run.alive);
    let state = world.state(unit);
    if world.successor(unit).is_some() || world.successor_of(unit).is_some() {
        return Err("its replacement does not come to an end".to_owned());
    }
    let at_rest = match (world.goal(unit), state) {
        (Goal::Down, State::Inactive) => !alive,
        (Goal::Up, State::Running { .. }) => alive || service.is_none(),
        (Goal::Up, State::Finished { .. }) => !alive,
        (Goal::Up, State::Skipped { .. }) => !alive,
        (Goal::Up, State::Scheduled) => !alive && rules(world, unit)?.timer.is_some(),
        (
            Goal::Up,
            State::Failed {
                reason: Failure::Dependency { .. } | Failure::Requisite { .. } | Failure::StartLimit,
            },
        ) => !alive,
        (Goal::Up, State::Failed { .. }) => {
            let restart = service.map(|service| service.restart);
            let prevented =
                service.is_some_and(|service| !service.restart_prevent_exit_codes.is_empty());
            let by_health = run.is_some_and(|run| {
                let plan = run.definition.plan.as_ref();
                plan.is_some_and(|plan| plan.on_unhealthy == OnUnhealthy::Stop)
            });
            let policy = !matches!(restart, Some(Restart::Always | Restart::UnlessStopped));
            !alive && (policy || prevented || by_health || has_post_stop(service))
        }
        (Goal::Up | Goal::Down, _) => false,
    };
    if at_rest {
        return bound_to_the_present(world, kernel, unit);
    }
    let goal = world.goal(unit);
    Err(format!(
        "at rest with goal {goal:?}, state {state:?} ({}), {}",
        world.reason(unit),
        if alive { "alive" } else { "no process" }
    ))
}

fn has_post_stop(service: Option<&unit::Service>) -> bool {
    service.is_some_and(|service| !service.post_stop.is_empty())
}

/// What is bound to a unit has begun after that unit's present run.
fn bound_to_the_present(world: &Supervisor, kernel: &Kernel, unit: UnitId) -> Result<(), String> {
    let State::Running { run, .. } = world.state(unit) else {
        return Ok(());
    };
    for other in world.graph().binds_to(unit) {
        let comes_after = world
            .graph()
            .after(unit)
            .iter()
            .any(|link| link.unit == *other);
        let theirs = kernel.at(*other).filter(|it| it.alive).map(|it| it.run);
        let is_target = rules(world, *other)?.service.is_none();
        let gone = theirs.is_none() && !is_active(world, kernel, *other);
        let newer = theirs.is_some_and(|theirs| theirs > *run);
        if comes_after && !is_target && (gone || newer) {
            return Err(format!(
                "it is bound to {}, whose run is a newer one",
                name(world, *other)
            ));
        }
    }
    Ok(())
}
