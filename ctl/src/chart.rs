//! The boot chart as SVG: one row per stage and per unit, time from left to right.
//!
//! ```text
//! Keelson boot  3.412 s to the last unit
//!                0 s      1 s      2 s      3 s
//! STAGES  mounts ▌  12 ms │        │        │
//!         disk   │██ 210 ms        │        │
//! UNITS   redis@1│        │▒▒▒░░░░░████████│  running at 2.901 s
//! ```
//!
//! It ends where the boot was over, or now: what came later, and whoever was not there yet, is not drawn. A unit is one line
//! without a gap from its first state to its last; only while it is inactive there is nothing.
//!
//! The same boot gives the same bytes: no date, no random ids. Text is what units are called, so it is escaped.

use crate::human;
use control::reply::{BootChart, ChartSpan, ChartUnit};
use std::fmt::Write;

/// Pixels.
const WIDTH: u64 = 1200;
const LABELS: u64 = 200;
const RIGHT: u64 = 170;
const ROW: u64 = 22;
const BAR: u64 = 14;
const TOP: u64 = 104;
const GAP: u64 = 34;
const LEGEND: u64 = 46;
/// Most grid lines that can be told apart.
const TICKS_MAX: u64 = 12;
/// Characters of a name that fit before the bars.
const NAME_CHARACTERS: usize = 28;

const PLOT: u64 = WIDTH - LABELS - RIGHT;

/// Name in the legend, colour, and the states that have it. `inactive` is no bar.
const STATES: [(&str, &str, &[&str]); 10] = [
    ("waiting", "#cfd6dd", &["scheduled", "waiting"]),
    ("preparing", "#9cc3e6", &["preparing"]),
    ("starting", "#f3b23c", &["pre-start", "starting"]),
    ("started", "#f7d488", &["started"]),
    ("running", "#3fa66b", &["running"]),
    ("finished", "#86c5a4", &["finished"]),
    (
        "stopping",
        "#a98bc4",
        &["pre-stop", "stopping", "post-stop", "releasing"],
    ),
    ("backoff", "#ee8a3a", &["backoff"]),
    ("failed", "#d2473f", &["failed"]),
    ("skipped", "#a3adb8", &["skipped"]),
];
/// Pixels between two names of the legend.
const LEGEND_STEP: usize = 88;
const STAGE_COLOUR: &str = "#4c78a8";
const STAGE_FAILED_COLOUR: &str = "#d2473f";

/// Where the chart ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The boot is over: every default unit is ready or has failed. Now, while it is not.
    Ready,
    Now,
}

/// The chart as a complete SVG document.
#[must_use]
pub fn svg(chart: &BootChart, until: Until) -> String {
    let end_ms = end(chart, until).max(1);
    let chart = &before(chart, end_ms);
    // A little room behind the end, so that what was last can be seen.
    let scale = Scale {
        end_ms,
        span_ms: end_ms + end_ms.div_ceil(20),
    };
    let kernel = kernel(chart);
    let stages = (kernel.iter().len() + chart.stages.len()) as u64 * ROW;
    let units = chart.units.len() as u64 * ROW;
    let units_top = TOP + stages + GAP;
    let bottom = units_top + units;
    let height = bottom + LEGEND;

    let mut svg = Svg(String::new());
    svg.line(format_args!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="12">"#
    ));
    svg.line(format_args!("<title>Keelson boot</title>"));
    svg.line(format_args!(
        r##"<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>"##
    ));
    svg.line(format_args!(
        r##"<text x="20" y="34" font-size="20" font-weight="600" fill="#1d2733">Keelson boot</text>"##
    ));
    svg.line(format_args!(
        r##"<text x="20" y="54" font-size="13" fill="#5b6b7b">{}</text>"##,
        escape(&summary(chart, end_ms))
    ));
    grid(&mut svg, &scale, bottom);
    svg.heading("STAGES", TOP);
    for (stage, y) in kernel
        .iter()
        .chain(&chart.stages)
        .zip((TOP..).step_by(usize::try_from(ROW).unwrap_or(1)))
    {
        draw_stage(&mut svg, &scale, stage, y);
    }
    svg.heading("UNITS", units_top);
    for (unit, y) in chart
        .units
        .iter()
        .zip((units_top..).step_by(usize::try_from(ROW).unwrap_or(1)))
    {
        draw_unit(&mut svg, &scale, unit, y);
    }
    legend(&mut svg, bottom + 28);
    svg.line(format_args!("</svg>"));
    svg.0
}

