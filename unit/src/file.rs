//! The unit file as written: each key that this release knows, with its type and its place, nothing yet judged.

use crate::reader::{Reader, Table, Text, Texts};
use crate::{Diagnostic, Source};
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
}

#[derive(Debug, Default)]
pub(crate) struct UnitTable {
    pub(crate) description: Option<Text>,
    pub(crate) documentation: Option<Texts>,
    pub(crate) after: Option<Texts>,
    pub(crate) before: Option<Texts>,
    pub(crate) requires: Option<Texts>,
    pub(crate) wants: Option<Texts>,
    pub(crate) wanted_by: Option<Texts>,
}

#[derive(Debug, Default)]
pub(crate) struct ContainerTable {
    pub(crate) image: Option<Text>,
    pub(crate) entrypoint: Option<Texts>,
    pub(crate) command: Option<Texts>,
    pub(crate) working_dir: Option<Text>,
    pub(crate) user: Option<Text>,
    pub(crate) hostname: Option<Text>,
    pub(crate) stop_signal: Option<Text>,
    pub(crate) volumes: Option<Texts>,
    pub(crate) tmpfs: Option<Texts>,
}

#[derive(Debug)]
pub(crate) struct PortTable {
    pub(crate) span: std::ops::Range<usize>,
    pub(crate) publish: Option<Text>,
    pub(crate) host_ip: Option<Text>,
    pub(crate) protocol: Option<Text>,
}

#[derive(Debug, Default)]
pub(crate) struct NetworkTable {
    pub(crate) mode: Option<Text>,
    pub(crate) extra_hosts: Vec<(Text, Text)>,
}

#[derive(Debug)]
pub(crate) struct MountTable {
    pub(crate) span: std::ops::Range<usize>,
    pub(crate) kind: Option<Text>,
    pub(crate) source: Option<Text>,
    pub(crate) target: Option<Text>,
    pub(crate) read_only: Option<Spanned<bool>>,
    pub(crate) tmpfs: Option<TmpfsTable>,
}

#[derive(Debug)]
pub(crate) struct TmpfsTable {
    pub(crate) span: std::ops::Range<usize>,
    pub(crate) size: Option<Text>,
    pub(crate) mode: Option<Text>,
}

#[derive(Debug, Default)]
pub(crate) struct ResourcesTable {
    pub(crate) memory: Option<Text>,
    pub(crate) cpus: Option<Spanned<f64>>,
    pub(crate) pids: Option<Spanned<i64>>,
}

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
}

#[derive(Debug, Default)]
pub(crate) struct LoggingTable {
    pub(crate) max_size: Option<Text>,
    pub(crate) max_files: Option<Spanned<i64>>,
}

#[derive(Debug, Default)]
pub(crate) struct ReplicasTable {
    pub(crate) count: Option<Spanned<i64>>,
    pub(crate) instances: Option<Texts>,
    pub(crate) port_offset: Option<Spanned<i64>>,
}

/// What a file may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    Container,
    /// `[unit]` only.
    Target,
}

