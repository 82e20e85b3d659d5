//! `[container]`, `[env]`, `[network]`, `[resources]`, `[logging]`.

use super::argv::{self, Before};
use crate::check::Check;
use crate::fault::Fault;
use crate::file::{LoggingTable, NetworkTable, ResourcesTable, UnitFile};
use crate::habits;
use crate::ids::{self, IdFault};
use crate::reader::Text;
use crate::{
    Container, Logging, Network, NetworkMode, Resources, UnitName, bytes, image_reference, signal,
};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// `__NEW_UTS_LEN`: uname(2).
const HOSTNAME_BYTES_MAX: usize = 64;
/// Of one part of a host name between dots: RFC 1035, section 2.3.4.
const LABEL_BYTES_MAX: usize = 63;
/// Docker's minimum; below it the launcher itself does not get to execve.
const MEMORY_MIN: u64 = 6 << 20;
/// A hundredth: below it the kernel refuses the quota (1 ms in a period of 100 ms).
const CPUS_MILLI_MIN: f64 = 10.0;
/// More than any machine has.
const CPUS_MILLI_MAX: f64 = 1_000_000.0 * 1000.0;
const PIDS_DEFAULT: u64 = 4096;
/// `PID_MAX_LIMIT` of 64-bit kernels: proc_sys_kernel(5).
const PIDS_MAX: u64 = 4_194_304;
const LOG_SIZE_DEFAULT: u64 = 16 << 20;
/// One page: smaller files would be turned over at every line.
const LOG_SIZE_MIN: u64 = 4096;
const LOG_FILES_DEFAULT: u32 = 4;
/// Each is opened when the log is searched.
const LOG_FILES_MAX: u32 = 1000;

pub(crate) fn container(check: &mut Check<'_>, file: &UnitFile, name: &UnitName) -> Container {
    let table = &file.container;
    let image = check.value(
        "container.image",
        table.image.as_ref(),
        image_reference::normalise,
    );
    if let (None, Some(written)) = (
        &image,
        table
            .image
            .as_ref()
            .filter(|written| written.get_ref().is_empty()),
    ) {
        check.fault(
            "container.image",
            &written.span(),
            Fault::new(
                "is empty",
                "an image reference: \"docker.io/library/redis:7\"",
            ),
        );
    }
    let written = table.entrypoint.as_ref();
    let entrypoint = argv::validate(check, "container.entrypoint", written, Before::Nothing)
        .filter(|argv| !argv.is_empty());
    let before = match written.filter(|_| entrypoint.is_some()) {
        Some(words) => Before::Words(words.get_ref()),
        None => Before::Image,
    };
    let command = table.command.as_ref();
    let command = argv::validate(check, "container.command", command, before);
    Container {
        image: image.unwrap_or_default(),
        entrypoint,
        command,
        env: env(check, &file.env),
        working_dir: check.value(
            "container.working_dir",
            table.working_dir.as_ref(),
            absolute,
        ),
        user: check.value("container.user", table.user.as_ref(), user),
        hostname: check
            .value("container.hostname", table.hostname.as_ref(), hostname)
            .unwrap_or_else(|| default_hostname(name)),
        init: table.init.as_ref().is_some_and(|init| *init.get_ref()),
        read_only: file
            .read_only
            .as_ref()
            .is_some_and(|read_only| *read_only.get_ref()),
        stop_signal: check.value(
            "container.stop_signal",
            table.stop_signal.as_ref(),
            signal::parse,
        ),
    }
}

fn env(check: &mut Check<'_>, pairs: &[(Text, Text)]) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for (name, value) in pairs {
        if name.get_ref().is_empty() || name.get_ref().contains(['=', '\0']) {
            check.fault(
                "env",
                &name.span(),
                Fault::new("has a bad name", "a name that is not empty and has no `=`"),
            );
            continue;
        }
        let key = format!("env.{}", name.get_ref());
        if let Some(expanded) = check.expand(&key, value) {
            check.warn_of_variable(&key, value);
            env.insert(name.get_ref().clone(), expanded);
        }
    }
    env
}

