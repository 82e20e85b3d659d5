//! Image builder.

fn main() {}
