//! relay.

fn main() {}
