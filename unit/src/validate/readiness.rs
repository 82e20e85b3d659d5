//! `[readiness]`: when those that wait may start.

use super::service::kind_name;
use crate::check::Check;
use crate::fault::Fault;
use crate::file::UnitFile;
use crate::reader::Text;
use crate::{
    Health, Network, NetworkMode, Protocol, Readiness, ReadinessMode, Service, ServiceKind,
};

/// Of the compiled pattern; logd holds one for each unit that starts.
const PATTERN_MEMORY_BYTES_MAX: usize = 256 << 10;

#[derive(Clone, Copy)]
enum Mode {
    Started,
    Notify,
    Healthy,
    Port,
    Log,
    Exit,
}

pub(crate) fn validate(
    check: &mut Check<'_>,
    file: &UnitFile,
    service: &Service,
    health: &Health,
    network: &Network,
) -> Readiness {
    let table = &file.readiness;
    let choices = [
        ("started", Mode::Started),
        ("notify", Mode::Notify),
        ("healthy", Mode::Healthy),
        ("port", Mode::Port),
        ("log", Mode::Log),
        ("exit", Mode::Exit),
    ];
    let written = table.mode.as_ref();
    let chosen = check.choice("readiness.mode", written, &choices);
    let port = check.value("readiness.port", table.port.as_ref(), port);
    let pattern = check.value("readiness.log", table.log.as_ref(), pattern);
    let port_written = table
        .port
        .as_ref()
        .filter(|text| !text.get_ref().is_empty());
    let log_written = table.log.as_ref().filter(|text| !text.get_ref().is_empty());
    let default = Readiness::default_of(service.kind, service.start_timeout_ms);
    let mode = match (chosen, written) {
        (Some(mode), Some(written)) => {
            fits_type(check, file, service.kind, mode, written);
            match mode {
                Mode::Started => Some(ReadinessMode::Started),
                Mode::Notify => Some(ReadinessMode::Notify),
                Mode::Healthy => {
                    can_be_known(check, file, health, written);
                    Some(ReadinessMode::Healthy)
                }
                Mode::Port => {
                    needs(check, file, port_written, "port = \"tcp:80\"");
                    has_network(check, file, network, written);
                    port.map(|(protocol, port)| ReadinessMode::Port { protocol, port })
                }
                Mode::Log => {
                    needs(check, file, log_written, "log = \"ready to accept\"");
                    pattern.map(|pattern| ReadinessMode::Log { pattern })
                }
                Mode::Exit => Some(ReadinessMode::Exit),
            }
        }
        (_, _) => None,
    };
    for (key, text, own) in [
        ("port", port_written, matches!(chosen, Some(Mode::Port))),
        ("log", log_written, matches!(chosen, Some(Mode::Log))),
    ] {
        if let (Some(text), false) = (text, own) {
            let message = format!("`readiness.{key}` counts only with `mode = \"{key}\"`");
            let error = check.document.error(&text.span(), message);
            let error = error.hint(format!("set `mode = \"{key}\"`, or take `{key}` out"));
            check.report(match written {
                Some(mode) => error.related(check.document.spot(&mode.span()), "the mode"),
                None => error,
            });
        }
    }
    let mode = mode.unwrap_or(default.mode);
    let timeout_ms = if mode == ReadinessMode::Exit {
        default.timeout_ms
    } else {
        Readiness::TIMEOUT_MS
    };
    Readiness {
        timeout_ms: check
            .duration("readiness.timeout", table.timeout.as_ref(), 1)
            .unwrap_or(timeout_ms),
        mode,
    }
}

/// Reports that the mode lacks the key which `example` sets.
fn needs(check: &mut Check<'_>, file: &UnitFile, value: Option<&Text>, example: &str) {
    let (None, Some(mode), false) = (value, &file.readiness.mode, file.readiness.unreadable) else {
        return;
    };
    let key = mode.get_ref();
    check.refuse(
        &mode.span(),
        format!("`readiness.mode = \"{key}\"` needs the key `{key}`"),
        format!("add `{example}`"),
    );
}

