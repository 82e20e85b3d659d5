//! `[service]`: how it runs and what happens when it ends.

use super::argv::{self, Before};
use super::container::whole;
use super::{hooks, start_limit};
use crate::check::Check;
use crate::fault::Fault;
use crate::file::{ServiceTable, UnitFile};
use crate::reader::Text;
use crate::{KillMode, Reload, Restart, Service, ServiceKind, duration, signal};
use toml::Spanned;

/// A unit that ends at once and is started without pause would keep the machine busy with nothing else. No delay at all is
/// a wish for the first restart only, so it may be written.
const RESTART_DELAY_MS_MIN: u64 = Service::RESTART_DELAY_MS_MIN;
/// With no delay at all, what begins anew after shorter runs would spin.
const RESET_AFTER_MS_MIN_WITHOUT_DELAY: u64 = 1_000;
const BACKOFF_MIN: f64 = 1.0;
const BACKOFF_MAX: f64 = 1000.0;
/// Exit statuses have eight bits: wait(2).
const EXIT_CODE_MAX: i32 = 255;
/// Each message wakes PID 1.
const WATCHDOG_MS_MIN: u64 = 100;

pub(crate) fn validate(check: &mut Check<'_>, file: &UnitFile) -> Service {
    let table = &file.service;
    let default = if file.timer.is_some() {
        ServiceKind::Job
    } else {
        ServiceKind::Simple
    };
    let kind = kind(check, table).unwrap_or(default);
    let restart = restart(check, table, kind).unwrap_or(if kind.ends() {
        Restart::No
    } else {
        Restart::Always
    });
    let delay = delay(check, table);
    let mut service = Service {
        kind,
        restart,
        restart_delay_ms: delay,
        restart_delay_max_ms: delay_max(check, table, delay),
        restart_backoff_milli: backoff(check, table),
        restart_reset_after_ms: reset_after(check, table, delay),
        restart_max: restart_max(check, table, restart),
        start_limit: start_limit::validate(check, table),
        success_exit_codes: exit_codes(
            check,
            "service.success_exit_codes",
            &table.success_exit_codes,
        )
        .unwrap_or_else(|| vec![0]),
        restart_prevent_exit_codes: prevent(check, table, restart),
        remain_after_exit: remain_after_exit(check, table, kind),
        start_timeout_ms: check
            .duration("service.start_timeout", table.start_timeout.as_ref(), 1)
            .unwrap_or(Service::START_TIMEOUT_MS),
        stop_timeout_ms: check
            .duration("service.stop_timeout", table.stop_timeout.as_ref(), 0)
            .unwrap_or(Service::STOP_TIMEOUT_MS),
        runtime_max_ms: check.duration("service.runtime_max", table.runtime_max.as_ref(), 1),
        kill_mode: kill_mode(check, table),
        reload: reload(check, table),
        watchdog_ms: watchdog(check, table, kind),
        ..Service::default()
    };
    if let (Restart::OnWatchdog, None, Some(written)) = (restart, &table.watchdog, &table.restart) {
        check.refuse(
            &written.span(),
            "`restart = \"on-watchdog\"` never restarts anything without a watchdog",
            "set `watchdog = \"30s\"`, or use `restart = \"on-abnormal\"`",
        );
    }
    start_limit::warn_of_unreachable(check, file, &service);
    hooks::validate(check, table, &mut service);
    service
}

fn kind(check: &mut Check<'_>, table: &ServiceTable) -> Option<ServiceKind> {
    let choices = [
        ("simple", ServiceKind::Simple),
        ("notify", ServiceKind::Notify),
        ("oneshot", ServiceKind::Oneshot),
        ("job", ServiceKind::Job),
    ];
    check.choice("service.type", table.kind.as_ref(), &choices)
}

