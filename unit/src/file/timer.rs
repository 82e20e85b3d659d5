//! `[timer]`, as written.

use crate::reader::{Reader, Table, Text, Texts};
use std::ops::Range;
use toml::Spanned;

#[derive(Debug)]
pub(crate) struct TimerTable {
    pub(crate) span: Range<usize>,
    /// Only in `NAME.timer.toml`.
    pub(crate) unit: Option<Text>,
    pub(crate) on_calendar: Option<Texts>,
    pub(crate) on_boot: Option<Text>,
    pub(crate) on_unit_active: Option<Text>,
    pub(crate) timezone: Option<Text>,
    pub(crate) persistent: Option<Spanned<bool>>,
    pub(crate) randomized_delay: Option<Text>,
    pub(crate) concurrency: Option<Text>,
    pub(crate) history: HistoryTable,
    /// A time is there, but has the wrong type.
    pub(crate) unreadable: bool,
}

#[derive(Debug, Default)]
pub(crate) struct HistoryTable {
    pub(crate) success: Option<Spanned<i64>>,
    pub(crate) failed: Option<Spanned<i64>>,
}

pub(super) fn read_timer(reader: &mut Reader<'_>, top: &mut Table<'_>) -> Option<TimerTable> {
    let mut table = reader.table(top, "timer", "timer")?;
    let written = ["on_calendar", "on_boot", "on_unit_active"].map(|key| table.has(key));
    let mut timer = TimerTable {
        span: table.span.clone(),
        unit: reader.string(&mut table, "unit"),
        on_calendar: reader.strings(&mut table, "on_calendar"),
        on_boot: reader.string(&mut table, "on_boot"),
        on_unit_active: reader.string(&mut table, "on_unit_active"),
        timezone: reader.string(&mut table, "timezone"),
        persistent: reader.boolean(&mut table, "persistent"),
        randomized_delay: reader.string(&mut table, "randomized_delay"),
        concurrency: reader.string(&mut table, "concurrency"),
        history: read_history(reader, &mut table),
        unreadable: false,
    };
    let read = [
        timer.on_calendar.is_some(),
        timer.on_boot.is_some(),
        timer.on_unit_active.is_some(),
    ];
    timer.unreadable = written != read;
    reader.finish(&table);
    Some(timer)
}

fn read_history(reader: &mut Reader<'_>, timer: &mut Table<'_>) -> HistoryTable {
    let Some(mut table) = reader.table(timer, "history", "timer.history") else {
        return HistoryTable::default();
    };
    let history = HistoryTable {
        success: reader.integer(&mut table, "success"),
        failed: reader.integer(&mut table, "failed"),
    };
    reader.finish(&table);
    history
}
