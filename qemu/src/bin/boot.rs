//! `cargo boot`

fn main() {}
