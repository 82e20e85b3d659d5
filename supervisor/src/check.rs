//! The invariants of the core, counted anew: for the simulation, and for a state that was handed over.

use crate::graph::Requirement;
use crate::mutant::Mutant;
use crate::standing::Standing;
use crate::{Goal, State, Supervisor, UnitId};
use alloc::format;
use alloc::string::String;

impl Supervisor {
    /// Looks at every unit and edge.
    ///
    /// # Errors
    /// The first broken invariant, in words.
    pub fn check(&self) -> Result<(), String> {
        for unit in self.units() {
            self.check_unit(unit)?;
        }
        let containers = || {
            self.lives
                .iter()
                .zip(&self.rules)
                .filter(|(_, rules)| !rules.is_target())
        };
        let live = containers()
            .filter(|(life, _)| life.state.is_live())
            .count();
        let busy = containers()
            .filter(|(life, _)| life.state.run().is_some())
            .count();
        if (u32::try_from(live), u32::try_from(busy)) != (Ok(self.live), Ok(self.busy)) {
            return Err(format!(
                "{live} live and {busy} busy units, counted {} and {}",
                self.live, self.busy
            ));
        }
        if !self.touched.is_empty()
            || !self.actions.is_empty()
            || !self.changed.is_empty()
            || !self.triggered.is_empty()
        {
            return Err(String::from("a turn has left work behind"));
        }
        Ok(())
    }

    fn check_unit(&self, unit: UnitId) -> Result<(), String> {
        let (Some(life), Some(rules)) = (self.life(unit), self.rules_of(unit)) else {
            return Ok(());
        };
        let name = &rules.name;
        if life.standing != Standing::of(life, rules) {
            return Err(format!("{name}: its standing is not published"));
        }
        if life.deadline != self.wanted_deadline(unit) {
            return Err(format!("{name}: its deadline is not armed"));
        }
        let has = |other: UnitId, bit: fn(Standing) -> bool| {
            self.life(other).is_some_and(|life| bit(life.standing))
        };
        let (after, before) = (self.graph.after(unit), self.graph.before(unit));
        let is_impossible = |it: &&Requirement| {
            self.life(it.unit)
                .is_some_and(|life| life.standing.is_impossible(it.need))
        };
        let counted = [
            (
                "blockers",
                life.blockers,
                after
                    .iter()
                    .filter(|it| {
                        self.life(it.unit)
                            .is_some_and(|life| life.standing.blocks(it.need, it.required))
                    })
                    .count(),
            ),
            (
                "stuck requirements",
                life.stuck_requirements,
                after
                    .iter()
                    .filter(|it| {
                        let other = self.life(it.unit);
                        it.required && other.is_some_and(|life| life.standing.is_stuck_for(it.need))
                    })
                    .count(),
            ),
            (
                "failed requirements",
                life.failed_requirements,
                self.graph.needs(unit).iter().filter(is_impossible).count(),
            ),
            (
                "stop blockers",
                life.stop_blockers,
                before
                    .iter()
                    .filter(|it| has(it.unit, |it| it.holding))
                    .count(),
            ),
            (
                "rivals",
                life.rivals,
                self.graph
                    .conflicts(unit)
                    .iter()
                    .filter(|it| has(**it, |it| it.present))
                    .count(),
            ),
        ];
        for (what, kept, found) in counted {
            if u32::try_from(found) != Ok(kept) {
                return Err(format!("{name}: {found} {what}, but {kept} are counted"));
            }
        }
        self.check_goals(unit)?;
        self.check_patience(unit)?;
        if rules.replica.is_some() && self.tokens(unit).is_none() {
            return Err(format!("{name}: the tokens of its group are miscounted"));
        }
        Ok(())
    }

    /// Who waits does so for somebody: to start, for units that it comes after and for rivals, as a new version for its turn
    /// too; to stop, for units that come after it, and to restart for its turn too.
    fn check_patience(&self, unit: UnitId) -> Result<(), String> {
        let Some(life) = self.life(unit) else {
            return Ok(());
        };
        let (starts, stops) = match &life.state {
            State::Waiting => (life.blockers == 0 && life.rivals == 0, false),
            State::Started { .. } | State::Running { .. } => {
                (false, life.is_leaving() && life.stop_blockers == 0)
            }
            State::Inactive
            | State::Scheduled
            | State::Preparing { .. }
            | State::PreStart { .. }
            | State::Starting { .. }
            | State::PreStop { .. }
            | State::Stopping { .. }
            | State::PostStop { .. }
            | State::Releasing { .. }
            | State::Backoff { .. }
            | State::Finished { .. }
            | State::Skipped { .. }
            | State::Failed { .. } => (false, false),
        };
        if !starts && !stops {
            return Ok(());
        }
        let takes_turns =
            (starts && self.successor_of(unit).is_some()) || (stops && life.goal == Goal::Up);
        let all_taken = self.tokens(unit).is_some_and(|(held, most)| held >= most);
        if takes_turns && all_taken && self.waits_for_token(unit) {
            return Ok(());
        }
        let name = self.name_of(unit);
        Err(format!(
            "{name}: {}, and waits for nobody",
            life.state.name()
        ))
    }

    fn check_goals(&self, unit: UnitId) -> Result<(), String> {
        if self.goal(unit) == Goal::Down {
            return Ok(());
        }
        let name = self.name_of(unit);
        let down = |other: &&UnitId| self.goal(**other) == Goal::Down;
        if let Some(other) = self.graph.pulls(unit).iter().find(down) {
            let other = self.name_of(*other);
            return Err(format!("{name} is wanted up, but {other} is not"));
        }
        let up = |other: &&UnitId| self.goal(**other) == Goal::Up;
        if let Some(other) = self.graph.conflicts(unit).iter().find(up)
            && !self.planted(Mutant::ConflictsIgnored)
        {
            let other = self.name_of(*other);
            return Err(format!("{name} and {other} conflict, and both are wanted"));
        }
        Ok(())
    }
}
