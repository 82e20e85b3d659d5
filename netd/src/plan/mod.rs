//! What ought to be, as pure functions: no system call, no clock.

pub(crate) mod addresses;
pub(crate) mod command_line;
pub(crate) mod files;
pub(crate) mod firewall;
pub(crate) mod ports;
pub(crate) mod subnet;
