//! `[health]`: how to find out whether it does its work.

use super::argv::{self, Before};
use crate::check::Check;
use crate::fault::Fault;
use crate::file::{HealthTable, HttpTable, UnitFile};
use crate::reader::Text;
use crate::{Health, HealthPlan, HttpProbe, Network, NetworkMode, OnUnhealthy, Probe};
use std::ops::Range;
use toml::Spanned;

/// More would hide that the unit is ill.
const COUNT_MAX: u32 = 1000;
/// Status codes of HTTP: RFC 9110, section 15.
const STATUS: std::ops::RangeInclusive<u16> = 100..=599;
const STATUS_DEFAULT: (u16, u16) = (200, 399);

pub(crate) fn validate(check: &mut Check<'_>, file: &UnitFile, network: &Network) -> Health {
    let table = &file.health;
    let probe = probe(check, table);
    if let (Some((_, span, name)), Some(disable)) = (
        &probe,
        table.disable.as_ref().filter(|disable| *disable.get_ref()),
    ) {
        check.conflict(
            &disable.span(),
            format!("`health.disable` switches `health.{name}` off"),
            span,
            "here",
            "keep one of them",
        );
    }
    if let (Some((Probe::Http(_) | Probe::Tcp { .. }, span, name)), NetworkMode::None, Some(mode)) =
        (&probe, network.mode, &file.network.mode)
    {
        check.conflict(
            span,
            format!("`health.{name}` needs a network, which this container does not have"),
            &mode.span(),
            "here",
            "use `exec`, or give it a network",
        );
    }
    let is = |value: &Option<Spanned<bool>>| value.as_ref().map(|value| *value.get_ref());
    let choices = [
        ("none", OnUnhealthy::None),
        ("restart", OnUnhealthy::Restart),
        ("kill", OnUnhealthy::Kill),
        ("stop", OnUnhealthy::Stop),
    ];
    Health {
        disable: is(&table.disable).unwrap_or(false),
        probe: probe.map(|(probe, _, _)| probe),
        interval_ms: check.duration(
            "health.interval",
            table.interval.as_ref(),
            HealthPlan::INTERVAL_MS_MIN,
        ),
        timeout_ms: check.duration("health.timeout", table.timeout.as_ref(), 1),
        retries: check.integer("health.retries", table.retries.as_ref(), 1..=COUNT_MAX),
        start_period_ms: check.duration("health.start_period", table.start_period.as_ref(), 0),
        start_interval_ms: check.duration(
            "health.start_interval",
            table.start_interval.as_ref(),
            HealthPlan::INTERVAL_MS_MIN,
        ),
        success_threshold: check
            .integer(
                "health.success_threshold",
                table.success_threshold.as_ref(),
                1..=COUNT_MAX,
            )
            .unwrap_or(1),
        on_unhealthy: on_unhealthy(check, table, &choices),
        pause_aware: is(&table.pause_aware).unwrap_or(true),
    }
}

fn on_unhealthy(
    check: &mut Check<'_>,
    table: &HealthTable,
    choices: &[(&str, OnUnhealthy)],
) -> Option<OnUnhealthy> {
    const KEY: &str = "health.on_unhealthy";
    match &table.on_unhealthy {
        Some(text) if text.get_ref() == "rollback" => {
            let fault = Fault::new("is not supported yet", "none, restart, kill or stop");
            check.fault(KEY, &text.span(), fault);
            None
        }
        text => check.choice(KEY, text.as_ref(), choices),
    }
}

/// The probe, where it is written, and its key. Several are a contradiction.
fn probe(
    check: &mut Check<'_>,
    table: &HealthTable,
) -> Option<(Probe, Range<usize>, &'static str)> {
    let mut probes = Vec::new();
    let command = argv::validate(check, "health.exec", table.exec.as_ref(), Before::Nothing);
    if let (Some(written), Some(command)) =
        (&table.exec, command.filter(|command| !command.is_empty()))
    {
        docker_form(check, written.get_ref());
        probes.push((Probe::Exec(command), written.span(), "exec"));
    }
    if let Some(http) = &table.http {
        probes.push((
            Probe::Http(self::http(check, http)),
            http.span.clone(),
            "http",
        ));
    }
    if let Some(tcp) = &table.tcp {
        let port = check.integer("health.tcp.port", tcp.port.as_ref(), 1..=u16::MAX);
        let port = port.unwrap_or_default();
        probes.push((Probe::Tcp { port }, tcp.span.clone(), "tcp"));
    }
    let mut probes = probes.into_iter();
    let first = probes.next();
    if let (Some((_, span, first)), Some((_, second_span, second))) = (&first, probes.next()) {
        check.conflict(
            &second_span,
            format!("`health.{second}` and `health.{first}` are two ways to ask; a unit has one"),
            span,
            "the other",
            "keep one of them; in a drop-in `exec = []` takes a command out",
        );
    }
    first
}

