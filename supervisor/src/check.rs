//! The invariants of the core, counted anew: for the simulation, and for a state that was handed over.

use crate::standing::Standing;
use crate::{Goal, Supervisor, UnitId};
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
        if !self.touched.is_empty() || !self.actions.is_empty() || !self.changed.is_empty() {
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
        if life.deadline != life.state.deadline() {
            return Err(format!("{name}: its deadline is not armed"));
        }
        let has = |other: UnitId, bit: fn(Standing) -> bool| {
            self.life(other).is_some_and(|life| bit(life.standing))
        };
        let (after, before) = (self.graph.after(unit), self.graph.before(unit));
        let blocks = |required, other| {
            if required {
                !has(other, |it| it.ready)
            } else {
                !has(other, |it| it.settled)
            }
        };
        let counted = [
            (
                "blockers",
                life.blockers,
                after
                    .iter()
                    .filter(|it| blocks(it.required, it.unit))
                    .count(),
            ),
            (
                "stuck requirements",
                life.stuck_requirements,
                after
                    .iter()
                    .filter(|it| it.required && has(it.unit, |it| it.stuck))
                    .count(),
            ),
            (
                "failed requirements",
                life.failed_requirements,
                self.graph
                    .requires(unit)
                    .iter()
                    .filter(|it| has(**it, |it| it.failed))
                    .count(),
            ),
            (
                "stop blockers",
                life.stop_blockers,
                before
                    .iter()
                    .filter(|it| has(it.unit, |it| it.holding))
                    .count(),
            ),
        ];
        for (what, kept, found) in counted {
            if u32::try_from(found) != Ok(kept) {
                return Err(format!("{name}: {found} {what}, but {kept} are counted"));
            }
        }
        let down = |other: &&UnitId| self.goal(**other) == Goal::Down;
        if life.goal == Goal::Up
            && let Some(other) = self.graph.requires(unit).iter().find(down)
        {
            return Err(format!(
                "{name} is wanted up, but {} is not",
                self.name_of(*other)
            ));
        }
        Ok(())
    }
}