pub(crate) fn network(check: &mut Check<'_>, table: &NetworkTable) -> Network {
    let mode = check.value("network.mode", table.mode.as_ref(), |text| match text {
        "bridge" => Ok(NetworkMode::Bridge),
        "host" => Ok(NetworkMode::Host),
        "none" => Ok(NetworkMode::None),
        _ if text.starts_with("container:") || text.starts_with("ns:") => Err(Fault::new(
            "asks for something that is not supported yet",
            "bridge, host or none",
        )),
        _ => {
            let mut fault = Fault::new("is unknown", "bridge, host or none");
            fault.hint = habits::word("network.mode", text).map(|word| format!("write \"{word}\""));
            Err(fault)
        }
    });
    let mut extra_hosts = Vec::new();
    for (name, address) in &table.extra_hosts {
        if let Err(fault) = hostname(name.get_ref()) {
            check.fault("network.extra_hosts", &name.span(), fault);
            continue;
        }
        let key = format!("network.extra_hosts.{}", name.get_ref());
        let address = check.value(&key, Some(address), |text| {
            let good = text == "host-gateway" || text.parse::<IpAddr>().is_ok();
            good.then(|| text.to_owned())
                .ok_or_else(|| Fault::new("is not an address", "an IP address or \"host-gateway\""))
        });
        extra_hosts.extend(address.map(|address| (name.get_ref().clone(), address)));
    }
    Network {
        mode: mode.unwrap_or_default(),
        extra_hosts,
    }
}

pub(crate) fn resources(check: &mut Check<'_>, table: &ResourcesTable) -> Resources {
    let memory = check.value("resources.memory", table.memory.as_ref(), |text| {
        let bytes = bytes::parse(text)?;
        let too_little = || {
            let fault = Fault::new("is too little", "at least 6M");
            match bytes {
                0 => fault.hint("for no limit leave `memory` out"),
                _ => fault.hint("a number without unit counts bytes: \"64M\""),
            }
        };
        (bytes >= MEMORY_MIN)
            .then_some(bytes)
            .ok_or_else(too_little)
    });
    let pids = check.integer("resources.pids", table.pids.as_ref(), 1..=PIDS_MAX);
    Resources {
        memory,
        cpus_milli: cpus(check, table),
        pids: pids.unwrap_or(PIDS_DEFAULT),
    }
}

/// 0 is no limit, as in Docker.
fn cpus(check: &mut Check<'_>, table: &ResourcesTable) -> Option<u64> {
    let cpus = table.cpus.as_ref().filter(|cpus| *cpus.get_ref() != 0.0)?;
    let milli = (cpus.get_ref() * 1000.0).round();
    if !(CPUS_MILLI_MIN..=CPUS_MILLI_MAX).contains(&milli) {
        let fault = Fault::new(
            "is out of range",
            "a number of CPUs, at least 0.01; 0 for no limit",
        );
        check.fault("resources.cpus", &cpus.span(), fault);
        return None;
    }
    Some(whole(milli))
}

pub(crate) fn logging(check: &mut Check<'_>, table: &LoggingTable) -> Logging {
    let max_size = check.value("logging.max_size", table.max_size.as_ref(), |text| {
        let bytes = bytes::parse(text)?;
        (bytes >= LOG_SIZE_MIN)
            .then_some(bytes)
            .ok_or_else(|| Fault::new("is too little", "at least 4K"))
    });
    let max_files = check.integer(
        "logging.max_files",
        table.max_files.as_ref(),
        1..=LOG_FILES_MAX,
    );
    Logging {
        max_size: max_size.unwrap_or(LOG_SIZE_DEFAULT),
        max_files: max_files.unwrap_or(LOG_FILES_DEFAULT),
    }
}

