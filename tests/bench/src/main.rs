//! `cargo run --release -p bench -- BENCHMARK`

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Measure Keelson.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Command {
    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Debug, Subcommand)]
enum Benchmark {
    /// From the start of QEMU to a unit that answers; memory, sizes, power-off. Writes docs/performance.md.
    Boot(bench::boot::Options),
    /// Lines that logd keeps for a second of processor time, on this host. Writes docs/performance.md.
    Log(bench::log::Options),
    /// Starts, execs, restarts and lists beside crun by hand and the kernel's floors. Writes docs/performance.md.
    Launch(bench::launch::Options),
    /// Which functions the programs of the machine call, in one boot. Writes programs/order.ld, by which they are linked.
    Order(bench::order::Options),
}

fn main() -> ExitCode {
    let result = match Command::parse().benchmark {
        Benchmark::Boot(options) => bench::boot::run(&options),
        Benchmark::Log(options) => bench::log::run(&options),
        Benchmark::Launch(options) => bench::launch::run(&options),
        Benchmark::Order(options) => bench::order::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
