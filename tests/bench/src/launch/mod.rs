//! The launch benchmark: what a start, an exec, a restart and a list cost, beside crun by hand and the kernel's floors, all
//! in one machine and one run.
//!
//! ```text
//! release's initramfs ++ floor-init, crun, its libraries ─▶ one boot of Keelson
//!                           └─ a child of floor-init, before that becomes PID 1, measures from within [tests/bench/floor/src/launch]
//! console lines ─▶ rows ─▶ medians and ratios ─▶ standard output, docs/performance.md
//! ```

mod parts;
mod report;
mod trace;

pub(crate) use parts::IMAGE;

use crate::boot::Prepared;
use crate::disturbance::Ticks;
use crate::{Failure, document, host_machine};
use qemu::Machine;
use report::Row;
use std::collections::BTreeMap;
use std::time::Duration;

/// The block in `docs/performance.md`.
const BLOCK: &str = "bench launch";
const BLOCK_COUNTED: &str = "bench launch counted";
/// Rows of which one is traced, and what their tables are called.
const TRACED: [(&str, &str); 4] = [
    ("least", "the floor"),
    ("alone", "`keelctl start` of `true` without a network"),
    ("crun-exec", "`crun exec` of `true`"),
    ("exec", "`keelctl exec` of `true`"),
];
const DONE: &str = "floor: launch done";
const FAILED: &str = "floor: failed: ";
/// Of a round, a second and a half here; the emulator on a loaded machine is many times slower.
const ROUND: Duration = Duration::from_secs(20);
const BOOT: Duration = Duration::from_secs(180);

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Rounds in which each row is measured once; the table has their medians.
    #[arg(long, default_value_t = 15)]
    rounds: u32,
    /// The machine's clock counts its instructions, which don't depend on the host, and its processors take turns; with it,
    /// where the time of a start and of an exec goes.
    #[arg(long)]
    counted: bool,
    /// Print the tables and leave docs/performance.md as it is.
    #[arg(long)]
    print_only: bool,
}

/// Measure, print, write.
///
/// # Errors
/// When something can't be built, the machine does not boot or a row can't be measured, or the document can't be written.
pub fn run(options: &Options) -> Result<(), Failure> {
    // Before the build, which takes the tree as it is now.
    let date_and_commit = host_machine::date_and_commit()?;
    let prepared = Prepared::new()?;
    let initramfs = parts::make(&prepared)?;
    let before = Ticks::now();
    let step = host::progress::step(&format!("{} rounds of launches", options.rounds));
    let lines = measure(&prepared, initramfs, options)?;
    let rows = rows(lines.iter().map(String::as_str));
    step.done("");
    let disturbance = before
        .zip(Ticks::now())
        .map_or_else(String::new, |(before, after)| {
            format!("\n{}.", before.disturbance(after))
        });
    let clock = if options.counted {
        format!(
            "; the clock counts instructions, {} ns each, and the processors take turns",
            qemu::INSTRUCTION_NS
        )
    } else {
        String::new()
    };
    let heading = format!(
        "Measured on {date_and_commit}; medians of {} rounds in one machine{clock}.\n{}.{disturbance}",
        options.rounds,
        host_machine::description(&prepared.guest())
    );
    let mut text = report::report(&heading, &rows, pss_kib(&lines));
    for (name, title) in TRACED {
        let table = trace::where_it_goes(name, lines.iter().map(String::as_str));
        if let Some(table) = table {
            text.push_str(&format!("\nOne of {title}:\n\n{table}"));
        }
    }
    if options.counted {
        let path = prepared.folder().join("trace.txt");
        let traced: Vec<&str> = lines
            .iter()
            .filter_map(|line| line.strip_prefix("trace: "))
            .collect();
        std::fs::write(&path, traced.join("\n"))?;
        println!("every event of it: {}", path.display());
    }
    let block = if options.counted {
        BLOCK_COUNTED
    } else {
        BLOCK
    };
    println!("\n{text}");
    if !options.print_only {
        let path = host::paths::workspace().join("docs/performance.md");
        document::write_block(&path, block, &text)?;
        println!("written: {}", path.display());
    }
    Ok(())
}

/// What the child has said.
fn measure(
    prepared: &Prepared,
    initramfs: std::path::PathBuf,
    asked: &Options,
) -> Result<Vec<String>, Failure> {
    let rounds = asked.rounds;
    let mut options = prepared
        .with_initramfs(initramfs)
        .units(parts::units()?)
        .kernel_argument("rdinit=/bench/agent")
        .kernel_argument("floor=launch")
        .kernel_argument(format!("floor_rounds={rounds}"));
    if asked.counted {
        options = options
            .translation(qemu::Translation::Counted)
            .kernel_argument("floor_trace=1");
    }
    let machine = Machine::boot(options)?;
    let wait = qemu::Wait::for_text(DONE, BOOT + ROUND * rounds).or(FAILED);
    let last = machine.wait(&wait)?;
    let lines = machine.console().lines_since(machine.boot_start());
    let lines = lines.into_iter().map(|line| line.text).collect();
    if last.text.contains(FAILED) {
        return Err(format!("{}; the console:\n{}", last.text, machine.console().text()).into());
    }
    machine.cut_power()?;
    Ok(lines)
}

/// `floor: launch pss N KiB`
fn pss_kib(lines: &[String]) -> Option<u64> {
    let said = lines
        .iter()
        .find_map(|line| line.split_once("floor: launch pss "));
    said?.1.split_whitespace().next()?.parse().ok()
}

/// `floor: launch ROW N us`, in all their rounds.
fn rows<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<Row, Vec<u64>> {
    let mut rows: BTreeMap<Row, Vec<u64>> = BTreeMap::new();
    for line in lines {
        let Some((_, said)) = line.split_once("floor: launch ") else {
            continue;
        };
        let mut words = said.split_whitespace();
        let row = words.next().and_then(Row::named);
        let time = words.next().and_then(|word| word.parse().ok());
        if let (Some(row), Some(time)) = (row, time) {
            rows.entry(row).or_default().push(time);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_gathered_by_name_over_all_rounds() {
        let console = "keelson: ready 3 units 3000 ms\nfloor: launch alone 41000 us\nfloor: launch crun 50000 us\n\
                       floor: launch alone 43000 us\nfloor: launch done\nfloor: launch nothing 3 us\n";
        let rows = rows(console.lines());
        assert_eq!(rows[&Row::Alone], [41_000, 43_000]);
        assert_eq!(rows[&Row::Crun], [50_000]);
        assert_eq!(rows.len(), 2);
    }
}
