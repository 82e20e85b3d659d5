//! Launcher.

fn main() {}
