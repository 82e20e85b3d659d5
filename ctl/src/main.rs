//! keelctl.

fn main() {}
