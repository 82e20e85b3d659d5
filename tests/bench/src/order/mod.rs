//! The order of functions in the file of programs: what its programs call, recorded in one boot, becomes `programs/order.ld`,
//! by which the linker lays it side by side (docs/decisions/021).
//!
//! ```text
//! linker's map ─▶ addresses of functions ─┐
//! release's initramfs ++ floor-init ──────┴▶ one boot of Keelson, traced from within [tests/bench/floor/src/order]
//!                        console lines ─▶ program → functions ─▶ sequence ─▶ patterns of names ─▶ programs/order.ld
//! ```

mod script;
mod sequence;

use crate::Failure;
use crate::boot::Prepared;
use crate::launch;
use host::build::{self, Profile};
use host::link_map::{self, Piece};
use qemu::Machine;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

const DONE: &str = "floor: order done";
const FAILED: &str = "floor: failed: ";
const CALLED: &str = "floor: called ";
/// A stop at each function's first call makes all slow.
const RECORDED: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Print the script and leave programs/order.ld as it is.
    #[arg(long)]
    print_only: bool,
}

/// Program → addresses of its functions, in the order of the first calls.
type Called = BTreeMap<String, Vec<u64>>;

/// Record, and write.
///
/// # Errors
/// When something can't be built, the machine does not boot or a command fails on it, or the file can't be written.
pub fn run(options: &Options) -> Result<(), Failure> {
    let prepared = Prepared::new()?;
    let all = link_map::parse(&std::fs::read_to_string(build::link_map())?);
    let pieces = text(&all);
    let step = host::progress::step("record what the programs call");
    let called = record(&prepared, &pieces)?;
    step.done("");
    let order = sequence::of(&called, &pieces);
    let bytes: u64 = order.iter().map(|piece| piece.size).sum();
    let script = script::write(&order, &all);
    for (program, functions) in &called {
        println!("{program}: {} functions", functions.len());
    }
    println!("together {} pieces, {bytes} bytes", order.len());
    if options.print_only {
        println!("{script}");
    } else {
        let path = host::paths::workspace().join("programs/order.ld");
        std::fs::write(&path, script)?;
        println!("written: {}", path.display());
    }
    Ok(())
}

/// Those that are functions.
fn text(all: &[Piece]) -> Vec<Piece> {
    let is_text = |piece: &&Piece| piece.section.starts_with(".text") && piece.size > 0;
    all.iter().filter(is_text).cloned().collect()
}

fn record(prepared: &Prepared, pieces: &[Piece]) -> Result<Called, Failure> {
    let initramfs = initramfs(prepared, pieces)?;
    let options = prepared
        .with_initramfs(initramfs)
        .units(units()?)
        .kernel_argument("rdinit=/bench/agent")
        .kernel_argument("floor=order");
    let machine = Machine::boot(options)?;
    let last = machine.wait(&qemu::Wait::for_text(DONE, RECORDED).or(FAILED))?;
    if last.text.contains(FAILED) {
        return Err(format!("{}; the console:\n{}", last.text, machine.console().text()).into());
    }
    let lines = machine.console().lines_since(machine.boot_start());
    let called = called(lines.iter().map(|line| line.text.as_str()));
    machine.cut_power()?;
    Ok(called)
}

/// The release's, with the agent and the addresses at which it is to look.
fn initramfs(prepared: &Prepared, pieces: &[Piece]) -> Result<PathBuf, Failure> {
    let agent = build::program("floor-init", Profile::Os)?;
    let functions: BTreeSet<u64> = pieces
        .iter()
        .flat_map(|piece| piece.symbols.iter().map(|symbol| symbol.address))
        .collect();
    let functions: String = functions.iter().map(|at| format!("{at:x}\n")).collect();
    let files = vec![
        ("bench/agent".to_owned(), 0o755, std::fs::read(agent.path)?),
        ("bench/functions".to_owned(), 0o644, functions.into_bytes()),
    ];
    let mut bytes = std::fs::read(&prepared.artefacts.initramfs)?;
    bytes.extend(image::initramfs(files)?);
    let place = prepared.folder().join("order.img");
    std::fs::write(&place, bytes)?;
    Ok(place)
}

/// `floor: called PROGRAM ADDRESS…`, of all lines.
fn called<'a>(lines: impl Iterator<Item = &'a str>) -> Called {
    let mut called = Called::new();
    for line in lines {
        let Some((_, said)) = line.split_once(CALLED) else {
            continue;
        };
        let mut words = said.split_whitespace();
        let Some(program) = words.next() else {
            continue;
        };
        let addresses = words.filter_map(|word| u64::from_str_radix(word, 16).ok());
        called
            .entry(program.to_owned())
            .or_default()
            .extend(addresses);
    }
    called
}

/// Those that the agent starts, beside those of the launches: probes of each kind, and a run with a network that ends.
fn units() -> Result<String, Failure> {
    let unit = |words: &str| {
        format!(
            "schema = 1\n\n[unit]\nwanted_by = []\n\n[container]\nimage = \"{}\"\n{words}",
            launch::IMAGE
        )
    };
    let probes = "interval = \"1s\"\n";
    let units: BTreeMap<&str, String> = BTreeMap::from([
        (
            "bench-once.container.toml",
            unit(
                "user = \"root\"\nentrypoint = [\"/bin/true\"]\n\n[service]\ntype = \"oneshot\"\n\n[[ports]]\npublish = \"6391:6379\"\n",
            ),
        ),
        (
            "bench-alone.container.toml",
            unit(
                "user = \"root\"\nentrypoint = [\"/bin/true\"]\n\n[service]\ntype = \"oneshot\"\n\n[network]\nmode = \"none\"\n",
            ),
        ),
        (
            "bench-sleeper.container.toml",
            unit(&format!(
                "init = true\nentrypoint = [\"/bin/sleep\", \"1000000\"]\n\n[service]\nreload = {{ signal = \"SIGCONT\" }}\n\n[health]\nexec = [\"/bin/true\"]\n{probes}"
            )),
        ),
        (
            "bench-redis.container.toml",
            unit(&format!(
                "volumes = [\"data:/data\"]\n\n[resources]\nmemory = \"1G\"\n\n[[ports]]\npublish = \"6390:6379\"\n\n[health]\ntcp = {{ port = 6379 }}\n{probes}"
            )),
        ),
    ]);
    Ok(serde_json::to_string(&units)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_called_is_gathered_by_program_over_all_lines() {
        let console = "keelson: ready\nfloor: called netd 270000 2700a0\n[ 3.1] floor: called launcher 2700a0\n\
                       floor: called netd 271000\nfloor: order done\n";
        let called = called(console.lines());
        assert_eq!(called["netd"], [0x27_0000, 0x27_00a0, 0x27_1000]);
        assert_eq!(called["launcher"], [0x27_00a0]);
        assert_eq!(called.len(), 2);
    }
}
