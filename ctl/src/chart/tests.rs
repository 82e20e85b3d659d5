use super::*;

#[test]
fn times_are_short() {
    let cases = [
        (0, "0 s"),
        (12, "12 ms"),
        (1000, "1 s"),
        (3412, "3.412 s"),
        (2500, "2.5 s"),
        (120_000, "120 s"),
    ];
    for (ms, text) in cases {
        assert_eq!(time(ms), text);
    }
}

#[test]
fn grid_lines_are_few_whatever_the_span() {
    for span_ms in [1, 7, 999, 3412, 60_000, u64::MAX / 2] {
        let end_ms = span_ms;
        let tick = Scale { end_ms, span_ms }.tick_ms();
        assert!(span_ms / tick < TICKS_MAX, "{span_ms}: {tick}");
    }
}

#[test]
fn an_empty_boot_is_still_a_chart() {
    let text = svg(&BootChart::default(), Until::Ready);
    assert!(
        text.starts_with("<svg ") && text.ends_with("</svg>\n"),
        "{text}"
    );
}

#[test]
fn names_cannot_leave_their_text() {
    let unit = ChartUnit {
        name: "<script>&\"".into(),
        states: vec![("running".into(), 5)],
    };
    let chart = BootChart {
        units: vec![unit],
        ..BootChart::default()
    };
    let text = svg(&chart, Until::Ready);
    assert!(!text.contains("<script>"), "{text}");
    assert!(text.contains("&lt;script&gt;&amp;&quot;"), "{text}");
}

fn unit(name: &str, states: &[(&str, u64)]) -> ChartUnit {
    let states = states.iter().map(|(state, at)| ((*state).to_owned(), *at));
    ChartUnit {
        name: name.into(),
        states: states.collect(),
    }
}

fn stage(name: &str, start_ms: u64, end_ms: u64) -> ChartSpan {
    ChartSpan {
        name: name.into(),
        start_ms,
        end_ms,
        ok: true,
    }
}

/// Of a machine that was asked an hour after its boot.
fn an_hour_later() -> BootChart {
    let hour = 3_600_000;
    BootChart {
        stages: vec![
            stage("state", 1000, 1500),
            stage("drivers", 2500, 4000),
            stage("more-drivers", 5000, 6000),
        ],
        units: vec![
            unit("by-hand", &[("preparing", hour), ("running", hour + 100)]),
            unit("ill", &[("starting", 1600), ("failed", 2900)]),
            unit(
                "web",
                &[
                    ("waiting", 1500),
                    ("running", 2000),
                    ("stopping", hour),
                    ("releasing", hour + 10),
                ],
            ),
        ],
        ready_ms: Some(3000),
        now_ms: hour + 500,
    }
}

#[test]
fn the_chart_of_a_boot_ends_where_the_boot_does_whenever_it_is_asked_for() {
    let text = svg(&an_hour_later(), Until::Ready);
    for part in [
        "2 stages, 1 of 2 units up, 3 s in all",
        ">running at 2 s<",
        ">failed<",
        "drivers: 2.5 s to 4 s",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    for part in ["by-hand", "more-drivers", "releasing", "3600 s"] {
        assert!(!text.contains(part), "{part}: {text}");
    }
    // A stage that went on is drawn to the end, not beyond.
    let scale = Scale {
        end_ms: 3000,
        span_ms: 3150,
    };
    let width = scale.x(3000) - scale.x(2500);
    assert!(text.contains(&format!(r#"width="{width}""#)), "{text}");
    let mut later = an_hour_later();
    later.now_ms *= 2;
    assert_eq!(svg(&later, Until::Ready), text);
}

#[test]
fn the_rest_is_drawn_when_it_is_asked_for() {
    let text = svg(&an_hour_later(), Until::Now);
    for part in [
        "3 stages, 2 of 3 units up, 3600.5 s in all",
        "by-hand: running at 3600.1 s",
        "web: releasing at 3600.01 s",
        ">releasing<",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn a_boot_that_is_not_over_is_drawn_until_now() {
    let mut chart = an_hour_later();
    chart.ready_ms = None;
    chart.now_ms = 2000;
    let text = svg(&chart, Until::Ready);
    assert!(
        text.contains("1 stages, 1 of 2 units up, 2 s in all"),
        "{text}"
    );
    assert_eq!(text, svg(&chart, Until::Now));
}

/// Every state that there is but `inactive`, one after the other.
#[test]
fn a_unit_is_one_line_without_a_gap() {
    let states = [
        "scheduled",
        "waiting",
        "preparing",
        "pre-start",
        "starting",
        "started",
        "running",
        "pre-stop",
        "stopping",
        "post-stop",
        "releasing",
        "backoff",
        "finished",
        "skipped",
        "failed",
    ];
    let times = (1000..).step_by(100);
    let states: Vec<(&str, u64)> = states.into_iter().zip(times).collect();
    let chart = BootChart {
        units: vec![unit("web", &states)],
        now_ms: 3000,
        ..BootChart::default()
    };
    let text = svg(&chart, Until::Now);
    let number = |line: &str, name: &str| -> u64 {
        let (_, rest) = line.split_once(&format!("{name}=\"")).unwrap();
        rest.split('"').next().unwrap().parse().unwrap()
    };
    let mut end = None;
    for (state, _) in states {
        let bar = text
            .lines()
            .find(|line| line.contains(&format!("web: {state} at")));
        let bar = bar.unwrap_or_else(|| panic!("{state} is not drawn"));
        let from = number(bar, " x");
        assert!(end.is_none_or(|end| end == from), "a gap before {state}");
        end = Some(from + number(bar, "width"));
    }
}
