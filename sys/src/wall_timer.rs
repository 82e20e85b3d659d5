//! A timer that goes by the clock on the wall, and notices when somebody sets it (timerfd_create(2)).

use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timer::{Expiration, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Armed for at most so long, 2100-01-01, so that it notices a change of the clock though nothing is due.
const FAR_S: i64 = 4_102_444_800;

/// Readable when its time has come, or when the clock was set.
#[derive(Debug)]
pub struct WallTimer(TimerFd);

impl WallTimer {
    /// # Errors
    /// As timerfd_create(2).
    pub fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        Ok(Self(TimerFd::new(ClockId::CLOCK_REALTIME, flags)?))
    }

    /// From now on, for this time (milliseconds since 1970 UTC); one that has passed comes at once.
    ///
    /// # Errors
    /// As timerfd_settime(2).
    pub fn set(&self, due_ms: Option<i64>) -> io::Result<()> {
        // 0 would disarm it.
        let due_ms = due_ms.unwrap_or(FAR_S * 1_000).clamp(1, FAR_S * 1_000);
        let time = TimeSpec::new(
            due_ms.div_euclid(1_000),
            due_ms.rem_euclid(1_000).saturating_mul(1_000_000),
        );
        let flags =
            TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        match self.0.set(Expiration::OneShot(time), flags) {
            // The clock was set since the last look: it is armed all the same (timerfd_settime(2)).
            Ok(()) | Err(Errno::ECANCELED) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// It has been readable: from here on it is not, until the next time.
    pub fn take(&self) {
        // A count, `ECANCELED` because the clock was set, or `EAGAIN`: the caller looks at the clock in any case.
        let _ = nix::unistd::read(self.0.as_fd(), &mut [0; 8]);
    }
}

impl AsFd for WallTimer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoll::Interest;
    use std::time::Duration;

    #[test]
    fn it_comes_at_its_time_and_not_before() {
        let timer = WallTimer::new().unwrap();
        let ready = |wait_ms| {
            let watched = [(timer.as_fd(), Interest::Read)];
            let wait = Some(Duration::from_millis(wait_ms));
            !crate::poll::wait(&watched, wait).unwrap().is_empty()
        };
        timer.set(None).unwrap();
        assert!(!ready(0));
        timer.set(Some(crate::clock::wall_ms() + 30)).unwrap();
        assert!(ready(10_000));
        timer.take();
        assert!(!ready(0));
        timer.set(Some(-5)).unwrap();
        assert!(ready(10_000));
    }
}
