//! The unit file as written: each key that this release knows, with its type and its place, nothing yet judged.
//!
//! Each table, or a few that belong together, has a file of its own: its struct and the function that reads it.

mod container;
mod health;
mod replicas;
mod service;
mod timer;
mod unit;

pub(crate) use container::*;
pub(crate) use health::*;
pub(crate) use replicas::*;
pub(crate) use service::*;
pub(crate) use timer::*;
pub(crate) use unit::*;

use crate::document::{Document, Part};
use crate::reader::{Reader, Table, Text};
use crate::{Diagnostic, merge};
use toml::Spanned;
use toml::de::DeTable;

/// The newest `schema` that this release reads.
pub(crate) const SCHEMA: i64 = 1;

#[derive(Debug, Default)]
pub(crate) struct UnitFile {
    pub(crate) unit: UnitTable,
    pub(crate) container: ContainerTable,
    pub(crate) env: Vec<(Text, Text)>,
    pub(crate) ports: Vec<PortTable>,
    pub(crate) network: NetworkTable,
    pub(crate) mounts: Vec<MountTable>,
    pub(crate) resources: ResourcesTable,
    pub(crate) read_only: Option<Spanned<bool>>,
    pub(crate) service: ServiceTable,
    pub(crate) logging: LoggingTable,
    /// Present even when empty, for it is allowed in templates only.
    pub(crate) replicas: Option<Spanned<ReplicasTable>>,
    pub(crate) readiness: ReadinessTable,
    pub(crate) health: HealthTable,
    pub(crate) timer: Option<TimerTable>,
    pub(crate) update: UpdateTable,
}

/// What a file may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    Container,
    /// `[unit]` only.
    Target,
    /// `[unit]` and `[timer]` only.
    Timer,
}

/// All mistakes in syntax, names and types. A file with a mistake in its syntax, or from a later schema, is not looked
/// at further (`None`): what else is wrong with it cannot be known.
pub(crate) fn read(
    document: &Document<'_>,
    contents: Contents,
) -> (Option<UnitFile>, Vec<Diagnostic>) {
    let parsed = match parse(document) {
        Ok(parsed) => parsed,
        Err(errors) => return (None, errors),
    };
    let mut reader = Reader::new(document);
    let mut top = reader.open("", 0..0, &parsed);
    if let Some(schema) = reader.integer(&mut top, "schema") {
        let version = *schema.get_ref();
        if !(1..=SCHEMA).contains(&version) {
            let error = document.error(
                &schema.span(),
                format!("this release does not know schema {version}"),
            );
            return (
                None,
                vec![error.expected(format!("at most {SCHEMA}, at least 1"))],
            );
        }
    }
    let file = match contents {
        Contents::Container => read_container_file(&mut reader, &mut top),
        Contents::Target => read_target_file(&mut reader, &mut top),
        Contents::Timer => read_timer_file(&mut reader, &mut top),
    };
    reader.finish(&top);
    (Some(file), reader.diagnostics)
}

/// The unit file with its drop-ins put over it.
fn parse<'s>(document: &Document<'s>) -> Result<DeTable<'s>, Vec<Diagnostic>> {
    let mut merged = DeTable::new();
    let mut errors = Vec::new();
    for Part { start, source } in document.parts() {
        let (parsed, wrong) = DeTable::parse_recoverable(&source.text);
        errors.extend(wrong.iter().map(|error| {
            let message = error.message().trim().replace('\n', ", ");
            let end = source.text.len()..source.text.len();
            let span = error.span().unwrap_or(end);
            let span = span.start.saturating_add(*start)..span.end.saturating_add(*start);
            document.error(&span, format!("not TOML: {message}"))
        }));
        if *start == 0 {
            merged = parsed.into_inner();
        } else {
            let drop_in = merge::shifted(parsed.into_inner(), *start);
            merge::merge(&mut merged, drop_in, "");
        }
    }
    if errors.is_empty() {
        Ok(merged)
    } else {
        Err(errors)
    }
}

/// Where a key or table stands at the top level of one part, if it has it.
pub(crate) fn written(part: &Part<'_>, key: &str) -> Option<std::ops::Range<usize>> {
    let (parsed, _) = DeTable::parse_recoverable(&part.source.text);
    let (key, _) = parsed.get_ref().get_key_value(key)?;
    let (start, end) = (key.span().start, key.span().end);
    Some(start.saturating_add(part.start)..end.saturating_add(part.start))
}

fn read_target_file(reader: &mut Reader<'_>, top: &mut Table<'_>) -> UnitFile {
    let unit = read_unit(reader, top);
    let hint = "a target groups other units and has only `[unit]`";
    refuse_others(reader, top, "a target", hint);
    UnitFile {
        unit,
        ..UnitFile::default()
    }
}

fn read_timer_file(reader: &mut Reader<'_>, top: &mut Table<'_>) -> UnitFile {
    let unit = read_unit(reader, top);
    if !top.has("timer") {
        let message = "table `[timer]` is missing";
        let error = Diagnostic::error(reader.document.file(), None, message);
        reader
            .diagnostics
            .push(error.hint("say when: `on_calendar = [\"@daily\"]`"));
    }
    let timer = read_timer(reader, top);
    let hint = "a timer starts another unit and has only `[unit]` and `[timer]`";
    refuse_others(reader, top, "a timer", hint);
    UnitFile {
        unit,
        timer,
        ..UnitFile::default()
    }
}

fn refuse_others(reader: &mut Reader<'_>, top: &mut Table<'_>, what: &str, hint: &str) {
    let tables: Vec<&str> = crate::schema::keys("").collect();
    for name in tables {
        if let Some(span) = top.discard(name) {
            let error = reader
                .document
                .error(&span, format!("{what} has no `{name}`"));
            reader.diagnostics.push(error.hint(hint));
        }
    }
}

fn read_container_file(reader: &mut Reader<'_>, top: &mut Table<'_>) -> UnitFile {
    UnitFile {
        unit: read_unit(reader, top),
        container: read_container(reader, top),
        env: reader.pairs(top, "env").unwrap_or_default(),
        ports: reader
            .tables(top, "ports", "ports")
            .into_iter()
            .map(|table| read_port(reader, table))
            .collect(),
        network: read_network(reader, top),
        mounts: reader
            .tables(top, "mounts", "mounts")
            .into_iter()
            .map(|table| read_mount(reader, table))
            .collect(),
        resources: read_resources(reader, top),
        read_only: read_security(reader, top),
        service: read_service(reader, top),
        logging: read_logging(reader, top),
        replicas: read_replicas(reader, top),
        readiness: read_readiness(reader, top),
        health: read_health(reader, top),
        timer: read_timer(reader, top),
        update: read_update(reader, top),
    }
}
