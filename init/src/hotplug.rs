//! Devices that come while the machine runs: their modules are loaded by a child, so that PID 1 never waits for one.

use crate::machine::Machine;
use crate::modprobe;
use crate::module_index::is_live;
use crate::source::ChildKind;
use std::ffi::CString;
use std::os::fd::AsFd;
use sys::clone::{Spawn, spawn};
use sys::uevent::Uevent;

impl Machine {
    pub(crate) fn uevent(&mut self, event: &Uevent) {
        let ports = event.get("SUBSYSTEM") == Some("virtio-ports");
        if ports && event.get("ACTION") == Some("remove") {
            self.forget_control_ports();
        }
        if event.get("ACTION") != Some("add") {
            return;
        }
        if event.get("SUBSYSTEM") == Some("input") {
            self.find_power_buttons();
        }
        if ports {
            self.find_control_ports();
        }
        let Some(alias) = event.get("MODALIAS") else {
            return;
        };
        // Most devices have a driver already, or none in this release. While the machine boots, many come.
        let modules = if self.boot.modules.is_empty() {
            crate::stage::module_index().map(|index| index.resolve(alias))
        } else {
            Ok(self.boot.modules.resolve(alias))
        };
        match modules {
            Ok(modules) if modules.iter().all(|name| is_live(name)) => return,
            Ok(_) => {}
            Err(error) => {
                log::warn!("{error}: no driver is looked for");
                return;
            }
        }
        let Ok(alias) = CString::new(alias) else {
            return;
        };
        let spawned = spawn(&Spawn {
            namespaces: 0,
            cgroup: None,
            program: modprobe::PROGRAM,
            arguments: &[c"modprobe", c"-q", c"--", &alias],
            environment: &[],
            descriptors: &[
                (self.null.as_fd(), 0),
                (self.log.as_fd(), 1),
                (self.log.as_fd(), 2),
            ],
        });
        match spawned {
            Ok(child) => {
                self.children.insert(child.pid, ChildKind::Modprobe);
            }
            Err(error) => log::error!("modprobe: {error}"),
        }
    }
}
