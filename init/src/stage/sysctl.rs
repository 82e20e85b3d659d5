//! Kernel settings that a container host wants otherwise than a workstation (Documentation/admin-guide/sysctl).

use crate::cmdline::Cmdline;
use crate::console;
use std::fs;

/// (file below /proc/sys, value), each with its reason.
const SETTINGS: [(&str, &str); 11] = [
    // Memory is limited per container; a refused fork would stop Redis from saving at half its limit. As kubelet sets it.
    ("vm/overcommit_memory", "1"),
    // Addresses and messages of the kernel help nobody in a container but an attacker.
    ("kernel/dmesg_restrict", "1"),
    ("kernel/kptr_restrict", "2"),
    ("kernel/unprivileged_bpf_disabled", "1"),
    ("kernel/kexec_load_disabled", "1"),
    // Links and fifos in sticky world-writable folders, as proc_sys_fs(5) recommends.
    ("fs/protected_symlinks", "1"),
    ("fs/protected_hardlinks", "1"),
    ("fs/protected_fifos", "2"),
    ("fs/protected_regular", "2"),
    // The default of 128 is used up by a dozen containers that watch files.
    ("fs/inotify/max_user_instances", "8192"),
    // A break on the serial line must not reach into the kernel.
    ("kernel/sysrq", "0"),
];

/// Who gets huge pages (Documentation/admin-guide/mm/transhuge.rst).
const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
/// Whoever asks for them by madvise(2). With the distribution's `always`, each thread's stack and each small heap may take
/// 2 MiB of its container's limit, which is zeroed first; Redis and MongoDB warn of it.
const FOR_WHO_ASKS: &str = "madvise";
/// The kernel command line's word, which decides.
const HUGE_PAGES_WORD: &str = "transparent_hugepage";

/// A setting that this kernel does not have is said, and no reason to stop.
pub(super) fn apply(cmdline: &Cmdline) {
    for (file, value) in SETTINGS {
        if let Err(error) = fs::write(format!("/proc/sys/{file}"), value) {
            console::warn(format_args!("sysctl {file} = {value}: {error}"));
        }
    }
    // A kernel without them has no such file.
    if !cmdline.has(HUGE_PAGES_WORD)
        && fs::exists(HUGE_PAGES).unwrap_or(false)
        && let Err(error) = fs::write(HUGE_PAGES, FOR_WHO_ASKS)
    {
        console::warn(format_args!("{HUGE_PAGES} = {FOR_WHO_ASKS}: {error}"));
    }
}
