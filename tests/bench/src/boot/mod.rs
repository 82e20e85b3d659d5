//! The boot benchmark: from the start of QEMU to a unit that answers from outside.
//!
//! ```text
//! prepare ─▶ disk, booted once so that the images are loaded (steady state)
//!    │
//!    ├─ run 1 … N, in turns:  floor bare · floor redis, 1 and 5 · Keelson with 0, 1, 5, 50 units
//!    │                           console lines, pongs, top, power-off ─▶ Measured
//!    └─ medians ─▶ report ─▶ standard output, docs/performance.md
//! ```
//!
//! Times are of two clocks. Wall time counts from the start of the QEMU process. Guest time counts from the start of the
//! kernel (`CLOCK_BOOTTIME`); the guest says it of its own events. For what is seen from outside (an answer over TCP)
//! it is the wall time less the offset of the two clocks, see [`clock`].

mod clock;
mod floor;
mod initramfs;
mod keelson;
mod measured;
mod pong;
mod prepare;
mod report;
mod shape;

use crate::disturbance::Ticks;
use crate::{Failure, document, host_machine};
use measured::Measured;
pub(crate) use prepare::Prepared;
use qemu::WaitError;
use shape::Shape;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;

/// The block in `docs/performance.md`.
const BLOCK: &str = "bench boot";

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Boots of each system; the table has their medians. 0: only prepare (build everything, load the images).
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// How many units, each a boot of its own.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1, 5, 50])]
    units: Vec<u16>,
    /// Print the tables and leave docs/performance.md as it is.
    #[arg(long)]
    print_only: bool,
}

/// Measure, print, write.
///
/// # Errors
/// When something can't be built, a machine does not boot, or the document can't be written.
pub fn run(options: &Options) -> Result<(), Failure> {
    // Before the build, which takes the tree as it is now.
    let date_and_commit = host_machine::date_and_commit()?;
    let prepared = Prepared::new()?;
    if options.runs == 0 {
        return Ok(());
    }
    let before = Ticks::now();
    let (boots, crashes) = boot_all(&prepared, options)?;
    let medians: BTreeMap<Shape, Measured> = boots
        .iter()
        .map(|(shape, boots)| (*shape, Measured::median(boots)))
        .collect();
    let disturbance = before
        .zip(Ticks::now())
        .map_or_else(String::new, |(before, after)| {
            format!("\n{}.", before.disturbance(after))
        });
    let heading = format!(
        "Measured on {date_and_commit}; medians of {} boots each{}.\n{}.{disturbance}",
        options.runs,
        repeated(crashes),
        host_machine::description(&prepared.guest())
    );
    let text = report::report(&heading, &medians, &prepared.artefacts.sizes);
    println!("\n{text}");
    if !options.print_only {
        let path = host::paths::workspace().join("docs/performance.md");
        document::write_block(&path, BLOCK, &text)?;
        println!("written: {}", path.display());
    }
    Ok(())
}

/// Every shape, as often as asked for, in turns; and how often the emulator crashed.
fn boot_all(
    prepared: &Prepared,
    options: &Options,
) -> Result<(BTreeMap<Shape, Vec<Measured>>, usize), Failure> {
    let floor = |instances| Shape::FloorRedis { instances };
    let mut shapes = vec![Shape::FloorBare, floor(1), floor(5)];
    shapes.extend(
        options
            .units
            .iter()
            .map(|units| Shape::Keelson { units: *units }),
    );
    let mut crashes = 0;
    let mut boots: BTreeMap<Shape, Vec<Measured>> = BTreeMap::new();
    for round in 1..=options.runs {
        for shape in &shapes {
            let step = host::progress::step(&format!("run {round} of {}: {shape}", options.runs));
            let measured = match measure(prepared, *shape) {
                Err(error) if is_emulators(&error) => {
                    eprintln!("{error}\nthe emulator has crashed: once more");
                    crashes += 1;
                    measure(prepared, *shape)?
                }
                other => other?,
            };
            step.done(&measured.to_string());
            boots.entry(*shape).or_default().push(measured);
        }
    }
    Ok((boots, crashes))
}

/// Whether QEMU died of itself: no fault of the guest.
fn is_emulators(error: &Failure) -> bool {
    match error.downcast_ref() {
        Some(WaitError::Ended { status, .. }) => status.signal().is_some(),
        Some(_) | None => false,
    }
}

fn repeated(crashes: usize) -> String {
    match crashes {
        0 => String::new(),
        1 => " (one more ended with a crash of the emulator)".to_owned(),
        more => format!(" ({more} more ended with a crash of the emulator)"),
    }
}

fn measure(prepared: &Prepared, shape: Shape) -> Result<Measured, Failure> {
    match shape {
        Shape::FloorBare => floor::bare(prepared),
        Shape::FloorRedis { instances } => floor::redis(prepared, instances),
        Shape::Keelson { units } => keelson::boot(prepared, units),
    }
}
