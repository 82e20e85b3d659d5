//! `[unit] condition`: is the unit for this machine? Looked at each time it is to start.
//!
//! Paths are those that PID 1 sees: the root of the release, /var, /proc, /sys, /dev, /run. Only PID 1 mounts there, and
//! nothing of a network, so that a look at a path never waits for another machine; what containers mount is theirs alone.

use crate::cmdline::Cmdline;
use crate::machine::Machine;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use supervisor::UnitId;
use unit::Conditions;

/// Labels of the machine that outlive a reboot, one `NAME=VALUE` per line.
const LABELS: &str = "/var/config/labels";
/// On the kernel command line: `keelson.label.NAME=VALUE`.
const LABEL_WORD: &str = "keelson.label.";
/// Of the file with labels; more is not one.
const LABELS_BYTES_MAX: u64 = 64 << 10;

impl Machine {
    /// The first condition of the unit that is not met, in words; `None` when all are.
    pub(crate) fn unmet_condition(&self, unit: UnitId) -> Option<String> {
        let conditions = &self.units.get(unit)?.conditions;
        if conditions.is_empty() {
            return None;
        }
        let machine = Facts {
            cmdline: &self.boot.cmdline,
            memory: sys::memory::installed()
                .map(|bytes| bytes.saturating_add(sys::memory::FIRMWARE_BYTES_MAX)),
            labels_file: Path::new(LABELS),
        };
        machine.unmet(conditions)
    }
}

/// What conditions are about.
struct Facts<'a> {
    cmdline: &'a Cmdline,
    /// Bytes that the machine was sold with: what its firmware keeps counts. None: unknown.
    memory: Option<u64>,
    labels_file: &'a Path,
}

impl Facts<'_> {
    fn unmet(&self, conditions: &Conditions) -> Option<String> {
        let path = conditions.path_exists.iter().find_map(|path| missing(path));
        path.map(|reason| format!("condition.path_exists: {reason}"))
            .or_else(|| self.unmet_word(&conditions.kernel_cmdline))
            .or_else(|| self.unmet_memory(conditions.memory_min))
            .or_else(|| self.unmet_label(&conditions.label))
    }

    fn unmet_word(&self, words: &[String]) -> Option<String> {
        let missing = words.iter().find(|word| !self.cmdline.has(word))?;
        Some(format!(
            "condition.kernel_cmdline: `{missing}` is not on the kernel command line"
        ))
    }

    fn unmet_memory(&self, least: Option<u64>) -> Option<String> {
        let least = least?;
        let bytes = self.memory.unwrap_or(0);
        (bytes < least).then(|| {
            let (has, needs) = (unit::bytes::display(bytes), unit::bytes::display(least));
            format!("condition.memory_min: the machine has {has} of memory, not {needs}")
        })
    }

    fn unmet_label(&self, wanted: &BTreeMap<String, String>) -> Option<String> {
        if wanted.is_empty() {
            return None;
        }
        let labels = match self.labels() {
            Ok(labels) => labels,
            Err(error) => {
                let path = self.labels_file.display();
                return Some(format!("condition.label: {path}: {error}"));
            }
        };
        wanted.iter().find_map(|(name, value)| {
            let reason = match labels.get(name) {
                Some(found) if found == value => return None,
                Some(found) => format!("the machine's label `{name}` is `{found}`, not `{value}`"),
                None => format!("the machine has no label `{name}`"),
            };
            Some(format!("condition.label: {reason}"))
        })
    }

    /// Those of the file, and those of the command line, which win.
    fn labels(&self) -> io::Result<BTreeMap<String, String>> {
        let text = match std::fs::File::open(self.labels_file) {
            Ok(file) => io::read_to_string(io::Read::take(file, LABELS_BYTES_MAX))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.starts_with('#'));
        let words = self.cmdline.words();
        let words = words.filter_map(|word| word.strip_prefix(LABEL_WORD));
        let pairs = lines.chain(words).filter_map(|text| text.split_once('='));
        let owned = pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        Ok(owned.collect())
    }
}

/// A link that leads nowhere does not exist.
fn missing(path: &str) -> Option<String> {
    match sys::path::exists(Path::new(path)) {
        Ok(true) => None,
        Ok(false) => Some(format!("{path} does not exist")),
        Err(error) => Some(format!("{path}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a machine with this command line and 2 GiB says.
    fn unmet(change: impl FnOnce(&mut Conditions)) -> Option<String> {
        // One for each test: they run at the same time.
        let name = format!("keelson-labels-{:?}", std::thread::current().id());
        let file = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::write(&file, "# where it stands\nzone = a\nrack=7\n").unwrap();
        let cmdline = Cmdline::parse("quiet role=web keelson.label.rack=8 keelson.label.disk=fast");
        let facts = Facts {
            cmdline: &cmdline,
            memory: Some(2 << 30),
            labels_file: &file,
        };
        let mut conditions = Conditions::default();
        change(&mut conditions);
        facts.unmet(&conditions)
    }

    #[test]
    fn a_machine_that_is_meant_meets_every_condition() {
        let none = unmet(|conditions| {
            conditions.path_exists = vec!["/proc".into(), "/dev/null".into()];
            conditions.kernel_cmdline = vec!["quiet".into(), "role".into(), "role=web".into()];
            conditions.memory_min = Some(2 << 30);
            for (name, value) in [("zone", "a"), ("rack", "8"), ("disk", "fast")] {
                conditions.label.insert(name.into(), value.into());
            }
        });
        assert_eq!(none, None);
    }

    #[test]
    fn the_condition_that_is_not_met_is_named() {
        let path = unmet(|it| it.path_exists = vec!["/proc".into(), "/proc/no/such".into()]);
        let word = unmet(|it| it.kernel_cmdline = vec!["role=we".into()]);
        let memory = unmet(|it| it.memory_min = Some(4 << 30));
        let label = unmet(|it| drop(it.label.insert("rack".into(), "7".into())));
        let unknown = unmet(|it| drop(it.label.insert("row".into(), "7".into())));
        let texts: Vec<String> = [path, word, memory, label, unknown]
            .into_iter()
            .flatten()
            .collect();
        assert_eq!(
            texts,
            [
                "condition.path_exists: /proc/no/such does not exist",
                "condition.kernel_cmdline: `role=we` is not on the kernel command line",
                "condition.memory_min: the machine has 2.0 GiB of memory, not 4.0 GiB",
                "condition.label: the machine's label `rack` is `8`, not `7`",
                "condition.label: the machine has no label `row`",
            ]
        );
    }
}
