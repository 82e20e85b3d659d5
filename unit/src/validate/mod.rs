//! From the file as written to the unit: every value gets its type, every default is filled in.
//!
//! Each table has a file of its own here. A step reports what is wrong and goes on with a default, so that all
//! mistakes come out at once; a unit with an error is dropped by the caller.

mod argv;
mod conditions;
mod container;
mod dependencies;
mod health;
mod hooks;
mod mount_options;
mod mounts;
mod ports;
mod readiness;
pub(crate) mod replicas;
mod service;
mod start_limit;
mod timer;
mod update;

use crate::check::Check;
use crate::document::Document;
use crate::draft::Draft;
use crate::file::UnitFile;
use crate::{ContainerUnit, Diagnostic, Replica, Unit, UnitKind, UnitName};
use std::collections::BTreeMap;

/// What one instance of a file is called, and which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) name: UnitName,
    /// `None`: not made by a template.
    pub(crate) replica: Option<Replica>,
}

/// The draft is complete only when no diagnostic is an error.
pub(crate) fn container(
    document: &Document<'_>,
    file: &UnitFile,
    instance: &Instance,
) -> (Draft, Vec<Diagnostic>) {
    let mut check = Check::new(document, instance.name.instance());
    let network = container::network(&mut check, &file.network);
    let offset = replicas::port_offset(&mut check, file, instance);
    let (ports, choices) = ports::validate(&mut check, &file.ports, offset, network.mode);
    let service = service::validate(&mut check, file);
    remember_facts(&mut check, file);
    let health = health::validate(&mut check, file, &network);
    let kind = ContainerUnit {
        container: container::container(&mut check, file, &instance.name),
        resources: container::resources(&mut check, &file.resources),
        mounts: mounts::validate(&mut check, file),
        logging: container::logging(&mut check, &file.logging),
        readiness: readiness::validate(&mut check, file, &service, &health, &network),
        timer: timer::of_container(&mut check, file, &service),
        update: update::validate(&mut check, file, &service, &network),
        health,
        service,
        ports,
        network,
    };
    let kind = UnitKind::Container(Box::new(kind));
    finish(check, file, instance, kind, choices)
}

/// Where stands what other units' conditions are held against.
fn remember_facts(check: &mut Check<'_>, file: &UnitFile) {
    if let Some(kind) = &file.service.kind {
        check.remember("service.type".to_owned(), &kind.span());
    }
    if let Some(disable) = &file.health.disable {
        check.remember("health.disable".to_owned(), &disable.span());
    }
}

/// The draft is complete only when no diagnostic is an error.
pub(crate) fn target(
    document: &Document<'_>,
    file: &UnitFile,
    name: UnitName,
) -> (Draft, Vec<Diagnostic>) {
    let check = Check::new(document, None);
    let instance = Instance {
        name,
        replica: None,
    };
    finish(check, file, &instance, UnitKind::Target, BTreeMap::new())
}

/// The draft is complete only when no diagnostic is an error.
pub(crate) fn timer(
    document: &Document<'_>,
    file: &UnitFile,
    name: UnitName,
) -> (Draft, Vec<Diagnostic>) {
    let mut check = Check::new(document, None);
    let (timer, unit) = timer::of_file(&mut check, file, &name);
    let instance = Instance {
        name,
        replica: None,
    };
    let kind = UnitKind::Timer { timer, unit };
    finish(check, file, &instance, kind, BTreeMap::new())
}

/// What units of all kinds have.
fn finish(
    mut check: Check<'_>,
    file: &UnitFile,
    instance: &Instance,
    kind: UnitKind,
    choices: BTreeMap<usize, u16>,
) -> (Draft, Vec<Diagnostic>) {
    if !matches!(kind, UnitKind::Container(_)) {
        conditions::only_of_containers(&mut check, &file.unit.condition);
    }
    let (dependencies, wanted_by) = dependencies::validate(&mut check, &instance.name, &file.unit);
    let unit = Unit {
        name: instance.name.clone(),
        source: check.document.file().to_owned(),
        drop_ins: check.document.drop_ins(),
        description: description(&mut check, file),
        dependencies,
        wanted_by,
        conditions: conditions::validate(&mut check, &file.unit.condition),
        profiles: conditions::profiles(&mut check, &file.unit),
        replica: instance.replica.clone(),
        kind,
    };
    let draft = Draft {
        unit,
        places: check.places,
        choices,
    };
    (draft, check.diagnostics)
}

fn description(check: &mut Check<'_>, file: &UnitFile) -> String {
    check.texts("unit.documentation", file.unit.documentation.as_ref());
    check
        .value("unit.description", file.unit.description.as_ref(), |text| {
            Ok(text.to_owned())
        })
        .unwrap_or_default()
}
