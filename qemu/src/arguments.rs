//! Options → the words of QEMU's command line. Pure, so that the tests can read it.
//!
//! The machine is `q35`, as real ones are: it reaches init as fast as `pc` (1.6 s of guest time both, emulated, medians of
//! six boots) and `microvm` can't do UEFI and PCI cards. What no guest of ours uses is off.

use crate::disk::quoted;
use crate::folder::{CONTROL_PORTS, names};
use crate::{Accelerator, BootFrom, MachineOptions, Watchdog};
use std::path::Path;

/// The network card, for the monitor's `hostfwd_add`.
pub(crate) const NETWORK_ID: &str = "net0";
/// Where the guest looks for the units of this boot (Documentation/firmware-guide fw_cfg: names of users begin with `opt/`).
const UNITS_ITEM: &str = "opt/keelson/units";

/// All arguments. Relative paths are in the run folder, which is QEMU's working directory.
pub(crate) fn arguments(
    options: &MachineOptions,
    accelerator: Accelerator,
    masked_features: &str,
) -> Vec<String> {
    let mut all = Words::default();
    all.words(&[
        "-name",
        "keelson",
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-vga",
        "none",
    ]);
    all.words(&["-machine", "q35,sata=off,smbus=off,vmport=off"]);
    all.0
        .extend(accelerator.arguments(options.translation, masked_features));
    all.words(&[
        "-smp",
        &options.cpus.to_string(),
        "-m",
        &format!("{}B", options.memory),
    ]);
    all.words(&["-pidfile", names::PID]);
    all.words(&["-qmp", &format!("unix:{},server=on,wait=off", names::QMP)]);
    console(&mut all);
    boot(&mut all, options);
    for (index, disk) in options.disks.iter().enumerate() {
        all.0.extend(disk.arguments(index));
    }
    network(&mut all, options);
    control_ports(&mut all);
    all.words(&[
        "-object",
        "rng-random,id=rng0,filename=/dev/urandom",
        "-device",
        "virtio-rng-pci,rng=rng0",
    ]);
    if options.units.is_some() {
        all.words(&[
            "-fw_cfg",
            &format!("name={UNITS_ITEM},file={}", names::UNITS),
        ]);
    }
    match options.watchdog {
        Some(Watchdog::I6300esb) => all.words(&["-device", "i6300esb"]),
        Some(Watchdog::Itco) => all.words(&["-global", "ICH9-LPC.noreboot=false"]),
        None => {}
    }
    for slot in 0..options.hot_plug_slots {
        all.words(&[
            "-device",
            &format!("pcie-root-port,id=slot{slot},chassis={}", slot + 1),
        ]);
    }
    all.0.extend(options.qemu_arguments.iter().cloned());
    all.0
}

#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn words(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(|word| (*word).to_owned()));
    }
}

/// The log file gets every byte, whether or not somebody is connected to the socket (to type).
fn console(all: &mut Words) {
    let socket = format!(
        "socket,id=console,path={},server=on,wait=off,logfile={},logappend=off",
        names::CONSOLE_SOCKET,
        names::CONSOLE
    );
    all.words(&["-chardev", &socket, "-serial", "chardev:console"]);
}

fn boot(all: &mut Words, options: &MachineOptions) {
    match &options.boot {
        BootFrom::Release(release) => {
            let words = std::iter::once(release.command_line.as_str());
            let words = words.chain(options.kernel_arguments.iter().map(String::as_str));
            let line = words.collect::<Vec<_>>().join(" ");
            all.words(&[
                "-kernel",
                &text(&release.kernel),
                "-initrd",
                &quoted(&release.initramfs),
                "-append",
                &line,
            ]);
        }
        BootFrom::Firmware(firmware) => {
            let code = format!(
                "if=pflash,format=raw,readonly=on,file={}",
                quoted(&firmware.code)
            );
            let variables = format!("if=pflash,format=raw,file={}", names::VARIABLES);
            all.words(&["-drive", &code, "-drive", &variables]);
        }
    }
}

/// User networking: the guest is 10.0.2.15 and reaches the world through QEMU; nobody reaches the guest but through
/// forwarded ports. Boot ROMs are of no use to us.
fn network(all: &mut Words, options: &MachineOptions) {
    if options.network {
        all.words(&["-netdev", &format!("user,id={NETWORK_ID}")]);
        all.words(&[
            "-device",
            &format!("virtio-net-pci,netdev={NETWORK_ID},romfile="),
        ]);
    }
}

fn control_ports(all: &mut Words) {
    all.words(&[
        "-device",
        &format!("virtio-serial-pci,max_ports={}", CONTROL_PORTS + 1),
    ]);
    for port in 0..CONTROL_PORTS {
        let socket = names::control(port);
        all.words(&[
            "-chardev",
            &format!("socket,id=control{port},path={socket},server=on,wait=off"),
        ]);
        let name = format!("{}{port}", control::serial::PORT_NAME);
        all.words(&[
            "-device",
            &format!("virtserialport,chardev=control{port},name={name}"),
        ]);
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Disk, Firmware, Release};

    fn release() -> BootFrom {
        BootFrom::Release(Release {
            kernel: "/image/vmlinuz".into(),
            initramfs: "/image/initramfs".into(),
            command_line: "console=ttyS0".into(),
        })
    }

    fn line(options: &MachineOptions) -> String {
        arguments(options, Accelerator::Tcg, "").join(" ")
    }

    #[test]
    fn kernel_arguments_follow_those_of_the_release() {
        let options = MachineOptions::new("/run", release()).kernel_argument("loglevel=7");
        assert!(
            line(&options).contains("-append console=ttyS0 loglevel=7 "),
            "the later one wins"
        );
    }

    #[test]
    fn firmware_gets_its_own_variables() {
        let firmware = Firmware {
            code: "/ovmf/CODE.fd".into(),
            variables: "/ovmf/VARS.fd".into(),
        };
        let options =
            MachineOptions::new("/run", BootFrom::Firmware(firmware)).disk(Disk::at("/disk.raw"));
        let line = line(&options);
        assert!(
            line.contains(
                "readonly=on,file=/ovmf/CODE.fd -drive if=pflash,format=raw,file=variables.fd"
            ),
            "{line}"
        );
        assert!(
            !line.contains("-kernel") && !line.contains("/ovmf/VARS.fd"),
            "{line}"
        );
    }

    #[test]
    fn units_go_by_fw_cfg_only_when_there_are_some() {
        let options = MachineOptions::new("/run", release());
        assert!(!line(&options).contains("fw_cfg"));
        assert!(
            line(&options.units("{}".into()))
                .contains("-fw_cfg name=opt/keelson/units,file=units.json")
        );
    }

    #[test]
    fn every_control_port_has_a_name_and_a_socket() {
        let line = line(&MachineOptions::new("/run", release()));
        for port in 0..CONTROL_PORTS {
            assert!(
                line.contains(&format!("path=control.{port}.sock")),
                "{line}"
            );
            assert!(
                line.contains(&format!("name=keelson.control.{port}")),
                "{line}"
            );
        }
    }
}
