//! Who asked for what, and the one answer that each of them gets.

use crate::text::listed;
use crate::{Action, Outcome, State, Supervisor, Ticket, UnitId};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Requests that wait for their outcome at the same time. Each belongs to a connection, of which `init` accepts fewer.
pub const REQUESTS_MAX: usize = 256;

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Each unit ready.
    Up,
    /// Each unit inactive.
    Down,
}

#[derive(Clone, Debug)]
struct Request {
    ticket: Ticket,
    wish: Wish,
    /// Units that have not come to an outcome.
    open: usize,
    problems: Vec<String>,
}

/// All that wait. Invariant: `watched` has an entry for each open unit of each request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    waiting: BTreeMap<u64, Request>,
    watched: BTreeSet<(UnitId, u64)>,
    last: u64,
    /// Came in this turn: what it asks for may be the case already.
    new: Option<u64>,
}

impl Requests {
    /// Notes the outcome of one unit for all requests with `wish`; answers those that have all of theirs.
    fn resolve(
        &mut self,
        unit: UnitId,
        wish: Wish,
        problem: Option<&str>,
        actions: &mut Vec<Action>,
    ) {
        let numbers = self
            .watched
            .range((unit, 0)..=(unit, u64::MAX))
            .map(|(_, number)| *number);
        let numbers: Vec<u64> = numbers
            .filter(|number| {
                self.waiting
                    .get(number)
                    .is_some_and(|request| request.wish == wish)
            })
            .collect();
        for number in numbers {
            self.watched.remove(&(unit, number));
            let Some(request) = self.waiting.get_mut(&number) else {
                continue;
            };
            request.problems.extend(problem.map(String::from));
            request.open = request.open.saturating_sub(1);
            if request.open == 0
                && let Some(request) = self.waiting.remove(&number)
            {
                actions.push(request.reply());
            }
        }
    }
}

impl Request {
    fn reply(&self) -> Action {
        let outcome = if self.problems.is_empty() {
            Outcome::Done
        } else {
            Outcome::Failed {
                message: self.problems.join("\n"),
            }
        };
        Action::Reply {
            ticket: self.ticket,
            outcome,
        }
    }
}

impl Supervisor {
    /// Whether the request is to be carried out. Refuses it as a whole, with a reply, or notes that it waits.
    pub(crate) fn accept(&mut self, units: &[UnitId], ticket: Option<Ticket>, wish: Wish) -> bool {
        let refusal = self.refusal(units);
        let accepted = refusal.is_none();
        let Some(ticket) = ticket else {
            return accepted;
        };
        let units: BTreeSet<UnitId> = units.iter().copied().collect();
        let outcome = match refusal {
            Some(outcome) => outcome,
            None if units.is_empty() => Outcome::Done,
            None => {
                self.requests.last = self.requests.last.saturating_add(1);
                let number = self.requests.last;
                let request = Request {
                    ticket,
                    wish,
                    open: units.len(),
                    problems: Vec::new(),
                };
                self.requests.waiting.insert(number, request);
                self.requests
                    .watched
                    .extend(units.iter().map(|unit| (*unit, number)));
                self.requests.new = Some(number);
                return true;
            }
        };
        self.actions.push(Action::Reply { ticket, outcome });
        accepted
    }

    fn refusal(&self, units: &[UnitId]) -> Option<Outcome> {
        if self.shutdown.is_some() {
            return Some(Outcome::ShuttingDown);
        }
        let unknown: Vec<String> = units
            .iter()
            .filter(|unit| self.rules_of(**unit).is_none())
            .map(|unit| unit.0.to_string())
            .collect();
        if !unknown.is_empty() {
            let message = format!("no unit has the number {}", listed(&unknown));
            return Some(Outcome::Failed { message });
        }
        (self.requests.waiting.len() >= REQUESTS_MAX).then(|| Outcome::Failed {
            message: format!("{REQUESTS_MAX} requests are waiting already, try again later"),
        })
    }

    /// Answers for the units that were where the request wants them, and stayed there.
    pub(crate) fn answer_new_request(&mut self) {
        let Some(number) = self.requests.new.take() else {
            return;
        };
        let Some(wish) = self
            .requests
            .waiting
            .get(&number)
            .map(|request| request.wish)
        else {
            return;
        };
        let all = self.requests.watched.iter().filter(|(_, of)| *of == number);
        let units: Vec<UnitId> = all.map(|(unit, _)| *unit).collect();
        for unit in units {
            let there = self.life(unit).is_some_and(|life| match wish {
                Wish::Up => life.standing.ready,
                Wish::Down => life.state == State::Inactive,
            });
            if there {
                self.requests.resolve(unit, wish, None, &mut self.actions);
            }
        }
    }

    pub(crate) fn has_got_ready(&mut self, unit: UnitId) {
        if self.planted(crate::mutant::Mutant::ReplyForgotten) {
            return;
        }
        self.requests
            .resolve(unit, Wish::Up, None, &mut self.actions);
    }

    pub(crate) fn has_got_down(&mut self, unit: UnitId) {
        self.requests
            .resolve(unit, Wish::Down, None, &mut self.actions);
    }

    /// A run of it has failed, or it cannot start: whoever asked for it is told, though it may go on trying.
    pub(crate) fn has_failed(&mut self, unit: UnitId) {
        let problem = self.problem(unit);
        self.requests
            .resolve(unit, Wish::Up, Some(&problem), &mut self.actions);
    }

    /// What it waits for fails again and again.
    pub(crate) fn has_got_stuck(&mut self, unit: UnitId) {
        if self
            .life(unit)
            .is_some_and(|life| life.state == State::Waiting)
        {
            self.has_failed(unit);
        }
    }

    /// The goal was turned round by a later request.
    pub(crate) fn superseded(&mut self, unit: UnitId, wish: Wish) {
        let name = self.name_of(unit);
        let problem = match wish {
            Wish::Up => format!("{name}: stopped by another request"),
            Wish::Down => format!("{name}: started again by another request"),
        };
        self.requests
            .resolve(unit, wish, Some(&problem), &mut self.actions);
    }

    pub(crate) fn refuse_all_requests(&mut self) {
        self.requests.watched.clear();
        for request in core::mem::take(&mut self.requests.waiting).into_values() {
            let outcome = Outcome::ShuttingDown;
            self.actions.push(Action::Reply {
                ticket: request.ticket,
                outcome,
            });
        }
    }
}
