//! A unit as a flat list of keys and values, in the words of the unit file: what two versions of it are compared by.
//!
//! Every struct is taken apart without `..`, so that a key that is added to a type does not compile until it is here.
//! Defaults are filled in; `None` has no entry. Of lists of tables, each member is one entry, named after what tells
//! it from the others: `mounts.\"/data\"`, `env.PATH`, `unit.depends_on.db`.

mod life;

use crate::{
    Container, ContainerUnit, Dependencies, Logging, Mount, MountKind, Network, NetworkMode, Port,
    Protocol, Replica, Resources, Unit, UnitKind, UnitName, bytes, duration, signal,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Display;

/// What it takes to put a changed key into effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Needs {
    /// It counts from now on, or at the next start.
    Nothing,
    /// The running container has the old value until it is started again.
    Restart,
}

/// By path, in the order of paths.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    pub(crate) entries: BTreeMap<String, (String, Needs)>,
}

impl Keys {
    pub(crate) fn of(unit: &Unit) -> Self {
        let mut keys = Self::default();
        keys.unit(unit);
        keys
    }

    fn add(&mut self, needs: Needs, key: impl Into<String>, value: impl Display) {
        self.entries.insert(key.into(), (value.to_string(), needs));
    }

    fn maybe(&mut self, needs: Needs, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.add(needs, key, value);
        }
    }

    fn unit(&mut self, unit: &Unit) {
        let Unit {
            name: _,
            // Where it is written is not what it says.
            source: _,
            drop_ins: _,
            description,
            dependencies,
            wanted_by,
            conditions,
            profiles,
            replica,
            kind,
        } = unit;
        let needs = Needs::Nothing;
        self.add(needs, "unit.description", quoted(description));
        self.add(needs, "unit.wanted_by", names(wanted_by));
        self.add(needs, "unit.profiles", texts(profiles));
        self.dependencies(dependencies);
        self.conditions(conditions);
        if let Some(Replica {
            template: _,
            index: _,
            max_parallel,
        }) = replica
        {
            self.add(needs, "replicas.max_parallel", max_parallel);
        }
        match kind {
            UnitKind::Container(container) => self.container_unit(container),
            UnitKind::Target => {}
            UnitKind::Timer { timer, unit } => {
                self.timer(timer);
                self.add(needs, "timer.unit", quoted(unit.as_str()));
            }
        }
    }

    fn dependencies(&mut self, dependencies: &Dependencies) {
        let Dependencies {
            after,
            before,
            requires,
            requisite,
            wants,
            binds_to,
            part_of,
            conflicts,
            on_failure,
            on_success,
            depends_on,
        } = dependencies;
        for (key, list) in [
            ("after", after),
            ("before", before),
            ("requires", requires),
            ("requisite", requisite),
            ("wants", wants),
            ("binds_to", binds_to),
            ("part_of", part_of),
            ("conflicts", conflicts),
            ("on_failure", on_failure),
            ("on_success", on_success),
        ] {
            self.add(Needs::Nothing, format!("unit.{key}"), names(list));
        }
        for depends in depends_on {
            self.depends_on(depends);
        }
    }

    fn container_unit(&mut self, unit: &ContainerUnit) {
        let ContainerUnit {
            container,
            service,
            resources,
            ports,
            mounts,
            network,
            logging,
            readiness,
            health,
            timer,
            update,
        } = unit;
        self.container(container);
        self.service(service);
        self.resources(resources);
        let published: Vec<String> = ports.iter().map(port).collect();
        self.add(Needs::Restart, "ports", texts(&published));
        for mount in mounts {
            self.mount(mount);
        }
        self.network(network);
        self.logging(logging);
        self.readiness(readiness);
        self.health(health);
        if let Some(timer) = timer {
            self.timer(timer);
        }
        self.update(update);
    }

    fn container(&mut self, container: &Container) {
        let Container {
            image,
            entrypoint,
            command,
            env,
            working_dir,
            user,
            hostname,
            init,
            read_only,
            stop_signal,
        } = container;
        let needs = Needs::Restart;
        self.add(needs, "container.image", quoted(image));
        let list = |list: &Option<Vec<String>>| list.as_ref().map(|list| texts(list));
        self.maybe(needs, "container.entrypoint", list(entrypoint));
        self.maybe(needs, "container.command", list(command));
        for (name, value) in env {
            self.add(needs, format!("env.{name}"), quoted(value));
        }
        let text = |text: &Option<String>| text.as_ref().map(|text| quoted(text));
        self.maybe(needs, "container.working_dir", text(working_dir));
        self.maybe(needs, "container.user", text(user));
        self.add(needs, "container.hostname", quoted(hostname));
        self.add(needs, "container.init", init);
        self.add(needs, "security.read_only", read_only);
        let stop_signal = stop_signal.map(|signal| quoted(&signal::display(signal)));
        self.maybe(needs, "container.stop_signal", stop_signal);
    }

    fn resources(&mut self, resources: &Resources) {
        let Resources {
            memory,
            cpus_milli,
            pids,
        } = resources;
        let needs = Needs::Restart;
        self.maybe(needs, "resources.memory", memory.map(amount));
        self.maybe(needs, "resources.cpus", cpus_milli.map(thousandths));
        self.add(needs, "resources.pids", pids);
    }

    fn mount(&mut self, mount: &Mount) {
        let Mount {
            kind,
            target,
            read_only,
            options,
        } = mount;
        let what = match kind {
            MountKind::Volume { name } => format!("type = \"volume\", source = {}", quoted(name)),
            MountKind::Bind { source } => format!("type = \"bind\", source = {}", quoted(source)),
            MountKind::Tmpfs { size, mode } => format!(
                "type = \"tmpfs\", size = {}, mode = \"{mode:04o}\"",
                amount(*size)
            ),
        };
        let mut value = format!("{{ {what}, read_only = {read_only}");
        let options = options.names();
        if !options.is_empty() {
            value.push_str(&format!(", options = {options:?}"));
        }
        value.push_str(" }");
        self.add(Needs::Restart, format!("mounts.{}", quoted(target)), value);
    }

    fn network(&mut self, network: &Network) {
        let Network { mode, extra_hosts } = network;
        let mode = match mode {
            NetworkMode::Bridge => "bridge",
            NetworkMode::Host => "host",
            NetworkMode::None => "none",
        };
        self.add(Needs::Restart, "network.mode", quoted(mode));
        for (name, address) in extra_hosts {
            let key = format!("network.extra_hosts.{}", quoted(name));
            self.add(Needs::Restart, key, quoted(address));
        }
    }

    fn logging(&mut self, logging: &Logging) {
        let Logging {
            max_size,
            max_files,
        } = logging;
        self.add(Needs::Restart, "logging.max_size", amount(*max_size));
        self.add(Needs::Restart, "logging.max_files", max_files);
    }
}

