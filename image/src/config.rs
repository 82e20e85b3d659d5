//! What Keelson needs of a kernel, checked against the configuration that the kernel was built with: one that lacks
//! something is no image, instead of a machine that stops half-way through its boot.
//!
//! To add something that we rely on: a row in [`NEEDED`], or in [`WANTED`] when only some machines do.

use crate::error::{BuildError, at};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How an option has to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Be {
    /// `=y`
    Inside,
    /// `=y` or `=m`: modules.toml has the module.
    There,
    /// Anything but `=y`.
    Off,
}

use Be::{Inside, Off, There};

/// Option, how it has to be set, and what it is for.
type Row = (&'static str, Be, &'static str);

/// Without these nothing works.
const NEEDED: [Row; 48] = [
    ("BLK_DEV_INITRD", Inside, "the system is an initramfs"),
    ("RD_LZ4", Inside, "the initramfs is compressed with LZ4"),
    ("MODULES", Inside, "drivers are modules"),
    (
        "MODULE_SIG_FORCE",
        Off,
        "modules are stored without their signatures",
    ),
    ("BINFMT_ELF", Inside, "programs"),
    ("BINFMT_SCRIPT", Inside, "entry points that are scripts"),
    ("PROC_FS", Inside, "/proc"),
    ("SYSFS", Inside, "/sys"),
    ("DEVTMPFS", Inside, "/dev"),
    ("TMPFS", Inside, "/run, and a state in memory"),
    ("UNIX98_PTYS", Inside, "terminals"),
    ("POSIX_MQUEUE", Inside, "/dev/mqueue of containers"),
    ("EPOLL", Inside, "PID 1's event loop"),
    ("SIGNALFD", Inside, "PID 1's event loop"),
    ("MEMFD_CREATE", Inside, "how PID 1 speaks to the launcher"),
    ("CGROUPS", Inside, "containers"),
    ("MEMCG", Inside, "resources.memory"),
    ("CGROUP_PIDS", Inside, "resources.pids"),
    ("CFS_BANDWIDTH", Inside, "resources.cpus"),
    ("CGROUP_BPF", Inside, "which devices a container may use"),
    ("BPF_SYSCALL", Inside, "which devices a container may use"),
    ("NAMESPACES", Inside, "containers"),
    ("UTS_NS", Inside, "a container's host name"),
    ("IPC_NS", Inside, "containers"),
    ("PID_NS", Inside, "containers"),
    ("NET_NS", Inside, "a container's network"),
    ("OVERLAY_FS", There, "a container's root"),
    ("EXT4_FS", There, "the state partition"),
    ("QUOTA", Inside, "limits of volumes"),
    ("QFMT_V2", There, "limits of volumes"),
    ("UNIX", Inside, "the control socket"),
    ("INET", Inside, "the network"),
    ("PACKET", There, "DHCP"),
    ("BRIDGE", There, "the containers' network"),
    ("VETH", There, "the containers' network"),
    ("NETFILTER", Inside, "published ports"),
    ("NF_TABLES", There, "published ports"),
    ("NF_TABLES_IPV4", Inside, "published ports"),
    ("NF_CONNTRACK", There, "published ports"),
    ("NF_NAT", There, "published ports"),
    ("NFT_NAT", There, "published ports"),
    ("NFT_CT", There, "published ports"),
    ("NFT_FIB_IPV4", There, "published ports"),
    ("NFT_MASQ", There, "the containers' way out"),
    ("EFI_STUB", Inside, "UEFI firmware starts it"),
    ("ACPI", Inside, "switching the machine off"),
    ("SERIAL_8250_CONSOLE", Inside, "the serial console"),
    ("MULTIUSER", Inside, "users of containers"),
];

/// Without these some machines or some keys don't work: said, and that is all.
const WANTED: [Row; 10] = [
    ("VIRTIO_PCI", There, "virtual machines"),
    ("VIRTIO_BLK", There, "disks of virtual machines"),
    ("SCSI_VIRTIO", There, "disks of virtual machines"),
    ("VIRTIO_NET", There, "networks of virtual machines"),
    (
        "VIRTIO_CONSOLE",
        There,
        "keelctl from the host of a virtual machine",
    ),
    ("FW_CFG_SYSFS", There, "units from `cargo boot -- --units`"),
    ("BLK_DEV_NVME", There, "NVMe disks"),
    ("WATCHDOG", Inside, "hardware watchdogs"),
    ("ACPI_BUTTON", There, "the power button"),
    ("INPUT_EVDEV", There, "the power button"),
];

/// The configuration of a kernel: the file that distributions install as `/boot/config-RELEASE`.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    path: PathBuf,
    /// Without `CONFIG_`; what is not set is not here.
    options: BTreeMap<String, String>,
}

impl Config {
    pub(crate) fn read(path: &Path) -> Result<Self, BuildError> {
        let text = std::fs::read_to_string(path).map_err(at(path))?;
        Ok(Self::parse(path, &text))
    }

    fn parse(path: &Path, text: &str) -> Self {
        let set = |line: &str| {
            let (name, value) = line.strip_prefix("CONFIG_")?.split_once('=')?;
            Some((name.to_owned(), value.trim().to_owned()))
        };
        Self {
            path: path.to_owned(),
            options: text.lines().filter_map(set).collect(),
        }
    }

