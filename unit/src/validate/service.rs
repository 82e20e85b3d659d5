//! `[service]`: how it runs and what happens when it ends.

use super::container::whole;
use crate::check::Check;
use crate::fault::Fault;
use crate::file::ServiceTable;
use crate::{Restart, Service, ServiceKind, duration};

/// A unit that ends at once and is started without pause would keep the machine busy with nothing else.
const RESTART_DELAY_MS_MIN: u64 = 10;
const BACKOFF_MIN: f64 = 1.0;
const BACKOFF_MAX: f64 = 1000.0;
/// Exit statuses have eight bits: wait(2).
const EXIT_CODE_MAX: i32 = 255;

pub(crate) fn validate(check: &mut Check<'_>, table: &ServiceTable) -> Service {
    let kind = check.value("service.type", table.kind.as_ref(), |text| match text {
        "simple" => Ok(ServiceKind::Simple),
        "oneshot" => Ok(ServiceKind::Oneshot),
        "notify" | "job" => Err(Fault::new("is not supported yet", "simple or oneshot")),
        _ => Err(Fault::new("is unknown", "simple or oneshot")),
    });
    let kind = kind.unwrap_or(ServiceKind::Simple);
    let default = if kind == ServiceKind::Oneshot {
        Restart::No
    } else {
        Restart::Always
    };
    let restart = restart(check, table, kind).unwrap_or(default);
    let delay = milliseconds(
        check,
        "restart_delay",
        table,
        |table| &table.restart_delay,
        RESTART_DELAY_MS_MIN,
    )
    .unwrap_or(Service::RESTART_DELAY_MS);
    Service {
        kind,
        restart,
        restart_delay_ms: delay,
        restart_delay_max_ms: delay_max(check, table, delay),
        restart_backoff_milli: backoff(check, table),
        restart_reset_after_ms: milliseconds(
            check,
            "restart_reset_after",
            table,
            |table| &table.restart_reset_after,
            0,
        )
        .unwrap_or(Service::RESTART_RESET_AFTER_MS),
        restart_max: restart_max(check, table, restart),
        success_exit_codes: exit_codes(check, table),
        remain_after_exit: remain_after_exit(check, table, kind),
        start_timeout_ms: milliseconds(
            check,
            "start_timeout",
            table,
            |table| &table.start_timeout,
            1,
        )
        .unwrap_or(Service::START_TIMEOUT_MS),
        stop_timeout_ms: milliseconds(check, "stop_timeout", table, |table| &table.stop_timeout, 0)
            .unwrap_or(Service::STOP_TIMEOUT_MS),
        ..Service::default()
    }
}

fn restart(check: &mut Check<'_>, table: &ServiceTable, kind: ServiceKind) -> Option<Restart> {
    const KNOWN: &str = "no, always, on-failure or unless-stopped";
    check.value("service.restart", table.restart.as_ref(), |text| {
        let restart = match text {
            "no" => Restart::No,
            "always" => Restart::Always,
            "on-failure" => Restart::OnFailure,
            "unless-stopped" => Restart::UnlessStopped,
            "on-abnormal" | "on-watchdog" => return Err(Fault::new("is not supported yet", KNOWN)),
            _ if text.starts_with("on-failure:") => {
                let number = text.strip_prefix("on-failure:").unwrap_or("");
                return Err(Fault::new("is unknown", KNOWN).hint(format!(
                    "write `restart = \"on-failure\"` and `restart_max = {number}`"
                )));
            }
            _ => {
                let near =
                    crate::nearest::nearest(text, ["always", "on-failure", "unless-stopped"]);
                let fault = Fault::new("is unknown", KNOWN);
                return Err(near.map_or(fault.clone(), |near| {
                    fault.hint(format!("perhaps \"{near}\""))
                }));
            }
        };
        if kind == ServiceKind::Oneshot
            && matches!(restart, Restart::Always | Restart::UnlessStopped)
        {
            let fault = Fault::new(
                "would run a oneshot for ever",
                "no or on-failure, for `type = \"oneshot\"`",
            );
            return Err(fault.hint("take it out, or use `type = \"simple\"`"));
        }
        Ok(restart)
    })
}

