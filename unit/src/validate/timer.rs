//! `[timer]`: when a unit is started by the clock.

use super::dependencies;
use super::service::kind_name;
use crate::check::Check;
use crate::fault::Fault;
use crate::file::{TimerTable, UnitFile};
use crate::nearest::nearest;
use crate::reader::Text;
use crate::{Concurrency, History, Service, Timer, UnitName};
use calendar::Schedule;
use std::time::{SystemTime, UNIX_EPOCH};

/// Each time starts a container; more often is a service that sleeps.
const ON_UNIT_ACTIVE_MS_MIN: u64 = 1000;
/// Runs are remembered on the disk.
const HISTORY_MAX: u32 = 100;
/// The next time of each is looked for at every run.
const EXPRESSIONS_MAX: usize = 64;

/// The timer of a container file.
pub(crate) fn of_container(
    check: &mut Check<'_>,
    file: &UnitFile,
    service: &Service,
) -> Option<Timer> {
    let table = file.timer.as_ref()?;
    if let Some(unit) = &table.unit {
        check.refuse(
            &unit.span(),
            "the `[timer]` of a container starts that container",
            "take `unit` out, or put the timer into a file NAME.timer.toml",
        );
    }
    if let (Some(kind), false) = (&file.service.kind, service.kind.ends()) {
        check.conflict(
            &table.span,
            format!(
                "a timer starts runs that end, and a service of type \"{}\" goes on",
                kind_name(service.kind)
            ),
            &kind.span(),
            "the type",
            "use `type = \"job\"`, or take `[timer]` out",
        );
    }
    if let Some(remain) = file
        .service
        .remain_after_exit
        .as_ref()
        .filter(|remain| *remain.get_ref())
    {
        check.conflict(
            &remain.span(),
            "a unit that remains after its exit is never started again by its timer",
            &table.span,
            "the timer",
            "take `remain_after_exit` out",
        );
    }
    Some(timer(check, table))
}

/// The timer of a timer file, and the unit that it starts: unless it says otherwise, the container of the same name.
pub(crate) fn of_file(
    check: &mut Check<'_>,
    file: &UnitFile,
    name: &UnitName,
) -> (Timer, UnitName) {
    let own = name.as_str().strip_suffix(".timer").unwrap_or("");
    let default = UnitName::new(own).unwrap_or_else(|| name.clone());
    let Some(table) = &file.timer else {
        return (Timer::default(), default);
    };
    let written = table
        .unit
        .as_ref()
        .filter(|unit| !unit.get_ref().is_empty());
    let unit = match written {
        None => {
            check.remember("timer.unit".to_owned(), &table.span);
            Some(default.clone())
        }
        Some(text) => {
            check.remember("timer.unit".to_owned(), &text.span());
            dependencies::name(check, "timer.unit", text)
        }
    };
    if let (Some(unit), Some(text)) = (&unit, written)
        && unit.as_str().ends_with(".timer")
    {
        check.refuse(
            &text.span(),
            "a timer cannot start a timer",
            "name the container or target that shall run",
        );
    }
    (timer(check, table), unit.unwrap_or(default))
}

fn timer(check: &mut Check<'_>, table: &TimerTable) -> Timer {
    let default = Timer::default();
    let timezone = check
        .value("timer.timezone", table.timezone.as_ref(), zone)
        .unwrap_or(default.timezone);
    let timer = Timer {
        on_calendar: expressions(check, table, &timezone),
        on_boot_ms: check.duration("timer.on_boot", table.on_boot.as_ref(), 0),
        on_unit_active_ms: check.duration(
            "timer.on_unit_active",
            table.on_unit_active.as_ref(),
            ON_UNIT_ACTIVE_MS_MIN,
        ),
        timezone,
        persistent: table
            .persistent
            .as_ref()
            .map_or(default.persistent, |persistent| *persistent.get_ref()),
        randomized_delay_ms: check
            .duration("timer.randomized_delay", table.randomized_delay.as_ref(), 0)
            .unwrap_or(default.randomized_delay_ms),
        concurrency: concurrency(check, table).unwrap_or(default.concurrency),
        history: history(check, table),
    };
    let written =
        |text: &Option<Text>| text.as_ref().is_some_and(|text| !text.get_ref().is_empty());
    let calendar = table
        .on_calendar
        .as_ref()
        .is_some_and(|texts| !texts.get_ref().is_empty());
    let (boot, active) = (written(&table.on_boot), written(&table.on_unit_active));
    if table.unreadable {
        return timer;
    }
    if !calendar && !boot && !active {
        check.refuse(
            &table.span,
            "this timer never comes: it has no time",
            "say when: `on_calendar = [\"@daily\"]`, `on_boot = \"5m\"` or `on_unit_active = \"1h\"`",
        );
    } else if let (Some(text), false, false) = (&table.on_unit_active, calendar, boot) {
        let warning = check.document.warning(
            &text.span(),
            "this timer counts from the last start, and nothing starts the unit a first time",
        );
        check.report(warning.hint("add `on_boot = \"0s\"`"));
    }
    timer
}

