//! What people write who come from Compose, Quadlet, systemd, Kubernetes or plain YAML, and what is right here.
//!
//! A hint is what somebody writes next, so it must be accepted: `tests/hints.rs` writes what is told and checks again.

use crate::{bytes, duration, ids, keys, signal, words};

/// Keys whose text is a duration.
const DURATIONS: &[&str] = &[
    "service.restart_delay",
    "service.restart_delay_max",
    "service.restart_reset_after",
    "service.start_timeout",
    "service.stop_timeout",
    "service.runtime_max",
    "service.watchdog",
    "service.start_limit.interval",
    "service.pre_start.timeout",
    "service.post_start.timeout",
    "service.pre_stop.timeout",
    "service.post_stop.timeout",
    "readiness.timeout",
    "health.interval",
    "health.timeout",
    "health.start_period",
    "health.start_interval",
    "timer.on_boot",
    "timer.on_unit_active",
    "timer.randomized_delay",
    "update.health_wait",
];
/// Those of which there may be none.
const DURATIONS_OF_NONE: &[&str] = &[
    "service.restart_delay",
    "service.restart_reset_after",
    "service.stop_timeout",
    "health.start_period",
    "timer.on_boot",
    "timer.randomized_delay",
];
/// Keys whose text is an amount of bytes.
const BYTES: &[&str] = &[
    "resources.memory",
    "unit.condition.memory_min",
    "logging.max_size",
    "mounts.tmpfs.size",
];
/// Below so many, a bare number was not meant to count bytes.
const BYTES_MEANT_MIN: i64 = 1 << 20;

/// Keys with a few words for values: key, what others write, what it is here.
const WORDS: &[(&str, &[&str], &str)] = &[
    (
        "service.restart",
        &["false", "none", "never", "off", "n"],
        "no",
    ),
    (
        "service.restart",
        &["true", "yes", "on", "any", "y"],
        "always",
    ),
    ("service.restart", &["on-abort"], "on-abnormal"),
    ("service.type", &["exec", "idle"], "simple"),
    ("health.on_unhealthy", &["false", "ignore", "no"], "none"),
    ("timer.concurrency", &["false", "no"], "forbid"),
    ("timer.concurrency", &["true", "yes"], "allow"),
    ("network.mode", &["false", "no"], "none"),
    (
        "network.mode",
        &["default", "nat", "private", "slirp4netns", "pasta", "true"],
        "bridge",
    ),
];

/// The word that is meant by another's.
pub(crate) fn word(key: &str, written: &str) -> Option<&'static str> {
    let written = written.to_lowercase();
    let of_key = |(known, others, _): &&(&str, &[&str], &'static str)| {
        *known == key && others.contains(&written.as_str())
    };
    WORDS.iter().find(of_key).map(|(_, _, meant)| *meant)
}

