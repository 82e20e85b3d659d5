//! How the released file is linked: functions in the order of `order.ld`, and a map of where all of them came to lie
//! (docs/decisions/021).

use std::env::var;
use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=order.ld");
    println!("cargo::rerun-if-changed=build.rs");
    let is = |variable: &str, value: &str| var(variable).is_ok_and(|found| found == value);
    // The linker of the target only, and functions that have the names of a release's.
    if !is("CARGO_CFG_TARGET_ENV", "musl") || !is("PROFILE", "release") {
        return;
    }
    let (Ok(here), Ok(out)) = (var("CARGO_MANIFEST_DIR"), var("OUT_DIR")) else {
        return;
    };
    println!("cargo::rustc-link-arg-bins=-T{here}/order.ld");
    // Nothing protects those pages in a static file of musl's: they would be a mapping and a page of their own for nothing.
    println!("cargo::rustc-link-arg-bins=-znorelro");
    // Beside the program: OUT_DIR is build/programs-HASH/out of that folder.
    if let Some(folder) = PathBuf::from(out).ancestors().nth(3) {
        let map = folder.join("programs.map");
        println!("cargo::rustc-link-arg-bins=-Map={}", map.display());
        println!("cargo::rustc-link-arg-bins=--no-demangle");
    }
}
