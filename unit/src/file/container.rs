//! `[container]`, `[[ports]]`, `[network]`, `[[mounts]]`, `[resources]`, `[security]`, `[logging]`, as written.

use crate::Diagnostic;
use crate::reader::{Reader, Table, Text, Texts};
use toml::Spanned;

#[derive(Debug, Default)]
pub(crate) struct ContainerTable {
    pub(crate) image: Option<Text>,
    pub(crate) entrypoint: Option<Texts>,
    pub(crate) command: Option<Texts>,
    pub(crate) working_dir: Option<Text>,
    pub(crate) user: Option<Text>,
    pub(crate) hostname: Option<Text>,
    pub(crate) init: Option<Spanned<bool>>,
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
    pub(crate) options: Option<Texts>,
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
pub(crate) struct LoggingTable {
    pub(crate) max_size: Option<Text>,
    pub(crate) max_files: Option<Spanned<i64>>,
}

pub(super) fn read_container(reader: &mut Reader<'_>, top: &mut Table<'_>) -> ContainerTable {
    const IMAGE: &str = "say what to run: `image = \"docker.io/library/redis:7\"`";
    if !top.has("container") {
        let message = "table `[container]` is missing";
        reader
            .diagnostics
            .push(Diagnostic::error(reader.document.file(), None, message).hint(IMAGE));
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
        init: reader.boolean(&mut table, "init"),
        stop_signal: reader.string(&mut table, "stop_signal"),
        volumes: reader.strings(&mut table, "volumes"),
        tmpfs: reader.strings(&mut table, "tmpfs"),
    };
    reader.finish(&table);
    container
}

pub(super) fn read_port(reader: &mut Reader<'_>, mut table: Table<'_>) -> PortTable {
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

pub(super) fn read_network(reader: &mut Reader<'_>, top: &mut Table<'_>) -> NetworkTable {
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

pub(super) fn read_mount(reader: &mut Reader<'_>, mut table: Table<'_>) -> MountTable {
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
        options: reader.strings(&mut table, "options"),
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

pub(super) fn read_resources(reader: &mut Reader<'_>, top: &mut Table<'_>) -> ResourcesTable {
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

pub(super) fn read_security(reader: &mut Reader<'_>, top: &mut Table<'_>) -> Option<Spanned<bool>> {
    let mut table = reader.table(top, "security", "security")?;
    let read_only = reader.boolean(&mut table, "read_only");
    reader.finish(&table);
    read_only
}

pub(super) fn read_logging(reader: &mut Reader<'_>, top: &mut Table<'_>) -> LoggingTable {
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
