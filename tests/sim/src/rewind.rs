//! What `keelctl trace --dump` writes: read again and lived through again, of the machine that wrote it and of simulated ones.

use supervisor::{Dump, Entry, Supervisor};

/// Turns between two looks: fewer than the journal keeps.
const TURNS: u64 = 200;

/// One world of so many is looked at: it costs as much as the world itself.
const WORLDS: u64 = 16;

/// The state of some turns ago, as `init` keeps it.
#[derive(Debug, Default)]
pub(crate) struct Rewind {
    base: Option<(u64, Box<Supervisor>)>,
}

impl Rewind {
    pub(crate) fn is_for(seed: u64) -> bool {
        seed % WORLDS == 3
    }

    /// What was applied is not part of the journal, nor what was before the power cut.
    pub(crate) fn forget(&mut self) {
        self.base = None;
    }

    /// From time to time, goes back and lives through it again.
    pub(crate) fn look(&mut self, supervisor: &mut Supervisor) -> Result<(), String> {
        let turns = supervisor.turns();
        if let Some((turn, base)) = &self.base {
            if turns - turn < TURNS {
                return Ok(());
            }
            let entries = supervisor.entries_since(*turn);
            let entries: Option<Vec<Entry>> = entries.map(|entries| entries.cloned().collect());
            let dump = Dump {
                release: String::new(),
                base: base.as_ref().clone(),
                entries: entries.ok_or("the journal has lost what it must keep")?,
                present: supervisor.snapshot(Clone::clone),
            };
            dump.replay()
                .map_err(|divergence| format!("lived through again: {divergence}"))?;
        }
        self.base = Some((turns, Box::new(supervisor.snapshot(Clone::clone))));
        Ok(())
    }
}

/// Lives through a dump again. How many turns it was.
///
/// # Errors
/// It can't be read, or another decision was made.
pub fn replay(text: &[u8]) -> Result<usize, String> {
    let dump: Dump = serde_json::from_slice(text)
        .map_err(|error| format!("not a dump, or one of another release of Keelson: {error}"))?;
    dump.replay().map_err(|divergence| divergence.to_string())
}