/// As a basic string of TOML.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            _ if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

pub(crate) fn texts(list: &[String]) -> String {
    let members: Vec<String> = list.iter().map(|text| quoted(text)).collect();
    format!("[{}]", members.join(", "))
}

fn names(list: &[UnitName]) -> String {
    let members: Vec<String> = list.iter().map(|name| quoted(name.as_str())).collect();
    format!("[{}]", members.join(", "))
}

fn numbers(list: &[i32]) -> String {
    let members: Vec<String> = list.iter().map(ToString::to_string).collect();
    format!("[{}]", members.join(", "))
}

fn milliseconds(value: u64) -> String {
    quoted(&duration::display(value))
}

fn amount(value: u64) -> String {
    quoted(&bytes::exact(value))
}

/// 1500 is `1.5`.
fn thousandths(value: u64) -> String {
    let (whole, rest) = (value / 1000, value % 1000);
    let fraction = format!("{rest:03}");
    let fraction = fraction.trim_end_matches('0');
    format!(
        "{whole}.{}",
        if fraction.is_empty() { "0" } else { fraction }
    )
}

/// As `publish` has it.
fn port(port: &Port) -> String {
    let Port {
        host_ip,
        host_port,
        container_port,
        count,
        protocol,
    } = port;
    let range = |first: u16| match count {
        0 | 1 => first.to_string(),
        _ => format!("{first}-{}", first.saturating_add(count.saturating_sub(1))),
    };
    let address = match host_ip {
        Some(std::net::IpAddr::V6(address)) => format!("[{address}]:"),
        Some(std::net::IpAddr::V4(address)) => format!("{address}:"),
        None => String::new(),
    };
    let host = match (host_port, host_ip) {
        (Some(first), _) => format!("{}:", range(*first)),
        (None, Some(_)) => ":".to_owned(),
        (None, None) => String::new(),
    };
    let protocol = match protocol {
        Protocol::Tcp => "",
        Protocol::Udp => "/udp",
    };
    format!("{address}{host}{}{protocol}", range(*container_port))
}
