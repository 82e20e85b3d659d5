//! Medians as the tables of `docs/performance.md`.

use super::clock::Moment;
use super::measured::Measured;
use super::shape::Shape;
use crate::table::table;
use image::Size;
use std::collections::BTreeMap;

type Medians = BTreeMap<Shape, Measured>;

/// The whole block.
pub(crate) fn report(heading: &str, medians: &Medians, sizes: &[Size]) -> String {
    format!(
        "{heading}\n\n### Times\n\nGuest time / wall time, seconds.\n\n{}\n### Aims\n\n{}\n### Memory, processes\n\n{}\n### Power-off\n\n{}\n### Listing\n\n{}\n### Sizes\n\n{}",
        times(medians),
        aims(medians, sizes),
        usage(medians),
        power_off(medians),
        listing(medians),
        size_table(sizes),
    )
}

fn times(medians: &Medians) -> String {
    let rows: Vec<Vec<String>> = medians
        .iter()
        .map(|(shape, measured)| {
            let all = measured.all_pongs.filter(|_| shape.has_several());
            vec![
                shape.to_string(),
                moment(Some(measured.init)),
                moment(measured.network),
                moment(measured.first_unit),
                moment(measured.first_pong),
                moment(all),
            ]
        })
        .collect();
    table(
        &[
            "system",
            "init's first line",
            "network up",
            "first unit running",
            "first PONG",
            "all PONG",
        ],
        &rows,
    )
}

fn moment(moment: Option<Moment>) -> String {
    moment.map_or_else(
        || "–".to_owned(),
        |moment| format!("{} / {}", seconds(moment.guest_ms), seconds(moment.wall_ms)),
    )
}

fn usage(medians: &Medians) -> String {
    let rows: Vec<Vec<String>> = medians
        .iter()
        .map(|(shape, measured)| {
            let usage = measured.usage;
            vec![
                shape.to_string(),
                mebibytes(usage.pss),
                mebibytes(usage.used),
                mebibytes(usage.available),
                mebibytes(usage.free),
                usage.processes.to_string(),
                usage.descriptors.to_string(),
            ]
        })
        .collect();
    table(
        &[
            "system",
            "PSS outside containers, MiB",
            "RAM used, MiB",
            "MemAvailable, MiB",
            "MemFree, MiB",
            "processes",
            "descriptors",
        ],
        &rows,
    )
}

fn power_off(medians: &Medians) -> String {
    let rows: Vec<Vec<String>> = medians
        .iter()
        .filter_map(|(shape, measured)| {
            let end = measured.power_off?;
            Some(vec![
                shape.to_string(),
                seconds(end.units),
                seconds(end.machine),
            ])
        })
        .collect();
    table(
        &["system", "units stopped after, s", "machine off after, s"],
        &rows,
    )
}

fn listing(medians: &Medians) -> String {
    let rows: Vec<Vec<String>> = medians
        .iter()
        .filter_map(|(shape, measured)| {
            let listing = measured.listing?;
            Some(vec![
                shape.to_string(),
                listing.bytes.to_string(),
                listing.full_bytes.to_string(),
                format!("{}.{:02}", listing.us / 1000, listing.us % 1000 / 10),
            ])
        })
        .collect();
    table(
        &[
            "system",
            "`ps`, bytes",
            "`ps --json`, bytes",
            "PID 1 for one `ps`, ms",
        ],
        &rows,
    )
}

fn size_table(sizes: &[Size]) -> String {
    let rows: Vec<Vec<String>> = sizes
        .iter()
        .map(|size| {
            vec![
                size.component.clone(),
                kibibytes(size.bytes),
                kibibytes(size.compressed),
            ]
        })
        .collect();
    table(&["component", "KiB", "compressed, KiB"], &rows)
}

/// Parts that every image has.
const OF_A_RELEASE: [&str; 4] = ["kernel", "system", "modules", "hardware"];

