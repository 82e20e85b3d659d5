//! How many machines run side by side: as many as the host has processors, since each is emulated by one thread. The rest
//! wait, also those of another `cargo test` in this build folder.

use std::fs::{File, TryLockError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// More would need more memory than a usual build host has (the largest machines have 4 GiB).
const PLACES_MAX: usize = 4;
/// Between two looks for a free place.
const POLL: Duration = Duration::from_millis(50);

/// The next machine is to be the only one.
static ALONE: AtomicBool = AtomicBool::new(false);

/// A place for one machine, or all of them, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    _places: Vec<File>,
}

impl Turn {
    /// Wait for a place; for all of them while a scenario runs [`alone`].
    ///
    /// # Panics
    /// When the locks of the build folder can't be used.
    #[must_use]
    pub fn take() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let places = processors.min(PLACES_MAX);
        if ALONE.load(Ordering::SeqCst) {
            // In one order, so that two who want all of them don't wait for each other.
            let all = (0..places).map(|place| host::paths::lock(&name(place)).unwrap());
            return Self {
                _places: all.collect(),
            };
        }
        loop {
            for place in 0..places {
                match host::paths::try_lock(&name(place)) {
                    Ok(file) => {
                        return Self {
                            _places: vec![file],
                        };
                    }
                    Err(TryLockError::WouldBlock) => {}
                    Err(TryLockError::Error(error)) => panic!("{}: {error}", name(place)),
                }
            }
            std::thread::sleep(POLL);
        }
    }
}

fn name(place: usize) -> String {
    format!("vm.{place}")
}

/// While it lives, every machine waits until it is the only one.
#[derive(Debug)]
pub(crate) struct Alone(());

pub(crate) fn alone() -> Alone {
    ALONE.store(true, Ordering::SeqCst);
    Alone(())
}

impl Drop for Alone {
    fn drop(&mut self) {
        ALONE.store(false, Ordering::SeqCst);
    }
}
