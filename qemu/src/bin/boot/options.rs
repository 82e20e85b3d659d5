//! The command line. Its names are settled: people script against them.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Build Keelson and boot it under QEMU.
///
/// Without --units, the Redis demo: five instances on the ports 7001 to 7005. Ctrl-C shuts the machine down in order, a
/// second Ctrl-C pulls its plug.
#[derive(Debug, Parser)]
#[command(name = "cargo boot --", bin_name = "cargo boot --", version)]
pub(crate) struct Options {
    /// Unit files for this boot (default: the Redis demo).
    #[arg(long, value_name = "DIR")]
    pub(crate) units: Option<PathBuf>,
    /// Image archive to build in (OCI or docker-archive); may be given more than once.
    #[arg(long, value_name = "ARCHIVE")]
    pub(crate) preload: Vec<PathBuf>,
    /// Memory of the machine: at least 128M, by firmware 320M.
    #[arg(long, value_name = "SIZE", default_value = "4G", value_parser = image::disk::parse_size)]
    pub(crate) memory: u64,
    /// Processors of the machine.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub(crate) cpus: u32,
    /// Disk of the machine (default: one of its own, kept from boot to boot). With --disk-size, it is made when it is
    /// missing.
    #[arg(long, value_name = "FILE")]
    pub(crate) disk: Option<PathBuf>,
    /// Size of a disk that is made (default: 8G). One that is there and smaller is grown.
    #[arg(long, value_name = "SIZE", value_parser = image::disk::parse_size)]
    pub(crate) disk_size: Option<u64>,
    /// `none`: QEMU loads the kernel. `uefi`: firmware starts the release that is on the disk.
    #[arg(long, value_enum, default_value_t = FirmwareKind::None)]
    pub(crate) firmware: FirmwareKind,
    /// Forward a port of this host's loopback to one of the machine, beside those that units publish; may be given more
    /// than once.
    #[arg(long, value_name = "HOST:GUEST", value_parser = parse_forward)]
    pub(crate) forward: Vec<(u16, u16)>,
    /// Leave the machine running in the background; return at --until (default: ready).
    #[arg(long)]
    pub(crate) headless: bool,
    /// When to return: when all units are ready, or so many seconds after the start. Without --headless, the machine is
    /// shut down then.
    #[arg(long, value_name = "ready|SECONDS", value_parser = parse_until)]
    pub(crate) until: Option<Until>,
    /// Shut down the machine that runs, in order.
    #[arg(long, exclusive = true)]
    pub(crate) stop: bool,
    /// Pull the plug of the machine that runs.
    #[arg(long, exclusive = true)]
    pub(crate) cut: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FirmwareKind {
    Uefi,
    None,
}

impl FirmwareKind {
    /// Bytes, as of [`qemu::BootFrom::least_memory`], before there is anything to boot from.
    pub(crate) fn least_memory(self) -> u64 {
        match self {
            Self::Uefi => sys::memory::LEAST_BY_FIRMWARE,
            Self::None => sys::memory::LEAST,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    Ready,
    Elapsed(Duration),
}

fn parse_until(text: &str) -> Result<Until, String> {
    if text == "ready" {
        return Ok(Until::Ready);
    }
    let seconds = text
        .parse()
        .map_err(|_| "neither `ready` nor a number of seconds".to_owned())?;
    Ok(Until::Elapsed(Duration::from_secs(seconds)))
}

fn parse_forward(text: &str) -> Result<(u16, u16), String> {
    let wrong = || "not two port numbers such as 8080:80".to_owned();
    let (host, guest) = text.split_once(':').ok_or_else(wrong)?;
    let port = |text: &str| {
        text.parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(wrong)
    };
    Ok((port(host)?, port(guest)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settled_names_are_understood() {
        let line = "boot --units u --preload a --preload b --memory 512M --cpus 1 --disk d --disk-size 8G --firmware uefi \
            --forward 8080:80 --forward 2222:22 --headless --until ready";
        let options = Options::try_parse_from(line.split_whitespace()).unwrap();
        assert_eq!(
            (options.memory, options.cpus, options.preload.len()),
            (512 << 20, 1, 2)
        );
        assert_eq!(options.forward, [(8080, 80), (2222, 22)]);
        assert_eq!(options.until, Some(Until::Ready));
        assert_eq!(options.firmware, FirmwareKind::Uefi);
        assert!(Options::try_parse_from(["boot", "--stop"]).unwrap().stop);
        assert!(Options::try_parse_from(["boot", "--cut"]).unwrap().cut);
        let options = Options::try_parse_from(["boot", "--until", "90"]).unwrap();
        assert_eq!(options.until, Some(Until::Elapsed(Duration::from_secs(90))));
    }

    #[test]
    fn defaults_are_those_of_the_demo() {
        let options = Options::try_parse_from(["boot"]).unwrap();
        assert_eq!((options.memory, options.cpus), (4 << 30, 2));
        assert_eq!(
            (options.firmware, options.until),
            (FirmwareKind::None, None)
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in [
            &["--forward", "80"][..],
            &["--forward", "0:80"],
            &["--until", "soon"],
            &["--memory", "4 gigs"],
            &["--cpus", "0"],
            &["--stop", "--cut"],
            &["--stop", "--headless"],
        ] {
            let words = std::iter::once("boot").chain(wrong.iter().copied());
            assert!(Options::try_parse_from(words).is_err(), "{wrong:?}");
        }
    }
}
