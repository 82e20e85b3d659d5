//! What a hint tells to write is accepted: help must not lead into the next error.

use unit::{Diagnostic, Source};

/// Table, key, and what somebody writes there who comes from elsewhere.
const ROWS: &[(&str, &str, &str)] = &[
    ("service", "restart", "false"),
    ("service", "restart", "true"),
    ("service", "restart", "\"false\""),
    ("service", "restart", "\"never\""),
    ("service", "restart", "\"on_failure\""),
    ("service", "restart", "\"unless_stopped\""),
    ("service", "restart", "\"on-abort\""),
    ("service", "restart", "3"),
    ("service", "restart", "\"on-failure:3\""),
    ("service", "type", "\"exec\""),
    ("service", "stop_timeout", "10"),
    ("service", "stop_timeout", "0.25"),
    ("service", "stop_timeout", "\"10\""),
    ("service", "stop_timeout", "\"1 min\""),
    ("service", "restart_delay", "0"),
    ("service", "start_limit", "5"),
    ("service", "reload", "\"SIGHUP\""),
    ("service", "reload", "\"nginx -s reload\""),
    ("service", "watchdog", "30"),
    ("container", "command", "\"nginx -g 'daemon off;'\""),
    ("container", "command", "\"echo $HOME | cat\""),
    ("container", "command", "[\"nginx -g 'daemon off;'\"]"),
    ("container", "entrypoint", "\"/entry.sh\""),
    ("container", "entrypoint", "[\"/entry.sh --flag\"]"),
    ("container", "volumes", "\"data:/data\""),
    ("container", "user", "1000"),
    ("container", "hostname", "7"),
    ("container", "stop_signal", "15"),
    ("container", "init", "\"yes\""),
    ("container", "init", "\"/sbin/tini\""),
    ("container", "tmpfs", "\"/tmp\""),
    ("env", "DEBUG", "true"),
    ("env", "WORKERS", "4"),
    ("env", "RATE", "0.5"),
    ("network", "mode", "false"),
    ("network", "mode", "\"pasta\""),
    ("network", "mode", "\"default\""),
    ("resources", "memory", "512"),
    ("resources", "memory", "536870912"),
    ("resources", "memory", "\"512Mi\""),
    ("resources", "memory", "\"1 GB\""),
    ("resources", "cpus", "\"500m\""),
    ("resources", "cpus", "\"50%\""),
    ("resources", "cpus", "\"1.5\""),
    ("resources", "pids", "\"100\""),
    ("logging", "max_size", "10"),
    ("logging", "max_size", "\"10Mi\""),
    ("security", "read_only", "\"yes\""),
    ("security", "read_only", "1"),
    ("security", "read_only", "\"True\""),
    (
        "health",
        "exec",
        "\"curl -f http://localhost:8080/healthz\"",
    ),
    ("health", "exec", "\"curl -f http://localhost/ || exit 1\""),
    ("health", "exec", "\"CMD-SHELL test -f /x\""),
    ("health", "exec", "\"NONE\""),
    ("health", "exec", "[\"curl -f localhost\"]"),
    ("health", "http", "\"http://localhost:8080/healthz\""),
    ("health", "tcp", "6379"),
    ("timer", "on_calendar", "[\"CRON_TZ=Asia/Tokyo 0 6 * * *\"]"),
    ("timer", "on_calendar", "[\"TZ=UTC Mon..Fri 09:00\"]"),
    ("timer", "on_calendar", "\"@daily\""),
    ("timer", "on_boot", "300"),
    ("timer", "on_calendar", "[\"CRON_TZ=Asia/Tokio 0 6 * * *\"]"),
    ("container", "user", "0"),
];

fn check(text: &str) -> Vec<Diagnostic> {
    unit::load_sources(vec![Source {
        file: "web.container.toml".to_owned(),
        text: text.to_owned(),
    }])
    .diagnostics
}

/// A unit with these lines in the table.
fn unit_with(table: &str, lines: &str) -> String {
    match table {
        "container" => format!("[container]\nimage = \"x\"\n{lines}\n"),
        _ => format!("[container]\nimage = \"x\"\n[{table}]\n{lines}\n"),
    }
}

/// The lines that the hint tells to write: `` `key = value` `` once or more, or a value for the key alone.
fn told(key: &str, hint: &str) -> String {
    let lines: Vec<&str> = hint
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| code.contains(" = "))
        .collect();
    if !lines.is_empty() {
        return lines.join("\n");
    }
    if let Some(word) = hint.strip_suffix(" without quotes") {
        return format!("{key} = {}", word.strip_prefix("write ").expect("a word"));
    }
    let (start, end) = (hint.find('"'), hint.rfind('"'));
    let (start, end) = (start.expect("a value"), end.expect("a value"));
    format!("{key} = {}", hint.get(start..=end).expect("a value"))
}

