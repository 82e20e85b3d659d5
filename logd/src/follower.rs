//! Who reads, and is told when there is more of what it wants.

use std::collections::BTreeSet;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A query under way.
#[derive(Debug)]
pub(crate) struct Follower {
    /// None: all of them.
    units: Vec<String>,
    follow: bool,
    /// Asked for each line.
    cancelled: AtomicBool,
    news: Mutex<News>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct News {
    /// Units of which something was written since it was last asked: names of folders, as many as there are.
    written: BTreeSet<String>,
}

impl Follower {
    pub(crate) fn new(units: &[String], follow: bool) -> Self {
        Self {
            units: units.to_vec(),
            follow,
            cancelled: AtomicBool::new(false),
            news: Mutex::default(),
            rung: Condvar::new(),
        }
    }

    fn news(&self) -> std::sync::MutexGuard<'_, News> {
        // A set of names and nothing else: whoever died while it held them has left nothing half done.
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something of this unit was written.
    pub(crate) fn tell(&self, unit: &str) {
        let wanted = || self.units.is_empty() || self.units.iter().any(|wanted| wanted == unit);
        if !self.follow || !wanted() {
            return;
        }
        let mut news = self.news();
        if !news.written.contains(unit) {
            news.written.insert(unit.to_owned());
            self.rung.notify_one();
        }
    }

    pub(crate) fn cancel(&self) {
        // Under the lock, so that nobody is between looking and waiting.
        let news = self.news();
        self.cancelled.store(true, Ordering::Relaxed);
        drop(news);
        self.rung.notify_one();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Units of which there is more, as soon as there is one; none when it was cancelled, or after a while.
    pub(crate) fn wait(&self, longest: Duration) -> BTreeSet<String> {
        let quiet = |news: &mut News| news.written.is_empty() && !self.is_cancelled();
        let waited = self.rung.wait_timeout_while(self.news(), longest, quiet);
        let (mut news, _) = waited.unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut news.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_is_told_of_what_it_wants_and_of_its_end() {
        let names = |units: BTreeSet<String>| units.into_iter().collect::<Vec<_>>();
        let long = Duration::from_secs(60);
        let web = Follower::new(&["web".to_owned()], true);
        for unit in ["db", "web", "web"] {
            web.tell(unit);
        }
        assert_eq!(names(web.wait(long)), ["web"]);
        assert!(web.wait(Duration::ZERO).is_empty());
        web.cancel();
        assert!(web.wait(long).is_empty() && web.is_cancelled());

        let all = Follower::new(&[], true);
        for unit in ["web", "db"] {
            all.tell(unit);
        }
        assert_eq!(names(all.wait(long)), ["db", "web"]);
        let once = Follower::new(&[], false);
        once.tell("web");
        assert!(once.wait(Duration::ZERO).is_empty());
    }
}