/// What was before the first stage.
fn kernel(chart: &BootChart) -> Option<ChartSpan> {
    let end_ms = chart.stages.iter().map(|stage| stage.start_ms).min()?;
    let name = "kernel".to_owned();
    (end_ms > 0).then_some(ChartSpan {
        name,
        start_ms: 0,
        end_ms,
        ok: true,
    })
}

/// Time → pixels.
struct Scale {
    end_ms: u64,
    /// With the room behind the end.
    span_ms: u64,
}

impl Scale {
    fn x(&self, ms: u64) -> u64 {
        let pixels = u128::from(ms.min(self.span_ms)) * u128::from(PLOT) / u128::from(self.span_ms);
        LABELS + u64::try_from(pixels).unwrap_or(PLOT)
    }

    /// 1, 2 or 5 times a power of ten.
    fn tick_ms(&self) -> u64 {
        let mut step = 1u64;
        loop {
            for factor in [1, 2, 5] {
                if self.span_ms / (step * factor) < TICKS_MAX {
                    return step * factor;
                }
            }
            match step
                .checked_mul(10)
                .filter(|next| next.checked_mul(5).is_some())
            {
                Some(next) => step = next,
                None => return step * 5,
            }
        }
    }
}

fn end(chart: &BootChart, until: Until) -> u64 {
    let known = match until {
        Until::Ready => chart.ready_ms.unwrap_or(chart.now_ms),
        Until::Now => chart.now_ms,
    };
    if known > 0 {
        return known;
    }
    // A machine that tells neither.
    let stages = chart.stages.iter().map(|stage| stage.end_ms);
    let states = chart.units.iter().filter_map(|unit| unit.states.last());
    stages.chain(states.map(|(_, at)| *at)).max().unwrap_or(0)
}

/// What had begun by then.
fn before(chart: &BootChart, end_ms: u64) -> BootChart {
    let stages = chart.stages.iter().filter(|stage| stage.start_ms <= end_ms);
    let units = chart.units.iter().map(|unit| {
        let states = unit.states.iter().filter(|(_, at)| *at <= end_ms);
        ChartUnit {
            name: unit.name.clone(),
            states: states.cloned().collect(),
        }
    });
    BootChart {
        stages: stages.cloned().collect(),
        units: units.filter(|unit| !unit.states.is_empty()).collect(),
        ..*chart
    }
}

fn summary(chart: &BootChart, end_ms: u64) -> String {
    let running = chart
        .units
        .iter()
        .filter(|unit| up_at(unit).is_some())
        .count();
    format!(
        "{} stages, {running} of {} units up, {} in all; times since the kernel's start",
        chart.stages.len(),
        chart.units.len(),
        time(end_ms)
    )
}

/// When it first was what it is for.
fn up_at(unit: &ChartUnit) -> Option<u64> {
    let up = unit
        .states
        .iter()
        .find(|(state, _)| state == "running" || state == "finished");
    up.map(|(_, at)| *at)
}

fn grid(svg: &mut Svg, scale: &Scale, bottom: u64) {
    let top = TOP - 12;
    let tick = scale.tick_ms();
    let mut at = 0;
    while at <= scale.span_ms {
        let x = scale.x(at);
        svg.line(format_args!(
            r##"<line x1="{x}" y1="{top}" x2="{x}" y2="{bottom}" stroke="#e3e8ed"/><text x="{x}" y="{}" text-anchor="middle" font-size="11" fill="#7b8895">{}</text>"##,
            top - 6,
            time(at)
        ));
        at += tick;
    }
}

