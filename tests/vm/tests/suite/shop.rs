//! An application of eight services as Compose's users have it, and the job that fills its database: the order in which
//! they start, and how they are, the same at each boot.

use crate::order::{SOON, script, with};
use control::reply::BootChart;
use std::time::Duration;
use vm::{Checks, Guest, until};

/// Each service with those that it depends on, and on what about them.
pub(crate) const SHOP: [(&str, &[(&str, &str)]); 8] = [
    ("configserver", &[]),
    ("discovery", &[("configserver", "healthy")]),
    ("user", &[("discovery", "healthy")]),
    (
        "movie",
        &[
            ("discovery", "healthy"),
            ("schema", "completed_successfully"),
        ],
    ),
    (
        "recommendation",
        &[("discovery", "healthy"), ("movie", "started")],
    ),
    ("gateway", &[("discovery", "healthy"), ("user", "started")]),
    ("dashboard", &[("discovery", "started")]),
    (
        "ui",
        &[("gateway", "started"), ("recommendation", "started")],
    ),
];

/// Those that answer, and where: all are in the machine's own network.
const SERVERS: [(&str, u16); 2] = [("configserver", 8101), ("discovery", 8102)];

/// What a server does before it answers.
const SERVER_STARTS_MS: u64 = 1_000;

pub(crate) fn units() -> Vec<(String, String)> {
    let mut units = Vec::new();
    for (name, needs) in SHOP {
        let mut text = String::from("rm -f /tmp/answer");
        for (other, _) in needs.iter().filter(|(_, what)| *what == "healthy") {
            let (_, port) = SERVERS.iter().find(|(name, _)| name == other).unwrap();
            text += &format!("; wget -q -O /tmp/answer http://127.0.0.1:{port}/page");
        }
        let own = SERVERS.iter().find(|(server, _)| *server == name);
        text += &match own {
            Some((_, port)) => format!(
                "; mkdir -p /tmp/www; echo up > /tmp/www/page; sleep {}; exec busybox httpd -f -p {port} -h /tmp/www",
                SERVER_STARTS_MS / 1_000
            ),
            None => "; exec sleep infinity".into(),
        };
        let mut unit = with(script(name, &text, "", ""), "[network]\nmode = \"host\"\n");
        if let Some((_, port)) = own {
            let health = format!(
                "[health]\nhttp = {{ port = {port}, path = \"/page\" }}\n\
                 interval = \"300ms\"\ntimeout = \"20s\"\nretries = 2\nstart_period = \"60s\"\n"
            );
            unit = with(unit, &health);
        }
        for (other, condition) in needs {
            let depends =
                format!("[[unit.depends_on]]\nunit = \"{other}\"\ncondition = \"{condition}\"\n");
            unit = with(unit, &depends);
        }
        units.push(unit);
    }
    let fill = script("schema", "sleep 0.2; echo filled", "", "type = \"job\"");
    units.push(fill);
    units
}

/// When the unit first entered one of the states in this boot, in milliseconds of it.
fn first(chart: &BootChart, unit: &str, states: &[&str]) -> u64 {
    let found = chart.units.iter().find(|found| found.name == unit);
    let all = &found.unwrap().states;
    let entered = all
        .iter()
        .find(|(state, _)| states.contains(&state.as_str()));
    entered
        .unwrap_or_else(|| panic!("{unit}: {all:?}, none of {states:?}"))
        .1
}

pub(crate) fn rules(checks: &mut Checks, guest: &Guest, when: &str) {
    let rule = format!("{when}, eight services start after all that they depend on");
    checks.that(&rule, || {
        for (name, _) in SHOP {
            guest.gets(name, "running");
        }
        let chart = guest.machine.boot_chart().unwrap();
        for (name, needs) in SHOP {
            let begun = first(&chart, name, &["preparing"]);
            for (other, condition) in needs {
                let there = match *condition {
                    // It answers so long after it has begun, and is healthy then.
                    "healthy" => first(&chart, other, &["running"]) + SERVER_STARTS_MS,
                    "completed_successfully" => first(&chart, other, &["finished"]),
                    _ => first(&chart, other, &["running"]),
                };
                assert!(
                    there <= begun,
                    "{name} began at {begun}, {other} was there at {there}"
                );
            }
        }
        assert_eq!(guest.gets("schema", "finished").restarts, 0);
    });
    let rule = format!("{when}, who starts after a healthy one is answered by it at once");
    checks.that(&rule, || {
        for (name, needs) in SHOP {
            if needs.iter().any(|(_, condition)| *condition == "healthy") {
                assert_eq!(guest.shell(name, "cat /tmp/answer"), "up", "{name}");
                assert_eq!(guest.status(name).restarts, 0, "{name}");
            }
        }
    });
    let rule = format!("{when}, health is what it was");
    checks.that(&rule, || {
        for (name, port) in SERVERS {
            let (health, _) = until(&format!("{name} is healthy"), SOON, || {
                let health = guest.status(name).health;
                let health = health.filter(|health| health.status == "healthy");
                health.ok_or_else(|| "not yet".to_owned())
            });
            assert_eq!(health.probe, format!("http port {port} path /page"));
        }
    });
}

pub(crate) fn who_is_ill_is_restarted(checks: &mut Checks, guest: &Guest) {
    checks.that("after all that, who is ill is still restarted", || {
        let before = guest.status("configserver");
        let others = || ["discovery", "ui"].map(|unit| guest.status(unit).run);
        let untouched = others();
        guest.shell("configserver", "rm /tmp/www/page");
        until(
            "configserver is healthy again",
            Duration::from_secs(60),
            || {
                let status = guest.status("configserver");
                let anew = status.run > before.run;
                let health = status.health.as_ref().map(|health| health.status.as_str());
                let done = anew && health == Some("healthy");
                done.then_some(()).ok_or(format!("{status:?}"))
            },
        );
        assert_eq!(others(), untouched);
    });
}
