//! What may be done with what lies in a mount (mount(8)).

use crate::fault::Fault;
use serde::{Deserialize, Serialize};

/// `options` of a mount, and of `tmpfs` in `[container]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountOptions {
    /// Whether programs in it can be executed. None: as the place has it, see [`MountOptions::executes`].
    pub exec: Option<bool>,
    /// Set-user-id programs and file capabilities have no effect.
    pub nosuid: bool,
    /// Device files cannot be opened.
    pub nodev: bool,
    /// Reading does not change when something was last read.
    pub noatime: bool,
}

/// All that there are: of `[[mounts]]`, and of the short form of a tmpfs.
pub(crate) const OF_A_MOUNT: &str = "ro, rw, exec, noexec, nosuid, nodev, noatime";
pub(crate) const OF_A_TMPFS: &str = "size=, mode=, ro, rw, exec, noexec, nosuid, nodev, noatime";

/// Where a tmpfs is executable without a word: s6-overlay, and with it the images of linuxserver.io, copies its services
/// there and executes them. Docker's tmpfs is executable nowhere unless told so, podman's everywhere.
const EXECUTABLE_TMPFS: &str = "/run";

impl MountOptions {
    /// Take one in; whether there is one of that name.
    ///
    /// # Errors
    /// When it contradicts an earlier one, or asks for what no container gets.
    pub(crate) fn add(&mut self, option: &str) -> Result<bool, Fault> {
        match option {
            "exec" | "noexec" => {
                let exec = option == "exec";
                if self.exec.is_some_and(|earlier| earlier != exec) {
                    return Err(Fault::new("says both `exec` and `noexec`", "one of them"));
                }
                self.exec = Some(exec);
            }
            "nosuid" => self.nosuid = true,
            "nodev" => self.nodev = true,
            "noatime" => self.noatime = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether programs in a tmpfs at this place can be executed.
    #[must_use]
    pub fn executes(&self, target: &str) -> bool {
        let below = target.strip_prefix(EXECUTABLE_TMPFS);
        let place = below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.exec.unwrap_or(place)
    }

    /// As they are written.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let exec = self.exec.map(|exec| if exec { "exec" } else { "noexec" });
        let flags = [
            (self.nosuid, "nosuid"),
            (self.nodev, "nodev"),
            (self.noatime, "noatime"),
        ];
        let flags = flags
            .into_iter()
            .filter_map(|(is, name)| is.then_some(name));
        exec.into_iter().chain(flags).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tmpfs_is_executable_at_run_and_where_the_unit_says_so() {
        let silent = MountOptions::default();
        assert!(silent.executes("/run") && silent.executes("/run/s6"));
        assert!(!silent.executes("/tmp") && !silent.executes("/runner"));
        let says = |exec| MountOptions {
            exec: Some(exec),
            ..silent
        };
        assert!(says(true).executes("/tmp") && !says(false).executes("/run"));
    }

    #[test]
    fn exec_and_noexec_exclude_each_other() {
        let mut options = MountOptions::default();
        assert!(options.add("exec").unwrap() && options.add("exec").unwrap());
        assert!(options.add("noexec").is_err());
        assert!(!options.add("suid").unwrap());
        assert!(options.add("noatime").unwrap());
        assert_eq!(options.names(), ["exec", "noatime"]);
    }
}