#[test]
fn what_a_hint_tells_to_write_is_accepted() {
    for (table, key, value) in ROWS {
        let found = check(&unit_with(table, &format!("{key} = {value}")));
        let first = found.first();
        let first = first.unwrap_or_else(|| panic!("{key} = {value} is accepted"));
        let hint = first.hint.as_deref();
        let hint = hint.unwrap_or_else(|| panic!("{key} = {value}: no hint: {first}"));
        let lines = told(key, hint);
        let left = check(&unit_with(table, &lines));
        let left: Vec<String> = left.iter().map(ToString::to_string).collect();
        assert!(
            left.is_empty(),
            "{key} = {value}: {hint}\n{lines}\n{left:?}"
        );
    }
}

#[test]
fn a_published_port_is_written_as_told() {
    for (bad, good) in [
        ("8080:80/TCP", "8080:80/tcp"),
        ("127.0.0.1:53:53/Udp", "127.0.0.1:53:53/udp"),
    ] {
        let ports = |text: &str| {
            check(&format!(
                "[container]\nimage = \"x\"\n[[ports]]\npublish = \"{text}\"\n"
            ))
        };
        let hint = ports(bad).first().and_then(|found| found.hint.clone());
        assert_eq!(hint, Some(format!("write \"{good}\"")));
        assert!(ports(good).is_empty());
    }
}

