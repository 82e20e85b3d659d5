//! The log benchmark: what a line costs logd, on this host, with real pipes.
//!
//! ```text
//! logd, and another one beside it ─▶ in turns, every load: pipes lent as PID 1 lends them ─▶ lines written ─▶ flushed
//!                                                                     └▶ processor time of all its threads, system calls
//! ```
//!
//! Wall times say little on a machine that does other work; processor time says more, and its ratio to that of another
//! logd in the same run most.

mod load;
mod logd;

use crate::disturbance::Ticks;
use crate::statistics::median;
use crate::table::table;
use crate::{Failure, document, host_machine};
use host::run;
use load::Load;
use logd::Cost;
use std::path::{Path, PathBuf};

/// The block in `docs/performance.md`.
const BLOCK: &str = "bench log";

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Runs of each load; the table has their medians.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Another logd to measure beside this one, in the same run: an executable, built in the same way.
    #[arg(long)]
    beside: Option<PathBuf>,
    /// Print the table and leave docs/performance.md as it is.
    #[arg(long)]
    print_only: bool,
}

/// Measure, print, write.
///
/// # Errors
/// When logd can't be built or does not answer, or the document can't be written.
pub fn run(options: &Options) -> Result<(), Failure> {
    let date_and_commit = host_machine::date_and_commit()?;
    let ours = build()?;
    let before = Ticks::now();
    let mut rows = Vec::new();
    for load in load::ALL {
        let (mut our_costs, mut other_costs) = (Vec::new(), Vec::new());
        for round in 1..=options.runs.max(1) {
            let text = format!("run {round} of {}: {}", options.runs, load.name);
            let step = host::progress::step(&text);
            if let Some(other) = &options.beside {
                other_costs.push(logd::measure(other, load)?);
            }
            let cost = logd::measure(&ours, load)?;
            step.done(&format!("{} lines for a CPU second", cost.lines_per_second));
            our_costs.push(cost);
        }
        rows.push(row(load, &other_costs, &our_costs));
    }
    let disturbance = before
        .zip(Ticks::now())
        .map_or_else(String::new, |(before, after)| {
            format!("\n{}.", before.disturbance(after))
        });
    let head = [
        "load",
        "before, lines for a CPU second",
        "now",
        "ratio",
        "before, system calls for 1,000 lines",
        "now",
    ];
    let text = format!(
        "Measured on {date_and_commit}; medians of {} runs each.{disturbance}\n\n{}",
        options.runs,
        table(&head, &rows)
    );
    println!("\n{text}");
    if !options.print_only {
        let path = host::paths::workspace().join("docs/performance.md");
        document::write_block(&path, BLOCK, &text)?;
        println!("written: {}", path.display());
    }
    Ok(())
}

fn build() -> Result<PathBuf, Failure> {
    let folder = host::paths::workspace();
    let mut cargo = run::command_in(&folder, "cargo");
    run::output(cargo.args(["build", "--release", "--package", "logd", "--quiet"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| folder.join("target"), PathBuf::from);
    Ok(Path::new(&target).join("release/logd"))
}

fn row(load: &Load, before: &[Cost], now: &[Cost]) -> Vec<String> {
    let lines = |costs: &[Cost]| median(costs.iter().map(|cost| cost.lines_per_second));
    let calls = |costs: &[Cost]| median(costs.iter().filter_map(|cost| cost.calls_per_1000));
    let number =
        |value: Option<u64>| value.map_or_else(|| "–".to_owned(), |value| value.to_string());
    let ratio = lines(now).zip(lines(before)).map_or_else(
        || "–".to_owned(),
        |(now, before)| {
            let hundredths = now * 100 / before.max(1);
            format!("{}.{:02}", hundredths / 100, hundredths % 100)
        },
    );
    vec![
        load.name.to_owned(),
        number(lines(before)),
        number(lines(now)),
        ratio,
        number(calls(before)),
        number(calls(now)),
    ]
}
