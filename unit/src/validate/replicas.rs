//! `[replicas]`: the instances of a template.

use super::Instance;
use crate::check::Check;
use crate::document::Document;
use crate::fault::Fault;
use crate::file::UnitFile;
use crate::resolve::UNITS_MAX;
use crate::{Diagnostic, Replica, UnitName};

/// All instances of `base` (`redis@`), or why there is none.
pub(crate) fn instances(
    document: &Document<'_>,
    file: &UnitFile,
    base: &str,
) -> (Vec<Instance>, Vec<Diagnostic>) {
    let mut check = Check::new(document, None);
    let replicas = file.replicas.as_ref().map(|replicas| replicas.get_ref());
    let count = replicas.and_then(|replicas| replicas.count.as_ref());
    let explicit = replicas
        .and_then(|replicas| replicas.instances.as_ref())
        .filter(|instances| !instances.get_ref().is_empty());
    if let (Some(count), Some(_)) = (count, explicit) {
        let error = check.document.error(
            &count.span(),
            "`replicas.count` and `replicas.instances` exclude each other",
        );
        check.report(error.hint("keep one of them"));
    }
    let most = i64::try_from(UNITS_MAX).unwrap_or(i64::MAX);
    let count = check
        .integer("replicas.count", count, 0..=most)
        .unwrap_or(1);
    let mut names: Vec<UnitName> = Vec::new();
    match explicit {
        None => {
            names.extend((1..=count).filter_map(|number| UnitName::new(&format!("{base}{number}"))))
        }
        Some(instances) => {
            for text in instances.get_ref() {
                let Some(name) = check.expand("replicas.instances", text) else {
                    continue;
                };
                match UnitName::new(&format!("{base}{name}")) {
                    Some(name) if names.contains(&name) => {
                        let fault = Fault::new("has a name twice", "each name once");
                        check.fault("replicas.instances", &text.span(), fault);
                    }
                    Some(name) => names.push(name),
                    None => {
                        let fault =
                            Fault::new("has a bad name", "letters, digits, `_`, `-` and `.`");
                        check.fault("replicas.instances", &text.span(), fault);
                    }
                }
            }
        }
    }
    if names.is_empty() && check.diagnostics.is_empty() {
        let message = "this template has no instance, so nothing is started";
        let warning = match &file.replicas {
            Some(replicas) => document.warning(&replicas.span(), message),
            None => Diagnostic::warning(document.file(), None, message),
        };
        check.report(warning.hint("set `count = 1`, or list `instances`"));
    }
    let max_parallel = replicas.and_then(|replicas| replicas.max_parallel.as_ref());
    let most = u32::try_from(UNITS_MAX).unwrap_or(u32::MAX);
    let max_parallel = check
        .integer("replicas.max_parallel", max_parallel, 1..=most)
        .unwrap_or(1);
    let instances = names.into_iter().zip(0u32..).map(|(name, index)| Instance {
        name,
        replica: Some(Replica {
            template: base.to_owned(),
            index,
            max_parallel,
        }),
    });
    (instances.collect(), check.diagnostics)
}

/// What is added to the host ports of this instance.
pub(crate) fn port_offset(check: &mut Check<'_>, file: &UnitFile, instance: &Instance) -> u16 {
    let Some(replicas) = &file.replicas else {
        return 0;
    };
    let Some(step) = check.integer(
        "replicas.port_offset",
        replicas.get_ref().port_offset.as_ref(),
        0..=u16::MAX,
    ) else {
        return 0;
    };
    let Some(offset) = u32::from(step)
        .checked_mul(instance.replica.as_ref().map_or(0, |replica| replica.index))
        .and_then(|offset| u16::try_from(offset).ok())
    else {
        let message = format!(
            "`replicas.port_offset` adds more than 65535 to the host port of `{}`",
            instance.name
        );
        let span = replicas
            .get_ref()
            .port_offset
            .as_ref()
            .map_or(replicas.span(), |offset| offset.span());
        check.report(
            check
                .document
                .error(&span, message)
                .hint("use a smaller step or fewer instances"),
        );
        return 0;
    };
    offset
}
