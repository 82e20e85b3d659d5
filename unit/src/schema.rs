//! Every key that a unit file can have, in this release or a later one.
//!
//! A key that a later release will read is "not supported yet"; one that is not listed is a mistake, and the lists are
//! where the name that was meant is looked for.

/// The keys of one table.
pub(crate) struct TableKeys {
    /// `""` is the file itself; `a.b` is the table `b` inside `a`.
    pub(crate) name: &'static str,
    /// Those that [`crate::file`] reads.
    pub(crate) now: &'static [&'static str],
    /// Those that a later release will read.
    pub(crate) later: &'static [&'static str],
}

pub(crate) const TABLES: &[TableKeys] = &[
    TableKeys {
        name: "",
        now: &[
            "schema",
            "unit",
            "container",
            "env",
            "ports",
            "network",
            "mounts",
            "resources",
            "security",
            "service",
            "logging",
            "replicas",
        ],
        later: &[
            "env_file",
            "secrets",
            "configs",
            "ulimits",
            "sysctls",
            "readiness",
            "health",
            "timer",
            "update",
        ],
    },
    TableKeys {
        name: "unit",
        now: &[
            "description",
            "documentation",
            "after",
            "before",
            "requires",
            "wants",
            "wanted_by",
        ],
        later: &[
            "requisite",
            "binds_to",
            "part_of",
            "conflicts",
            "on_failure",
            "on_success",
            "condition",
            "profiles",
            "depends_on",
        ],
    },
    TableKeys {
        name: "container",
        now: &[
            "image",
            "entrypoint",
            "command",
            "working_dir",
            "user",
            "hostname",
            "stop_signal",
            "volumes",
            "tmpfs",
        ],
        later: &[
            "rootfs",
            "system_image",
            "pull_policy",
            "platform",
            "auth",
            "verify",
            "name",
            "group_add",
            "umask",
            "domainname",
            "timezone",
            "init",
            "tty",
            "stdin_open",
            "labels",
            "annotations",
            "runtime",
            "http_proxy",
        ],
    },
    TableKeys {
        name: "ports",
        now: &["publish", "host_ip", "protocol"],
        later: &["app_protocol", "expose_external", "from"],
    },
    TableKeys {
        name: "network",
        now: &["mode", "extra_hosts"],
        later: &[
            "dns",
            "dns_search",
            "dns_options",
            "expose",
            "bandwidth",
            "attach",
        ],
    },
    TableKeys {
        name: "mounts",
        now: &["type", "source", "target", "read_only", "tmpfs"],
        later: &[
            "nocopy",
            "subpath",
            "create_host_path",
            "propagation",
            "idmap",
            "selinux",
            "options",
        ],
    },
    TableKeys {
        name: "mounts.tmpfs",
        now: &["size", "mode"],
        later: &[],
    },
    TableKeys {
        name: "resources",
        now: &["memory", "cpus", "pids"],
        later: &[
            "memory_high",
            "memory_reservation",
            "memory_min",
            "memory_swap",
            "memory_swappiness",
            "oom_group",
            "oom_score_adj",
            "oom_policy",
            "cpu_shares",
            "cpu_weight",
            "cpu_period",
            "cpuset",
            "cpuset_mems",
            "cpu_idle",
            "io_weight",
            "io_max",
            "disk",
            "shm_size",
            "hugetlb",
            "cgroup_parent",
            "delegate",
        ],
    },
    TableKeys {
        name: "security",
        now: &["read_only"],
        later: &[
            "privileged",
            "cap_add",
            "cap_drop",
            "ambient_caps",
            "no_new_privileges",
            "read_only_tmpfs",
            "seccomp",
            "apparmor",
            "selinux",
            "userns",
            "uid_map",
            "gid_map",
            "pid",
            "ipc",
            "uts",
            "cgroupns",
            "mask",
            "unmask",
            "devices",
            "device_rules",
            "gpus",
            "keyring",
        ],
    },
    TableKeys {
        name: "service",
        now: &[
            "type",
            "remain_after_exit",
            "restart",
            "restart_max",
            "restart_delay",
            "restart_delay_max",
            "restart_backoff",
            "restart_reset_after",
            "success_exit_codes",
            "start_timeout",
            "stop_timeout",
        ],
        later: &[
            "start_limit",
            "restart_prevent_exit_codes",
            "runtime_max",
            "kill_mode",
            "reload",
            "watchdog",
            "pre_start",
            "post_start",
            "pre_stop",
            "post_stop",
        ],
    },
    TableKeys {
        name: "logging",
        now: &["max_size", "max_files"],
        later: &["driver", "rate_limit", "mode", "tag", "forward", "labels"],
    },
    TableKeys {
        name: "replicas",
        now: &["count", "instances", "port_offset"],
        later: &["max_parallel"],
    },
];

/// What Compose, Quadlet and the Docker command line call it → where it is here.
pub(crate) const ELSEWHERE: &[(&str, &str)] = &[
    ("args", "`command` in `[container]`"),
    ("cmd", "`command` in `[container]`"),
    ("container_name", "the name of the file"),
    ("environment", "the table `[env]`"),
    ("exec", "`command` in `[container]`"),
    ("mem_limit", "`memory` in `[resources]`"),
    ("memory_max", "`memory` in `[resources]`"),
    ("network_mode", "`mode` in `[network]`"),
    ("pids_limit", "`pids` in `[resources]`"),
    ("publish_port", "`publish` in `[[ports]]`"),
    ("replicas", "`count` in `[replicas]`"),
    ("retries", "`restart_max` in `[service]`"),
    ("scale", "`count` in `[replicas]`"),
    ("stop_grace_period", "`stop_timeout` in `[service]`"),
    ("timeout_start_sec", "`start_timeout` in `[service]`"),
    ("timeout_stop_sec", "`stop_timeout` in `[service]`"),
    ("workdir", "`working_dir` in `[container]`"),
];

pub(crate) fn table(name: &str) -> Option<&'static TableKeys> {
    TABLES.iter().find(|table| table.name == name)
}

/// All keys of a table, those that work first.
pub(crate) fn keys(name: &str) -> impl Iterator<Item = &'static str> {
    table(name)
        .into_iter()
        .flat_map(|table| table.now.iter().chain(table.later))
        .copied()
}

/// The other table that has this key, when it is only one.
pub(crate) fn home(key: &str, not: &str) -> Option<&'static str> {
    let tables = TABLES
        .iter()
        .map(|table| table.name)
        .filter(|name| *name != not && !name.is_empty());
    let mut homes = tables.filter(|name| keys(name).any(|known| known == key));
    match (homes.next(), homes.next()) {
        (Some(table), None) => Some(table),
        (_, _) => None,
    }
}

/// `[container]`, `[[ports]]`
pub(crate) fn title(table: &str) -> String {
    match table {
        "" => "the top level of the file".to_owned(),
        "ports" | "mounts" => format!("`[[{table}]]`"),
        _ => format!("`[{table}]`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_names_every_key_and_lists_those_that_do_not_work_yet() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/units.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (reference, later) = text.split_once("\n## Not supported yet\n").unwrap();
        for table in TABLES {
            for key in table.now {
                let named = [format!("`{key}`"), format!("[{key}]")];
                let found = named.iter().any(|named| reference.contains(named));
                assert!(found, "{key} of {:?} is not in the reference", table.name);
            }
            let start = format!("- {}: ", title(table.name));
            let line = later
                .lines()
                .find_map(|line| line.strip_prefix(&start))
                .unwrap_or("");
            let listed: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
            assert_eq!(listed, table.later, "of {:?}", table.name);
        }
    }
}