/// A number that the caller has checked to be whole and in the range of u64.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked by the callers; `as` saturates anyway"
)]
pub(crate) fn whole(number: f64) -> u64 {
    number as u64
}

pub(crate) fn absolute(text: &str) -> Result<String, Fault> {
    let fault = || Fault::new("is not an absolute path", "a path that starts with `/`");
    if !text.starts_with('/') {
        return Err(fault());
    }
    let parts: Vec<&str> = text
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(fault().hint("leave `..` out"));
    }
    Ok(format!("/{}", parts.join("/")))
}

/// Names are looked up in the container when it starts; here only the form is checked.
fn user(text: &str) -> Result<String, Fault> {
    let parts = text
        .split_once(':')
        .map_or((text, None), |(user, group)| (user, Some(group)));
    let checked = ids::check(parts.0).and_then(|()| parts.1.map_or(Ok(()), ids::check));
    let Err(fault) = checked else {
        return Ok(text.to_owned());
    };
    let expected = "uid[:gid] or name[:group]: \"1000:1000\", \"redis\"";
    Err(match fault {
        IdFault::Form => Fault::new("is not a user", expected),
        IdFault::Signed => Fault::new("has an id with a sign", expected)
            .hint("ids are 0 and above; for the image's own user leave the key out"),
        IdFault::TooLarge => Fault::new(
            "has an id that is too large",
            format!("ids of 0 to {}", ids::ID_MAX),
        )
        .hint("the number above the last is -1, which the kernel does not take for an id; `nobody` is 65534 in most images"),
    })
}

fn hostname(text: &str) -> Result<String, Fault> {
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty()
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let good = text.len() <= HOSTNAME_BYTES_MAX && text.split('.').all(label);
    let fault = || {
        Fault::new(
            "is not a host name",
            "letters, digits, `-` and `.`, at most 64 characters",
        )
    };
    good.then(|| text.to_owned()).ok_or_else(fault)
}

/// The unit's name as a host name: `@` as `-`, at most so long that it is one label of the DNS too, and what a name may
/// not have at its ends (or, after a cut, has there) left out.
fn default_hostname(name: &UnitName) -> String {
    let text = name.as_str().replace('@', "-");
    let label = |label: &str| label.trim_matches('-').to_owned();
    let labels: Vec<String> = text.split('.').map(label).collect();
    let labels: Vec<String> = labels.into_iter().filter(|it| !it.is_empty()).collect();
    let whole: String = labels.join(".").chars().take(LABEL_BYTES_MAX).collect();
    let whole = whole.trim_end_matches(['-', '.']);
    if whole.is_empty() {
        // `_` is a name of a unit, and so is `_-`; of letters or digits nothing is lost above.
        return "container".to_owned();
    }
    whole.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_long_name_is_cut_where_a_host_name_may_end() {
        let long = |end: &str| UnitName::new(&format!("{}{end}", "a".repeat(62))).unwrap();
        for (name, host) in [
            ("web@1", "web-1"),
            ("a.b", "a.b"),
            ("web-", "web"),
            ("a.-b-.c", "a.b.c"),
        ] {
            assert_eq!(default_hostname(&UnitName::new(name).unwrap()), host);
        }
        for end in ["-b", ".b", "@1", "-.b"] {
            assert_eq!(default_hostname(&long(end)), "a".repeat(62), "{end}");
        }
        assert_eq!(default_hostname(&long("bcd")).len(), 63);
    }

    proptest! {
        #[test]
        fn a_default_host_name_is_one(text in "[a-zA-Z0-9_][a-z0-9_.@-]{0,150}") {
            if let Some(name) = UnitName::new(&text) {
                let host = default_hostname(&name);
                prop_assert_eq!(hostname(&host), Ok(host.clone()), "{}", text);
                prop_assert!(host.len() <= LABEL_BYTES_MAX);
            }
        }
    }
}