fn draw_stage(svg: &mut Svg, scale: &Scale, stage: &ChartSpan, y: u64) {
    let colour = if stage.ok {
        STAGE_COLOUR
    } else {
        STAGE_FAILED_COLOUR
    };
    let end_ms = stage.end_ms.clamp(stage.start_ms, scale.end_ms);
    let (from, to) = (scale.x(stage.start_ms), scale.x(end_ms));
    svg.name(&stage.name, y);
    svg.bar(
        from,
        to,
        y,
        colour,
        &format!(
            "{}: {} to {}",
            stage.name,
            time(stage.start_ms),
            time(stage.end_ms)
        ),
    );
    let took = time(stage.end_ms.saturating_sub(stage.start_ms));
    svg.note(
        to,
        y,
        &if stage.ok {
            took
        } else {
            format!("failed after {took}")
        },
    );
}

fn draw_unit(svg: &mut Svg, scale: &Scale, unit: &ChartUnit, y: u64) {
    svg.name(&unit.name, y);
    for (number, (state, at)) in unit.states.iter().enumerate() {
        let until = unit
            .states
            .get(number + 1)
            .map_or(scale.span_ms, |(_, until)| *until);
        if let Some(colour) = colour(state) {
            let tip = format!("{}: {state} at {}", unit.name, time(*at));
            svg.bar(scale.x(*at), scale.x(until.max(*at)), y, colour, &tip);
        }
    }
    let last = unit
        .states
        .last()
        .map_or("inactive", |(state, _)| state.as_str());
    let note = match up_at(unit) {
        Some(at) if matches!(last, "running" | "finished") => format!("{last} at {}", time(at)),
        _ => last.to_owned(),
    };
    svg.note(LABELS + PLOT, y, &note);
}

/// None for `inactive`, which is no bar.
fn colour(state: &str) -> Option<&'static str> {
    let mut known = STATES.iter();
    let known = known.find(|(_, _, states)| states.contains(&state));
    known.map(|(_, colour, _)| *colour)
}

fn legend(svg: &mut Svg, y: u64) {
    let states = STATES.iter().map(|(name, colour, _)| (*name, *colour));
    let all = std::iter::once(("stage", STAGE_COLOUR)).chain(states);
    for ((name, colour), x) in all.zip((LABELS..).step_by(LEGEND_STEP)) {
        svg.line(format_args!(
            r##"<rect x="{x}" y="{}" width="12" height="12" rx="2" fill="{colour}"/><text x="{}" y="{y}" fill="#5b6b7b">{name}</text>"##,
            y - 10,
            x + 18
        ));
    }
}

/// `0 s`, `12 ms`, `3.412 s`, `120 s`
fn time(ms: u64) -> String {
    match ms {
        0 => "0 s".to_owned(),
        1..1000 => format!("{ms} ms"),
        _ if ms.is_multiple_of(1000) => format!("{} s", ms / 1000),
        _ => {
            let text = format!("{}.{:03}", ms / 1000, ms % 1000);
            format!("{} s", text.trim_end_matches('0'))
        }
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in human::printable(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The document as it grows.
struct Svg(String);

impl Svg {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a string does not fail.
        let _ = self.0.write_fmt(line);
        self.0.push('\n');
    }

    fn heading(&mut self, text: &str, y: u64) {
        self.line(format_args!(
            r##"<text x="20" y="{}" font-size="11" font-weight="600" letter-spacing="1" fill="#7b8895">{text}</text>"##,
            y - 8
        ));
    }

    fn name(&mut self, name: &str, y: u64) {
        self.line(format_args!(
            r##"<text x="{}" y="{}" text-anchor="end" fill="#1d2733">{}</text>"##,
            LABELS - 10,
            y + 12,
            escape(&human::cut(name, NAME_CHARACTERS))
        ));
    }

    /// At least one pixel: what happened is seen, however short.
    fn bar(&mut self, from: u64, to: u64, y: u64, colour: &str, tip: &str) {
        self.line(format_args!(
            r#"<rect x="{from}" y="{y}" width="{}" height="{BAR}" fill="{colour}"><title>{}</title></rect>"#,
            to.saturating_sub(from).max(1),
            escape(tip)
        ));
    }

    fn note(&mut self, x: u64, y: u64, text: &str) {
        self.line(format_args!(
            r##"<text x="{}" y="{}" font-size="11" fill="#5b6b7b">{}</text>"##,
            x + 6,
            y + 11,
            escape(text)
        ));
    }
}

#[cfg(test)]
mod tests;
