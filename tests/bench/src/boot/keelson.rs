//! A measured boot of Keelson, from the start of QEMU to its end.

use super::clock::{Clock, Moment, milliseconds};
use super::measured::{Listing, Measured, PowerOff, Usage};
use super::pong::{self, Silent};
use super::prepare::Prepared;
use crate::Failure;
use control::frame;
use control::reply::{Reply, Top};
use control::request::Request;
use qemu::{Line, Machine, Wanted};
use std::time::Duration;

/// Host port of the first instance; the others follow.
const FIRST_PORT: u16 = 7001;
const TIMEOUT: Duration = Duration::from_secs(90);
/// After the last driver is loaded, for everything to come to rest: as long as a floor waits.
const SETTLED: Duration = Duration::from_secs(4);
const POWER_OFF: Duration = Duration::from_secs(60);

/// As many as show what one costs: processor time is counted by hundredths of a second.
const LISTINGS: u64 = 100;

/// Instances of the demo's template.
const TEMPLATE: &str = "redis@";
const INIT: &str = "keelson: init ";
const NETWORK: &str = "keelson: stage network ok";
const LAST_DRIVERS: &str = "keelson: stage more-drivers ok";
const ASKED: &str = "keelson: power-off asked for";
const STOPPED: &str = "keelson: stage stop ok";
/// The kernel's last word.
const OFF: &str = "reboot: Power down";

pub(crate) fn boot(prepared: &Prepared, units: u16) -> Result<Measured, Failure> {
    let ports: Vec<u16> = (FIRST_PORT..).take(usize::from(units)).collect();
    let mut options = prepared
        .keelson()
        .forwards(ports.iter().map(|port| Wanted::tcp(*port)));
    if units > 0 {
        options = options.units(self::units(units)?);
    }
    let machine = Machine::boot(options)?;
    wait(&machine, NETWORK)?;
    let pongs = pong::of(&machine, &ports, TIMEOUT, |silent| {
        no_answer(&machine, silent)
    })?;
    wait(&machine, LAST_DRIVERS)?;
    std::thread::sleep(SETTLED);
    let usage = of_top(&top(&machine)?);
    let listing = listing(&machine)?;
    let chart = machine.boot_chart()?;
    let lines = machine.console().lines_since(machine.boot_start());
    let clock = Clock::of(&lines).ok_or("no line of the console has a time")?;
    let first = lines.iter().find(|line| line.text.contains(INIT));
    let first_unit = chart
        .units
        .iter()
        .filter(|unit| unit.name.starts_with(TEMPLATE))
        .flat_map(|unit| &unit.states)
        .filter(|(state, _)| state == "running")
        .map(|(_, at)| *at)
        .min();
    let network = chart
        .stages
        .iter()
        .find(|stage| stage.name == "network")
        .map(|stage| stage.end_ms);
    let power_off = power_off(&machine)?;
    Ok(Measured {
        init: first.and_then(stamped).ok_or("no first line")?,
        network: network.map(|at| clock.at_guest(at)),
        first_unit: first_unit.map(|at| clock.at_guest(at)),
        first_pong: pongs.map(|pongs| clock.at_wall(pongs.first)),
        all_pongs: pongs.map(|pongs| clock.at_wall(pongs.all)),
        usage,
        listing: Some(listing),
        power_off: Some(power_off),
    })
}

/// The demo's template with so many instances, as the document that goes to the guest.
///
/// # Errors
/// When the demo can't be read or has changed its form.
pub(crate) fn units(count: u16) -> Result<String, Failure> {
    const NAME: &str = "redis@.container.toml";
    let text = std::fs::read_to_string(image::demo::units().join(NAME))?;
    let counted = text.replace("\ncount = 5\n", &format!("\ncount = {count}\n"));
    if count != 5 && counted == text {
        return Err(format!("{NAME} of the demo has no line `count = 5`").into());
    }
    Ok(serde_json::to_string(
        &serde_json::json!({ NAME: counted }),
    )?)
}

fn wait(machine: &Machine, text: &str) -> Result<Line, Failure> {
    machine.wait_for(text, TIMEOUT).map_err(Failure::from)
}

/// `keelson: init 0.1.0 at N ms`
fn stamped(line: &Line) -> Option<Moment> {
    let (_, rest) = line.text.rsplit_once(" at ")?;
    Some(Moment {
        guest_ms: rest.strip_suffix(" ms")?.parse().ok()?,
        wall_ms: milliseconds(line.at),
    })
}

/// Which units are silent, with what the machine thinks of them.
fn no_answer(machine: &Machine, silent: &Silent) -> Failure {
    let forwards = machine.forwards();
    let guest = |port: &u16| {
        let forward = forwards.iter().find(|forward| forward.host_port == *port);
        forward.map_or(0, |forward| forward.guest_port)
    };
    let guests: Vec<u16> = silent.ports.iter().map(guest).collect();
    let units = match machine.ps() {
        Ok(units) => units
            .iter()
            .map(|unit| format!("  {} {} {}\n", unit.name, unit.state, unit.ports.join(" ")))
            .collect(),
        Err(error) => error.to_string(),
    };
    let console = machine.console().text();
    format!(
        "no answer on the guest's ports {guests:?}\nits units:\n{units}\nits console:\n{console}"
    )
    .into()
}

fn top(machine: &Machine) -> Result<Top, Failure> {
    match machine.ask(&Request::Top)? {
        Reply::Top(top) => Ok(*top),
        other => Err(format!("unexpected answer {other:?}").into()),
    }
}

fn listing(machine: &Machine) -> Result<Listing, Failure> {
    let spent = || -> Result<u64, Failure> {
        let top = top(machine)?;
        let init = top.programs.iter().find(|program| program.pid == 1);
        Ok(init.ok_or("PID 1 is not in `top`")?.cpu_ms)
    };
    let bytes = |request: &Request| -> Result<u64, Failure> {
        Ok(frame::encode(&machine.ask(request)?)?.len() as u64)
    };
    let full_bytes = bytes(&Request::Ps)?;
    let before = spent()?;
    let mut listed = 0;
    for _ in 0..LISTINGS {
        listed = bytes(&Request::List { memory: true })?;
    }
    Ok(Listing {
        bytes: listed,
        full_bytes,
        us: spent()?.saturating_sub(before) * 1000 / LISTINGS,
    })
}

fn of_top(top: &Top) -> Usage {
    Usage {
        used: top
            .memory
            .saturating_sub(top.memory_available)
            .saturating_sub(top.memory_at_hand),
        available: top.memory_available,
        free: top.memory_free,
        pss: top.programs.iter().map(|program| program.pss).sum(),
        processes: top.programs.len() as u64,
        descriptors: top.programs.iter().map(|program| program.descriptors).sum(),
    }
}

fn power_off(machine: &Machine) -> Result<PowerOff, Failure> {
    machine.power_off(POWER_OFF)?;
    let asked = wait(machine, ASKED)?.at;
    let since = |line: Line| milliseconds(line.at.saturating_sub(asked));
    Ok(PowerOff {
        units: since(wait(machine, STOPPED)?),
        machine: since(wait(machine, OFF)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_can_be_multiplied() {
        for count in [1, 5, 50] {
            let document = units(count).unwrap();
            assert!(
                document.contains(&format!("count = {count}\\n")),
                "{document}"
            );
        }
    }
}
