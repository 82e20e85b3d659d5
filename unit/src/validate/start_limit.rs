//! `start_limit` of `[service]`: how many starts within which time are too many.

use crate::check::Check;
use crate::duration;
use crate::file::{ServiceTable, UnitFile};
use crate::{Restart, Service, StartLimit};

/// PID 1 remembers when each of so many starts was.
const BURST_MAX: u32 = 1000;
pub(super) fn validate(check: &mut Check<'_>, table: &ServiceTable) -> StartLimit {
    let Some(limit) = &table.start_limit else {
        return StartLimit::default();
    };
    let burst = check.integer(
        "service.start_limit.burst",
        limit.burst.as_ref(),
        0..=BURST_MAX,
    );
    let interval = check.duration("service.start_limit.interval", limit.interval.as_ref(), 0);
    let (burst, interval_ms) = (burst.unwrap_or(0), interval.unwrap_or(0));
    if (burst == 0) != (interval_ms == 0) {
        let (has, lacks, example) = if burst == 0 {
            ("interval", "burst", "burst = 5")
        } else {
            ("burst", "interval", "interval = \"1m\"")
        };
        check.refuse(
            &limit.span,
            format!("`service.start_limit` has `{has}` but no `{lacks}`, so it limits nothing"),
            format!("add `{example}`"),
        );
    }
    StartLimit { burst, interval_ms }
}

/// A limit that a unit whose runs end at once does not reach, for the delays between its restarts: it is for such a unit that
/// people write one. (A timer starts it without a delay.)
pub(super) fn warn_of_unreachable(check: &mut Check<'_>, file: &UnitFile, service: &Service) {
    let StartLimit { burst, interval_ms } = service.start_limit;
    let limited = burst > 0 && interval_ms > 0;
    let restarted = service.restart != Restart::No && file.timer.is_none();
    let Some(limit) = file.service.start_limit.as_ref() else {
        return;
    };
    let least_ms = crash_loop_ms(service, burst);
    if !limited || !restarted || least_ms < interval_ms {
        return;
    }
    let (least, interval) = (duration::display(least_ms), duration::display(interval_ms));
    let restarts = match burst {
        1 => "1 restart takes".to_owned(),
        _ => format!("{burst} restarts take"),
    };
    let message = format!(
        "`service.start_limit` is not reached by a unit that ends at once: {restarts} {least}, for the delays between them, and `interval` is {interval}"
    );
    let hint = format!(
        "give it an `interval` of more than {least}, a smaller `burst`, or the unit a shorter `restart_delay`"
    );
    let warning = check.document.warning(&limit.span, message).hint(hint);
    let delay = file.service.restart_delay.as_ref();
    check.report(match delay {
        Some(delay) => warning.related(check.document.spot(&delay.span()), "the delay"),
        None => warning,
    });
}

/// How long so many restarts of a command that ends at once take: the sum of the supervisor's delays before them.
fn crash_loop_ms(service: &Service, restarts: u32) -> u64 {
    // Each of its runs has served long enough, so that the delays never grow.
    let steady = service.restart_reset_after_ms == 0 && service.restart_delay_ms > 0;
    let (mut sum, mut previous) = (0u64, None);
    for _ in 0..restarts {
        let delay = service.next_delay_ms(previous);
        sum = sum.saturating_add(delay);
        previous = (!steady).then_some(delay);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn least(delay_ms: u64, backoff_milli: u64, reset_ms: u64, restarts: u32) -> u64 {
        let service = Service {
            restart_delay_ms: delay_ms,
            restart_backoff_milli: backoff_milli,
            restart_reset_after_ms: reset_ms,
            ..Service::default()
        };
        crash_loop_ms(&service, restarts)
    }

    #[test]
    fn restarts_of_what_ends_at_once_take_their_delays() {
        assert_eq!(least(5_000, 1_000, 10_000, 5), 25_000);
        assert_eq!(least(100, 2_000, 10_000, 5), 3_100);
        assert_eq!(least(100, 2_000, 10_000, 10), 102_300);
        assert_eq!(least(0, 2_000, 10_000, 3), 300);
        assert_eq!(least(100, 2_000, 0, 1000), 100_000);
        assert_eq!(least(0, 2_000, 0, 2), 100);
    }
}
