//! The image builder's command line.

use clap::{Args, Parser, Subcommand};
use host::fetch::Freshness;
use image::{BuildError, ImageOptions, KernelFiles};
use std::path::PathBuf;
use std::process::ExitCode;

/// Build a bootable Keelson image.
#[derive(Debug, Parser)]
#[command(name = "image", version)]
struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Kernel, initramfs, unified kernel image and disk.
    Build(Box<Build>),
    /// The Redis image of the demo, as an OCI archive.
    DemoRedis {
        /// File to write.
        out: Option<PathBuf>,
        /// Look for newer packages instead of taking those in the cache.
        #[arg(long)]
        update: bool,
    },
}

#[derive(Debug, Args)]
struct Build {
    /// Folder of the artefacts (default: target/keelson/image).
    #[arg(long)]
    out: Option<PathBuf>,
    /// Another kernel (bzImage) than the distribution's.
    #[arg(long)]
    kernel: Option<PathBuf>,
    /// The modules of that kernel: its /lib/modules/RELEASE.
    #[arg(long, requires = "kernel")]
    modules: Option<PathBuf>,
    /// What that kernel was built with (default: config-RELEASE beside it, or config among its modules).
    #[arg(long, requires = "kernel")]
    config: Option<PathBuf>,
    /// Modules that not every image has, such as file-systems (docs/boot.md); may be given more than once.
    #[arg(long = "part", value_name = "NAME")]
    parts: Vec<String>,
    /// Folder of unit files to bake in; may be given more than once.
    #[arg(long = "unit", value_name = "DIR")]
    units: Vec<PathBuf>,
    /// Image archive to bake in (OCI or docker-archive); may be given more than once.
    #[arg(long, value_name = "ARCHIVE")]
    preload: Vec<PathBuf>,
    /// Size of the disk image, such as 8G. It is sparse, and grows on the machine in any case.
    #[arg(long, value_parser = image::disk::parse_size)]
    disk_size: Option<u64>,
    /// No disk image.
    #[arg(long, conflicts_with_all = ["disk_size", "qcow2"])]
    no_disk: bool,
    /// The disk image as qcow2 too.
    #[arg(long)]
    qcow2: bool,
    /// Look for newer packages (kernel security updates) instead of taking those in the cache.
    #[arg(long)]
    update: bool,
}

fn main() -> ExitCode {
    let result = match Command::parse().action {
        Action::Build(build) => run(*build),
        Action::DemoRedis { out, update } => {
            image::demo::redis(&out.unwrap_or_else(image::demo::archive), freshness(update))
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn freshness(update: bool) -> Freshness {
    if update {
        Freshness::Newest
    } else {
        Freshness::Cached
    }
}

fn run(build: Build) -> Result<(), BuildError> {
    let mut options = ImageOptions {
        kernel: build.kernel.map(|kernel| KernelFiles {
            kernel,
            modules: build.modules,
            config: build.config,
        }),
        parts: build.parts,
        units: build.units,
        preload: build.preload,
        qcow2: build.qcow2,
        freshness: freshness(build.update),
        ..ImageOptions::default()
    };
    if let Some(out) = build.out {
        options.out = out;
    }
    if build.no_disk {
        options.disk = None;
    } else if let Some(size) = build.disk_size {
        options.disk = Some(size);
    }
    let artefacts = image::build(&options)?;
    print!("{}", image::size_table(&artefacts.sizes));
    Ok(())
}
