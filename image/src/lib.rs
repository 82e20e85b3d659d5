//! Builds the bootable image.
//!
//! ```text
//! kernel package ──┬─▶ vmlinuz ─────────────────────────┬─▶ keelson.efi ─▶ disk.raw ─▶ disk.qcow2
//!                  └─▶ modules ─┐                       │   (UKI)          (GPT: BIOS boot, ESP, state)
//! target programs, rootfs/ ─────┼─▶ initramfs.img ─┘
//! units, image archives ────────┘   (the whole read-only OS)
//! ```
//!
//! Invariants: the same inputs give the same bytes (dates, identities and orders follow from the inputs); a unit with
//! an error or a part over its budget is no image; an artefact's name never stands for half a file.
//!
//! To add a part to the root: a file under `rootfs/skeleton`, a row in [`root`], or a module in `rootfs/modules.toml`.

mod config;
mod content;
mod cpio;
pub mod demo;
mod digest;
pub mod disk;
mod elf;
mod error;
mod esp;
mod kernel;
mod lz4;
mod manifest;
mod module;
pub mod oci;
mod options;
pub mod packages;
mod root;
mod segment;
mod size;
mod sparse;
mod state;
mod tree;
mod uki;

pub use error::BuildError;
pub use kernel::KernelFiles;
pub use options::{Artefacts, ImageOptions, Reuse};
pub use size::Size;

use error::{at, content as bad_content};
use kernel::Kernel;
use manifest::{FilePart, KernelPart, Manifest, ModulePart};
use module::{Closure, Library, List, Trees};
use segment::{Content, Segment, write_whole};
use std::path::{Path, PathBuf};
use tree::Tree;
use uki::Section;

/// Version of the release that is built.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The kernel command line of every boot; the firmware and QEMU add nothing to it.
///
/// - `panic=10`: a dead kernel boots again, ten seconds after having said why.
/// - `printk.devkmsg=on`: our programs' lines in the log are not rate-limited away.
/// - `random.trust_cpu=on`, `random.trust_bootloader=on`: the seed of CPU and firmware counts, nothing waits for entropy.
/// - `rootfstype=ramfs`: a tmpfs root may take half of the memory at most, which a machine of 128 MiB has not.
/// - `cryptomgr.notests`: no self-tests of every cipher at every boot, as the kernel's own default has it (a quarter of
///   the instructions between kernel start and init; a FIPS kernel ignores this and tests).
/// - `initcall_blacklist=crypto_kdf108_init`: that is one more self-test and nothing else, and it asks for a module, which waits
///   until the whole initramfs is unpacked; without it another processor unpacks while the drivers start (see decision 007).
/// - `8250.nr_uarts=4`: the ports that machines have; the distribution's 32 are probed one by one.
pub const CMDLINE: &str = "console=ttyS0 loglevel=5 panic=10 printk.devkmsg=on rdinit=/init rootfstype=ramfs \
random.trust_cpu=on random.trust_bootloader=on 8250.nr_uarts=4 cryptomgr.notests initcall_blacklist=crypto_kdf108_init";

