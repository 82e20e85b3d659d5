//! Finding the ports: there is no udev on the machine, so the names come from sysfs.

use crate::Port;
use control::serial::PORT_NAME;
use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// All ports under `classes` (`/sys/class/virtio-ports`) whose name is ours, opened under `devices` (`/dev`), in the
/// order of their names. What can't be opened is logged and left out.
///
/// # Errors
/// When the list of ports can't be read; no such folder is an empty list.
pub fn find(classes: &Path, devices: &Path) -> io::Result<Vec<Port>> {
    let entries = match fs::read_dir(classes) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        // A port without a name has an empty or no such file.
        let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if name.trim().starts_with(PORT_NAME) {
            found.push((name.trim().to_owned(), devices.join(entry.file_name())));
        }
    }
    found.sort();
    let mut ports = Vec::new();
    for (name, path) in found {
        match open(&path) {
            Ok(device) => ports.push(Port::new(name, device)),
            Err(error) => log::error!("{}: {error}; no control by {name}", path.display()),
        }
    }
    Ok(ports)
}

fn open(path: &Path) -> io::Result<File> {
    let device = File::options().read(true).write(true).open(path)?;
    sys::descriptor::set_nonblocking(device.as_fd(), true)?;
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ports_with_our_name_are_opened_in_order() {
        let folder = std::env::temp_dir().join(format!("relay-ports-{}", std::process::id()));
        for (device, name) in [
            ("vport0p3", "keelson.control.1\n"),
            ("vport0p1", "keelson.control.2\n"),
            ("vport0p2", "org.qemu.guest_agent.0\n"),
        ] {
            fs::create_dir_all(folder.join("class").join(device)).unwrap();
            fs::write(folder.join("class").join(device).join("name"), name).unwrap();
            fs::write(folder.join(device), "").unwrap();
        }
        let ports = find(&folder.join("class"), &folder).unwrap();
        let names: Vec<_> = ports.iter().map(Port::name).collect();
        assert_eq!(names, ["keelson.control.1", "keelson.control.2"]);
        fs::remove_dir_all(&folder).unwrap();
        assert!(find(&folder.join("class"), &folder).unwrap().is_empty());
    }
}
