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
            "readiness",
            "health",
            "timer",
            "update",
        ],
        later: &["env_file", "secrets", "configs", "ulimits", "sysctls"],
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
        later: &[],
    },
    TableKeys {
        name: "unit.condition",
        now: &["path_exists", "kernel_cmdline", "memory_min", "label"],
        later: &[],
    },
    TableKeys {
        name: "unit.depends_on",
        now: &["unit", "condition", "restart", "required"],
        later: &[],
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
            "init",
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
        now: &["type", "source", "target", "read_only", "options", "tmpfs"],
        later: &[
            "nocopy",
            "subpath",
            "create_host_path",
            "propagation",
            "idmap",
            "selinux",
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
        later: &[],
    },
    TableKeys {
        name: "service.start_limit",
        now: &["burst", "interval"],
        later: &[],
    },
    TableKeys {
        name: "service.reload",
        now: &["signal", "command"],
        later: &[],
    },
    TableKeys {
        name: "service.pre_start",
        now: HOOK,
        later: &[],
    },
    TableKeys {
        name: "service.post_start",
        now: HOOK,
        later: &[],
    },
    TableKeys {
        name: "service.pre_stop",
        now: HOOK,
        later: &[],
    },
    TableKeys {
        name: "service.post_stop",
        now: HOOK,
        later: &[],
    },
    TableKeys {
        name: "readiness",
        now: &["mode", "port", "log", "timeout"],
        later: &[],
    },
    TableKeys {
        name: "health",
        now: &[
            "disable",
            "exec",
            "http",
            "tcp",
            "interval",
            "timeout",
            "retries",
            "start_period",
            "start_interval",
            "success_threshold",
            "on_unhealthy",
            "pause_aware",
        ],
        later: &[],
    },
    TableKeys {
        name: "health.http",
        now: &["port", "path", "scheme", "status", "headers"],
        later: &[],
    },
    TableKeys {
        name: "health.tcp",
        now: &["port"],
        later: &[],
    },
    TableKeys {
        name: "timer",
        now: &[
            "unit",
            "on_calendar",
            "on_boot",
            "on_unit_active",
            "timezone",
            "persistent",
            "randomized_delay",
            "concurrency",
            "history",
        ],
        later: &[],
    },
    TableKeys {
        name: "timer.history",
        now: &["success", "failed"],
        later: &[],
    },
    TableKeys {
        name: "update",
        now: &["order", "health_wait"],
        later: &[
            "policy", "channel", "schedule", "rollback", "keep", "window",
        ],
    },
    TableKeys {
        name: "logging",
        now: &["max_size", "max_files"],
        later: &["driver", "rate_limit", "mode", "tag", "forward", "labels"],
    },
    TableKeys {
        name: "replicas",
        now: &["count", "instances", "port_offset", "max_parallel"],
        later: &[],
    },
];

/// Of one step before or after a run.
const HOOK: &[&str] = &["command", "image", "timeout", "on_failure"];

/// What Compose, Quadlet, systemd and the Docker command line call it → where it is here.
pub(crate) const ELSEWHERE: &[(&str, &str)] = &[
    ("args", "`command` in `[container]`"),
    ("cmd", "`command` in `[container]`"),
    (
        "condition_kernel_command_line",
        "`kernel_cmdline` in `condition` of `[unit]`",
    ),
    (
        "condition_memory",
        "`memory_min` in `condition` of `[unit]`",
    ),
    (
        "condition_path_exists",
        "`path_exists` in `condition` of `[unit]`",
    ),
    ("consists_of", "`part_of` in the other unit"),
    ("container_name", "the name of the file"),
    ("cron", "`on_calendar` in `[timer]`"),
    ("environment", "the table `[env]`"),
    ("exec", "`command` in `[container]`"),
    ("exec_condition", "`condition` in `[unit]`"),
    ("exec_reload", "`reload` in `[service]`"),
    ("exec_start", "`command` in `[container]`"),
    ("exec_start_post", "`post_start` in `[service]`"),
    ("exec_start_pre", "`pre_start` in `[service]`"),
    ("exec_stop", "`pre_stop` in `[service]`"),
    ("exec_stop_post", "`post_stop` in `[service]`"),
    ("health_cmd", "`exec` in `[health]`"),
    ("health_interval", "`interval` in `[health]`"),
    ("health_on_failure", "`on_unhealthy` in `[health]`"),
    ("health_retries", "`retries` in `[health]`"),
    ("health_start_period", "`start_period` in `[health]`"),
    ("health_timeout", "`timeout` in `[health]`"),
    ("healthcheck", "the table `[health]`"),
    ("install", "`wanted_by` in `[unit]`"),
    ("kill_signal", "`stop_signal` in `[container]`"),
    ("mem_limit", "`memory` in `[resources]`"),
    ("memory_max", "`memory` in `[resources]`"),
    ("network_mode", "`mode` in `[network]`"),
    ("notify", "`type = \"notify\"` in `[service]`"),
    ("notify_access", "`type = \"notify\"` in `[service]`"),
    ("on_active_sec", "`on_boot` in `[timer]`"),
    ("on_boot_sec", "`on_boot` in `[timer]`"),
    ("on_unit_active_sec", "`on_unit_active` in `[timer]`"),
    ("pids_limit", "`pids` in `[resources]`"),
    ("publish_port", "`publish` in `[[ports]]`"),
    ("randomized_delay_sec", "`randomized_delay` in `[timer]`"),
    ("reload_cmd", "`command` in `reload` of `[service]`"),
    ("reload_signal", "`signal` in `reload` of `[service]`"),
    ("replicas", "`count` in `[replicas]`"),
    ("required_by", "`requires` in the other unit"),
    ("restart_policy", "`restart` in `[service]`"),
    (
        "restart_prevent_exit_status",
        "`restart_prevent_exit_codes` in `[service]`",
    ),
    ("restart_sec", "`restart_delay` in `[service]`"),
    ("retries", "`restart_max` in `[service]`"),
    ("runtime_max_sec", "`runtime_max` in `[service]`"),
    ("run_init", "`init` in `[container]`"),
    ("scale", "`count` in `[replicas]`"),
    (
        "start_limit_burst",
        "`burst` in `start_limit` of `[service]`",
    ),
    (
        "start_limit_interval_sec",
        "`interval` in `start_limit` of `[service]`",
    ),
    ("stop_grace_period", "`stop_timeout` in `[service]`"),
    ("success_exit_status", "`success_exit_codes` in `[service]`"),
    ("test", "`exec` in `[health]`"),
    ("timeout_start_sec", "`start_timeout` in `[service]`"),
    ("timeout_stop_sec", "`stop_timeout` in `[service]`"),
    ("watchdog_sec", "`watchdog` in `[service]`"),
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

/// The other table that has this key, when it is only one; a table of the file counts before those inside others.
pub(crate) fn home(key: &str, not: &str) -> Option<&'static str> {
    let only = |inside: bool| {
        let mut homes = TABLES.iter().map(|table| table.name).filter(|name| {
            *name != not
                && !name.is_empty()
                && name.contains('.') == inside
                && keys(name).any(|known| known == key)
        });
        match (homes.next(), homes.next()) {
            (Some(table), None) => Some(table),
            (_, _) => None,
        }
    };
    only(false).or_else(|| only(true))
}

/// `[container]`, `[[ports]]`
pub(crate) fn title(table: &str) -> String {
    match table {
        "" => "the top level of the file".to_owned(),
        "ports" | "mounts" | "unit.depends_on" | "service.pre_start" | "service.post_start"
        | "service.pre_stop" | "service.post_stop" => format!("`[[{table}]]`"),
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