/// Build an image. Steps whose inputs have not changed cost little.
///
/// # Errors
/// [`BuildError`], which says what the user has to do.
pub fn build(options: &ImageOptions) -> Result<Artefacts, BuildError> {
    let made = host::paths::made();
    let _lock = host::paths::lock("image").map_err(at(&made))?;
    std::fs::create_dir_all(&options.out).map_err(at(&options.out))?;
    let kernel = match &options.kernel {
        Some(files) => Kernel::files(files)?,
        None => Kernel::packaged(options.freshness)?,
    };
    let programs = host::build::programs(options.profile)?;
    let system = root::system(&programs, VERSION, options.freshness)?;
    let mut step = host::progress::step("make the image");
    let (modules, modules_part) = modules(&kernel, options)?;
    let segments = segments(options, &system, &modules)?;

    let vmlinuz = std::fs::read(&kernel.image).map_err(at(&kernel.image))?;
    let initramfs = segments
        .iter()
        .flat_map(|segment| segment.compressed.iter().copied())
        .collect::<Vec<u8>>();
    let sizes = size::measure(vmlinuz.len() as u64, &segments, &system);
    let budget = host::paths::workspace().join("image/budget.toml");
    size::check(&sizes, &budget, &options.parts)?;

    let boot = root::systemd_boot(options.freshness)?;
    let release = unified(
        &boot.join("linuxx64.efi.stub"),
        &kernel.release,
        &initramfs,
        &vmlinuz,
    )?;
    let out = |name: &str| options.out.join(name);
    let contents: [(&str, &[u8]); 4] = [
        ("vmlinuz", &vmlinuz),
        ("initramfs.img", &initramfs),
        ("cmdline", CMDLINE.as_bytes()),
        ("keelson.efi", &release),
    ];
    for (name, bytes) in contents {
        write_whole(&out(name), bytes)?;
    }
    let disk = match options.disk {
        Some(bytes) => {
            step.at("disk");
            Some(disk_image(
                &out("disk.raw"),
                &boot.join("systemd-bootx64.efi"),
                &release,
                bytes,
            )?)
        }
        None => None,
    };
    let qcow2 = match &disk {
        Some(raw) if options.qcow2 => {
            let path = out("disk.qcow2");
            disk::qcow2(raw, &path)?;
            Some(path)
        }
        _ => None,
    };
    let manifest = Manifest {
        schema: 1,
        version: VERSION.to_owned(),
        kernel: KernelPart {
            release: kernel.release,
            sha256: digest::of(&vmlinuz),
            origin: kernel.origin,
        },
        modules: modules_part,
        cmdline: CMDLINE.to_owned(),
        files: contents
            .map(|(name, bytes)| FilePart {
                name: name.to_owned(),
                bytes: bytes.len() as u64,
                sha256: digest::of(bytes),
            })
            .into(),
        sizes,
    };
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| bad_content(out("manifest.json"), error.to_string()))?;
    write_whole(&out("manifest.json"), &text)?;
    let report = size::table(&manifest.sizes);
    write_whole(&out("size.txt"), report.as_bytes())?;
    step.done(&options.out.display().to_string());
    Ok(Artefacts {
        folder: options.out.clone(),
        kernel: out("vmlinuz"),
        initramfs: out("initramfs.img"),
        cmdline: CMDLINE.to_owned(),
        release: out("keelson.efi"),
        disk,
        qcow2,
        manifest: out("manifest.json"),
        sizes: manifest.sizes,
    })
}

/// An initramfs of a few files (path, mode, content), for a kernel that is booted without our system.
///
/// # Errors
/// When it can't be compressed.
pub fn initramfs(files: Vec<(String, u32, Vec<u8>)>) -> Result<Vec<u8>, BuildError> {
    let mut tree = Tree::default();
    root::console(&mut tree);
    for folder in ["dev", "proc", "var"] {
        tree.folder(folder, 0o755);
    }
    for (path, mode, bytes) in files {
        tree.file(&path, mode, bytes);
    }
    Ok(Segment::new("initramfs", &tree, Content::Compressible, None)?.compressed)
}

/// The cpio archives of an initramfs that was built here, one behind the other, unpacked.
///
/// # Errors
/// When a compressed part is damaged.
pub fn archives(initramfs: &[u8]) -> std::io::Result<Vec<u8>> {
    segment::archives(initramfs)
}

/// The size report as text, as in `size.txt`.
#[must_use]
pub fn size_table(sizes: &[Size]) -> String {
    size::table(sizes)
}

