//! From the file as written to the unit: every value gets its type, every default is filled in.
//!
//! Each table has a file of its own here. A step reports what is wrong and goes on with a default, so that all
//! mistakes come out at once; a unit with an error is dropped by the caller.

mod container;
mod dependencies;
mod mounts;
mod ports;
pub(crate) mod replicas;
mod service;

use crate::check::Check;
use crate::draft::Draft;
use crate::file::UnitFile;
use crate::{
    Conditions, ContainerUnit, Diagnostic, Health, Readiness, Source, Unit, UnitKind, UnitName,
    Update,
};

/// What one instance of a file is called, and which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) name: UnitName,
    /// 0 for the first of a template.
    pub(crate) position: u32,
}

/// The draft is complete only when no diagnostic is an error.
pub(crate) fn container(
    source: &Source,
    file: &UnitFile,
    instance: &Instance,
) -> (Draft, Vec<Diagnostic>) {
    let mut check = Check::new(source, instance.name.instance());
    let (dependencies, wanted_by) = dependencies::validate(&mut check, &instance.name, &file.unit);
    let network = container::network(&mut check, &file.network);
    let offset = replicas::port_offset(&mut check, file, instance);
    let (ports, choices) = ports::validate(&mut check, &file.ports, offset, network.mode);
    let service = service::validate(&mut check, &file.service);
    let kind = ContainerUnit {
        container: container::container(&mut check, file, &instance.name),
        readiness: Readiness::default_of(service.kind, service.start_timeout_ms),
        health: Health::default(),
        timer: None,
        update: Update::default(),
        service,
        resources: container::resources(&mut check, &file.resources),
        mounts: mounts::validate(&mut check, file),
        logging: container::logging(&mut check, &file.logging),
        ports,
        network,
    };
    let unit = Unit {
        name: instance.name.clone(),
        source: source.file.clone(),
        drop_ins: Vec::new(),
        description: description(&mut check, file),
        dependencies,
        wanted_by,
        conditions: Conditions::default(),
        profiles: Vec::new(),
        replica: None,
        kind: UnitKind::Container(Box::new(kind)),
    };
    (
        Draft {
            unit,
            places: check.places,
            choices,
        },
        check.diagnostics,
    )
}

/// The draft is complete only when no diagnostic is an error.
pub(crate) fn target(
    source: &Source,
    file: &UnitFile,
    name: &UnitName,
) -> (Draft, Vec<Diagnostic>) {
    let mut check = Check::new(source, None);
    let (dependencies, wanted_by) = dependencies::validate(&mut check, name, &file.unit);
    let unit = Unit {
        name: name.clone(),
        source: source.file.clone(),
        drop_ins: Vec::new(),
        description: description(&mut check, file),
        dependencies,
        wanted_by,
        conditions: Conditions::default(),
        profiles: Vec::new(),
        replica: None,
        kind: UnitKind::Target,
    };
    (
        Draft {
            unit,
            places: check.places,
            choices: std::collections::BTreeMap::new(),
        },
        check.diagnostics,
    )
}

fn description(check: &mut Check<'_>, file: &UnitFile) -> String {
    check.texts("unit.documentation", file.unit.documentation.as_ref());
    check
        .value("unit.description", file.unit.description.as_ref(), |text| {
            Ok(text.to_owned())
        })
        .unwrap_or_default()
}
