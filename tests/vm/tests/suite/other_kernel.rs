//! Another kernel than the release's own, as a user gives one (`--kernel FILE --modules DIR`), on a machine whose disk is to
//! be left alone (`keelson.state=memory`), with an archive among the built-in ones that ends early.

use host::fetch::{self, Freshness};
use image::{ImageOptions, KernelFiles};
use qemu::FindingKind;
use std::path::{Path, PathBuf};
use vm::{Checks, Setup, build, container, demo_archive, digest};

const SCENARIO: &str = "other-kernel";
const PORT: u16 = 7001;

/// Debian's kernel for clouds: other modules and fewer of them, the same series.
fn cloud_kernel() -> KernelFiles {
    let system = host::system::System::here();
    let meta = if system.is_debian() {
        "linux-image-cloud-amd64"
    } else {
        "linux-image-virtual"
    };
    let parts = |name: &str| name.starts_with("linux-image-") || name.starts_with("linux-modules-");
    let packages = fetch::closure(meta, parts, Freshness::Cached);
    let packages = packages.unwrap_or_else(|error| panic!("{error}"));
    let files = |folder: PathBuf| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let is_kernel = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("vmlinuz-")
    };
    let boots = packages.iter().map(|package| package.folder.join("boot"));
    let kernel = boots.flat_map(files).find(is_kernel);
    let modules = packages.iter().flat_map(|package| {
        let places = ["usr/lib/modules", "lib/modules"];
        places.map(|place| package.folder.join(place)).map(files)
    });
    KernelFiles {
        kernel: kernel.expect("a package with a kernel"),
        modules: modules
            .flatten()
            .find(|folder| folder.join("kernel").is_dir()),
        config: None,
    }
}

pub(crate) fn another_kernel_runs_a_machine_that_leaves_its_disk_alone() {
    let mut checks = Checks::of(SCENARIO);
    let kernel = cloud_kernel();
    refusals(&mut checks, &kernel);
    let name = kernel.kernel.file_name().unwrap().to_string_lossy();
    let release = name.trim_start_matches("vmlinuz-").to_owned();
    let setup = Setup::named(SCENARIO);
    let broken = setup.file("broken.oci.tar");
    let whole = std::fs::read(demo_archive()).unwrap();
    let renamed = crate::archives::renamed(&whole, "example.com/broken:1");
    std::fs::write(&broken, &renamed[..renamed.len() / 2]).unwrap();
    // The broken one comes first.
    let preload = vec![broken, demo_archive()];
    let options = ImageOptions {
        kernel: Some(kernel),
        preload,
        disk: None,
        ..ImageOptions::default()
    };
    let artefacts = build(SCENARIO, options);
    let guest = setup
        .release(&artefacts)
        .own_disk(1 << 30)
        .kernel_argument("keelson.state=memory")
        .kernel_argument("transparent_hugepage=always")
        .units([
            container("redis", "[[ports]]\npublish = \"7001:6379\"\n"),
            (
                "broken.container.toml".to_owned(),
                "[container]\nimage = \"example.com/broken:1\"\n".to_owned(),
            ),
        ])
        .port(PORT)
        .memory(1 << 30);
    let before = digest(&guest.file("disk.raw"));
    let guest = guest.boot();
    checks.that("it boots, and a unit answers", || {
        guest.booted();
        guest.answers(PORT);
        let running = guest.shell("redis", "uname -r");
        assert_eq!(running, release);
    });
    checks.that("a built-in archive that ends early is named", || {
        let line = guest.says("stage images failed");
        for words in ["broken.oci.tar", "end"] {
            assert!(line.contains(words), "{line}");
        }
        let status = guest.gets("broken", "backoff");
        for words in ["example.com/broken:1", "keelctl image load"] {
            assert!(status.reason.contains(words), "{status:?}");
        }
    });
    checks.that("the state is in memory by wish, which is no fault", || {
        guest.says("stage state ok");
        guest.says("state: in memory, by keelson.state=memory");
        let told = guest.told(&["status"]);
        assert!(!told.contains("STATE IS IN MEMORY"), "{told}");
    });
    checks.that("the kernel command line says who gets huge pages", || {
        assert_eq!(crate::huge_pages(&guest, "redis"), "always");
    });
    checks.that("power-off is in order, and the disk is as it was", || {
        guest.power_off();
        guest.serial_log_is_clean(&[FindingKind::BootStage, FindingKind::Unit]);
        assert_eq!(digest(guest.disk()), before);
    });
    checks.end();
}

/// A kernel that can't do it is no image.
fn refusals(checks: &mut Checks, kernel: &KernelFiles) {
    let name = kernel.kernel.file_name().unwrap().to_string_lossy();
    let release = name.trim_start_matches("vmlinuz-");
    let folder = kernel.kernel.parent().unwrap();
    let own = std::fs::read_to_string(folder.join(format!("config-{release}"))).unwrap();
    let place = Setup::named(SCENARIO).file("config-lacking");
    let refused = |config: Option<&Path>, modules: Option<PathBuf>| {
        let options = ImageOptions {
            out: place.with_file_name("refused"),
            kernel: Some(KernelFiles {
                modules,
                config: config.map(Path::to_owned),
                ..kernel.clone()
            }),
            disk: None,
            ..ImageOptions::default()
        };
        image::build(&options).unwrap_err().to_string()
    };
    checks.that("a kernel without what Keelson needs is refused", || {
        let lacking = own
            .replace("CONFIG_RD_LZ4=y", "# CONFIG_RD_LZ4 is not set")
            .replace("CONFIG_OVERLAY_FS=m", "# CONFIG_OVERLAY_FS is not set");
        std::fs::write(&place, lacking).unwrap();
        let told = refused(Some(&place), kernel.modules.clone());
        for words in [
            release,
            "CONFIG_RD_LZ4",
            "CONFIG_OVERLAY_FS",
            "config-lacking",
        ] {
            assert!(told.contains(words), "{told}");
        }
        assert_eq!(told.matches("CONFIG_").count(), 2, "{told}");
    });
    checks.that("its modules are asked for where it needs them", || {
        let told = refused(None, None);
        assert!(told.contains("no modules are given (--modules)"), "{told}");
    });
}
