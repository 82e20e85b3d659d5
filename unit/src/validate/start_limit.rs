//! `start_limit` of `[service]`: how many starts within which time are too many.

use crate::check::Check;
use crate::duration;
use crate::file::{ServiceTable, UnitFile};
use crate::{Restart, Service, StartLimit};

/// PID 1 remembers when each of so many starts was.
const BURST_MAX: u32 = 1000;
/// As the supervisor has them: no delay after the first is shorter, a run after which there is no first delay again has
/// served so long, and the second delay of a unit without a first one is that of a unit that says nothing.
const DELAY_MS_MIN: u64 = 10;
const SERVED_MS_MIN_WITHOUT_DELAY: u64 = 1_000;

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

/// A limit that the delays between restarts keep the unit from ever reaching. (A timer starts it without a delay.)
pub(super) fn warn_of_unreachable(check: &mut Check<'_>, file: &UnitFile, service: &Service) {
    let StartLimit { burst, interval_ms } = service.start_limit;
    let limited = burst > 0 && interval_ms > 0;
    let restarted = service.restart != Restart::No && file.timer.is_none();
    let Some(limit) = file.service.start_limit.as_ref() else {
        return;
    };
    let least_ms = least_ms_of(service, burst);
    if !limited || !restarted || least_ms < interval_ms {
        return;
    }
    let (least, interval) = (duration::display(least_ms), duration::display(interval_ms));
    let restarts = match burst {
        1 => "1 restart takes".to_owned(),
        _ => format!("{burst} restarts take"),
    };
    let message = format!(
        "`service.start_limit` is never reached: {restarts} {least} at least, for the delays between them, and `interval` is {interval}"
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

/// The least time that so many restarts in a row can take: the sum of the delays before them. The delays begin anew after a
/// run that has lasted long enough, which may be shorter than delays that have grown.
fn least_ms_of(service: &Service, restarts: u32) -> u64 {
    let reset_ms = match service.restart_delay_ms {
        0 => service
            .restart_reset_after_ms
            .max(SERVED_MS_MIN_WITHOUT_DELAY),
        _ => service.restart_reset_after_ms,
    };
    let sums = sums_of_delays(service, restarts);
    let sum = |restarts: u32| -> u64 {
        let at = usize::try_from(restarts).unwrap_or(usize::MAX);
        sums.get(at).copied().unwrap_or(u64::MAX)
    };
    // Rows of equal length are the shortest, since no delay is shorter than the one before it.
    let in_rows = |rows: u32| -> u64 {
        let (each, longer) = (
            restarts.checked_div(rows).unwrap_or(0),
            restarts.checked_rem(rows).unwrap_or(0),
        );
        let long = sum(each.saturating_add(1)).saturating_mul(longer.into());
        let long = if longer == 0 { 0 } else { long };
        let short = sum(each).saturating_mul(rows.saturating_sub(longer).into());
        let resets = reset_ms.saturating_mul(rows.saturating_sub(1).into());
        long.saturating_add(short).saturating_add(resets)
    };
    (1..=restarts).map(in_rows).min().unwrap_or(0)
}

/// The sums of the first 0, 1, 2, … delays.
fn sums_of_delays(service: &Service, restarts: u32) -> Vec<u64> {
    let most = service.restart_delay_max_ms;
    let mut delay = service.restart_delay_ms.min(most);
    let mut sums = vec![0u64];
    for _ in 0..restarts {
        let before = sums.last().copied().unwrap_or(0);
        sums.push(before.saturating_add(delay));
        let grown = match delay {
            0 => Service::RESTART_DELAY_MS,
            _ => delay.saturating_mul(service.restart_backoff_milli) / 1000,
        };
        delay = grown.min(most).max(DELAY_MS_MIN);
    }
    sums
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
        least_ms_of(&service, restarts)
    }

    #[test]
    fn restarts_take_their_delays_or_the_runs_that_make_them_short_again() {
        assert_eq!(least(5_000, 1_000, 10_000, 5), 25_000);
        assert_eq!(least(100, 2_000, 10_000, 5), 3_100);
        // 100 ms and 60 s at most: ten restarts are 100 + 200 + … + 51,200, or two rows of five and a run of 10 s.
        assert_eq!(least(100, 2_000, 10_000, 10), 3_100 + 10_000 + 3_100);
        assert_eq!(least(0, 2_000, 10_000, 3), 300);
        assert_eq!(least(100, 2_000, 0, 1000), 100_000);
        assert_eq!(least(0, 2_000, 0, 2), 100);
    }
}
