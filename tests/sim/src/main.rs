//! Runs the simulation for any number of seeds.

use sim::{Counts, Scenario, Violation, run, run_seeds, shrunk};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use supervisor::Mutant;

const USAGE: &str = "\
usage: sim [--seeds N] [--first SEED] [--mutant NAME]   lives through N worlds (default 1000)
       sim --seed SEED [--keep N,N,…|none] [--mutant NAME]   one world, with some of its commands
       sim --replay FILE   what `keelctl trace --dump` has written: decided again";

struct Arguments {
    seeds: u64,
    first: u64,
    one: Option<u64>,
    keep: Option<Vec<usize>>,
    mutant: Option<Mutant>,
    replay: Option<String>,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("sim: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if let Some(file) = &arguments.replay {
        return replay(file);
    }
    let outcome = match arguments.one {
        Some(seed) => one(seed, &arguments),
        None => many(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(violation) => {
            eprintln!("{violation}");
            ExitCode::FAILURE
        }
    }
}

fn replay(file: &str) -> ExitCode {
    let text = std::fs::read(file).map_err(|error| error.to_string());
    match text.and_then(|text| sim::replay(&text)) {
        Ok(turns) => {
            println!("sim: {turns} turns: the same decisions, and the same end");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("sim: {file}: {message}");
            ExitCode::FAILURE
        }
    }
}

fn one(seed: u64, arguments: &Arguments) -> Result<(), Box<Violation>> {
    let scenario = Scenario::random(seed);
    println!("{} units, {:?}", scenario.plan.rules.len(), scenario.faults);
    for (place, (at, command)) in scenario.commands.iter().enumerate() {
        if arguments
            .keep
            .as_ref()
            .is_none_or(|keep| keep.contains(&place))
        {
            println!("  command {place} at {at} ms: {command:?}");
        }
    }
    let counts = run(&scenario, arguments.keep.as_deref(), arguments.mutant)?;
    println!(
        "sim: {} turns, {} runs: every rule held",
        counts.turns, counts.runs
    );
    Ok(())
}

fn many(arguments: &Arguments) -> Result<(), Box<Violation>> {
    let begun = Instant::now();
    let told = Mutex::new(begun);
    let progress = |done: u64| {
        if let Ok(mut told) = told.try_lock()
            && told.elapsed() >= Duration::from_secs(2)
        {
            *told = Instant::now();
            eprintln!("sim: {done} of {} seeds", arguments.seeds);
        }
    };
    match run_seeds(arguments.first, arguments.seeds, arguments.mutant, progress) {
        Ok(counts) => {
            print_counts(&counts, begun.elapsed());
            Ok(())
        }
        Err(violation) => {
            eprintln!(
                "sim: seed {} fails; looking for the shortest story",
                violation.seed
            );
            Err(shrunk(violation))
        }
    }
}

fn print_counts(counts: &Counts, took: Duration) {
    println!(
        "sim: {} seeds, {} turns, {} runs in {:.1} s: every rule held",
        counts.worlds,
        counts.turns,
        counts.runs,
        took.as_secs_f64()
    );
    let rate = counts.worlds as f64 / took.as_secs_f64();
    println!("     {rate:.0} seeds/s; seen:");
    for (what, times) in counts.list().into_iter().skip(3) {
        println!("     {times:>10} {what}");
    }
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments {
        seeds: 1_000,
        first: 0,
        one: None,
        keep: None,
        mutant: None,
        replay: None,
    };
    while let Some(flag) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{flag} needs a value"));
        let number = |text: String| {
            text.parse::<u64>()
                .map_err(|_| format!("`{text}` is not a number"))
        };
        match flag.as_str() {
            "--seeds" => arguments.seeds = number(value()?)?,
            "--first" => arguments.first = number(value()?)?,
            "--seed" => arguments.one = Some(number(value()?)?),
            "--replay" => arguments.replay = Some(value()?),
            "--keep" => {
                let text = value()?;
                let places = text.split(',').filter(|place| *place != "none");
                let places = places.map(|place| {
                    place
                        .parse()
                        .map_err(|_| format!("`{place}` is not a number"))
                });
                arguments.keep = Some(places.collect::<Result<_, String>>()?);
            }
            "--mutant" => {
                let text = value()?;
                let known = Mutant::ALL
                    .into_iter()
                    .find(|mutant| format!("{mutant:?}") == text);
                let known = known
                    .ok_or_else(|| format!("no mutant `{text}`; there are {:?}", Mutant::ALL))?;
                arguments.mutant = Some(known);
            }
            _ => return Err(format!("unknown flag `{flag}`")),
        }
    }
    Ok(arguments)
}
