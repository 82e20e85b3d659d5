//! What must hold among the instances of a template: no more than `max_parallel` of them are restarted or replaced at once.

use super::Oracle;
use crate::kernel::Kernel;
use crate::known::rules;
use crate::run::Run;
use supervisor::{Goal, State, Supervisor, UnitId};

impl Oracle {
    /// The unit is taken down for a restart, or begins beside the run that it is to replace.
    pub(super) fn judge_turn(
        &mut self,
        world: &Supervisor,
        kernel: &Kernel,
        unit: UnitId,
    ) -> Result<(), String> {
        let own = rules(world, unit)?;
        // One that the clock starts is taken down, and then waits for the clock.
        let Some(replica) = own.replica.as_ref().filter(|_| own.timer.is_none()) else {
            return Ok(());
        };
        self.forget_turns(world, kernel);
        let of_template = |place: UnitId| {
            let of = rules(world, place).ok()?.replica.as_ref()?;
            (of.template == replica.template).then_some(of.max_parallel)
        };
        let places = (0u32..).map(UnitId).take(world.rules().len());
        let most = places.filter_map(of_template).max().unwrap_or(1);
        self.turns.remove(&unit);
        let others = self.turns.iter().copied();
        let others = others.filter(|other| of_template(*other).is_some()).count();
        if others >= most as usize {
            return Err(format!(
                "it is restarted while {others} others of its template are, and max_parallel is {most}"
            ));
        }
        self.turns.insert(unit);
        Ok(())
    }

    /// Those for which others need not wait any more.
    pub(super) fn forget_turns(&mut self, world: &Supervisor, kernel: &Kernel) {
        let memories = &self.memories;
        self.turns.retain(|unit| {
            let failures = memories.get(unit).map_or(0, |memory| memory.failures_ever);
            let hopeful = failures < supervisor::FAILURES_STUCK;
            let timed = rules(world, *unit).is_ok_and(|rules| rules.timer.is_some());
            let wanted = world.goal(*unit) == Goal::Up && !timed;
            let run = kernel.at(*unit);
            let ready = run.is_some_and(Run::is_ready);
            // One that is to go down again takes another turn for that.
            let again = world.is_to_stop(*unit) && !run.is_some_and(Run::asked_to_stop);
            hopeful && wanted && !ready && !again && is_under_way(world.state(*unit))
        });
    }
}

/// It gets on by itself: it neither waits for others nor has come to an end.
fn is_under_way(state: &State) -> bool {
    match state {
        State::Preparing { .. }
        | State::PreStart { .. }
        | State::Starting { .. }
        | State::Started { .. }
        | State::Running { .. }
        | State::PreStop { .. }
        | State::Stopping { .. }
        | State::Releasing { .. }
        | State::Backoff { .. } => true,
        // A third failure in a row counts before its steps of post_stop are over.
        State::PostStop { .. }
        | State::Inactive
        | State::Scheduled
        | State::Waiting
        | State::Finished { .. }
        | State::Skipped { .. }
        | State::Failed { .. } => false,
    }
}
