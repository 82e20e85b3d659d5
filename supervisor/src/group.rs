//! Instances of one template: no more than `max_parallel` of them are restarted or replaced at the same time.
//!
//! An instance that is taken down for a restart takes a token of its group, and so does a new version that starts beside
//! the old one. It gives the token back when others need not wait for it any more: it is ready, has failed, is down, or
//! waits for units of its own. Only one that gets on by itself holds a token, so that no two wait for each other.
//!
//! Who is down takes none to start: at the boot, and when an operator starts them, all instances start at once.

use crate::mutant::Mutant;
use crate::{Supervisor, UnitId};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Groups {
    groups: Vec<Group>,
    /// By unit number.
    of: Vec<Option<usize>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Group {
    max_parallel: u32,
    holders: u32,
    /// For a token.
    waiting: BTreeSet<UnitId>,
}

impl Groups {
    fn of(&mut self, unit: UnitId) -> Option<&mut Group> {
        let group = (*self.of.get(crate::adjacency::index(unit.0))?)?;
        self.groups.get_mut(group)
    }
}

impl Supervisor {
    /// Anew from the rules; tokens that are held stay so.
    pub(crate) fn form_groups(&mut self) {
        let mut numbers: BTreeMap<&String, usize> = BTreeMap::new();
        let mut groups = Groups::default();
        for (rules, life) in self.rules.iter().zip(&mut self.lives) {
            let Some(replica) = &rules.replica else {
                life.token = false;
                groups.of.push(None);
                continue;
            };
            let number = *numbers
                .entry(&replica.template)
                .or_insert(groups.groups.len());
            if number == groups.groups.len() {
                groups.groups.push(Group::default());
            }
            if let Some(group) = groups.groups.get_mut(number) {
                group.max_parallel = group.max_parallel.max(replica.max_parallel).max(1);
                group.holders = group.holders.saturating_add(u32::from(life.token));
            }
            groups.of.push(Some(number));
        }
        self.groups = groups;
        self.count_steps(self.lives.len());
    }

    /// Whether its turn has come; if not, it is touched when a token is free.
    pub(crate) fn take_token(&mut self, unit: UnitId) -> bool {
        let unlimited = self.planted(Mutant::MaxParallelIgnored);
        let Self { lives, groups, .. } = self;
        let (Some(group), Some(life)) = (
            groups.of(unit),
            lives.get_mut(crate::adjacency::index(unit.0)),
        ) else {
            return true;
        };
        if life.token || unlimited {
            return true;
        }
        if group.holders >= group.max_parallel {
            group.waiting.insert(unit);
            return false;
        }
        group.waiting.remove(&unit);
        group.holders = group.holders.saturating_add(1);
        life.token = true;
        true
    }

    pub(crate) fn give_token_back(&mut self, unit: UnitId) {
        let Self { lives, groups, .. } = self;
        let (Some(group), Some(life)) = (
            groups.of(unit),
            lives.get_mut(crate::adjacency::index(unit.0)),
        ) else {
            return;
        };
        group.waiting.remove(&unit);
        if core::mem::replace(&mut life.token, false) {
            group.holders = group.holders.saturating_sub(1);
            self.offer_token(unit);
        }
    }

    /// Its turn has not come, or it has not noticed yet that it has.
    pub(crate) fn waits_for_token(&self, unit: UnitId) -> bool {
        let place = crate::adjacency::index(unit.0);
        let number = self.groups.of.get(place).copied().flatten();
        let group = number.and_then(|number| self.groups.groups.get(number));
        let waits = group.is_some_and(|group| group.waiting.contains(&unit));
        waits || self.life(unit).is_some_and(|life| life.offered)
    }

    /// Their rules have changed places, and the tokens with them.
    pub(crate) fn exchange_groups(&mut self, one: UnitId, other: UnitId) {
        let (one, other) = (
            crate::adjacency::index(one.0),
            crate::adjacency::index(other.0),
        );
        let of = &mut self.groups.of;
        if one < of.len() && other < of.len() {
            of.swap(one, other);
        }
    }

    /// One that was offered a token and has not taken it leaves it to the next.
    pub(crate) fn pass_token_on(&mut self, unit: UnitId) {
        let declined = self
            .life_mut(unit)
            .is_some_and(|life| core::mem::replace(&mut life.offered, false) && !life.token);
        if declined {
            self.offer_token(unit);
        }
    }

    fn offer_token(&mut self, unit: UnitId) {
        let Self {
            lives,
            groups,
            touched,
            ..
        } = self;
        let Some(group) = groups.of(unit) else {
            return;
        };
        if group.holders < group.max_parallel
            && let Some(next) = group.waiting.pop_first()
            && let Some(life) = lives.get_mut(crate::adjacency::index(next.0))
        {
            life.offered = true;
            life.touch(next, touched);
        }
    }

    /// Counted anew: how many tokens of its group are held, and how many there are.
    pub(crate) fn tokens(&self, unit: UnitId) -> Option<(u32, u32)> {
        let number = (*self.groups.of.get(crate::adjacency::index(unit.0))?)?;
        let group = self.groups.groups.get(number)?;
        let members = self.groups.of.iter().zip(&self.lives);
        let held = members.filter(|(of, life)| **of == Some(number) && life.token);
        let held = u32::try_from(held.count()).unwrap_or(u32::MAX);
        (held == group.holders).then_some((held, group.max_parallel))
    }
}