fn modules(kernel: &Kernel, options: &ImageOptions) -> Result<(Trees, ModulePart), BuildError> {
    let mut trees = Trees::default();
    let Some(folder) = &kernel.modules else {
        trees.plain.file("usr/lib/keelson/modules.boot", 0o644, "");
        return Ok((
            trees,
            ModulePart {
                count: 0,
                plain: 0,
                absent: Vec::new(),
            },
        ));
    };
    let list = List::read(&root::data().join("modules.toml"))?;
    let cache = host::paths::cache()
        .join("modinfo")
        .join(format!("{}.json", kernel.release));
    let library = Library::read(folder, &cache)?;
    let closure = Closure::new(
        &library,
        &list,
        &options.parts,
        &kernel.release,
        kernel.unpacking,
    )?;
    let cache = host::paths::cache().join("packed").join(&kernel.release);
    let cache = match options.reuse {
        Reuse::Segments => Some(cache.as_path()),
        Reuse::Nothing => None,
    };
    closure.write(&kernel.release, &mut trees, cache)?;
    let (count, plain) = closure.count();
    Ok((
        trees,
        ModulePart {
            count,
            plain,
            absent: closure.absent,
        },
    ))
}

/// The initramfs, part by part; two are compressed at a time.
fn segments(
    options: &ImageOptions,
    system: &Tree,
    modules: &Trees,
) -> Result<[Segment; 5], BuildError> {
    let folder = host::paths::cache().join("segments");
    let cache = match options.reuse {
        Reuse::Segments => Some(folder.as_path()),
        Reuse::Nothing => None,
    };
    let (mut units, mut preload) = (Tree::default(), Tree::default());
    root::built(&mut units);
    content::units(&mut units, &options.units)?;
    content::preload(&mut preload, &options.preload)?;
    std::thread::scope(|scope| {
        let plain = || Segment::new("modules", &modules.plain, Content::Compressible, cache);
        let plain = scope.spawn(plain);
        let system = Segment::new("system", system, Content::Compressible, cache)?;
        let units = Segment::new("units", &units, Content::Compressible, cache)?;
        let hardware = Segment::new("hardware", &modules.packed, Content::Packed, cache)?;
        let preload = Segment::new("preload", &preload, Content::Packed, cache)?;
        let broken = |_| bad_content(&folder, "compression of the modules was aborted");
        let plain = plain.join().map_err(broken)??;
        Ok([system, units, plain, hardware, preload])
    })
}

fn unified(
    stub: &Path,
    release: &str,
    initramfs: &[u8],
    vmlinuz: &[u8],
) -> Result<Vec<u8>, BuildError> {
    let bytes = std::fs::read(stub).map_err(at(stub))?;
    let os_release = root::os_release(VERSION)?;
    let sections = [
        Section {
            name: ".osrel",
            bytes: os_release.as_bytes(),
        },
        Section {
            name: ".cmdline",
            bytes: CMDLINE.as_bytes(),
        },
        Section {
            name: ".uname",
            bytes: release.as_bytes(),
        },
        Section {
            name: ".initrd",
            bytes: initramfs,
        },
        Section {
            name: ".linux",
            bytes: vmlinuz,
        },
    ];
    uki::assemble(&bytes, &sections, stub)
}

/// Write the disk unless it is there with the same content.
fn disk_image(
    path: &Path,
    loader: &Path,
    release: &[u8],
    bytes: u64,
) -> Result<PathBuf, BuildError> {
    host::packages::ensure(&[host::packages::Need::Ext4])?;
    let loader = std::fs::read(loader).map_err(at(loader))?;
    let files = esp::Files {
        loader: &loader,
        release,
        version: VERSION,
    };
    let inputs = format!(
        "{} {} {} {} {bytes}\n",
        disk::FORMAT,
        VERSION,
        digest::of(&loader),
        digest::of(release)
    );
    let stamp = path.with_extension("inputs");
    let same_size = path.metadata().is_ok_and(|about| about.len() == bytes);
    if !same_size || std::fs::read_to_string(&stamp).ok().as_ref() != Some(&inputs) {
        disk::write(path, &files, bytes)?;
        write_whole(&stamp, inputs.as_bytes())?;
    }
    Ok(path.to_path_buf())
}