/// `["CMD", …]` and `["CMD-SHELL", …]` are Docker's and Compose's way to write a command.
fn docker_form(check: &mut Check<'_>, words: &[Text]) {
    let Some((first, rest)) = words.split_first() else {
        return;
    };
    let hint = match first.get_ref().as_str() {
        "CMD" => "leave \"CMD\" out".to_owned(),
        "CMD-SHELL" => format!(
            "write `[\"/bin/sh\", \"-c\", {}]`",
            rest.first().map_or("\"…\"".to_owned(), |text| check
                .document
                .excerpt(&text.span()))
        ),
        "NONE" => "write `disable = true`".to_owned(),
        _ => return,
    };
    let fault = Fault::new("is no program", "the program and its arguments");
    check.fault("health.exec", &first.span(), fault.hint(hint));
}

fn http(check: &mut Check<'_>, table: &HttpTable) -> HttpProbe {
    let port = check.integer("health.http.port", table.port.as_ref(), 1..=u16::MAX);
    check.value(
        "health.http.scheme",
        table.scheme.as_ref(),
        |text| match text {
            "http" => Ok(()),
            "https" => Err(Fault::new("is not supported yet", "http")),
            _ => Err(Fault::new("is unknown", "http")),
        },
    );
    let mut headers = Vec::new();
    for (name, value) in &table.headers {
        if !is_token(name.get_ref()) {
            let fault = Fault::new("has a bad name", "letters, digits and `-`");
            check.fault("health.http.headers", &name.span(), fault);
            continue;
        }
        let key = format!("health.http.headers.{}", name.get_ref());
        let value = check.value(&key, Some(value), |text| {
            let bad = text.contains(|c: char| c.is_control() && c != '\t');
            (!bad)
                .then(|| text.to_owned())
                .ok_or_else(|| Fault::new("has control characters", "one line of text"))
        });
        headers.extend(value.map(|value| (name.get_ref().clone(), value)));
    }
    HttpProbe {
        port: port.unwrap_or_default(),
        path: check
            .value("health.http.path", table.path.as_ref(), path)
            .unwrap_or_else(|| "/".to_owned()),
        status: check
            .value("health.http.status", table.status.as_ref(), status)
            .unwrap_or_else(|| vec![STATUS_DEFAULT]),
        headers,
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

fn path(text: &str) -> Result<String, Fault> {
    let fault = || Fault::new("is not a path", "a path that starts with `/`: \"/healthz\"");
    if text.starts_with("http:") || text.starts_with("https:") {
        return Err(
            fault().hint("leave scheme, host and port out: it is this container that is asked")
        );
    }
    let good = text.starts_with('/')
        && text.is_ascii()
        && !text.contains(|c: char| c.is_ascii_whitespace() || c.is_control() || c == '#');
    good.then(|| text.to_owned()).ok_or_else(fault)
}

/// `200-399`, `200,204,300-399`
fn status(text: &str) -> Result<Vec<(u16, u16)>, Fault> {
    let fault = || {
        Fault::new(
            "is not a list of statuses",
            "such as \"200-399\" or \"200,204\"",
        )
    };
    let number = |text: &str| {
        let number = text.trim().parse::<u16>().ok();
        number.filter(|number| STATUS.contains(number))
    };
    let ranges = text.split(',').map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Ok((first, last)),
            (Some(first), Some(last)) => {
                Err(fault().hint(format!("the smaller first: \"{last}-{first}\"")))
            }
            (_, _) => Err(fault().hint("statuses are 100 to 599")),
        }
    });
    ranges.collect()
}
