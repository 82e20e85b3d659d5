//! What the build host must have, and what it does for us: packages, the Rust target, the target programs.
//!
//! ```text
//! packages::ensure([Need::Qemu, …]) ── programs there? ──▶ nothing to do (no apt is run)
//!        │ no
//!        ├─ apt machine: the configured sources, or Debian's backports through a private apt configuration
//!        └─ any other:   one error that names the packages to install
//! fetch::packages([...]) ─▶ .deb files, verified by apt, unpacked under target/keelson/cache, never installed
//! target::ensure()       ─▶ rustup target add x86_64-unknown-linux-musl
//! build::programs()      ─▶ the static programs of the image, built by cargo
//! ```
//!
//! Invariants: the machine's own apt sources, lists and preferences are never changed; nothing is installed that would
//! remove a package; every step first looks whether it is done already, so that a second run costs milliseconds.
//!
//! To add a program that the build or the tests need: a variant of [`packages::Need`].

pub mod apt;
pub mod build;
pub mod fetch;
pub mod link_map;
pub mod packages;
pub mod paths;
pub mod progress;
pub mod qemu;
pub mod run;
pub mod system;
pub mod target;