fn restart(check: &mut Check<'_>, table: &ServiceTable, kind: ServiceKind) -> Option<Restart> {
    const KEY: &str = "service.restart";
    let choices = [
        ("no", Restart::No),
        ("always", Restart::Always),
        ("on-failure", Restart::OnFailure),
        ("on-abnormal", Restart::OnAbnormal),
        ("on-watchdog", Restart::OnWatchdog),
        ("unless-stopped", Restart::UnlessStopped),
    ];
    let written = table.restart.as_ref()?;
    if let Some(number) = written.get_ref().strip_prefix("on-failure:") {
        let fault = Fault::new("is unknown", "a policy alone: \"on-failure\"");
        check.fault(
            KEY,
            &written.span(),
            fault.hint(format!(
                "write `restart = \"on-failure\"` and `restart_max = {number}`"
            )),
        );
        return None;
    }
    let restart = check.choice(KEY, Some(written), &choices)?;
    let for_ever = matches!(restart, Restart::Always | Restart::UnlessStopped);
    if kind.ends() && for_ever {
        let name = kind_name(kind);
        let error = check
            .document
            .error(
                &written.span(),
                format!("`{KEY}` would run a {name} for ever"),
            )
            .found(check.document.excerpt(&written.span()))
            .expected(format!("no or on-failure, for `type = \"{name}\"`"))
            .hint("take it out, or use `type = \"simple\"`");
        check.report(match &table.kind {
            Some(kind) => error.related(check.document.spot(&kind.span()), "the type"),
            None => error,
        });
    }
    Some(restart)
}

/// As it is written.
pub(super) fn kind_name(kind: ServiceKind) -> &'static str {
    match kind {
        ServiceKind::Simple => "simple",
        ServiceKind::Notify => "notify",
        ServiceKind::Oneshot => "oneshot",
        ServiceKind::Job => "job",
    }
}

/// None, or one that is no spinning.
fn delay(check: &mut Check<'_>, table: &ServiceTable) -> u64 {
    const KEY: &str = "service.restart_delay";
    let delay = check.value(KEY, table.restart_delay.as_ref(), |text| {
        let milliseconds = duration::parse(text)?;
        let good = milliseconds == 0 || milliseconds >= RESTART_DELAY_MS_MIN;
        let least = duration::display(RESTART_DELAY_MS_MIN);
        good.then_some(milliseconds).ok_or_else(|| {
            Fault::new(
                "is too short",
                format!("at least {least}, or \"0s\" for none before the first restart"),
            )
        })
    });
    delay.unwrap_or(Service::RESTART_DELAY_MS)
}

fn reset_after(check: &mut Check<'_>, table: &ServiceTable, delay: u64) -> u64 {
    const KEY: &str = "service.restart_reset_after";
    let text = table.restart_reset_after.as_ref();
    let Some(written) = check.duration(KEY, text, 0) else {
        return Service::RESTART_RESET_AFTER_MS;
    };
    if let (0, Some(text), true) = (delay, text, written < RESET_AFTER_MS_MIN_WITHOUT_DELAY) {
        let least = duration::display(RESET_AFTER_MS_MIN_WITHOUT_DELAY);
        let expected = format!("at least {least}, with a `restart_delay` of 0s");
        let fault = Fault::new("is too short", expected);
        check.fault(
            KEY,
            &text.span(),
            fault.hint("else every restart would be a first one, and come at once"),
        );
    }
    written
}

