//! A disk of the machine: a file of the build host.

use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    pub path: PathBuf,
    pub format: DiskFormat,
    pub interface: DiskInterface,
    pub read_only: bool,
    /// Bytes per second in each direction; none: as fast as it goes.
    pub bytes_per_second: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFormat {
    Raw,
    Qcow2,
}

/// How a disk answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskPace {
    Usual,
    /// One that has failed without saying so: what the guest asks for does not come.
    Hanging,
}

/// What the guest sees it as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskInterface {
    VirtioBlk,
    VirtioScsi,
    /// SATA.
    Ahci,
    Nvme,
}

impl Disk {
    /// A virtio disk; a file name that ends in `.qcow2` says its format, any other is raw.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let qcow2 = path
            .extension()
            .is_some_and(|extension| extension == "qcow2");
        let format = if qcow2 {
            DiskFormat::Qcow2
        } else {
            DiskFormat::Raw
        };
        Self {
            path,
            format,
            interface: DiskInterface::VirtioBlk,
            read_only: false,
            bytes_per_second: None,
        }
    }

    #[must_use]
    pub fn interface(mut self, interface: DiskInterface) -> Self {
        self.interface = interface;
        self
    }

    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Arguments for the disk number `index`.
    pub(crate) fn arguments(&self, index: usize) -> Vec<String> {
        let format = match self.format {
            DiskFormat::Raw => "raw",
            DiskFormat::Qcow2 => "qcow2",
        };
        // Blocks that the guest discards are given back to the sparse file.
        let mut drive = format!(
            "if=none,id=disk{index},format={format},discard=unmap,file={}",
            quoted(&self.path)
        );
        if self.read_only {
            drive.push_str(",readonly=on");
        }
        if let Some(rate) = self.bytes_per_second {
            drive.push_str(&format!(",throttling.bps-total={rate}"));
        }
        let mut arguments = vec!["-drive".to_owned(), drive];
        let device = match self.interface {
            DiskInterface::VirtioBlk => format!("virtio-blk-pci,drive=disk{index}"),
            DiskInterface::VirtioScsi => {
                arguments.extend([
                    "-device".to_owned(),
                    format!("virtio-scsi-pci,id=scsi{index}"),
                ]);
                format!("scsi-hd,bus=scsi{index}.0,drive=disk{index}")
            }
            DiskInterface::Ahci => {
                arguments.extend(["-device".to_owned(), format!("ahci,id=ahci{index}")]);
                format!("ide-hd,bus=ahci{index}.0,drive=disk{index}")
            }
            DiskInterface::Nvme => format!("nvme,drive=disk{index},serial=keelson{index}"),
        };
        arguments.extend(["-device".to_owned(), device]);
        arguments
    }
}

/// A path as a value in a comma-separated option of QEMU, where a comma is written twice (qemu(1), -drive).
pub(crate) fn quoted(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_follows_the_file_name() {
        assert_eq!(Disk::at("a/disk.qcow2").format, DiskFormat::Qcow2);
        assert_eq!(Disk::at("a/disk.raw").format, DiskFormat::Raw);
        assert_eq!(Disk::at("/dev/sdb").format, DiskFormat::Raw);
    }

    #[test]
    fn a_comma_in_a_path_does_not_end_the_option() {
        let arguments = Disk::at("/a,b/disk.raw").read_only().arguments(1);
        assert_eq!(
            arguments[1],
            "if=none,id=disk1,format=raw,discard=unmap,file=/a,,b/disk.raw,readonly=on"
        );
        assert_eq!(arguments[3], "virtio-blk-pci,drive=disk1");
    }
}