    /// Where it is kept beside a kernel that the user names, if it is.
    pub(crate) fn beside(
        kernel: &Path,
        modules: Option<&Path>,
        release: &str,
    ) -> Result<Option<Self>, BuildError> {
        let folder = kernel.parent().unwrap_or(Path::new("."));
        let mut places = vec![folder.join(format!("config-{release}"))];
        if let Some(modules) = modules {
            places.extend(["config", "build/.config"].map(|name| modules.join(name)));
        }
        // arch/x86/boot/bzImage of the tree in which it was built.
        if kernel.ends_with("arch/x86/boot/bzImage") {
            places.extend(kernel.ancestors().nth(4).map(|tree| tree.join(".config")));
        }
        let found = places.into_iter().find(|place| place.is_file());
        found.map(|place| Self::read(&place)).transpose()
    }

    pub(crate) fn is_inside(&self, option: &str) -> bool {
        self.options.get(option).is_some_and(|value| value == "y")
    }

    /// What is lacking and only some machines need is said here; the rest is an error.
    pub(crate) fn check(&self, release: &str, modules: bool) -> Result<(), BuildError> {
        let lacking = self.lacking(&NEEDED, modules);
        if !lacking.is_empty() {
            return Err(BuildError::KernelConfig {
                release: release.to_owned(),
                path: self.path.clone(),
                lacking,
            });
        }
        for line in self.lacking(&WANTED, modules) {
            eprintln!("note: kernel {release}: {line}");
        }
        Ok(())
    }

    /// One line for each row that is not as it has to be.
    fn lacking(&self, rows: &[Row], modules: bool) -> Vec<String> {
        let problem = |(option, be, what): &Row| {
            let value = self.options.get(*option).map(String::as_str);
            let wanted = match (be, value) {
                (Inside, Some("y")) | (There, Some("y")) | (Off, None | Some("n" | "m")) => {
                    return None;
                }
                (There, Some("m")) if modules => return None,
                (Inside, _) => "has to be =y",
                (There, Some("m")) => "is =m, and no modules are given (--modules)",
                (There, _) => "has to be =y or =m",
                (Off, _) => "may not be =y",
            };
            Some(format!("CONFIG_{option} {wanted}: {what}"))
        };
        rows.iter().filter_map(problem).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> String {
        let line = |(option, be, _): &Row| match be {
            Inside => format!("CONFIG_{option}=y\n"),
            There => format!("CONFIG_{option}=m\n"),
            Off => format!("# CONFIG_{option} is not set\n"),
        };
        NEEDED.iter().chain(&WANTED).map(line).collect()
    }

    fn refusal(text: &str, modules: bool) -> String {
        let config = Config::parse(Path::new("boot/config-6.9"), text);
        config.check("6.9", modules).unwrap_err().to_string()
    }

    #[test]
    fn a_kernel_with_everything_is_taken() {
        let config = Config::parse(Path::new("config"), &whole());
        config.check("6.9", true).unwrap();
        assert_eq!(config.lacking(&WANTED, true), Vec::<String>::new());
    }

    #[test]
    fn each_option_that_lacks_is_named_with_what_it_is_for() {
        for (option, be, what) in NEEDED {
            let old = match be {
                Inside => format!("CONFIG_{option}=y\n"),
                There => format!("CONFIG_{option}=m\n"),
                Off => format!("# CONFIG_{option} is not set\n"),
            };
            let new = match be {
                // A module would come too late.
                Inside => format!("CONFIG_{option}=m\n"),
                There => format!("# CONFIG_{option} is not set\n"),
                Off => format!("CONFIG_{option}=y\n"),
            };
            let told = refusal(&whole().replace(&old, &new), true);
            for words in ["6.9", "boot/config-6.9", &format!("CONFIG_{option} "), what] {
                assert!(told.contains(words), "{told}");
            }
            assert_eq!(told.matches("CONFIG_").count(), 1, "{told}");
        }
    }

    #[test]
    fn a_kernel_without_its_modules_needs_all_inside() {
        let told = refusal(&whole(), false);
        assert!(
            told.contains("CONFIG_OVERLAY_FS is =m, and no modules are given"),
            "{told}"
        );
        let inside = whole().replace("=m", "=y");
        let config = Config::parse(Path::new("config"), &inside);
        config.check("6.9", false).unwrap();
    }

    #[test]
    fn the_configuration_is_found_beside_the_kernel_or_among_its_modules() {
        let folder = std::env::temp_dir().join(format!("keelson-config-{}", std::process::id()));
        let modules = folder.join("modules");
        std::fs::create_dir_all(&modules).unwrap();
        let found = |kernel: &str| {
            let kernel = folder.join(kernel);
            let config = Config::beside(&kernel, Some(&modules), "6.9").unwrap();
            config.map(|config| config.path)
        };
        assert_eq!(found("vmlinuz"), None);
        std::fs::write(modules.join("config"), "CONFIG_MODULES=y\n").unwrap();
        assert_eq!(found("vmlinuz"), Some(modules.join("config")));
        std::fs::write(folder.join("config-6.9"), "").unwrap();
        assert_eq!(found("vmlinuz"), Some(folder.join("config-6.9")));
        std::fs::create_dir_all(folder.join("tree/arch/x86/boot")).unwrap();
        std::fs::write(folder.join("tree/.config"), "").unwrap();
        std::fs::remove_file(modules.join("config")).unwrap();
        let built = found("tree/arch/x86/boot/bzImage");
        assert_eq!(built, Some(folder.join("tree/.config")));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
