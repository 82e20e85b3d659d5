//! `[unit]`: names of other units.

use crate::check::Check;
use crate::fault::Fault;
use crate::file::UnitTable;
use crate::reader::Texts;
use crate::{Dependencies, UnitName};

pub(crate) fn validate(
    check: &mut Check<'_>,
    name: &UnitName,
    table: &UnitTable,
) -> (Dependencies, Vec<UnitName>) {
    let dependencies = Dependencies {
        after: names(check, "after", table.after.as_ref()).unwrap_or_default(),
        before: names(check, "before", table.before.as_ref()).unwrap_or_default(),
        requires: names(check, "requires", table.requires.as_ref()).unwrap_or_default(),
        wants: names(check, "wants", table.wants.as_ref()).unwrap_or_default(),
        ..Dependencies::default()
    };
    let default = UnitName::default_target();
    let wanted_by = names(check, "wanted_by", table.wanted_by.as_ref());
    let wanted_by = wanted_by.unwrap_or_else(|| {
        if *name == default {
            Vec::new()
        } else {
            vec![default]
        }
    });
    (dependencies, wanted_by)
}

fn names(check: &mut Check<'_>, key: &str, texts: Option<&Texts>) -> Option<Vec<UnitName>> {
    let mut names = Vec::new();
    for text in texts?.get_ref() {
        let path = format!("unit.{key}");
        let Some(expanded) = check.expand(&path, text) else {
            continue;
        };
        match reference(&expanded) {
            Ok(name) => {
                check.remember(format!("{path}.{name}"), &text.span());
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            Err(fault) => check.fault(&path, &text.span(), fault),
        }
    }
    Some(names)
}

/// `db`, and for those who name the kind or the file: `db.container`, `db.container.toml`, `app.target.toml`.
fn reference(text: &str) -> Result<UnitName, Fault> {
    let bare = text.strip_suffix(".toml").unwrap_or(text);
    let bare = bare.strip_suffix(".container").unwrap_or(bare);
    let fault = Fault::new(
        "is not the name of a unit",
        "a container's such as \"db\" or \"redis@1\", or a target's such as \"app.target\"",
    );
    if bare.ends_with('@') {
        return Err(fault.hint(format!("name an instance of the template: \"{bare}1\"")));
    }
    if let Some(stem) = bare.strip_suffix(".service") {
        return Err(fault.hint(format!("write \"{stem}\"")));
    }
    UnitName::new(bare).ok_or(fault)
}
