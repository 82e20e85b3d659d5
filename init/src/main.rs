//! init.

fn main() {}
