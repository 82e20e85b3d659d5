//! Requests that change a running container without ending it: reload, pause, unpause; and reset-failed.

use crate::life::Lowered;
use crate::mutant::Mutant;
use crate::present::Pause;
use crate::request::Wish;
use crate::{Action, RunId, Supervisor, Ticket, UnitId};
use alloc::vec::Vec;

impl Supervisor {
    pub(crate) fn reload(&mut self, units: &[UnitId], ticket: Option<Ticket>) {
        if !self.accept(units, ticket, Wish::Reload) {
            return;
        }
        for unit in units {
            self.reload_one(*unit);
        }
    }

    fn reload_one(&mut self, unit: UnitId) {
        let now = self.now;
        let Some((life, rules)) = self.both(unit) else {
            return;
        };
        let service = rules.service.as_ref();
        let Some(service) = service.filter(|service| service.reload.is_some()) else {
            return self.fails_to(unit, &[Wish::Reload], "it has no `service.reload`");
        };
        if !life.is_serving() {
            return self.fails_to(unit, &[Wish::Reload], "it is not running");
        }
        if life.present.pause != Pause::Off {
            return self.fails_to(unit, &[Wish::Reload], "it is paused");
        }
        let Some(run) = life.state.run() else { return };
        if life.present.reload.is_none() {
            life.present.reload = Some(now.plus(service.start_timeout_ms));
            self.actions.push(Action::Reload { unit, run });
            self.touch(unit);
        }
    }

    pub(crate) fn reload_ended(&mut self, unit: UnitId, failure: Option<&str>) {
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        if life.present.reload.take().is_none() {
            return;
        }
        match failure {
            None => self.resolve(unit, Wish::Reload, None),
            Some(reason) => {
                let reason = crate::text::shortened(reason);
                self.fails_to(unit, &[Wish::Reload], &reason);
            }
        }
    }

    pub(crate) fn pause(&mut self, units: &[UnitId], ticket: Option<Ticket>) {
        if !self.accept(units, ticket, Wish::Paused) {
            return;
        }
        for unit in units {
            let Some(life) = self.life_mut(*unit) else {
                continue;
            };
            let run = life.state.run().filter(|_| life.is_serving());
            let target = self.rules_of(*unit).is_none_or(crate::Rules::is_target);
            let Some(run) = run.filter(|_| !target) else {
                self.fails_to(*unit, &[Wish::Paused], "it is not running");
                continue;
            };
            if let Some(life) = self.life_mut(*unit)
                && life.present.pause == Pause::Off
            {
                life.present.pause = Pause::Pausing;
                self.actions.push(Action::Pause { unit: *unit, run });
                self.quiet(*unit);
            }
        }
    }

    /// A frozen container answers nothing: neither probes nor the watchdog nor a reload are waited for.
    fn quiet(&mut self, unit: UnitId) {
        let careless = self.planted(Mutant::ProbedWhilePaused);
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        life.present.watchdog = None;
        if let Some(watch) = &mut life.present.health
            && watch.plan.pause_aware
            && !careless
        {
            watch.suspend();
        }
        if life.present.reload.take().is_some() {
            self.fails_to(unit, &[Wish::Reload], "it is paused");
        }
        self.touch(unit);
    }

    pub(crate) fn paused(&mut self, unit: UnitId, run: RunId, failure: Option<&str>) {
        let Some(life) = self.life_mut(unit) else {
            return;
        };
        if life.present.pause != Pause::Pausing {
            return;
        }
        match failure {
            None => {
                life.present.pause = Pause::Paused;
                self.resolve(unit, Wish::Paused, None);
            }
            Some(reason) => {
                let reason = crate::text::shortened(reason);
                self.fails_to(unit, &[Wish::Paused], &reason);
                self.thaw(unit, run);
            }
        }
    }

    pub(crate) fn unpause(&mut self, units: &[UnitId], ticket: Option<Ticket>) {
        if !self.accept(units, ticket, Wish::Unpaused) {
            return;
        }
        for unit in units {
            let frozen = self
                .life(*unit)
                .filter(|life| life.present.pause != Pause::Off);
            if let Some(run) = frozen.and_then(|life| life.state.run()) {
                self.fails_to(*unit, &[Wish::Paused], "unpaused by another request");
                self.thaw(*unit, run);
            }
            self.resolve(*unit, Wish::Unpaused, None);
        }
    }

    fn thaw(&mut self, unit: UnitId, run: RunId) {
        let now = self.now;
        self.actions.push(Action::Unpause { unit, run });
        if let Some(life) = self.life_mut(unit) {
            life.present.pause = Pause::Off;
            if let Some(watch) = &mut life.present.health
                && !life.present.ending
            {
                watch.resume(now);
            }
        }
        self.arm_watchdog(unit);
        self.touch(unit);
    }

    pub(crate) fn reset_failed(&mut self, units: &[UnitId], ticket: Option<Ticket>) {
        if !self.accept(units, ticket, Wish::Reset) {
            return;
        }
        let failed: Vec<UnitId> = units.iter().copied().filter(|it| self.reset(*it)).collect();
        let at_rest = self.without_runs_on(&failed);
        self.want_down(at_rest.into_iter(), Lowered::Reset);
        for unit in units {
            self.resolve(*unit, Wish::Reset, None);
        }
    }
}
