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
