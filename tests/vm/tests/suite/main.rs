//! Real boots: what an operator does and sees. One machine at a time; see the library of this package for how it is made.

mod archives;
mod bad_input;
mod demo;
mod disks;
mod endurance;
mod fifty;
mod firmware;
mod inside;
mod memory;
mod modules;
mod operator;
