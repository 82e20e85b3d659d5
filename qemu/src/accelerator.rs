//! Who runs the guest's instructions: the processor (KVM) or QEMU's translator (TCG).

use std::fs::OpenOptions;

/// Set to `kvm` or `tcg` to overrule the choice, for finding out.
const OVERRIDE: &str = "KEELSON_ACCELERATOR";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    Kvm,
    Tcg,
}

/// Threads of QEMU that translate and run the guest's instructions (`-accel tcg,thread=…`). KVM has no use for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Translation {
    /// One for all of the guest's processors. On a busy host a guest of several threads loses a processor's timer now and
    /// then and stands still for ever (QEMU 10.0, docs/proofs.md); one of a single thread was never seen to.
    #[default]
    OneThread,
    /// One for each of the guest's processors: for what keeps more than one of them busy, on a quiet host.
    ThreadPerProcessor,
    /// One, and the guest's clock is the count of its instructions, [`INSTRUCTION_NS`] each: what the guest measures of its own
    /// work does not depend on the host (docs/system/replay.rst, `-icount`). While it has nothing to do, time is the host's.
    Counted,
}

/// Nanoseconds for an instruction, where they are the clock: `1 << COUNT_SHIFT`.
pub const INSTRUCTION_NS: u32 = 1 << COUNT_SHIFT;
const COUNT_SHIFT: u32 = 2;

impl Accelerator {
    /// What this machine can do.
    #[must_use]
    pub fn choose() -> Self {
        match std::env::var(OVERRIDE).as_deref() {
            Ok("kvm") => return Self::Kvm,
            Ok("tcg") => return Self::Tcg,
            Ok(_) | Err(_) => {}
        }
        let opens = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_ok();
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self::choose_by(&cpuinfo, opens)
    }

    /// `/dev/kvm` may open where virtualisation is nested without help of the processor, and the guest then hangs: the
    /// flags of the processor decide.
    fn choose_by(cpuinfo: &str, kvm_opens: bool) -> Self {
        let mut flags = cpuinfo.lines().filter(|line| line.starts_with("flags"));
        let capable = flags.any(|line| {
            line.split_whitespace()
                .any(|flag| flag == "vmx" || flag == "svm")
        });
        if kvm_opens && capable {
            Self::Kvm
        } else {
            Self::Tcg
        }
    }

    /// The arguments that QEMU needs for it. `masked` is what it shall not offer (`,-cx16`).
    pub(crate) fn arguments(self, translation: Translation, masked: &str) -> Vec<String> {
        let (accelerator, cpu) = match (self, translation) {
            (Self::Kvm, _) => ("kvm", "host".to_owned()),
            (Self::Tcg, Translation::OneThread | Translation::Counted) => {
                ("tcg,thread=single", format!("max{masked}"))
            }
            (Self::Tcg, Translation::ThreadPerProcessor) => {
                ("tcg,thread=multi", format!("max{masked}"))
            }
        };
        let mut words = vec!["-accel".into(), accelerator.into(), "-cpu".into(), cpu];
        if (self, translation) == (Self::Tcg, Translation::Counted) {
            words.extend(["-icount".into(), format!("shift={COUNT_SHIFT}")]);
        }
        words
    }

    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "KVM",
            Self::Tcg => "emulated (TCG)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kvm_needs_both_the_device_and_the_processor_flag() {
        let intel = "processor\t: 0\nflags\t\t: fpu vmx sse2\n";
        let nested = "processor\t: 0\nflags\t\t: fpu hypervisor sse2\nvmx flags\t: ept\n";
        assert_eq!(Accelerator::choose_by(intel, true), Accelerator::Kvm);
        assert_eq!(
            Accelerator::choose_by("flags : svm", true),
            Accelerator::Kvm
        );
        assert_eq!(Accelerator::choose_by(intel, false), Accelerator::Tcg);
        assert_eq!(Accelerator::choose_by(nested, true), Accelerator::Tcg);
        assert_eq!(Accelerator::choose_by("", true), Accelerator::Tcg);
    }

    #[test]
    fn masked_features_are_taken_from_an_emulated_processor_only() {
        let usual = Translation::default();
        assert_eq!(Accelerator::Tcg.arguments(usual, ",-cx16")[3], "max,-cx16");
        assert_eq!(Accelerator::Kvm.arguments(usual, ",-cx16")[3], "host");
    }

    #[test]
    fn one_thread_translates_unless_more_are_asked_for() {
        let by = |translation| Accelerator::Tcg.arguments(translation, "")[1].clone();
        assert_eq!(by(Translation::default()), "tcg,thread=single");
        assert_eq!(by(Translation::ThreadPerProcessor), "tcg,thread=multi");
        let counted = Accelerator::Tcg.arguments(Translation::Counted, "");
        assert_eq!(counted[4..], ["-icount", "shift=2"]);
        assert_eq!(
            Accelerator::Kvm.arguments(Translation::Counted, "").len(),
            4
        );
    }
}