/// A delay above the default maximum raises it; one above a maximum that was written is a contradiction.
fn delay_max(check: &mut Check<'_>, table: &ServiceTable, delay: u64) -> u64 {
    const KEY: &str = "service.restart_delay_max";
    let text = table.restart_delay_max.as_ref();
    let written = check.duration(KEY, text, RESTART_DELAY_MS_MIN);
    let (Some(written), Some(text)) = (written, text) else {
        return Service::RESTART_DELAY_MAX_MS.max(delay);
    };
    if written < delay {
        let expected = format!(
            "at least `restart_delay`, which is {}",
            duration::display(delay)
        );
        check.fault(KEY, &text.span(), Fault::new("is too short", expected));
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
    let written = table.restart_max.as_ref();
    let max = check
        .integer("service.restart_max", written, 0..=u32::MAX)
        .unwrap_or(0);
    let counts = match restart {
        Restart::OnFailure | Restart::OnAbnormal | Restart::OnWatchdog => true,
        Restart::No | Restart::Always | Restart::UnlessStopped => false,
    };
    if let (Some(written), false) = (written.filter(|_| max > 0), counts) {
        check.refuse(
            &written.span(),
            "`service.restart_max` counts only with `restart = \"on-failure\"`",
            "set `restart = \"on-failure\"`, or take `restart_max` out",
        );
    }
    max
}

fn exit_codes(
    check: &mut Check<'_>,
    key: &str,
    codes: &Option<Spanned<Vec<Spanned<i64>>>>,
) -> Option<Vec<i32>> {
    let codes = codes.as_ref()?.get_ref().iter();
    let codes = codes.filter_map(|code| check.integer(key, Some(code), 0..=EXIT_CODE_MAX));
    Some(codes.collect())
}

fn prevent(check: &mut Check<'_>, table: &ServiceTable, restart: Restart) -> Vec<i32> {
    const KEY: &str = "service.restart_prevent_exit_codes";
    let codes = exit_codes(check, KEY, &table.restart_prevent_exit_codes).unwrap_or_default();
    if let (Some(written), Restart::No, false) =
        (&table.restart_prevent_exit_codes, restart, codes.is_empty())
    {
        check.refuse(
            &written.span(),
            format!("`{KEY}` counts only for a unit that is restarted"),
            "set `restart = \"on-failure\"`, or take it out",
        );
    }
    codes
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
        check.refuse(
            &remain.span(),
            "`service.remain_after_exit` counts only with `type = \"oneshot\"`",
            "set `type = \"oneshot\"`, or take `remain_after_exit` out",
        );
    }
    true
}

fn kill_mode(check: &mut Check<'_>, table: &ServiceTable) -> KillMode {
    let choices = [
        ("control-group", KillMode::ControlGroup),
        ("process", KillMode::Process),
    ];
    check
        .choice("service.kill_mode", table.kill_mode.as_ref(), &choices)
        .unwrap_or(KillMode::ControlGroup)
}

fn reload(check: &mut Check<'_>, table: &ServiceTable) -> Option<Reload> {
    let reload = table.reload.as_ref()?;
    let number = check.value(
        "service.reload.signal",
        reload.signal.as_ref(),
        signal::parse,
    );
    const COMMAND: &str = "service.reload.command";
    let command = argv::validate(check, COMMAND, reload.command.as_ref(), Before::Nothing)
        .filter(|command| !command.is_empty());
    match (number, command, &reload.signal, &reload.command) {
        (Some(_), Some(_), Some(first), Some(second)) => {
            check.conflict(
                &first.span(),
                "`service.reload` has both a signal and a command",
                &second.span(),
                "the command",
                "keep one of them",
            );
            None
        }
        (Some(number), _, _, _) => Some(Reload::Signal(number)),
        (None, command, _, _) => command.map(Reload::Command),
    }
}

fn watchdog(check: &mut Check<'_>, table: &ServiceTable, kind: ServiceKind) -> Option<u64> {
    let written: &Text = table.watchdog.as_ref()?;
    let watchdog = check.duration("service.watchdog", Some(written), WATCHDOG_MS_MIN)?;
    if kind == ServiceKind::Oneshot {
        let error = check.document.error(
            &written.span(),
            "`service.watchdog` counts from the start on, and a oneshot has started only when it has ended",
        );
        let error = error.hint("use `runtime_max`, or `type = \"job\"`");
        check.report(match &table.kind {
            Some(kind) => error.related(check.document.spot(&kind.span()), "a oneshot"),
            None => error,
        });
    }
    Some(watchdog)
}
