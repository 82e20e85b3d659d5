//! What has been decided lately, in a form that can be lived through again.
//!
//! ```text
//! base ── entries: at, event ──▶ the same actions? the same changes? ──▶ present
//! ```
//!
//! The journal alone does not tell where it began. `init` keeps the state of some turns ago beside it
//! ([`Supervisor::snapshot`]), so a dump of a machine that has run for a year can be replayed too: by `sim --replay`.

use crate::{Action, Cause, Change, ENTRY_ACTIONS_MAX, Entry, Journal, Supervisor, Timestamp};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dump {
    /// Which release wrote it: the state of another one may not be readable.
    pub release: alloc::string::String,
    /// Without its journal.
    pub base: Supervisor,
    /// All turns since then, but those that found nothing to do.
    pub entries: Vec<Entry>,
    /// After the last of them, without its journal.
    pub present: Supervisor,
}

/// Where a replay left the way that the machine went.
#[derive(Clone, Debug, PartialEq)]
pub enum Divergence {
    /// Another set was applied in between, and is not part of the dump.
    Applied { turn: usize },
    Turn {
        turn: usize,
        recorded: Box<Entry>,
        replayed: Box<Entry>,
    },
    /// Every turn was the same, and the end is not.
    End,
}

impl Supervisor {
    /// Turns so far, but those that found nothing to do.
    #[must_use]
    pub fn turns(&self) -> u64 {
        let kept = u64::try_from(self.journal.entries().count()).unwrap_or(u64::MAX);
        self.journal.lost().saturating_add(kept)
    }

    /// Looks at the state without its journal.
    pub fn snapshot<T>(&mut self, look: impl FnOnce(&Self) -> T) -> T {
        let journal = core::mem::take(&mut self.journal);
        let seen = look(self);
        self.journal = journal;
        seen
    }

    /// Of the journal, what has happened since [`Self::turns`] was `turn`; `None` when some of it is lost.
    #[must_use]
    pub fn entries_since(&self, turn: u64) -> Option<impl Iterator<Item = &Entry>> {
        let first = usize::try_from(turn.checked_sub(self.journal.lost())?).ok()?;
        Some(self.journal.entries().skip(first))
    }

    /// Decides the same from here on. How much work it was does not count, nor when it was last asked.
    fn is_like(&self, other: &Self) -> bool {
        let plain = |it: &Self| Self {
            steps: 0,
            now: Timestamp(0),
            journal: Journal::default(),
            ..it.clone()
        };
        plain(self) == plain(other)
    }
}

impl Dump {
    /// Lives through it again. How many turns it was.
    ///
    /// # Errors
    /// The first difference.
    pub fn replay(&self) -> Result<usize, Divergence> {
        let mut supervisor = self.base.clone();
        let mut actions: Vec<Action> = Vec::new();
        for (turn, recorded) in self.entries.iter().enumerate() {
            actions.clear();
            match &recorded.cause {
                Cause::Event(event) => {
                    supervisor.handle(recorded.at, event.clone(), &mut actions);
                }
                Cause::Timeout => supervisor.handle_timeout(recorded.at, &mut actions),
                Cause::Applied(_) => return Err(Divergence::Applied { turn }),
            }
            let last = supervisor.journal.entries().next_back();
            let changes: Vec<Change> = match last {
                Some(entry) if entry.at == recorded.at => entry.changes.clone(),
                Some(_) | None => Vec::new(),
            };
            actions.truncate(ENTRY_ACTIONS_MAX);
            if actions != recorded.actions || changes != recorded.changes {
                return Err(Divergence::Turn {
                    turn,
                    recorded: Box::new(recorded.clone()),
                    replayed: Box::new(Entry {
                        at: recorded.at,
                        cause: recorded.cause.clone(),
                        actions,
                        changes,
                    }),
                });
            }
        }
        if supervisor.is_like(&self.present) {
            Ok(self.entries.len())
        } else {
            Err(Divergence::End)
        }
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied { turn } => write!(
                f,
                "turn {turn}: another configuration was applied, which is not part of the dump"
            ),
            Self::Turn {
                turn,
                recorded,
                replayed,
            } => write!(
                f,
                "turn {turn}: not what the machine decided\nthe machine: {recorded:?}\nhere:        {replayed:?}"
            ),
            Self::End => write!(f, "every turn was the same, but the end is not"),
        }
    }
}
