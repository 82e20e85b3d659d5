//! Medians as the tables of `docs/performance.md`.

use crate::statistics::median;
use crate::table::table;
use std::collections::BTreeMap;

/// What was measured, in the order in which it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Row {
    ForkExec,
    Version,
    List,
    Least,
    Crun,
    Alone,
    Bridged,
    CrunExec,
    Exec,
    CrunPong,
    Pong,
    ForkExecMany,
    ListMany,
}

impl Row {
    const ALL: [Self; 13] = [
        Self::ForkExec,
        Self::Version,
        Self::List,
        Self::Least,
        Self::Crun,
        Self::Alone,
        Self::Bridged,
        Self::CrunExec,
        Self::Exec,
        Self::CrunPong,
        Self::Pong,
        Self::ForkExecMany,
        Self::ListMany,
    ];

    /// As the agent calls it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|row| row.about().0 == name)
    }

    /// Its name on the console, and in the table.
    fn about(self) -> (&'static str, &'static str) {
        match self {
            Self::ForkExec => ("fork-exec", "floor: fork and exec of busybox `true`"),
            Self::Version => ("version", "`keelctl version`"),
            Self::List => ("ps", "`keelctl ps`"),
            Self::Least => (
                "least",
                "floor: namespaces, group, overlay, mounts, masks, pivot, `true`",
            ),
            Self::Crun => (
                "crun",
                "crun: `crun run` of `true`, its root mounted before",
            ),
            Self::Alone => (
                "alone",
                "Keelson: `keelctl start` of `true` without a network",
            ),
            Self::Bridged => (
                "bridged",
                "Keelson: `keelctl start` of `true` with bridge and port",
            ),
            Self::CrunExec => ("crun-exec", "crun: `crun exec` of `true`"),
            Self::Exec => ("exec", "Keelson: `keelctl exec` of `true`"),
            Self::CrunPong => (
                "crun-pong",
                "crun in a loop, its network and root made before: kill -9 of Redis to PONG",
            ),
            Self::Pong => ("pong", "Keelson: kill -9 of Redis to PONG"),
            Self::ForkExecMany => (
                "fork-exec-many",
                "floor, while 62 units run: fork and exec of busybox `true`",
            ),
            Self::ListMany => ("ps-many", "`keelctl ps` while 62 units run"),
        }
    }
}

/// Aimed at.
const PSS_KIB_MAX: u64 = 5 << 10;

/// Microseconds, round by round.
pub(crate) type Rows = BTreeMap<Row, Vec<u64>>;

/// The whole block.
pub(crate) fn report(heading: &str, rows: &Rows, pss_kib: Option<u64>) -> String {
    let pss = pss_kib.map_or_else(String::new, |kib| {
        let met = if kib <= PSS_KIB_MAX { "met" } else { "missed" };
        format!("\nPSS of all programs of the system, no unit started and nobody connected: {kib} KiB (at most {PSS_KIB_MAX}: {met}).\n")
    });
    format!("{heading}\n\n{}\n{}{pss}", times(rows), ratios(rows))
}

fn of(rows: &Rows, row: Row) -> Option<u64> {
    median(rows.get(&row)?.iter().copied())
}

fn times(rows: &Rows) -> String {
    let lines: Vec<Vec<String>> = rows
        .iter()
        .filter_map(|(row, times)| {
            let (least, most) = (times.iter().min()?, times.iter().max()?);
            Some(vec![
                row.about().1.to_owned(),
                milliseconds(of(rows, *row)?),
                format!("{} to {}", milliseconds(*least), milliseconds(*most)),
            ])
        })
        .collect();
    table(&["what", "median, ms", "least to most"], &lines)
}

/// What was aimed at, in hundredths, beside what came out.
fn ratios(rows: &Rows) -> String {
    let ratio = |what: &str, ours: Row, theirs: Row, most: Option<u64>| {
        let (ours, theirs) = (of(rows, ours)?, of(rows, theirs)?);
        let hundredths = ours * 100 / theirs.max(1);
        let aim = most.map_or_else(|| "–".to_owned(), fraction);
        let met = match most {
            Some(most) if hundredths <= most => "yes",
            Some(_) => "no",
            None => "–",
        };
        Some(vec![
            what.to_owned(),
            fraction(hundredths),
            aim,
            met.to_owned(),
        ])
    };
    let lines: Vec<Vec<String>> = [
        ratio(
            "start without a network / floor",
            Row::Alone,
            Row::Least,
            Some(130),
        ),
        ratio(
            "start with bridge and port / floor",
            Row::Bridged,
            Row::Least,
            None,
        ),
        ratio(
            "start without a network / crun",
            Row::Alone,
            Row::Crun,
            None,
        ),
        ratio("exec / crun", Row::Exec, Row::CrunExec, Some(25)),
        ratio("exec / fork and exec", Row::Exec, Row::ForkExec, None),
        ratio(
            "kill -9 to PONG / crun",
            Row::Pong,
            Row::CrunPong,
            Some(100),
        ),
        ratio("`ps` / fork and exec", Row::List, Row::ForkExec, Some(205)),
        ratio(
            "`ps` of 62 running units / fork and exec",
            Row::ListMany,
            Row::ForkExecMany,
            Some(205),
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    table(&["ratio", "measured", "at most", "met"], &lines)
}

fn milliseconds(microseconds: u64) -> String {
    format!("{}.{}", microseconds / 1000, microseconds % 1000 / 100)
}

fn fraction(hundredths: u64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own() {
        for row in Row::ALL {
            assert_eq!(Row::named(row.about().0), Some(row));
        }
    }

    #[test]
    fn a_ratio_is_of_medians_of_the_same_run_and_says_whether_it_is_met() {
        let rows = Rows::from([
            (Row::Least, vec![30_000, 10_000, 90_000]),
            (Row::Alone, vec![39_000]),
            (Row::CrunExec, vec![10_000]),
            (Row::Exec, vec![2_600]),
        ]);
        let text = report("", &rows, Some(5120));
        assert!(text.contains("5120 KiB (at most 5120: met)"), "{text}");
        let line = |part: &str| text.lines().find(|line| line.contains(part)).unwrap();
        assert!(
            line("network / floor").contains("1.30 |    1.30 | yes |"),
            "{text}"
        );
        assert!(
            line("exec / crun").contains("0.26 |    0.25 |  no |"),
            "{text}"
        );
        assert!(!text.contains("PONG"), "{text}");
        assert!(
            line("floor: namespaces").contains("30.0 |  10.0 to 90.0"),
            "{text}"
        );
    }
}
