//! `[readiness]` and `[health]`, as written.

use crate::reader::{Reader, Table, Text, Texts};
use std::ops::Range;
use toml::Spanned;

#[derive(Debug, Default)]
pub(crate) struct ReadinessTable {
    pub(crate) mode: Option<Text>,
    pub(crate) port: Option<Text>,
    pub(crate) log: Option<Text>,
    pub(crate) timeout: Option<Text>,
    /// `port` or `log` is there, but has the wrong type.
    pub(crate) unreadable: bool,
}

#[derive(Debug, Default)]
pub(crate) struct HealthTable {
    pub(crate) disable: Option<Spanned<bool>>,
    pub(crate) exec: Option<Texts>,
    pub(crate) http: Option<HttpTable>,
    pub(crate) tcp: Option<TcpTable>,
    pub(crate) interval: Option<Text>,
    pub(crate) timeout: Option<Text>,
    pub(crate) retries: Option<Spanned<i64>>,
    pub(crate) start_period: Option<Text>,
    pub(crate) start_interval: Option<Text>,
    pub(crate) success_threshold: Option<Spanned<i64>>,
    pub(crate) on_unhealthy: Option<Text>,
    pub(crate) pause_aware: Option<Spanned<bool>>,
}

#[derive(Debug)]
pub(crate) struct HttpTable {
    pub(crate) span: Range<usize>,
    pub(crate) port: Option<Spanned<i64>>,
    pub(crate) path: Option<Text>,
    pub(crate) scheme: Option<Text>,
    pub(crate) status: Option<Text>,
    pub(crate) headers: Vec<(Text, Text)>,
}

#[derive(Debug)]
pub(crate) struct TcpTable {
    pub(crate) span: Range<usize>,
    pub(crate) port: Option<Spanned<i64>>,
}

pub(super) fn read_readiness(reader: &mut Reader<'_>, top: &mut Table<'_>) -> ReadinessTable {
    let Some(mut table) = reader.table(top, "readiness", "readiness") else {
        return ReadinessTable::default();
    };
    let written = [table.has("port"), table.has("log")];
    let mut readiness = ReadinessTable {
        mode: reader.string(&mut table, "mode"),
        port: reader.string(&mut table, "port"),
        log: reader.string(&mut table, "log"),
        timeout: reader.string(&mut table, "timeout"),
        unreadable: false,
    };
    readiness.unreadable = written != [readiness.port.is_some(), readiness.log.is_some()];
    reader.finish(&table);
    readiness
}

pub(super) fn read_health(reader: &mut Reader<'_>, top: &mut Table<'_>) -> HealthTable {
    let Some(mut table) = reader.table(top, "health", "health") else {
        return HealthTable::default();
    };
    let health = HealthTable {
        disable: reader.boolean(&mut table, "disable"),
        exec: reader.strings(&mut table, "exec"),
        http: read_http(reader, &mut table),
        tcp: read_tcp(reader, &mut table),
        interval: reader.string(&mut table, "interval"),
        timeout: reader.string(&mut table, "timeout"),
        retries: reader.integer(&mut table, "retries"),
        start_period: reader.string(&mut table, "start_period"),
        start_interval: reader.string(&mut table, "start_interval"),
        success_threshold: reader.integer(&mut table, "success_threshold"),
        on_unhealthy: reader.string(&mut table, "on_unhealthy"),
        pause_aware: reader.boolean(&mut table, "pause_aware"),
    };
    reader.finish(&table);
    health
}

fn read_http(reader: &mut Reader<'_>, health: &mut Table<'_>) -> Option<HttpTable> {
    let mut table = reader.table(health, "http", "health.http")?;
    reader.require(
        &table,
        "port",
        "say which port of the container: `port = 80`",
    );
    let http = HttpTable {
        span: table.span.clone(),
        port: reader.integer(&mut table, "port"),
        path: reader.string(&mut table, "path"),
        scheme: reader.string(&mut table, "scheme"),
        status: reader.string(&mut table, "status"),
        headers: reader.pairs(&mut table, "headers").unwrap_or_default(),
    };
    reader.finish(&table);
    Some(http)
}

fn read_tcp(reader: &mut Reader<'_>, health: &mut Table<'_>) -> Option<TcpTable> {
    let mut table = reader.table(health, "tcp", "health.tcp")?;
    reader.require(
        &table,
        "port",
        "say which port of the container: `port = 6379`",
    );
    let tcp = TcpTable {
        span: table.span.clone(),
        port: reader.integer(&mut table, "port"),
    };
    reader.finish(&table);
    Some(tcp)
}
