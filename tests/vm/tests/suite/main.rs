//! Real boots: what an operator does and sees. One machine at a time; see the library of this package for how it is made.

mod apply;
mod archives;
mod bad_input;
mod boot_command;
mod demo;
mod disks;
mod endurance;
mod fifty;
mod firmware;
mod hammer;
mod health;
mod helpers;
mod inside;
mod memory;
mod modules;
mod notify;
mod operator;
mod order;
mod other_kernel;
mod outlive;
mod recovery;
mod reexec;
mod replace;
mod scale;
mod shop;
mod site;
mod steps;
mod timers;
mod trouble;

/// Who gets transparent huge pages: the word in brackets (transhuge.rst).
fn huge_pages(guest: &vm::Guest, unit: &str) -> String {
    let text = guest.shell(unit, "cat /sys/kernel/mm/transparent_hugepage/enabled");
    let chosen = text.split(['[', ']']).nth(1);
    chosen.unwrap_or_default().to_owned()
}
