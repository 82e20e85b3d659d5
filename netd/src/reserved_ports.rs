//! The ports that the kernel gives to nobody by itself, `net.ipv4.ip_local_reserved_ports` (ip-sysctl.rst of Linux): among
//! them all that units publish. Else a connection of the machine's own could get one of them as its local port in a
//! moment in which its unit doesn't run, and the unit could not start before that connection ends.
//!
//! ```text
//! kernel's list  =  others (kernel command line, an operator)  +  ours
//! ours           =  what units declare + what runs hold − others       in /run/keelson/reserved_ports, for the next netd
//! ```
//!
//! What somebody else reserves stays reserved, before this program and beside it: of the kernel's list only our own
//! ports are ever taken out.

use crate::places::{Keep, replace};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Every other port: 32,768 numbers of at most five digits, each with its comma.
const LIST_BYTES_MAX: usize = 32_768 * 6;
/// The kernel reads at most a page of one write, and adds what further writes to the same open file say to the first
/// (`proc_do_large_bitmap` in kernel/sysctl.c).
const WRITE_BYTES_MAX: usize = 2_048;
/// Fewer ports than this, left to connections of the machine's own, are worth a warning.
const LEFT_FEW: usize = 1_024;

#[derive(Debug)]
pub(crate) struct ReservedPorts {
    /// The kernel's list.
    list: PathBuf,
    /// Which of it are ours.
    record: PathBuf,
    /// The kernel's ephemeral range.
    ephemeral: PathBuf,
    /// Of all units, running or not.
    /// None: PID 1 has not said it yet, and everything stays as it is.
    declared: Option<BTreeSet<u16>>,
    ours: BTreeSet<u16>,
}

impl ReservedPorts {
    pub(crate) fn new(list: PathBuf, ephemeral: PathBuf, record: PathBuf) -> Self {
        let ours =
            fs::read_to_string(&record).map_or_else(|_| BTreeSet::new(), |text| parse(&text));
        Self {
            list,
            record,
            ephemeral,
            declared: None,
            ours,
        }
    }

    /// Ranges, both ends included, of host ports that units publish.
    pub(crate) fn declare(&mut self, ranges: &[(u16, u16)]) {
        let ports = ranges.iter().flat_map(|(first, last)| *first..=*last);
        self.declared = Some(ports.collect());
    }

    /// Reserve what is declared and what is held, and nothing else of ours. `held`: host ports of runs.
    pub(crate) fn settle(&mut self, held: &BTreeSet<u16>) {
        if let Err(error) = self.write(held) {
            log::warn!(
                "can't reserve published ports in {}: {error}; connections of the machine's own may get one before its unit starts",
                self.list.display()
            );
        }
    }

    fn write(&mut self, held: &BTreeSet<u16>) -> io::Result<()> {
        let Some(declared) = &self.declared else {
            return Ok(());
        };
        let present = read(&self.list)?;
        let others = &present - &self.ours;
        let ours: BTreeSet<u16> = declared.union(held).copied().collect();
        let ours = &ours - &others;
        let all = &ours | &others;
        if ours == self.ours && all == present {
            return Ok(());
        }
        self.warn_if_few_are_left(&all);
        // First: what this says too much is nobody's loss, what it lacked would stay reserved until the next boot.
        replace(&self.record, text(&ours).as_bytes(), Keep::UntilReboot)?;
        self.ours = ours;
        write(&self.list, &all)
    }

    fn warn_if_few_are_left(&self, reserved: &BTreeSet<u16>) {
        let text = fs::read_to_string(&self.ephemeral).unwrap_or_default();
        let mut ends = text.split_ascii_whitespace().map(str::parse::<u16>);
        let (Some(Ok(first)), Some(Ok(last))) = (ends.next(), ends.next()) else {
            return;
        };
        if first > last {
            return;
        }
        let left = usize::from(last - first) + 1 - reserved.range(first..=last).count();
        if left < LEFT_FEW {
            log::warn!(
                "published ports leave {left} of the ports {first} to {last} to connections of the machine's own; publish others"
            );
        }
    }
}