/// A value that is no text where one belongs. `written` is a boolean or a number, as it stands there.
pub(crate) fn text(path: &str, written: &str) -> Option<String> {
    let key = path.rsplit('.').next().unwrap_or(path);
    let number = written.replace('_', "").parse::<i64>().ok();
    let write = |value: &str| Some(format!("write `{key} = {}`", keys::quoted(value)));
    if let Some(meant) = word(path, written) {
        return write(meant);
    }
    match path {
        "service.restart" => {
            let max = number.filter(|max| *max > 0)?;
            return Some(format!(
                "write `restart = \"on-failure\"` and `restart_max = {max}`"
            ));
        }
        "readiness.port" => {
            let port = number.filter(|port| (1..=65_535).contains(port))?;
            return write(&format!("tcp:{port}"));
        }
        "mounts.tmpfs.mode" => {
            let digits = written.trim_start_matches("0o");
            let good = u32::from_str_radix(digits, 8).is_ok_and(|mode| mode <= 0o7777);
            return (good && digits.chars().all(|c| c.is_ascii_digit()))
                .then(|| format!("write `{key} = \"{digits}\"`"));
        }
        "container.user" if written.starts_with('-') => {
            return Some(
                "ids are 0 and above; for the image's own user leave the key out".to_owned(),
            );
        }
        "container.user" if ids::check(written).is_err() => {
            return Some(format!(
                "ids are 0 to {}; `nobody` is 65534 in most images",
                ids::ID_MAX
            ));
        }
        _ => {}
    }
    if DURATIONS.contains(&path) {
        return write(&match number {
            Some(0) if !DURATIONS_OF_NONE.contains(&path) => return None,
            Some(seconds) => {
                let text = format!("{}s", u64::try_from(seconds).ok()?);
                duration::parse(&text).ok()?;
                text
            }
            None => format!("{}ms", milliseconds(written)?),
        });
    }
    if BYTES.contains(&path) {
        if number == Some(0) {
            return Some(format!("for no limit leave `{key}` out"));
        }
        // So many MiB are less than a container needs.
        let least = if path == "resources.memory" { 6 } else { 1 };
        let number = number.filter(|bytes| *bytes >= least)?;
        return write(&if number < BYTES_MEANT_MIN {
            format!("{number}M")
        } else {
            bytes::exact(u64::try_from(number).ok()?)
        });
    }
    let choice = WORDS.iter().any(|(known, _, _)| *known == path)
        || path.ends_with(".on_failure")
        || matches!(
            path,
            "service.kill_mode" | "readiness.mode" | "update.order" | "mounts.type"
        );
    let bool = matches!(written, "true" | "false");
    let free = [
        "env.",
        "unit.condition.label.",
        "health.http.headers.",
        "unit.description",
    ];
    let free = free.iter().any(|start| path.starts_with(start));
    (!choice && (free || (!bool && takes(path, written))))
        .then(|| format!("put it in quotes: \"{written}\""))
}

/// Whether the text of a number can be right for a key.
fn takes(path: &str, written: &str) -> bool {
    let digits = written.chars().all(|c| c.is_ascii_digit());
    match path {
        "container.stop_signal" | "service.reload.signal" => signal::parse(written).is_ok(),
        "ports.publish" => written.parse::<u16>().is_ok_and(|port| port > 0) && digits,
        "container.working_dir"
        | "container.volumes"
        | "container.tmpfs"
        | "unit.condition.path_exists"
        | "mounts.target"
        | "mounts.options"
        | "ports.host_ip"
        | "ports.protocol"
        | "health.http.path"
        | "health.http.scheme"
        | "timer.timezone"
        | "timer.on_calendar" => false,
        "health.http.status" => digits && written.len() == 3 && written < "600" && written > "099",
        // Of names, one that begins with a sign is none.
        _ => !written.starts_with(['-', '+']),
    }
}

/// `0.5` seconds → 500
fn milliseconds(written: &str) -> Option<u64> {
    let (whole, fraction) = written.split_once('.')?;
    let fraction: String = fraction.chars().chain("000".chars()).take(3).collect();
    let whole: u64 = whole.parse().ok()?;
    whole.checked_mul(1000)?.checked_add(fraction.parse().ok()?)
}

/// A text where true or false belongs.
pub(crate) fn boolean(path: &str, written: &str) -> Option<String> {
    let key = path.rsplit('.').next().unwrap_or(path);
    match written.to_lowercase().as_str() {
        "true" | "false" => Some(format!("write {} without quotes", written.to_lowercase())),
        "yes" | "on" | "1" | "y" => Some(format!("write `{key} = true`")),
        "no" | "off" | "0" | "n" => Some(format!("write `{key} = false`")),
        _ if path == "container.init" => {
            Some("write `init = true`: the machine brings the program along".to_owned())
        }
        _ => None,
    }
}

/// No key that counts something takes more: ports and processes are the largest numbers.
const INTEGER_MAX: i64 = 65_535;

/// A text where a whole number belongs. For 0 and for more than any key takes there is nothing to tell: the range is said.
pub(crate) fn integer(path: &str, written: &str) -> Option<String> {
    match written.parse::<i64>() {
        Ok(number) if (1..=INTEGER_MAX).contains(&number) => {
            Some(format!("write {number} without quotes"))
        }
        Ok(number) if number > 0 => None,
        Ok(_) => unlimited(path),
        Err(_) if matches!(written, "max" | "unlimited" | "infinity") => unlimited(path),
        Err(_) => None,
    }
}

