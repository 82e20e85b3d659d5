//! `[service]` and `[update]`, as written.

use crate::reader::{Reader, Table, Text, Texts};
use std::ops::Range;
use toml::Spanned;

#[derive(Debug, Default)]
pub(crate) struct ServiceTable {
    pub(crate) kind: Option<Text>,
    pub(crate) restart: Option<Text>,
    pub(crate) restart_max: Option<Spanned<i64>>,
    pub(crate) restart_delay: Option<Text>,
    pub(crate) restart_delay_max: Option<Text>,
    pub(crate) restart_backoff: Option<Spanned<f64>>,
    pub(crate) restart_reset_after: Option<Text>,
    pub(crate) success_exit_codes: Option<Spanned<Vec<Spanned<i64>>>>,
    pub(crate) remain_after_exit: Option<Spanned<bool>>,
    pub(crate) start_timeout: Option<Text>,
    pub(crate) stop_timeout: Option<Text>,
    pub(crate) start_limit: Option<StartLimitTable>,
    pub(crate) restart_prevent_exit_codes: Option<Spanned<Vec<Spanned<i64>>>>,
    pub(crate) runtime_max: Option<Text>,
    pub(crate) kill_mode: Option<Text>,
    pub(crate) reload: Option<ReloadTable>,
    pub(crate) watchdog: Option<Text>,
    pub(crate) pre_start: Vec<HookTable>,
    pub(crate) post_start: Vec<HookTable>,
    pub(crate) pre_stop: Vec<HookTable>,
    pub(crate) post_stop: Vec<HookTable>,
}

#[derive(Debug)]
pub(crate) struct StartLimitTable {
    pub(crate) span: Range<usize>,
    pub(crate) burst: Option<Spanned<i64>>,
    pub(crate) interval: Option<Text>,
}

#[derive(Debug)]
pub(crate) struct ReloadTable {
    pub(crate) signal: Option<Text>,
    pub(crate) command: Option<Texts>,
}

#[derive(Debug)]
pub(crate) struct HookTable {
    pub(crate) span: Range<usize>,
    pub(crate) command: Option<Texts>,
    pub(crate) image: Option<Text>,
    pub(crate) timeout: Option<Text>,
    pub(crate) on_failure: Option<Text>,
}

#[derive(Debug, Default)]
pub(crate) struct UpdateTable {
    pub(crate) order: Option<Text>,
    pub(crate) health_wait: Option<Text>,
}

pub(super) fn read_service(reader: &mut Reader<'_>, top: &mut Table<'_>) -> ServiceTable {
    let Some(mut table) = reader.table(top, "service", "service") else {
        return ServiceTable::default();
    };
    let service = ServiceTable {
        kind: reader.string(&mut table, "type"),
        restart: reader.string(&mut table, "restart"),
        restart_max: reader.integer(&mut table, "restart_max"),
        restart_delay: reader.string(&mut table, "restart_delay"),
        restart_delay_max: reader.string(&mut table, "restart_delay_max"),
        restart_backoff: reader.number(&mut table, "restart_backoff"),
        restart_reset_after: reader.string(&mut table, "restart_reset_after"),
        success_exit_codes: reader.integers(&mut table, "success_exit_codes"),
        remain_after_exit: reader.boolean(&mut table, "remain_after_exit"),
        start_timeout: reader.string(&mut table, "start_timeout"),
        stop_timeout: reader.string(&mut table, "stop_timeout"),
        start_limit: read_start_limit(reader, &mut table),
        restart_prevent_exit_codes: reader.integers(&mut table, "restart_prevent_exit_codes"),
        runtime_max: reader.string(&mut table, "runtime_max"),
        kill_mode: reader.string(&mut table, "kill_mode"),
        reload: read_reload(reader, &mut table),
        watchdog: reader.string(&mut table, "watchdog"),
        pre_start: read_hooks(reader, &mut table, "pre_start", "service.pre_start"),
        post_start: read_hooks(reader, &mut table, "post_start", "service.post_start"),
        pre_stop: read_hooks(reader, &mut table, "pre_stop", "service.pre_stop"),
        post_stop: read_hooks(reader, &mut table, "post_stop", "service.post_stop"),
    };
    reader.finish(&table);
    service
}

fn read_start_limit(reader: &mut Reader<'_>, service: &mut Table<'_>) -> Option<StartLimitTable> {
    let mut table = reader.table(service, "start_limit", "service.start_limit")?;
    let start_limit = StartLimitTable {
        span: table.span.clone(),
        burst: reader.integer(&mut table, "burst"),
        interval: reader.string(&mut table, "interval"),
    };
    reader.finish(&table);
    Some(start_limit)
}

fn read_reload(reader: &mut Reader<'_>, service: &mut Table<'_>) -> Option<ReloadTable> {
    let mut table = reader.table(service, "reload", "service.reload")?;
    let reload = ReloadTable {
        signal: reader.string(&mut table, "signal"),
        command: reader.strings(&mut table, "command"),
    };
    reader.finish(&table);
    Some(reload)
}

fn read_hooks(
    reader: &mut Reader<'_>,
    service: &mut Table<'_>,
    key: &str,
    name: &'static str,
) -> Vec<HookTable> {
    let tables = reader.tables(service, key, name).into_iter();
    let hooks = tables.map(|mut table| {
        reader.require(
            &table,
            "command",
            "say what to run: `command = [\"program\", \"argument\"]`",
        );
        let hook = HookTable {
            span: table.span.clone(),
            command: reader.strings(&mut table, "command"),
            image: reader.string(&mut table, "image"),
            timeout: reader.string(&mut table, "timeout"),
            on_failure: reader.string(&mut table, "on_failure"),
        };
        reader.finish(&table);
        hook
    });
    hooks.collect()
}

pub(super) fn read_update(reader: &mut Reader<'_>, top: &mut Table<'_>) -> UpdateTable {
    let Some(mut table) = reader.table(top, "update", "update") else {
        return UpdateTable::default();
    };
    let update = UpdateTable {
        order: reader.string(&mut table, "order"),
        health_wait: reader.string(&mut table, "health_wait"),
    };
    reader.finish(&table);
    update
}
