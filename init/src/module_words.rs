//! What the kernel command line says of modules: the kernel takes such words for what is built into it, and leaves those for
//! modules to whoever loads them, as kmod does (kernel-parameters.rst, modprobe(8)).
//!
//! ```text
//! nvme_core.io_timeout=60          a parameter
//! modprobe.blacklist=floppy,pcspkr not loaded because a device is there; only when asked for by name
//! ```

use crate::cmdline::Cmdline;
use std::collections::HashSet;
use std::ffi::CString;

const BLACKLIST: &str = "modprobe.blacklist";

#[derive(Debug, Default)]
pub(crate) struct ModuleWords {
    /// Module, `KEY=VALUE`.
    parameters: Vec<(String, String)>,
    blacklist: HashSet<String>,
}

impl ModuleWords {
    pub(crate) fn of(cmdline: &Cmdline) -> Self {
        let mut words = Self::default();
        for word in cmdline.words() {
            if let Some(list) = word.strip_prefix(BLACKLIST) {
                let list = list.strip_prefix('=').unwrap_or_default();
                words.blacklist.extend(list.split(',').map(normalise));
                continue;
            }
            // A dot behind the first `=` belongs to a value.
            let name = word.split('=').next().unwrap_or(word);
            if let Some((module, _)) = name.split_once('.') {
                let parameter = word.get(module.len() + 1..).unwrap_or_default();
                words
                    .parameters
                    .push((normalise(module), parameter.to_owned()));
            }
        }
        words
    }

    /// For finit_module(2). A value with white space is in double quotes, which the kernel takes off.
    pub(crate) fn parameters(&self, module: &str) -> CString {
        let of_module = self.parameters.iter().filter(|(name, _)| name == module);
        let words: Vec<String> = of_module
            .map(|(_, word)| match word.split_once('=') {
                Some((key, value)) if value.contains(char::is_whitespace) => {
                    format!("{key}=\"{value}\"")
                }
                Some(_) | None => word.clone(),
            })
            .collect();
        CString::new(words.join(" ")).unwrap_or_default()
    }

    pub(crate) fn is_blacklisted(&self, module: &str) -> bool {
        self.blacklist.contains(module)
    }
}

/// kmod's rule: `-` and `_` are the same in names.
pub(crate) fn normalise(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_those_of_the_module_whatever_its_dashes() {
        let line = "console=ttyS0 ip=10.0.0.1::: nvme-core.io_timeout=60 nvme_core.max_retries=2 \
                    \"dyn.dbg=a b\" modprobe.blacklist=floppy,pc-spkr keelson.hostname=a.b x.flag";
        let words = ModuleWords::of(&Cmdline::parse(line));
        let parameters = |module: &str| words.parameters(module).into_string().unwrap();
        assert_eq!(parameters("nvme_core"), "io_timeout=60 max_retries=2");
        assert_eq!(parameters("dyn"), "dbg=\"a b\"");
        assert_eq!(parameters("x"), "flag");
        assert_eq!(parameters("ext4"), "");
        assert!(words.is_blacklisted("floppy") && words.is_blacklisted("pc_spkr"));
        assert!(!words.is_blacklisted("nvme_core"));
    }
}
