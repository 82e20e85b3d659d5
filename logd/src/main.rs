//! logd.

fn main() {}