/// In one read(2): the kernel has nothing to say at any other place than the beginning.
fn read(path: &Path) -> io::Result<BTreeSet<u16>> {
    let mut buffer = vec![0; LIST_BYTES_MAX];
    let bytes = File::open(path)?.read(&mut buffer)?;
    let text = buffer.get(..bytes).unwrap_or_default();
    Ok(parse(&String::from_utf8_lossy(text)))
}

fn write(path: &Path, ports: &BTreeSet<u16>) -> io::Result<()> {
    let text = text(ports);
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    let mut rest = text.as_str();
    loop {
        let most = rest.floor_char_boundary(WRITE_BYTES_MAX);
        let (part, after) = match rest.get(..most).and_then(|part| part.rfind(',')) {
            Some(comma) if most < rest.len() => rest.split_at(comma + 1),
            Some(_) | None => (rest, ""),
        };
        file.write_all(part.as_bytes())?;
        if after.is_empty() {
            return Ok(());
        }
        rest = after;
    }
}

/// `8080,40000-40009` and the end of the line, as the kernel writes it.
fn text(ports: &BTreeSet<u16>) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for port in ports {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*port) => *last = *port,
            _ => ranges.push((*port, *port)),
        }
    }
    let range = |(first, last): &(u16, u16)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    };
    let ranges: Vec<_> = ranges.iter().map(range).collect();
    format!("{}\n", ranges.join(","))
}

fn parse(text: &str) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    for range in text.trim_end().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        if let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) {
            ports.extend(first..=last);
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ports: &[u16]) -> BTreeSet<u16> {
        ports.iter().copied().collect()
    }

    /// A folder of its own, with a file in the place of the kernel's list.
    fn place(name: &str, list: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("reserved-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("list"), list).unwrap();
        folder
    }

    fn of(folder: &Path) -> ReservedPorts {
        let at = |name| folder.join(name);
        ReservedPorts::new(at("list"), at("range"), at("record"))
    }

    /// A file keeps what it had behind a shorter text; the kernel's list doesn't.
    fn settled(folder: &Path, ports: &mut ReservedPorts, held: &[u16]) -> String {
        let before = read(&folder.join("list")).unwrap();
        fs::write(folder.join("list"), text(&before)).unwrap();
        ports.settle(&set(held));
        let list = fs::read_to_string(folder.join("list")).unwrap();
        list.lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn a_list_is_written_in_ranges_and_read_again() {
        for (ports, written) in [
            (set(&[]), "\n"),
            (set(&[80]), "80\n"),
            (
                set(&[65535, 40000, 40001, 40002, 80]),
                "80,40000-40002,65535\n",
            ),
        ] {
            assert_eq!(text(&ports), written);
            assert_eq!(parse(written), ports);
        }
        assert_eq!(parse("7-5,x,99999,8"), set(&[8]));
        let every_other: BTreeSet<u16> = (0..=u16::MAX).step_by(2).collect();
        assert!(text(&every_other).len() <= LIST_BYTES_MAX);
        assert_eq!(parse(&text(&every_other)), every_other);
    }

    #[test]
    fn what_others_reserve_stays_and_what_is_ours_goes_when_nobody_publishes_it() {
        let folder = place("others", "8080,50000-50001\n");
        let mut ports = of(&folder);
        ports.declare(&[(8080, 8080), (40_000, 40_002)]);
        assert_eq!(
            settled(&folder, &mut ports, &[41_000]),
            "8080,40000-40002,41000,50000-50001"
        );
        // An operator adds one, and this program starts anew.
        fs::write(
            folder.join("list"),
            "8080,40000-40002,41000,50000-50001,60000\n",
        )
        .unwrap();
        let mut ports = of(&folder);
        assert_eq!(
            settled(&folder, &mut ports, &[41_000]),
            "8080,40000-40002,41000,50000-50001,60000",
            "before PID 1's word"
        );
        ports.declare(&[(40_001, 40_001)]);
        assert_eq!(
            settled(&folder, &mut ports, &[]),
            "8080,40001,50000-50001,60000"
        );
        ports.declare(&[]);
        assert!(settled(&folder, &mut ports, &[]).starts_with("8080,50000-50001,60000"));
        fs::remove_dir_all(folder).unwrap();
    }
}
