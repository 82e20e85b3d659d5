//! `[unit]`, as written.

use crate::reader::{Reader, Table, Text, Texts};
use toml::Spanned;

#[derive(Debug, Default)]
pub(crate) struct UnitTable {
    pub(crate) description: Option<Text>,
    pub(crate) documentation: Option<Texts>,
    pub(crate) after: Option<Texts>,
    pub(crate) before: Option<Texts>,
    pub(crate) requires: Option<Texts>,
    pub(crate) wants: Option<Texts>,
    pub(crate) wanted_by: Option<Texts>,
    pub(crate) requisite: Option<Texts>,
    pub(crate) binds_to: Option<Texts>,
    pub(crate) part_of: Option<Texts>,
    pub(crate) conflicts: Option<Texts>,
    pub(crate) on_failure: Option<Texts>,
    pub(crate) on_success: Option<Texts>,
    pub(crate) condition: ConditionTable,
    pub(crate) profiles: Option<Texts>,
    pub(crate) depends_on: Vec<DependsOnTable>,
}

#[derive(Debug, Default)]
pub(crate) struct ConditionTable {
    pub(crate) path_exists: Option<Texts>,
    pub(crate) kernel_cmdline: Option<Texts>,
    pub(crate) memory_min: Option<Text>,
    pub(crate) label: Vec<(Text, Text)>,
}

#[derive(Debug)]
pub(crate) struct DependsOnTable {
    pub(crate) unit: Option<Text>,
    pub(crate) condition: Option<Text>,
    pub(crate) restart: Option<Spanned<bool>>,
    pub(crate) required: Option<Spanned<bool>>,
}

pub(super) fn read_unit(reader: &mut Reader<'_>, top: &mut Table<'_>) -> UnitTable {
    let Some(mut table) = reader.table(top, "unit", "unit") else {
        return UnitTable::default();
    };
    let unit = UnitTable {
        description: reader.string(&mut table, "description"),
        documentation: reader.strings(&mut table, "documentation"),
        after: reader.strings(&mut table, "after"),
        before: reader.strings(&mut table, "before"),
        requires: reader.strings(&mut table, "requires"),
        wants: reader.strings(&mut table, "wants"),
        wanted_by: reader.strings(&mut table, "wanted_by"),
        requisite: reader.strings(&mut table, "requisite"),
        binds_to: reader.strings(&mut table, "binds_to"),
        part_of: reader.strings(&mut table, "part_of"),
        conflicts: reader.strings(&mut table, "conflicts"),
        on_failure: reader.strings(&mut table, "on_failure"),
        on_success: reader.strings(&mut table, "on_success"),
        condition: read_condition(reader, &mut table),
        profiles: reader.strings(&mut table, "profiles"),
        depends_on: reader
            .tables(&mut table, "depends_on", "unit.depends_on")
            .into_iter()
            .map(|table| read_depends_on(reader, table))
            .collect(),
    };
    reader.finish(&table);
    unit
}

fn read_condition(reader: &mut Reader<'_>, unit: &mut Table<'_>) -> ConditionTable {
    let Some(mut table) = reader.table(unit, "condition", "unit.condition") else {
        return ConditionTable::default();
    };
    let condition = ConditionTable {
        path_exists: reader.strings(&mut table, "path_exists"),
        kernel_cmdline: reader.strings(&mut table, "kernel_cmdline"),
        memory_min: reader.string(&mut table, "memory_min"),
        label: reader.pairs(&mut table, "label").unwrap_or_default(),
    };
    reader.finish(&table);
    condition
}

fn read_depends_on(reader: &mut Reader<'_>, mut table: Table<'_>) -> DependsOnTable {
    reader.require(&table, "unit", "say which unit: `unit = \"db\"`");
    let depends_on = DependsOnTable {
        unit: reader.string(&mut table, "unit"),
        condition: reader.string(&mut table, "condition"),
        restart: reader.boolean(&mut table, "restart"),
        required: reader.boolean(&mut table, "required"),
    };
    reader.finish(&table);
    depends_on
}
