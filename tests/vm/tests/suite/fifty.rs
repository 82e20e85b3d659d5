//! Many instances of one template.

use std::fmt::Write;
use std::time::Instant;
use vm::{Checks, Setup, StatePartition, container, measured, until};

const SCENARIO: &str = "fifty";
const INSTANCES: u16 = 50;
const FIRST_PORT: u16 = 7001;

pub(crate) fn fifty_instances_of_one_template_all_answer_in_4_gib() {
    let mut rest =
        String::from("[[ports]]\npublish = \"7001:6379\"\n[resources]\nmemory = \"64M\"\n");
    writeln!(rest, "[replicas]\ncount = {INSTANCES}\nport_offset = 1").unwrap();
    let ports = FIRST_PORT..FIRST_PORT + INSTANCES;
    let setup = Setup::named(SCENARIO)
        .memory(4 << 30)
        .own_disk(4 << 30)
        .units([container("redis@", &rest)]);
    let mut checks = Checks::of(SCENARIO);
    let guest = ports.clone().fold(setup, Setup::port).boot();
    checks.that("all get ready", || {
        assert_eq!(guest.ready().units, usize::from(INSTANCES));
    });
    checks.that("all answer, each with its own state", || {
        let start = Instant::now();
        for port in ports.clone() {
            guest.answers(port);
            let set = guest.redis(port).ask(&format!("SET port {port}")).unwrap();
            assert_eq!(set, "+OK");
        }
        for port in ports.clone() {
            assert_eq!(guest.redis(port).ask("GET port").unwrap(), port.to_string());
        }
        measured(SCENARIO, "150 questions to 50 instances", start.elapsed());
    });
    checks.that("each has an address of its own", || {
        let mut addresses: Vec<_> = guest
            .machine
            .ps()
            .unwrap()
            .into_iter()
            .filter(|unit| unit.kind == "container")
            .map(|unit| {
                unit.address
                    .unwrap_or_else(|| panic!("{} has none", unit.name))
            })
            .collect();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), usize::from(INSTANCES), "{addresses:?}");
    });
    checks.that("all are stopped and started by one command", || {
        let names: Vec<String> = (1..=10).map(|number| format!("redis@{number}")).collect();
        let words = |verb: &'static str| {
            std::iter::once(verb)
                .chain(names.iter().map(String::as_str))
                .collect::<Vec<_>>()
        };
        guest.told(&words("stop"));
        guest.told(&words("start"));
        until("all run", std::time::Duration::from_secs(60), || {
            let units = guest.machine.ps().map_err(|error| error.to_string())?;
            let down: Vec<String> = units
                .into_iter()
                .filter(|unit| unit.state != "running")
                .map(|unit| unit.name)
                .collect();
            if down.is_empty() {
                Ok(())
            } else {
                Err(format!("{down:?}"))
            }
        });
    });
    checks.that(
        "power-off stops all in order, and the disk is clean",
        || {
            measured(
                SCENARIO,
                "power-off of 50 units, wall time",
                guest.power_off(),
            );
            guest.serial_log_is_clean(&[]);
            StatePartition::of(guest.disk()).is_clean();
        },
    );
    checks.end();
}