/// All mistakes in syntax, names and types. A file with a mistake in its syntax, or from a later schema, is not looked
/// at further (`None`): what else is wrong with it cannot be known.
pub(crate) fn read(source: &Source, contents: Contents) -> (Option<UnitFile>, Vec<Diagnostic>) {
    let (parsed, errors) = DeTable::parse_recoverable(&source.text);
    if !errors.is_empty() {
        return (
            None,
            errors
                .iter()
                .map(|error| syntax_error(source, error))
                .collect(),
        );
    }
    let mut reader = Reader::new(source);
    let mut top = Table::new("", 0..0, parsed.get_ref());
    if let Some(schema) = reader.integer(&mut top, "schema") {
        let version = *schema.get_ref();
        if !(1..=SCHEMA).contains(&version) {
            let error = source.error(
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
    };
    reader.finish(&top);
    (Some(file), reader.diagnostics)
}

fn syntax_error(source: &Source, error: &toml::de::Error) -> Diagnostic {
    let message = error.message().trim().replace('\n', ", ");
    let end = source.text.len()..source.text.len();
    source.error(&error.span().unwrap_or(end), format!("not TOML: {message}"))
}

fn read_target_file(reader: &mut Reader<'_>, top: &mut Table<'_>) -> UnitFile {
    let file = UnitFile {
        unit: read_unit(reader, top),
        ..UnitFile::default()
    };
    let tables: Vec<&str> = crate::schema::keys("").collect();
    for name in tables {
        if let Some(span) = top.discard(name) {
            let error = reader
                .source
                .error(&span, format!("a target has no `{name}`"));
            reader
                .diagnostics
                .push(error.hint("a target groups other units and has only `[unit]`"));
        }
    }
    file
}

fn read_container_file(reader: &mut Reader<'_>, top: &mut Table<'_>) -> UnitFile {
    UnitFile {
        unit: read_unit(reader, top),
        container: read_container(reader, top),
        env: reader.pairs(top, "env").unwrap_or_default(),
        ports: reader
            .tables(top, "ports")
            .into_iter()
            .map(|table| read_port(reader, table))
            .collect(),
        network: read_network(reader, top),
        mounts: reader
            .tables(top, "mounts")
            .into_iter()
            .map(|table| read_mount(reader, table))
            .collect(),
        resources: read_resources(reader, top),
        read_only: read_security(reader, top),
        service: read_service(reader, top),
        logging: read_logging(reader, top),
        replicas: read_replicas(reader, top),
    }
}

fn read_unit(reader: &mut Reader<'_>, top: &mut Table<'_>) -> UnitTable {
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
    };
    reader.finish(&table);
    unit
}

fn read_container(reader: &mut Reader<'_>, top: &mut Table<'_>) -> ContainerTable {
    const IMAGE: &str = "say what to run: `image = \"docker.io/library/redis:7\"`";
    if !top.has("container") {
        let message = "table `[container]` is missing";
        reader
            .diagnostics
            .push(Diagnostic::error(&reader.source.file, None, message).hint(IMAGE));
    }
    let Some(mut table) = reader.table(top, "container", "container") else {
        return ContainerTable::default();
    };
    reader.require(&table, "image", IMAGE);
    let container = ContainerTable {
        image: reader.string(&mut table, "image"),
        entrypoint: reader.strings(&mut table, "entrypoint"),
        command: reader.strings(&mut table, "command"),
        working_dir: reader.string(&mut table, "working_dir"),
        user: reader.string(&mut table, "user"),
        hostname: reader.string(&mut table, "hostname"),
        stop_signal: reader.string(&mut table, "stop_signal"),
        volumes: reader.strings(&mut table, "volumes"),
        tmpfs: reader.strings(&mut table, "tmpfs"),
    };
    reader.finish(&table);
    container
}

fn read_port(reader: &mut Reader<'_>, mut table: Table<'_>) -> PortTable {
    reader.require(
        &table,
        "publish",
        "say which port: `publish = \"8080:80\"`, host port first",
    );
    let port = PortTable {
        span: table.span.clone(),
        publish: reader.string(&mut table, "publish"),
        host_ip: reader.string(&mut table, "host_ip"),
        protocol: reader.string(&mut table, "protocol"),
    };
    reader.finish(&table);
    port
}

fn read_network(reader: &mut Reader<'_>, top: &mut Table<'_>) -> NetworkTable {
    let Some(mut table) = reader.table(top, "network", "network") else {
        return NetworkTable::default();
    };
    let network = NetworkTable {
        mode: reader.string(&mut table, "mode"),
        extra_hosts: reader.pairs(&mut table, "extra_hosts").unwrap_or_default(),
    };
    reader.finish(&table);
    network
}

fn read_mount(reader: &mut Reader<'_>, mut table: Table<'_>) -> MountTable {
    reader.require(
        &table,
        "type",
        "say which: \"volume\", \"bind\" or \"tmpfs\"",
    );
    reader.require(
        &table,
        "target",
        "say where it appears in the container: `target = \"/data\"`",
    );
    let mount = MountTable {
        span: table.span.clone(),
        kind: reader.string(&mut table, "type"),
        source: reader.string(&mut table, "source"),
        target: reader.string(&mut table, "target"),
        read_only: reader.boolean(&mut table, "read_only"),
        tmpfs: reader
            .table(&mut table, "tmpfs", "mounts.tmpfs")
            .map(|mut tmpfs| {
                let size = reader.string(&mut tmpfs, "size");
                let mode = reader.string(&mut tmpfs, "mode");
                let span = tmpfs.span.clone();
                reader.finish(&tmpfs);
                TmpfsTable { span, size, mode }
            }),
    };
    reader.finish(&table);
    mount
}

fn read_resources(reader: &mut Reader<'_>, top: &mut Table<'_>) -> ResourcesTable {
    let Some(mut table) = reader.table(top, "resources", "resources") else {
        return ResourcesTable::default();
    };
    let resources = ResourcesTable {
        memory: reader.string(&mut table, "memory"),
        cpus: reader.number(&mut table, "cpus"),
        pids: reader.integer(&mut table, "pids"),
    };
    reader.finish(&table);
    resources
}

fn read_security(reader: &mut Reader<'_>, top: &mut Table<'_>) -> Option<Spanned<bool>> {
    let mut table = reader.table(top, "security", "security")?;
    let read_only = reader.boolean(&mut table, "read_only");
    reader.finish(&table);
    read_only
}

fn read_service(reader: &mut Reader<'_>, top: &mut Table<'_>) -> ServiceTable {
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
    };
    reader.finish(&table);
    service
}

fn read_logging(reader: &mut Reader<'_>, top: &mut Table<'_>) -> LoggingTable {
    let Some(mut table) = reader.table(top, "logging", "logging") else {
        return LoggingTable::default();
    };
    let logging = LoggingTable {
        max_size: reader.string(&mut table, "max_size"),
        max_files: reader.integer(&mut table, "max_files"),
    };
    reader.finish(&table);
    logging
}

fn read_replicas(reader: &mut Reader<'_>, top: &mut Table<'_>) -> Option<Spanned<ReplicasTable>> {
    let mut table = reader.table(top, "replicas", "replicas")?;
    let replicas = ReplicasTable {
        count: reader.integer(&mut table, "count"),
        instances: reader.strings(&mut table, "instances"),
        port_offset: reader.integer(&mut table, "port_offset"),
    };
    let span = table.span.clone();
    reader.finish(&table);
    Some(Spanned::new(span, replicas))
}
