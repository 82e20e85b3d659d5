//! Writable layers of runs that are beside another run of their unit.
//!
//! ```text
//! /var/containers/web      old run                     new run
//! /var/containers/web:17   new run (17)   ──swap──▶    old run, and discarded with it
//! ```
//!
//! A folder keeps what is mounted from it when its name changes. After a power cut, whatever has a number is of no use.

use crate::console;
use crate::machine::Machine;
use crate::source::ChildKind;
use std::ffi::{CStr, CString};
use std::path::Path;
use supervisor::UnitId;
use sys::clone::{Spawn, spawn};
use unit::{LaunchRoot, UnitName};

impl Machine {
    /// The runs of the two places have changed places: so do their layers.
    pub(crate) fn swap_layers(&mut self, unit: UnitId, old_place: UnitId) {
        let Some(name) = self.units.get(unit).map(|unit| unit.name.clone()) else {
            return;
        };
        let beside = |layer: LaunchRoot| layer != LaunchRoot::Kept;
        let mut runs = self.runs.values_mut();
        let Some(new) = runs.find(|run| run.unit == unit && beside(run.root)) else {
            return;
        };
        let layer = new.root;
        let folder =
            |layer: LaunchRoot| Path::new(sys::paths::CONTAINERS).join(layer.folder(&name));
        if let Err(error) = sys::exchange::exchange(&folder(layer), &folder(LaunchRoot::Kept)) {
            let folder = layer.folder(&name);
            return console::warn(format_args!(
                "{name}: what the new version writes is lost when it ends: {folder}: {error}"
            ));
        }
        new.root = LaunchRoot::Kept;
        let mut runs = self.runs.values_mut();
        match runs.find(|run| run.unit == old_place && !beside(run.root)) {
            Some(old) => old.root = layer,
            None => self.discard_layer(&name, layer),
        }
    }

    /// Nobody uses it any more.
    pub(crate) fn discard_layer(&mut self, unit: &UnitName, layer: LaunchRoot) {
        if layer != LaunchRoot::Kept {
            self.discard(&[layer.folder(unit)]);
        }
    }

    /// What a power cut has left.
    pub(crate) fn discard_left_layers(&mut self) {
        let entries = std::fs::read_dir(sys::paths::CONTAINERS);
        let names = entries.into_iter().flatten().flatten();
        let left: Vec<String> = names
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.contains(':'))
            .collect();
        if !left.is_empty() {
            self.discard(&left);
        }
    }

    /// In a child: there may be much to remove.
    fn discard(&mut self, folders: &[String]) {
        let program = CString::new(format!("{}/launcher", sys::paths::PROGRAMS));
        let folders: Vec<CString> = folders
            .iter()
            .filter_map(|folder| CString::new(folder.as_str()).ok())
            .collect();
        let mut arguments: Vec<&CStr> = vec![c"launcher", c"discard"];
        arguments.extend(folders.iter().map(CString::as_c_str));
        let null = std::os::fd::AsFd::as_fd(&self.null);
        let log = std::os::fd::AsFd::as_fd(&self.log);
        let child = spawn(&Spawn {
            namespaces: 0,
            cgroup: None,
            program: &program.unwrap_or_default(),
            arguments: &arguments,
            environment: &[],
            descriptors: &[(null, 0), (log, 1), (log, 2)],
        });
        match child {
            Ok(child) => {
                self.children.insert(child.pid, ChildKind::Discard);
            }
            Err(error) => log::error!("discard: {error}; the next boot does it"),
        }
    }
}
