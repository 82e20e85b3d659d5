//! A Keelson machine under QEMU: started, watched, talked to, switched off in order or by its plug.
//!
//! ```text
//! MachineOptions ──arguments──▶ qemu-system-x86_64 (cwd = run folder, own session)
//!   Release, Disk, …                │ console.log ◀── serial port     console: lines with their times
//!                                   │ qmp.sock    ◀─▶ monitor         qmp: power button, quit, port forwards
//!                                   │ control.N.sock ◀─▶ virtio-serial ─▶ relay ─▶ PID 1   (control::machine, keelctl)
//!                                   │ units.json  ──▶ fw_cfg opt/keelson/units
//!                                   └ qemu.pid (locked while QEMU lives), qemu.log, ports.json
//! Machine::boot ──▶ wait_for, wait_ready, ask, keelctl, reboot, power_button, cut_power, serial_findings
//! RunFolder     ──▶ the same machine seen from another program: running, stop, cut
//! ```
//!
//! Invariants:
//! - One machine per run folder; its pid file is locked by QEMU itself, so a crash leaves nothing to clean up.
//! - A machine of a test dies with the test, however that ends; only [`Lifetime::Detached`] outlives us.
//! - KVM only where the processor has `vmx` or `svm`: elsewhere `/dev/kvm` may open and hang the guest.
//! - QEMU's end and a guest's silence are errors that carry what was last seen.
//! - A boot that stands still before PID 1's first line is begun again, twice at most, and that is told.
//! - Every forwarded port is bound to loopback.
//!
//! To add a device: a field of [`MachineOptions`], its words in `arguments`, and a test of them there.

mod accelerator;
mod arguments;
mod console;
mod disk;
mod firmware;
mod folder;
mod forward;
mod lines;
mod machine;
mod options;
mod process;
mod program;
mod published;
mod qmp;
mod serial_log;
mod standstill;
mod start;
mod units;
mod wait;

pub use accelerator::{Accelerator, INSTRUCTION_NS, Translation};
pub use console::{Console, Line, Position};
pub use disk::{Disk, DiskFormat, DiskInterface, DiskPace};
pub use firmware::Firmware;
pub use folder::{RunFolder, StopError};
pub use forward::{Forward, ForwardError, Forwards, Wanted};
pub use machine::{Machine, NETWORK_TIMEOUT, Ready};
pub use options::{BootFrom, Lifetime, MachineOptions, Release, Watchdog};
pub use program::{Finished, ProgramError};
pub use published::{published_by_ps, published_by_units};
pub use qmp::{Events, QmpError};
pub use serial_log::{Finding, FindingKind, check_serial_log};
pub use standstill::Standstill;
pub use start::{StartError, check_memory};
pub use units::{UnitsError, units_document};
pub use wait::{LastSeen, PanicIs, Wait, WaitError};
