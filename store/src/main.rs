//! Image store.

fn main() {}
