//! `[replicas]`, as written.

use crate::reader::{Reader, Table, Texts};
use toml::Spanned;

#[derive(Debug, Default)]
pub(crate) struct ReplicasTable {
    pub(crate) count: Option<Spanned<i64>>,
    pub(crate) instances: Option<Texts>,
    pub(crate) port_offset: Option<Spanned<i64>>,
    pub(crate) max_parallel: Option<Spanned<i64>>,
}

pub(super) fn read_replicas(
    reader: &mut Reader<'_>,
    top: &mut Table<'_>,
) -> Option<Spanned<ReplicasTable>> {
    let mut table = reader.table(top, "replicas", "replicas")?;
    let replicas = ReplicasTable {
        count: reader.integer(&mut table, "count"),
        instances: reader.strings(&mut table, "instances"),
        port_offset: reader.integer(&mut table, "port_offset"),
        max_parallel: reader.integer(&mut table, "max_parallel"),
    };
    let span = table.span.clone();
    reader.finish(&table);
    Some(Spanned::new(span, replicas))
}