fn milliseconds(
    check: &mut Check<'_>,
    key: &str,
    table: &ServiceTable,
    field: fn(&ServiceTable) -> &Option<crate::reader::Text>,
    least: u64,
) -> Option<u64> {
    check.value(&format!("service.{key}"), field(table).as_ref(), |text| {
        let milliseconds = duration::parse(text)?;
        let too_short = || {
            Fault::new(
                "is too short",
                format!("at least {}", duration::display(least)),
            )
        };
        (milliseconds >= least)
            .then_some(milliseconds)
            .ok_or_else(too_short)
    })
}

/// A delay above the default maximum raises it; one above a maximum that was written is a contradiction.
fn delay_max(check: &mut Check<'_>, table: &ServiceTable, delay: u64) -> u64 {
    let written = milliseconds(
        check,
        "restart_delay_max",
        table,
        |table| &table.restart_delay_max,
        RESTART_DELAY_MS_MIN,
    );
    let (Some(written), Some(text)) = (written, &table.restart_delay_max) else {
        return Service::RESTART_DELAY_MAX_MS.max(delay);
    };
    if written < delay {
        let expected = format!(
            "at least `restart_delay`, which is {}",
            duration::display(delay)
        );
        check.fault(
            "service.restart_delay_max",
            &text.span(),
            Fault::new("is too short", expected),
        );
    }
    written
}

fn backoff(check: &mut Check<'_>, table: &ServiceTable) -> u64 {
    let Some(factor) = &table.restart_backoff else {
        return Service::RESTART_BACKOFF_MILLI;
    };
    if !(BACKOFF_MIN..=BACKOFF_MAX).contains(factor.get_ref()) {
        check.fault(
            "service.restart_backoff",
            &factor.span(),
            Fault::new("is out of range", "a factor of 1.0 to 1000.0"),
        );
        return Service::RESTART_BACKOFF_MILLI;
    }
    whole((factor.get_ref() * 1000.0).round())
}

fn restart_max(check: &mut Check<'_>, table: &ServiceTable, restart: Restart) -> u32 {
    let max = check
        .integer(
            "service.restart_max",
            table.restart_max.as_ref(),
            0..=u32::MAX,
        )
        .unwrap_or(0);
    if let (Some(written), false) = (
        table.restart_max.as_ref().filter(|_| max > 0),
        restart == Restart::OnFailure,
    ) {
        let error = check.source.error(
            &written.span(),
            "`service.restart_max` counts only with `restart = \"on-failure\"`",
        );
        check.report(error.hint("set `restart = \"on-failure\"`, or take `restart_max` out"));
    }
    max
}

fn exit_codes(check: &mut Check<'_>, table: &ServiceTable) -> Vec<i32> {
    let Some(codes) = &table.success_exit_codes else {
        return vec![0];
    };
    let codes = codes.get_ref().iter();
    codes
        .filter_map(|code| {
            check.integer("service.success_exit_codes", Some(code), 0..=EXIT_CODE_MAX)
        })
        .collect()
}

fn remain_after_exit(check: &mut Check<'_>, table: &ServiceTable, kind: ServiceKind) -> bool {
    let Some(remain) = table
        .remain_after_exit
        .as_ref()
        .filter(|remain| *remain.get_ref())
    else {
        return false;
    };
    if kind != ServiceKind::Oneshot {
        let error = check.source.error(
            &remain.span(),
            "`service.remain_after_exit` counts only with `type = \"oneshot\"`",
        );
        check.report(error.hint("set `type = \"oneshot\"`, or take `remain_after_exit` out"));
    }
    true
}
