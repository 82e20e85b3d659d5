//! `[[ports]]`: what the machine listens on for the container.

use crate::check::Check;
use crate::fault::Fault;
use crate::file::PortTable;
use crate::port_text::{self, PortText};
use crate::{NetworkMode, Port, Protocol};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;

/// The ports, and for each that is one of a range the last host port it may get.
pub(crate) fn validate(
    check: &mut Check<'_>,
    tables: &[PortTable],
    offset: u16,
    mode: NetworkMode,
) -> (Vec<Port>, BTreeMap<usize, u16>) {
    if let (Some(first), NetworkMode::Host | NetworkMode::None) = (tables.first(), mode) {
        let (name, hint) = match mode {
            NetworkMode::Host => (
                "host",
                "the container's ports are the machine's already: take `[[ports]]` out",
            ),
            NetworkMode::None | NetworkMode::Bridge => {
                ("none", "the container has no network: take `[[ports]]` out")
            }
        };
        let message = format!("ports cannot be published with `mode = \"{name}\"` in `[network]`");
        check.report(check.document.error(&first.span, message).hint(hint));
    }
    let mut ports: Vec<Port> = Vec::new();
    let mut choices = BTreeMap::new();
    let mut too_many = None;
    for table in tables {
        let Some((port, last)) = port(check, table, offset) else {
            continue;
        };
        let span = table
            .publish
            .as_ref()
            .map_or(table.span.clone(), |publish| publish.span());
        if let (Some(host), Some(_)) = (
            port.host_port,
            ports
                .iter()
                .find(|other| last.is_none() && overlap(other, &port)),
        ) {
            let message = format!("host port {host} is published twice by this unit");
            check.report(
                check
                    .document
                    .error(&span, message)
                    .hint("take one out, or give it another host port"),
            );
        }
        check.remember(format!("ports.{}", ports.len()), &span);
        choices.extend(last.map(|last| (ports.len(), last)));
        let before = total(&ports);
        ports.push(port);
        let most = Port::PER_UNIT_MAX;
        if before <= most && total(&ports) > most {
            too_many.get_or_insert(span);
        }
    }
    if let Some(span) = too_many {
        let message = format!("the unit publishes {} ports", total(&ports));
        let expected = format!(
            "at most {} for one unit, ranges taken apart",
            Port::PER_UNIT_MAX
        );
        let hint =
            "publish fewer, or give it the machine's own network: `mode = \"host\"` in `[network]`";
        check.report(
            check
                .document
                .error(&span, message)
                .expected(expected)
                .hint(hint),
        );
    }
    (ports, choices)
}

/// Ranges taken apart.
fn total(ports: &[Port]) -> usize {
    ports
        .iter()
        .map(|port| usize::from(port.count.max(1)))
        .sum()
}

fn overlap(a: &Port, b: &Port) -> bool {
    let (Some(first), Some(other)) = (a.host_port, b.host_port) else {
        return false;
    };
    let last = |first: u16, port: &Port| first.saturating_add(port.count.saturating_sub(1));
    a.protocol == b.protocol
        && first <= last(other, b)
        && other <= last(first, a)
        && crate::publish::addresses_overlap(a.host_ip, b.host_ip)
}

fn port(check: &mut Check<'_>, table: &PortTable, offset: u16) -> Option<(Port, Option<u16>)> {
    let host_ip = check.value(
        "ports.host_ip",
        table.host_ip.as_ref(),
        port_text::parse_address,
    );
    let protocol = check.value(
        "ports.protocol",
        table.protocol.as_ref(),
        port_text::parse_protocol,
    );
    let written = table.publish.as_ref()?;
    let text = check.value("ports.publish", Some(written), port_text::parse);
    if written.get_ref().is_empty() {
        check.fault(
            "ports.publish",
            &written.span(),
            Fault::new("is empty", "a port: \"8080:80\""),
        );
    }
    let text = text?;
    if let (Some(a), Some(b), Some(at)) = (text.host_ip, host_ip, &table.host_ip)
        && a != b
    {
        contradiction(check, "host_ip", &at.span());
    }
    if let (Some(a), Some(b), Some(at)) = (text.protocol, protocol, &table.protocol)
        && a != b
    {
        contradiction(check, "protocol", &at.span());
    }
    let address = text.host_ip.map(|_| written).or(table.host_ip.as_ref());
    if let (Some(IpAddr::V6(_)), Some(address)) = (text.host_ip.or(host_ip), address) {
        let fault = Fault::new(
            "names an IPv6 address, and ports of those are not supported yet",
            "an IPv4 address, or none for all of them",
        );
        check.fault("ports.host_ip", &address.span(), fault);
    }
    let last = text
        .is_choice()
        .then(|| {
            text.host
                .as_ref()
                .map(|host| host.end().saturating_add(offset))
        })
        .flatten();
    let host_port = match &text.host {
        None => None,
        Some(host) if host.end().checked_add(offset).is_none() => {
            let fault = Fault::new(
                format!("becomes more than 65535 with {offset} added by `port_offset`"),
                "a smaller port",
            );
            check.fault("ports.publish", &written.span(), fault);
            return None;
        }
        Some(host) => Some(host.start().saturating_add(offset)),
    };
    let port = Port {
        host_ip: text.host_ip.or(host_ip),
        host_port,
        container_port: *text.container.start(),
        count: count(&text),
        protocol: text.protocol.or(protocol).unwrap_or(Protocol::Tcp),
    };
    Some((port, last))
}

fn count(text: &PortText) -> u16 {
    (text.container.end() - text.container.start()).saturating_add(1)
}

fn contradiction(check: &mut Check<'_>, key: &str, span: &Range<usize>) {
    let error = check.document.error(
        span,
        format!("`ports.{key}` says something else than `publish`"),
    );
    check.report(error.hint(format!("say it once: take `{key}` out")));
}