/// Table (with brackets), lines that must stand in it beside the key, and keys.
const KEYS: &[(&str, &str, &[&str])] = &[
    (
        "[unit]",
        "",
        &[
            "description",
            "documentation",
            "after",
            "before",
            "requires",
            "requisite",
            "wants",
            "binds_to",
            "part_of",
            "conflicts",
            "on_failure",
            "on_success",
            "profiles",
            "wanted_by",
            "condition",
        ],
    ),
    (
        "[unit.condition]",
        "",
        &["path_exists", "kernel_cmdline", "memory_min", "label"],
    ),
    (
        "[container]",
        "image = \"x\"",
        &[
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
    ),
    ("[container]", "", &["image"]),
    ("[env]", "", &["KEY"]),
    ("[[ports]]", "", &["publish"]),
    ("[[ports]]", "publish = \"80:80\"", &["host_ip", "protocol"]),
    ("[network]", "", &["mode", "extra_hosts"]),
    ("[[mounts]]", "target = \"/a\"\nsource = \"a\"", &["type"]),
    (
        "[[mounts]]",
        "target = \"/a\"\ntype = \"volume\"",
        &["source"],
    ),
    (
        "[[mounts]]",
        "source = \"a\"\ntype = \"volume\"",
        &["target"],
    ),
    (
        "[[mounts]]",
        "target = \"/a\"\ntype = \"tmpfs\"",
        &["read_only", "options", "tmpfs"],
    ),
    (
        "[[mounts]]",
        "target = \"/a\"\ntype = \"tmpfs\"\n[mounts.tmpfs]",
        &["size", "mode"],
    ),
    ("[resources]", "", &["memory", "cpus", "pids"]),
    ("[security]", "", &["read_only"]),
    (
        "[service]",
        "",
        &[
            "type",
            "restart",
            "restart_delay",
            "restart_delay_max",
            "restart_backoff",
            "restart_reset_after",
            "start_limit",
            "success_exit_codes",
            "restart_prevent_exit_codes",
            "start_timeout",
            "stop_timeout",
            "runtime_max",
            "kill_mode",
            "watchdog",
            "reload",
            "pre_start",
            "post_start",
            "pre_stop",
            "post_stop",
        ],
    ),
    ("[service]", "type = \"oneshot\"", &["remain_after_exit"]),
    ("[service]", "restart = \"on-failure\"", &["restart_max"]),
    ("[service.start_limit]", "interval = \"1h\"", &["burst"]),
    ("[service.start_limit]", "burst = 5", &["interval"]),
    ("[service.reload]", "", &["signal", "command"]),
    (
        "[[service.pre_start]]",
        "command = [\"x\"]",
        &["image", "timeout", "on_failure"],
    ),
    ("[[service.pre_start]]", "", &["command"]),
    ("[readiness]", "", &["mode", "timeout"]),
    ("[readiness]", "mode = \"port\"", &["port"]),
    ("[readiness]", "mode = \"log\"", &["log"]),
    (
        "[health]",
        "exec = [\"x\"]",
        &[
            "interval",
            "timeout",
            "retries",
            "start_period",
            "start_interval",
            "success_threshold",
            "on_unhealthy",
            "pause_aware",
        ],
    ),
    ("[health]", "", &["disable", "exec", "http", "tcp"]),
    (
        "[health.http]",
        "port = 80",
        &["path", "scheme", "status", "headers"],
    ),
    ("[health.http]", "", &["port"]),
    ("[health.tcp]", "", &["port"]),
    (
        "[timer]",
        "on_boot = \"1m\"",
        &[
            "on_calendar",
            "on_unit_active",
            "timezone",
            "persistent",
            "randomized_delay",
            "concurrency",
            "history",
        ],
    ),
    ("[timer]", "", &["on_boot"]),
    ("[logging]", "", &["max_size", "max_files"]),
    ("[update]", "", &["order", "health_wait"]),
];

const ODD: &[&str] = &[
    "true",
    "false",
    "0",
    "1",
    "-1",
    "80",
    "70000",
    "4294967295",
    "99999999999999999999",
    "1.5",
    "-0.5",
    "1e3",
    "0x10",
    "0o755",
    "1979-05-27",
    "\"yes\"",
    "\"true\"",
    "\"no\"",
    "\"none\"",
    "\"\"",
    "\" \"",
    "\"x y\"",
    "\"x\"",
    "\"50%\"",
    "\"50%%\"",
    "\"-1\"",
    "\"0\"",
    "\"10\"",
    "\"99999999999\"",
    "\"1.5\"",
    "\"max\"",
    "\"10 MB\"",
    "\"10Mi\"",
    "\"1 min\"",
    "\"500ms\"",
    "\"500m\"",
    "\"SIGHUP\"",
    "\"9\"",
    "\"/x\"",
    "\"http://localhost/x\"",
    "\"http://localhost/x y\"",
    "\"a=b\"",
    "\"$X\"",
    "\"${X}\"",
    "\"Always\"",
    "\"@daily\"",
    "\"a\\\"b\"",
    "[]",
    "[\"x\"]",
    "[\"x y\"]",
    "[\"50%\"]",
    "[1]",
    "[-1]",
    "[300]",
    "[true]",
    "{}",
    "{ x = 1 }",
];

#[test]
fn no_hint_leads_into_the_next_error() {
    let mut dead_ends = Vec::new();
    for (table, beside, keys) in KEYS {
        for key in *keys {
            for value in ODD {
                let unit = |lines: &str| {
                    let head = match table.starts_with("[container]") || beside.contains("image") {
                        true => String::new(),
                        false => "[container]\nimage = \"x\"\n".to_owned(),
                    };
                    format!("{head}{table}\n{beside}\n{lines}\n")
                };
                for found in check(&unit(&format!("{key} = {value}"))) {
                    let Some(hint) = found.hint.clone() else {
                        continue;
                    };
                    let Some(lines) = followed(key, value, &hint) else {
                        continue;
                    };
                    let left = check(&unit(&lines));
                    let left: Vec<String> = left.iter().map(ToString::to_string).collect();
                    // What does not exist here may exist elsewhere, and a list of nonsense is nonsense in brackets too.
                    let no_fault = |text: &&String| {
                        let sensible = [
                            "does not exist",
                            "is not reached",
                            "but no `interval`",
                            "this timer never comes",
                        ];
                        sensible.iter().any(|known| text.contains(known))
                            || hint.starts_with("put it in brackets")
                    };
                    let faults = left.iter().filter(|text| !no_fault(text)).count();
                    if faults > 0 {
                        dead_ends.push(format!(
                            "{table} {key} = {value}: {hint}\n    {lines}\n    {}",
                            left.join("\n    ")
                        ));
                    }
                }
            }
        }
    }
    assert!(
        dead_ends.is_empty(),
        "{} dead ends\n{}",
        dead_ends.len(),
        dead_ends.join("\n")
    );
}

/// The line as a hint tells to write it, if it tells so.
fn followed(key: &str, value: &str, hint: &str) -> Option<String> {
    // It is about a key in the table.
    if value.starts_with('{') {
        return None;
    }
    let code: Vec<&str> = hint.split('`').skip(1).step_by(2).collect();
    let whole: Vec<&str> = code
        .iter()
        .copied()
        .filter(|code| code.contains(" = ") || code.starts_with("[["))
        .collect();
    if !whole.is_empty() {
        return Some(whole.join("\n"));
    }
    if hint.contains("leave the key out") || hint.contains("without a word") {
        return Some(String::new());
    }
    if let Some(word) = hint.strip_suffix(" without quotes") {
        return Some(format!("{key} = {}", word.strip_prefix("write ")?));
    }
    let quoted = hint
        .strip_prefix("write \"")
        .or_else(|| hint.strip_prefix("put it in quotes: \""))
        .or_else(|| hint.strip_prefix("perhaps \""));
    if let Some(text) = quoted {
        let text = text.strip_suffix('"')?;
        // Of a list it is the member.
        let inner = value.strip_prefix('[').is_some();
        return Some(match inner {
            true => format!("{key} = [\"{text}\"]"),
            false => format!("{key} = \"{text}\""),
        });
    }
    if let [percent] = code.as_slice()
        && percent.starts_with("%%")
        && hint.starts_with("write")
    {
        let single = percent.strip_prefix('%')?;
        return Some(format!("{key} = {}", value.replace(single, percent)));
    }
    None
}
