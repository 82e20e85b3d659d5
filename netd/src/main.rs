//! netd.

fn main() {}