/// Only what ends can be ready at its end, and a oneshot is ready at nothing else.
fn fits_type(
    check: &mut Check<'_>,
    file: &UnitFile,
    kind: ServiceKind,
    mode: Mode,
    written: &Text,
) {
    let name = kind_name(kind);
    let (message, hint) = match (kind, mode) {
        (ServiceKind::Simple | ServiceKind::Notify, Mode::Exit) => (
            format!("a service of type \"{name}\" is not ready at its exit: it is meant to go on"),
            "use `type = \"oneshot\"` or `type = \"job\"`, or another mode",
        ),
        (
            ServiceKind::Oneshot,
            Mode::Started | Mode::Notify | Mode::Healthy | Mode::Port | Mode::Log,
        ) => (
            "a oneshot is ready when it has ended with success, not before".to_owned(),
            "take `mode` out, or use `type = \"job\"` or `type = \"simple\"`",
        ),
        (ServiceKind::Oneshot | ServiceKind::Job, Mode::Exit)
        | (
            ServiceKind::Simple | ServiceKind::Notify | ServiceKind::Job,
            Mode::Started | Mode::Notify | Mode::Healthy | Mode::Port | Mode::Log,
        ) => return,
    };
    let error = check.document.error(&written.span(), message).hint(hint);
    check.report(match &file.service.kind {
        Some(kind) => error.related(check.document.spot(&kind.span()), "the type"),
        None => error,
    });
}

fn can_be_known(check: &mut Check<'_>, file: &UnitFile, health: &Health, written: &Text) {
    let message = "`readiness.mode = \"healthy\"` waits for a health check";
    match &file.health.disable {
        Some(disable) if health.disable => check.conflict(
            &written.span(),
            format!("{message}, which is disabled"),
            &disable.span(),
            "here",
            "take `disable` out, or use another mode",
        ),
        Some(_) | None if health.probe.is_none() => {
            let warning = check.document.warning(
                &written.span(),
                format!("{message}, and the unit declares none"),
            );
            check.report(warning.hint(
                "add `exec`, `http` or `tcp` to `[health]`, unless the image has a HEALTHCHECK",
            ));
        }
        Some(_) | None => {}
    }
}

fn has_network(check: &mut Check<'_>, file: &UnitFile, network: &Network, written: &Text) {
    if let (NetworkMode::None, Some(mode)) = (network.mode, &file.network.mode) {
        check.conflict(
            &written.span(),
            "`readiness.mode = \"port\"` needs a network, which this container does not have",
            &mode.span(),
            "here",
            "use `mode = \"log\"` or `mode = \"notify\"`, or give it a network",
        );
    }
}

/// `tcp:80`, `80`
fn port(text: &str) -> Result<(Protocol, u16), Fault> {
    let fault = || Fault::new("is not a port", "a port of the container: \"tcp:80\"");
    let (protocol, number) = text.split_once(':').unwrap_or(("tcp", text));
    let port = number
        .parse::<u16>()
        .ok()
        .filter(|port| *port > 0 && number.chars().all(|c| c.is_ascii_digit()))
        .ok_or_else(fault)?;
    match protocol {
        "tcp" => Ok((Protocol::Tcp, port)),
        "udp" => Err(fault().hint("UDP has no connection that could be accepted")),
        _ => Err(fault()),
    }
}

fn pattern(text: &str) -> Result<String, Fault> {
    let built = regex_lite::RegexBuilder::new(text)
        .size_limit(PATTERN_MEMORY_BYTES_MAX)
        .build();
    match built {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(Fault::new(
            format!("is not a regular expression: {error}"),
            "such as \"ready to accept connections\"",
        )
        .hint("put a backslash before characters that shall stand for themselves: `'\\['`")),
    }
}