/// What was aimed at, beside what came out. A row whose boots were not asked for is left out.
fn aims(medians: &Medians, sizes: &[Size]) -> String {
    let floor = medians.get(&Shape::FloorRedis { instances: 1 });
    let keelson = |units| medians.get(&Shape::Keelson { units });
    let guest = |measured: Option<&Measured>| Some(measured?.all_pongs?.guest_ms);
    let later = |later: Option<u64>, sooner: Option<u64>| Some(later?.saturating_sub(sooner?));
    let pss = |units| keelson(units).map(|measured| measured.usage.pss);
    let used = |measured: Option<&Measured>| measured.map(|measured| measured.usage.used);
    let in_seconds = |value: Option<u64>, most_ms: u64, what: &str| {
        let value = value?;
        Some(row(
            what,
            seconds(most_ms) + " s",
            seconds(value) + " s",
            value <= most_ms,
        ))
    };
    let in_bytes = |value: Option<u64>, most: u64, what: &str| {
        let value = value?;
        Some(row(
            what,
            kibibytes(most) + " KiB",
            kibibytes(value) + " KiB",
            value <= most,
        ))
    };
    let system: u64 = sizes
        .iter()
        .filter(|size| matches!(size.component.as_str(), "system" | "units"))
        .map(|size| size.compressed)
        .sum();
    let release: u64 = sizes
        .iter()
        .filter(|size| OF_A_RELEASE.contains(&size.component.as_str()))
        .map(|size| size.compressed)
        .sum();
    let rows: Vec<Vec<String>> = [
        in_seconds(
            later(guest(keelson(1)), guest(floor)),
            450,
            "first PONG after that of Redis as PID 1 (guest)",
        ),
        in_seconds(
            later(guest(keelson(5)), guest(keelson(1))),
            350,
            "PONG of four more units (guest)",
        ),
        in_seconds(
            keelson(5).and_then(|measured| Some(measured.power_off?.machine)),
            500,
            "power-off with five units",
        ),
        in_bytes(pss(0), 5 << 20, "PSS of all system programs, no unit"),
        in_bytes(
            later(pss(50), pss(0)).map(|more| more / 50),
            64 << 10,
            "PSS for each unit (of 50)",
        ),
        in_bytes(
            later(used(keelson(1)), used(floor)),
            8 << 20,
            "RAM used with one unit above Redis as PID 1",
        ),
        in_bytes(
            Some(system),
            8 << 20,
            "image without kernel, modules and preloaded images, compressed",
        ),
        in_bytes(
            Some(release),
            25_000_000,
            "release without units and preloaded images, compressed",
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    table(&["aim", "at most", "measured", "met"], &rows)
}

fn row(what: &str, most: String, measured: String, is_met: bool) -> Vec<String> {
    let met = if is_met { "yes" } else { "no" };
    vec![what.to_owned(), most, measured, met.to_owned()]
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{:02}", milliseconds / 1000, milliseconds % 1000 / 10)
}

fn kibibytes(bytes: u64) -> String {
    bytes.div_ceil(1 << 10).to_string()
}

fn mebibytes(bytes: u64) -> String {
    let tenths = (bytes * 10).div_ceil(1 << 20);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::measured::{PowerOff, Usage};

    fn measured(pong_ms: u64, used: u64) -> Measured {
        let moment = |guest_ms| Moment {
            guest_ms,
            wall_ms: guest_ms + 500,
        };
        Measured {
            init: moment(1000),
            network: None,
            first_unit: None,
            first_pong: Some(moment(pong_ms)),
            all_pongs: Some(moment(pong_ms)),
            usage: Usage {
                used,
                ..Usage::default()
            },
            listing: None,
            power_off: Some(PowerOff {
                units: 100,
                machine: 200,
            }),
        }
    }

    #[test]
    fn an_aim_is_measured_against_the_floor_of_the_same_run() {
        let medians = Medians::from([
            (Shape::FloorRedis { instances: 1 }, measured(2000, 40 << 20)),
            (Shape::Keelson { units: 1 }, measured(2440, 49 << 20)),
        ]);
        let text = aims(&medians, &[]);
        let line = |part: &str| text.lines().find(|line| line.contains(part)).unwrap();
        assert!(line("first PONG").ends_with(" 0.44 s | yes |"), "{text}");
        assert!(line("RAM used").contains("9216 KiB |  no |"), "{text}");
        assert!(!text.contains("four more"), "{text}");
    }

    #[test]
    fn what_a_system_does_not_have_is_a_dash() {
        let medians = Medians::from([(Shape::FloorRedis { instances: 1 }, measured(2000, 0))]);
        let text = times(&medians);
        let line = text.lines().last().unwrap();
        assert!(line.contains("1.00 / 1.50"), "{line}");
        assert!(
            line.contains(" – |") && line.contains("2.00 / 2.50"),
            "{line}"
        );
    }
}
