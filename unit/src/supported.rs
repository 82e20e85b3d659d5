//! What the machine performs, of all that is read.

/// Read and checked by this crate, but not performed by the machine yet: refused as "not supported yet", so that
/// nothing is silently ignored. `TABLE.KEY`, or `TABLE.KEY = VALUE` for one value, or the kind of a file.
///
/// Take a line out as soon as the machine performs it, here and under "Not supported yet" in docs/units.md.
pub(crate) const PENDING: &[&str] = &[
    "readiness",
    "health",
    "timer",
    "update",
    "unit.requisite",
    "unit.binds_to",
    "unit.part_of",
    "unit.conflicts",
    "unit.on_failure",
    "unit.on_success",
    "unit.condition",
    "unit.profiles",
    "unit.depends_on",
    "service.start_limit",
    "service.restart_prevent_exit_codes",
    "service.runtime_max",
    "service.kill_mode",
    "service.reload",
    "service.watchdog",
    "service.pre_start",
    "service.post_start",
    "service.pre_stop",
    "service.post_stop",
    "service.type = \"notify\"",
    "service.type = \"job\"",
    "service.restart = \"on-abnormal\"",
    "service.restart = \"on-watchdog\"",
    "replicas.max_parallel",
    "NAME.timer.toml",
];

/// Which keys are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Supported {
    /// Those that the machine performs.
    #[default]
    Machine,
    /// All that are read: for tests of what is still to come.
    All,
}

impl Supported {
    /// `what` as in the list of what is pending.
    pub(crate) fn refuses(self, what: &str) -> bool {
        match self {
            Self::Machine => PENDING.contains(&what),
            Self::All => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Diagnostic, Source, load_sources_as};

    /// A unit that uses just this.
    fn unit(what: &str) -> Source {
        let (key, value) = what.split_once(" = ").unwrap_or((what, "0"));
        let (file, body) = match key.split_once('.') {
            Some(("NAME", kind)) => (format!("x.{kind}"), String::new()),
            Some((table, key)) => (
                "x.container.toml".to_owned(),
                format!("[{table}]\n{key} = {value}\n"),
            ),
            None => ("x.container.toml".to_owned(), format!("[{key}]\n")),
        };
        let text = format!("{body}[container]\nimage = \"x\"\n");
        Source { file, text }
    }

    fn refused(what: &str, supported: Supported) -> bool {
        let loaded = load_sources_as(vec![unit(what)], supported);
        let says_so = |diagnostic: &Diagnostic| {
            diagnostic.is_error() && diagnostic.message.contains("not supported yet")
        };
        loaded.diagnostics.iter().any(says_so)
    }

    #[test]
    fn what_is_pending_is_refused_by_the_machine_and_read_by_all() {
        for what in PENDING {
            assert!(refused(what, Supported::Machine), "{what} is not refused");
            assert!(!refused(what, Supported::All), "{what} is not read");
        }
    }

    #[test]
    fn the_reference_lists_what_is_pending() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/units.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, later) = text
            .split_once("so it refuses them:\n\n")
            .unwrap_or_default();
        let listed = later
            .lines()
            .map_while(|line| line.strip_prefix("- `")?.strip_suffix('`'));
        assert_eq!(listed.collect::<Vec<_>>(), PENDING);
    }
}