fn concurrency(check: &mut Check<'_>, table: &TimerTable) -> Option<Concurrency> {
    let choices = [
        ("forbid", Concurrency::Forbid),
        ("replace", Concurrency::Replace),
        ("allow", Concurrency::Allow),
    ];
    check.choice("timer.concurrency", table.concurrency.as_ref(), &choices)
}

fn history(check: &mut Check<'_>, table: &TimerTable) -> History {
    let default = History::default();
    let (success, failed) = (&table.history.success, &table.history.failed);
    History {
        success: check
            .integer("timer.history.success", success.as_ref(), 0..=HISTORY_MAX)
            .unwrap_or(default.success),
        failed: check
            .integer("timer.history.failed", failed.as_ref(), 0..=HISTORY_MAX)
            .unwrap_or(default.failed),
    }
}

fn expressions(check: &mut Check<'_>, table: &TimerTable, timezone: &str) -> Vec<String> {
    const KEY: &str = "timer.on_calendar";
    let texts = table.on_calendar.iter().flat_map(|texts| texts.get_ref());
    if let Some(first) = texts.clone().nth(EXPRESSIONS_MAX) {
        let expected = format!("at most {EXPRESSIONS_MAX}");
        check.fault(
            KEY,
            &first.span(),
            Fault::new("has too many members", expected),
        );
    }
    let mut expressions = Vec::new();
    for text in texts {
        let Some(expression) = check.expand(KEY, text) else {
            continue;
        };
        match Schedule::parse(&expression) {
            Ok(schedule) => {
                if is_past(&schedule, timezone) {
                    let message =
                        format!("`{KEY}` lies wholly in the past: this time never comes again");
                    let warning = check.document.warning(&text.span(), message);
                    check.report(warning.hint("give it a year to come, or `*` for every year"));
                }
                expressions.push(expression);
            }
            Err(error) => {
                let span = inside(check, text, &error);
                let message = format!("`{KEY}`: {}", error.message);
                let diagnostic = check.document.error(&span, message);
                check.report(diagnostic.hint_if(error.hint));
            }
        }
    }
    expressions
}

/// By the clock of whoever checks. One that goes wrong makes a warning too many or too few, and nothing else.
fn is_past(schedule: &Schedule, timezone: &str) -> bool {
    let Some(zone) = calendar::Zone::find(timezone) else {
        return false;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = now.ok().and_then(|now| i64::try_from(now.as_millis()).ok());
    now_ms.is_some_and(|now_ms| schedule.next_after(now_ms, &zone).is_none())
}

/// The wrong part of an expression, when it is written as it is read (without escapes, without `%`); else all of it.
fn inside(check: &Check<'_>, text: &Text, error: &calendar::ParseError) -> std::ops::Range<usize> {
    let span = text.span();
    let literal = check.document.text(&span);
    let plain = literal.get(1..literal.len().saturating_sub(1)) == Some(text.get_ref())
        && !text.get_ref().contains('%');
    let start = span.start.saturating_add(1).saturating_add(error.offset);
    let end = start.saturating_add(error.length);
    if plain && end < span.end {
        start..end
    } else {
        span
    }
}

fn zone(text: &str) -> Result<String, Fault> {
    if calendar::zone_exists(text) {
        return Ok(text.to_owned());
    }
    let fault = Fault::new(
        "is not a time zone",
        "a name such as \"Europe/Berlin\" or \"UTC\"",
    );
    Err(match nearest(text, calendar::zone_names()) {
        Some(near) => fault.hint(format!("perhaps \"{near}\"")),
        None => fault,
    })
}
