//! Build host.
