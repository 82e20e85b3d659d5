//! Who asked for what, and the one answer that each of them gets.

use crate::present::Pause;
use crate::text::listed;
use crate::{Action, Outcome, Rules, State, Supervisor, Ticket, UnitId};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Requests that wait for their outcome at the same time. Each belongs to a connection, of which `init` accepts fewer, and
/// is withdrawn with it. What frees (stop, unpause, reset-failed) is never refused because of it.
pub const REQUESTS_MAX: usize = 256;

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Wish {
    /// The unit ready.
    Up,
    /// The unit inactive.
    Down,
    Reload,
    Paused,
    Unpaused,
    Reset,
    /// Its successor in its place.
    Replaced,
}

impl Wish {
    /// It takes something away, so that an operator must always be able to ask for it.
    const fn frees(self) -> bool {
        match self {
            Self::Down | Self::Unpaused | Self::Reset => true,
            Self::Up | Self::Reload | Self::Paused | Self::Replaced => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Request {
    ticket: Ticket,
    /// Units that have not come to an outcome.
    open: usize,
    problems: Vec<String>,
}

/// All that wait. Invariant: `watched` has an entry for each open unit of each request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Requests {
    waiting: BTreeMap<u64, Request>,
    watched: BTreeSet<(UnitId, Wish, u64)>,
    last: u64,
    /// Came in this turn: what it asks for may be the case already. What it wants up is answered for at the end of the
    /// turn, if it is up then.
    new: Option<(u64, Vec<(UnitId, Wish)>)>,
}

impl Requests {
    /// Notes the outcome of one unit for all requests with `wish`; answers those that have all of theirs.
    pub(crate) fn resolve(
        &mut self,
        unit: UnitId,
        wish: Wish,
        problem: Option<&str>,
        actions: &mut Vec<Action>,
    ) {
        if self.watched.is_empty() {
            return;
        }
        // The turn that takes it in may still undo what it has just brought about.
        let not_yet = match (&self.new, wish, problem) {
            (Some((number, _)), Wish::Up, None) => Some(*number),
            _ => None,
        };
        let numbers = self
            .watched
            .range((unit, wish, 0)..=(unit, wish, u64::MAX))
            .map(|(_, _, number)| *number)
            .filter(|number| Some(*number) != not_yet);
        let numbers: Vec<u64> = numbers.collect();
        for number in numbers {
            self.watched.remove(&(unit, wish, number));
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
        let refusal = self
            .refusal(units)
            .or_else(|| self.refusal_of_more().filter(|_| !wish.frees()));
        let accepted = refusal.is_none();
        let Some(ticket) = ticket else {
            return accepted;
        };
        match refusal {
            Some(outcome) => self.actions.push(Action::Reply { ticket, outcome }),
            None => self.wait_for(ticket, units.iter().map(|unit| (*unit, wish)).collect()),
        }
        accepted
    }

    /// Notes who waits for what.
    pub(crate) fn wait_for(&mut self, ticket: Ticket, wishes: BTreeSet<(UnitId, Wish)>) {
        if wishes.is_empty() {
            let outcome = Outcome::Done;
            return self.actions.push(Action::Reply { ticket, outcome });
        }
        self.requests.last = self.requests.last.saturating_add(1);
        let number = self.requests.last;
        let request = Request {
            ticket,
            open: wishes.len(),
            problems: Vec::new(),
        };
        self.requests.waiting.insert(number, request);
        let wishes: Vec<(UnitId, Wish)> = wishes.into_iter().collect();
        let watched = wishes.iter().map(|(unit, wish)| (*unit, *wish, number));
        self.requests.watched.extend(watched);
        self.requests.new = Some((number, wishes));
    }

    /// A ticket that cannot wait for anything.
    pub(crate) fn refusal_of_all(&self) -> Option<Outcome> {
        self.refusal(&[]).or_else(|| self.refusal_of_more())
    }

    fn refusal(&self, units: &[UnitId]) -> Option<Outcome> {
        if self.shutdown.is_some() {
            return Some(Outcome::ShuttingDown);
        }
        let unknown: Vec<String> = units
            .iter()
            .filter(|unit| {
                self.life(**unit)
                    .is_none_or(|life| life.vacant || life.leaves)
            })
            .map(|unit| unit.0.to_string())
            .collect();
        if !unknown.is_empty() {
            let message = format!("no unit has the number {}", listed(&unknown));
            return Some(Outcome::Failed { message });
        }
        None
    }

    fn refusal_of_more(&self) -> Option<Outcome> {
        (self.requests.waiting.len() >= REQUESTS_MAX).then(|| Outcome::Failed {
            message: format!("{REQUESTS_MAX} requests are waiting already, try again later"),
        })
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn withdraw(&mut self, ticket: Ticket) {
        let Requests {
            waiting, watched, ..
        } = &mut self.requests;
        waiting.retain(|_, request| request.ticket != ticket);
        watched.retain(|(_, _, number)| waiting.contains_key(number));
        let left = watched.len().saturating_add(waiting.len());
        self.count_steps(left);
    }

    /// Whoever waits for an answer.
    pub fn waiting_tickets(&self) -> impl Iterator<Item = Ticket> + '_ {
        self.requests.waiting.values().map(|request| request.ticket)
    }

    /// Answers for the units that were where the request wants them, or got there at once, and stayed there.
    pub(crate) fn answer_new_request(&mut self) {
        let Some((number, wishes)) = self.requests.new.take() else {
            return;
        };
        if !self.requests.waiting.contains_key(&number) {
            return;
        }
        self.count_steps(wishes.len());
        for (unit, wish) in wishes {
            if !self.requests.watched.contains(&(unit, wish, number)) {
                continue;
            }
            let there = self.life(unit).is_some_and(|life| match wish {
                Wish::Up if self.rules_of(unit).is_some_and(Rules::is_scheduled) => {
                    life.state == State::Scheduled && !life.due
                }
                Wish::Up => life.standing.ready,
                Wish::Down => life.state == State::Inactive,
                Wish::Paused => life.present.pause == Pause::Paused,
                Wish::Reload | Wish::Unpaused | Wish::Reset => false,
                Wish::Replaced => life.replacement.is_none(),
            });
            if there {
                self.resolve(unit, wish, None);
            } else if wish == Wish::Up && self.life(unit).is_some_and(|life| life.standing.stuck) {
                // It waited with little hope before, so that nothing changes that would say so.
                self.has_got_stuck(unit);
            }
        }
    }

    pub(crate) fn resolve(&mut self, unit: UnitId, wish: Wish, problem: Option<&str>) {
        self.requests
            .resolve(unit, wish, problem, &mut self.actions);
    }

    /// Tells whoever waits for one of these of the unit.
    pub(crate) fn fails_to(&mut self, unit: UnitId, wishes: &[Wish], why: &str) {
        if self.requests.watched.is_empty() {
            return;
        }
        let problem = format!("{}: {why}", self.name_of(unit));
        for wish in wishes {
            self.resolve(unit, *wish, Some(&problem));
        }
    }

    /// A run that somebody has asked for is over, and the unit waits for its next time.
    pub(crate) fn has_got_scheduled(&mut self, unit: UnitId) {
        self.resolve(unit, Wish::Up, None);
    }

    pub(crate) fn has_got_ready(&mut self, unit: UnitId) {
        if self.rules_of(unit).is_some_and(Rules::is_scheduled) {
            return;
        }
        if self.planted(crate::mutant::Mutant::ReplyForgotten) {
            return;
        }
        self.resolve(unit, Wish::Up, None);
    }

    pub(crate) fn has_got_down(&mut self, unit: UnitId) {
        self.resolve(unit, Wish::Down, None);
    }

    /// A run of it has failed, or it cannot start: whoever asked for it is told, though it may go on trying.
    pub(crate) fn has_failed(&mut self, unit: UnitId) {
        if self.requests.watched.is_empty() {
            return;
        }
        let problem = self.problem(unit);
        self.resolve(unit, Wish::Up, Some(&problem));
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
        let by = match wish {
            Wish::Down => "started again by another request",
            Wish::Up
            | Wish::Reload
            | Wish::Paused
            | Wish::Unpaused
            | Wish::Reset
            | Wish::Replaced => "stopped by another request",
        };
        self.fails_to(unit, &[wish], by);
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