/// There is always a limit.
pub(crate) fn unlimited(path: &str) -> Option<String> {
    (path == "resources.pids").then(|| "for the default of 4096 leave `pids` out".to_owned())
}

/// A text where a number belongs: CPUs of Kubernetes (`500m`) and of systemd (`50%`).
pub(crate) fn number(path: &str, written: &str) -> Option<String> {
    let cpus = |digits: &str, each: f64| {
        let number: f64 = digits.trim().parse().ok()?;
        let number = number / each;
        (path == "resources.cpus" && number >= 0.01).then(|| format!("write `cpus = {number}`"))
    };
    if let Some(percent) = written.strip_suffix('%') {
        return cpus(percent, 100.0);
    }
    if let Some(milli) = written.strip_suffix('m') {
        return cpus(milli, 1000.0);
    }
    let good = written.parse::<f64>();
    let good = good.is_ok_and(|number| (0.01..=1000.0).contains(&number));
    good.then(|| format!("write {written} without quotes"))
}

/// A text where an array of texts belongs; `literal` is how it stands there.
pub(crate) fn array(key: &str, text: &str, literal: &str) -> String {
    match key {
        "exec" if text == "NONE" => "write `disable = true`".to_owned(),
        "command" | "entrypoint" | "exec" => {
            let array = words::array(text);
            let by_shell =
                array.starts_with("[\"/bin/sh\", \"-c\"") && !text.starts_with("/bin/sh");
            let why = if by_shell {
                "for a shell"
            } else {
                "one string for each word"
            };
            format!("{why}: `{key} = {array}`")
        }
        _ => format!("put it in brackets: `{key} = [{literal}]`"),
    }
}

/// Something else where a table belongs.
pub(crate) fn table(name: &str, text: Option<&str>, number: Option<&str>) -> Option<String> {
    let is_count = |number: &str| number.parse::<u8>().is_ok_and(|n| (1..=100).contains(&n));
    // With the delays of a unit that says nothing, so many restarts come within the minute.
    let is_reached = |burst: &str| burst.parse::<u8>().is_ok_and(|n| (1..=9).contains(&n));
    let is_port = |number: &str| number.parse::<u16>().is_ok_and(|port| port > 0);
    match (name, text, number) {
        ("health.tcp", _, Some(port)) if !is_port(port) => None,
        ("timer.history", _, Some(number)) if !is_count(number) => None,
        ("service.start_limit", _, Some(burst)) if !is_reached(burst) => None,
        ("service.reload", Some(text), _) if signal::parse(text).is_ok() => Some(format!(
            "write `reload = {{ signal = {} }}`",
            keys::quoted(text)
        )),
        ("service.reload", Some(text), _) => Some(format!(
            "write `reload = {{ command = {} }}`",
            words::array(text)
        )),
        ("service.start_limit", _, Some(burst)) => Some(format!(
            "write `start_limit = {{ burst = {burst}, interval = \"1m\" }}`"
        )),
        ("timer.history", _, Some(number)) => Some(format!(
            "write `history = {{ success = {number}, failed = {number} }}`"
        )),
        ("health.tcp", _, Some(port)) => Some(format!("write `tcp = {{ port = {port} }}`")),
        ("health.http", Some(url), _) => http(url),
        _ => None,
    }
}

/// `http://localhost:8080/healthz` → a table
fn http(url: &str) -> Option<String> {
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let (place, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let port = place.rsplit_once(':').map_or("80", |(_, port)| port);
    let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
    let path = keys::quoted(path);
    let plain = !rest.contains("://") && !rest.contains(char::is_whitespace);
    plain.then(|| format!("write `http = {{ port = {port}, path = {path} }}`"))
}

/// The command of a step that is written as a text.
pub(crate) fn step(name: &str, text: Option<&str>) -> Option<String> {
    name.starts_with("service.").then_some(())?;
    text.map(|text| format!("command = {}", words::array(text)))
}
