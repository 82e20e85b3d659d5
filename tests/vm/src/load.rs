//! A client that asks all the time, each request by a connection of its own, and counts what fails.

use crate::Redis;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Clients at once: one waits for an answer while the other connects.
const CLIENTS: usize = 2;

/// Of requests to one server.
pub struct Load<'a> {
    /// One request; the error is what went wrong.
    ask: &'a (dyn Fn() -> Result<(), String> + Sync),
    wanted: AtomicBool,
    answered: AtomicU64,
    failures: Mutex<Vec<String>>,
    slowest: Mutex<Duration>,
}

impl fmt::Debug for Load<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answered = self.answered.load(Ordering::Relaxed);
        f.debug_struct("Load")
            .field("answered", &answered)
            .finish_non_exhaustive()
    }
}

/// What has come of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub answered: u64,
    pub failures: Vec<String>,
    pub slowest: Duration,
}

impl<'a> Load<'a> {
    /// Ask a Redis while `act` goes on; and whatever comes of that, ask no more after it.
    pub fn during<T>(redis: Redis, act: impl FnOnce(&Load<'_>) -> T) -> (T, Outcome) {
        let ask = || match redis.ask("PING") {
            Ok(answer) if answer == "+PONG" => Ok(()),
            Ok(other) | Err(other) => Err(other),
        };
        Load::of(&ask, CLIENTS, act)
    }

    /// The same with requests of any kind, so many at once.
    pub fn of<T>(
        ask: &'a (dyn Fn() -> Result<(), String> + Sync),
        clients: usize,
        act: impl FnOnce(&Self) -> T,
    ) -> (T, Outcome) {
        let load = Self {
            ask,
            wanted: AtomicBool::new(true),
            answered: AtomicU64::new(0),
            failures: Mutex::default(),
            slowest: Mutex::default(),
        };
        let result = std::thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| load.go_on());
            }
            let _end = EndOf(&load);
            load.more();
            let result = act(&load);
            load.more();
            result
        });
        let outcome = Outcome {
            answered: load.answered.into_inner(),
            failures: load.failures.into_inner().unwrap_or_default(),
            slowest: load.slowest.into_inner().unwrap_or_default(),
        };
        (result, outcome)
    }

    fn go_on(&self) {
        while self.wanted.load(Ordering::Relaxed) {
            let start = Instant::now();
            match (self.ask)() {
                Ok(()) => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(other) => {
                    if let Ok(mut failures) = self.failures.lock() {
                        failures.push(other);
                    }
                    // Not thousands of the same.
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            if let Ok(mut slowest) = self.slowest.lock() {
                *slowest = start.elapsed().max(*slowest);
            }
        }
    }

    /// Wait until some more requests were answered, or one has failed.
    pub fn more(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        let failed = || {
            self.failures
                .lock()
                .is_ok_and(|failures| !failures.is_empty())
        };
        while self.answered.load(Ordering::Relaxed) < before + 4 && !failed() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

struct EndOf<'a>(&'a Load<'a>);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.wanted.store(false, Ordering::Relaxed);
    }
}

impl Outcome {
    /// Every request was answered.
    ///
    /// # Panics
    /// When one was not.
    pub fn is_flawless(&self) {
        assert!(
            self.failures.is_empty(),
            "{} of {} requests failed: {:?}",
            self.failures.len(),
            self.answered,
            self.failures.first()
        );
    }
}
