//! `keelctl why`, `history` and `timers`.

use crate::failure::Failure;
use crate::options::Invocation;
use crate::output::{self, Colour, paint};
use crate::table::{Cell, table};
use crate::{human, time};
use control::explain::{PastRun, TimerStatus, WhyStep};
use control::machine::{Machine, Patience};
use control::reply::Reply;
use control::request::Request;

pub(crate) fn why(invocation: &Invocation, machine: &Machine, unit: &str) -> Result<(), Failure> {
    let unit = unit.to_owned();
    let patience = invocation.patience(Patience::USUAL);
    match machine.ask(&Request::Why { unit: unit.clone() }, patience, |_| {})? {
        Reply::Why(steps) if invocation.json => output::json(&steps),
        Reply::Why(steps) if steps.is_empty() => output::print(&format!(
            "{}: nothing has happened to it that the machine remembers\n",
            human::printable(&unit)
        )),
        Reply::Why(steps) => output::print(&render_why(&steps, output::coloured())),
        other => Err(Failure::from_reply(other)),
    }
}

/// Oldest first, as a story is told.
fn render_why(steps: &[WhyStep], coloured: bool) -> String {
    let rows = steps.iter().map(|step| {
        let state = step.state.split(':').next().unwrap_or_default();
        [
            Cell::from(format!("{} ago", human::age(step.age_ms))),
            human::printable(&step.cause).into(),
            human::printable(&step.unit).into(),
            Cell::coloured(human::printable(&step.state), output::state_colour(state)),
        ]
    });
    table(
        ["WHEN", "WHAT HAPPENED", "UNIT", "STATE"],
        &rows.collect::<Vec<_>>(),
        coloured,
    )
}

pub(crate) fn history(
    invocation: &Invocation,
    machine: &Machine,
    unit: &str,
) -> Result<(), Failure> {
    let request = Request::History {
        unit: unit.to_owned(),
    };
    let patience = invocation.patience(Patience::USUAL);
    match machine.ask(&request, patience, |_| {})? {
        Reply::History(runs) if invocation.json => output::json(&runs),
        Reply::History(runs) if runs.is_empty() => output::print(&format!(
            "{}: no run that was meant to end has ended\n",
            human::printable(unit)
        )),
        Reply::History(runs) => output::print(&render_history(&runs, output::coloured())),
        other => Err(Failure::from_reply(other)),
    }
}

/// The latest first.
fn render_history(runs: &[PastRun], coloured: bool) -> String {
    let rows = runs.iter().rev().map(|run| {
        let colour = if run.succeeded {
            Colour::Green
        } else {
            Colour::Red
        };
        [
            Cell::from(run.run.to_string()),
            time::date(run.began_ms).into(),
            duration(run.duration_ms).into(),
            run.scheduled_ms
                .map_or_else(|| "-".to_owned(), time::date)
                .into(),
            Cell::coloured(human::printable(&run.outcome), colour),
        ]
    });
    table(
        ["RUN", "BEGAN", "TOOK", "FOR", "OUTCOME"],
        &rows.collect::<Vec<_>>(),
        coloured,
    )
}

/// `0.2s`, `59.0s`, `2m 13s`
fn duration(ms: u64) -> String {
    if ms < 60_000 {
        format!("{}.{}s", ms / 1_000, ms / 100 % 10)
    } else {
        human::age(ms)
    }
}

pub(crate) fn timers(invocation: &Invocation, machine: &Machine) -> Result<(), Failure> {
    let patience = invocation.patience(Patience::USUAL);
    match machine.ask(&Request::Timers, patience, |_| {})? {
        Reply::Timers(timers) if invocation.json => output::json(&timers),
        Reply::Timers(timers) => {
            let text = render_timers(&timers, time::now_ms(), output::coloured());
            output::print(&text)
        }
        other => Err(Failure::from_reply(other)),
    }
}

fn render_timers(timers: &[TimerStatus], now_ms: i64, coloured: bool) -> String {
    let moment = |ms: Option<i64>| ms.map_or_else(|| "-".to_owned(), time::date);
    let mut text = table(
        ["TIMER", "NEXT", "LEFT", "LAST", "STARTS", "TIMES"],
        &timers
            .iter()
            .map(|timer| {
                let left = timer
                    .next_ms
                    .and_then(|next| u64::try_from(next - now_ms).ok());
                let left = left.map_or_else(|| "-".to_owned(), human::age);
                let times = timer.times.join(", ");
                let times = match timer.timezone.as_str() {
                    "UTC" => times,
                    zone => format!("{times} ({zone})"),
                };
                [
                    Cell::from(human::printable(&timer.name)),
                    moment(timer.next_ms).into(),
                    left.into(),
                    moment(timer.last_ms).into(),
                    human::printable(&timer.unit).into(),
                    human::printable(&times).into(),
                ]
            })
            .collect::<Vec<_>>(),
        coloured,
    );
    for timer in timers.iter().filter(|timer| timer.missed > 0) {
        let name = human::printable(&timer.name);
        let missed = timer.missed;
        let line = format!("{name}: {missed} times came while a run was under way");
        text.push_str(&paint(&line, Colour::Yellow, coloured));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_is_told_from_its_beginning() {
        let step = |age_ms, unit: &str, cause: &str, state: &str| WhyStep {
            at_ms: 0,
            age_ms,
            unit: unit.into(),
            cause: cause.into(),
            state: state.into(),
        };
        let steps = [
            step(
                12_000,
                "db",
                "exited db run 7: exited with code 1",
                "failed: restart_max reached",
            ),
            step(
                12_000,
                "web",
                "exited db run 7: exited with code 1",
                "failed: db, which it requires, failed",
            ),
        ];
        let text = "\
WHEN     WHAT HAPPENED                        UNIT  STATE
12s ago  exited db run 7: exited with code 1  db    failed: restart_max reached
12s ago  exited db run 7: exited with code 1  web   failed: db, which it requires, failed
";
        assert_eq!(render_why(&steps, false), text);
    }

    #[test]
    fn runs_say_when_how_long_and_how() {
        let run = |run, succeeded, outcome: &str| PastRun {
            run,
            scheduled_ms: (run == 9).then_some(1_795_255_200_000),
            began_ms: 1_795_255_200_250,
            duration_ms: 1_250 * run,
            succeeded,
            outcome: outcome.into(),
        };
        let runs = [
            run(4, true, "exited with code 0"),
            run(9, false, "exited with code 3"),
        ];
        let text = "\
RUN  BEGAN                TOOK   FOR                  OUTCOME
9    2026-11-21 10:00:00  11.2s  2026-11-21 10:00:00  exited with code 3
4    2026-11-21 10:00:00  5.0s   -                    exited with code 0
";
        assert_eq!(render_history(&runs, false), text);
        assert_eq!(duration(61_000), "1m 1s");
    }

    #[test]
    fn timers_say_what_comes_next() {
        let timer = TimerStatus {
            name: "backup.timer".into(),
            unit: "backup".into(),
            state: "running".into(),
            next_ms: Some(1_795_255_200_000),
            last_ms: None,
            missed: 2,
            times: vec!["daily".into(), "on_boot 5m".into()],
            timezone: "Europe/Berlin".into(),
        };
        let text = "\
TIMER         NEXT                 LEFT    LAST  STARTS  TIMES
backup.timer  2026-11-21 10:00:00  1m 40s  -     backup  daily, on_boot 5m (Europe/Berlin)
backup.timer: 2 times came while a run was under way
";
        assert_eq!(render_timers(&[timer], 1_795_255_100_000, false), text);
    }
}
