//! `[unit]`: names of other units.

use crate::check::Check;
use crate::fault::Fault;
use crate::file::{DependsOnTable, UnitTable};
use crate::reader::{Text, Texts};
use crate::references::{NO_UNIT, is_always_there};
use crate::{Dependencies, DependsOn, DependsOnCondition, UnitName};
use std::collections::BTreeMap;
use std::ops::Range;

pub(crate) fn validate(
    check: &mut Check<'_>,
    name: &UnitName,
    table: &UnitTable,
) -> (Dependencies, Vec<UnitName>) {
    let mut written = Written::default();
    let mut names =
        |key: &'static str, texts: &Option<Texts>| names(check, &mut written, key, texts.as_ref());
    let mut dependencies = Dependencies {
        after: names("after", &table.after).unwrap_or_default(),
        before: names("before", &table.before).unwrap_or_default(),
        requires: names("requires", &table.requires).unwrap_or_default(),
        requisite: names("requisite", &table.requisite).unwrap_or_default(),
        wants: names("wants", &table.wants).unwrap_or_default(),
        binds_to: names("binds_to", &table.binds_to).unwrap_or_default(),
        part_of: names("part_of", &table.part_of).unwrap_or_default(),
        conflicts: names("conflicts", &table.conflicts).unwrap_or_default(),
        on_failure: names("on_failure", &table.on_failure).unwrap_or_default(),
        on_success: names("on_success", &table.on_success).unwrap_or_default(),
        depends_on: Vec::new(),
    };
    let default = UnitName::default_target();
    let wanted_by = names("wanted_by", &table.wanted_by).unwrap_or_else(|| {
        if *name == default {
            Vec::new()
        } else {
            vec![default]
        }
    });
    for table in &table.depends_on {
        depends_on(check, &mut written, name, table, &mut dependencies);
    }
    written.contradictions(check, name);
    (dependencies, wanted_by)
}

/// Where each unit is named, by name and key.
#[derive(Default)]
struct Written(BTreeMap<UnitName, BTreeMap<&'static str, Range<usize>>>);

impl Written {
    /// `false` for a name that the key has already.
    fn add(&mut self, name: &UnitName, key: &'static str, span: Range<usize>) -> bool {
        let keys = self.0.entry(name.clone()).or_default();
        let new = !keys.contains_key(key);
        keys.entry(key).or_insert(span);
        new
    }

    /// Two keys that cannot both hold for the same unit. (That a unit names itself is another mistake.)
    fn contradictions(&self, check: &mut Check<'_>, own: &UnitName) {
        const TOGETHER: [&str; 6] = [
            "requires",
            "requisite",
            "binds_to",
            "wants",
            "depends_on",
            "part_of",
        ];
        let pairs = [("before", "after"), ("before", "depends_on")]
            .into_iter()
            .chain(TOGETHER.map(|key| ("conflicts", key)));
        for (key, other) in pairs {
            for (name, keys) in self.0.iter().filter(|(name, _)| *name != own) {
                if let (Some(at), Some(second)) = (keys.get(key), keys.get(other)) {
                    let message = format!("`{name}` is in both `{key}` and `{other}`");
                    check.conflict(at, message, second, "and here", "keep one of them");
                }
            }
        }
    }
}

fn names(
    check: &mut Check<'_>,
    written: &mut Written,
    key: &'static str,
    texts: Option<&Texts>,
) -> Option<Vec<UnitName>> {
    let mut names = Vec::new();
    for text in texts?.get_ref() {
        if let Some(name) = self::name(check, &format!("unit.{key}"), text) {
            check.remember(format!("unit.{key}.{name}"), &text.span());
            if written.add(&name, key, text.span()) {
                names.push(name);
            }
        }
    }
    Some(names)
}

/// The unit that a text names.
pub(super) fn name(check: &mut Check<'_>, key: &str, text: &Text) -> Option<UnitName> {
    let expanded = check.expand(key, text)?;
    match reference(&expanded) {
        Ok(name) => Some(name),
        Err(fault) => {
            check.fault(key, &text.span(), fault);
            None
        }
    }
}

/// Adds the entry, and what it means: `requires` or `wants`, and `after`.
fn depends_on(
    check: &mut Check<'_>,
    written: &mut Written,
    own: &UnitName,
    table: &DependsOnTable,
    dependencies: &mut Dependencies,
) {
    let condition = condition(check, table);
    let is = |value: &Option<toml::Spanned<bool>>| value.as_ref().map(|value| *value.get_ref());
    let Some(text) = &table.unit else { return };
    let Some(unit) = name(check, "unit.depends_on.unit", text) else {
        return;
    };
    let earlier = written
        .0
        .get(&unit)
        .and_then(|keys| keys.get("depends_on"))
        .cloned();
    if let Some(earlier) = earlier {
        let message = format!("`{unit}` has a `[[unit.depends_on]]` already");
        check.conflict(&text.span(), message, &earlier, "here", "keep one of them");
        return;
    }
    written.add(&unit, "depends_on", text.span());
    let required = is(&table.required).unwrap_or(true);
    check.remember(format!("unit.depends_on.{unit}"), &text.span());
    if let Some(condition) = &table.condition {
        check.remember(
            format!("unit.depends_on.{unit}.condition"),
            &condition.span(),
        );
    }
    // A unit that depends on itself is said once, not for each of the three lists.
    if unit != *own {
        let strength = if required {
            ("requires", &mut dependencies.requires)
        } else {
            ("wants", &mut dependencies.wants)
        };
        for (key, list) in [strength, ("after", &mut dependencies.after)] {
            if !list.contains(&unit) {
                check.remember(format!("unit.{key}.{unit}"), &text.span());
                list.push(unit.clone());
            }
        }
    }
    dependencies.depends_on.push(DependsOn {
        unit,
        condition,
        restart: is(&table.restart).unwrap_or(false),
        required,
    });
}

fn condition(check: &mut Check<'_>, table: &DependsOnTable) -> DependsOnCondition {
    const KEY: &str = "unit.depends_on.condition";
    let text = table.condition.as_ref();
    let word = text.and_then(|text| text.get_ref().strip_prefix("service_"));
    if let (Some(word), Some(text)) = (word, text) {
        let fault = Fault::new("is unknown", "started, healthy or completed_successfully");
        check.fault(
            KEY,
            &text.span(),
            fault.hint(format!("write \"{word}\", without `service_`")),
        );
        return DependsOnCondition::Started;
    }
    let choices = [
        ("started", DependsOnCondition::Started),
        ("healthy", DependsOnCondition::Healthy),
        (
            "completed_successfully",
            DependsOnCondition::CompletedSuccessfully,
        ),
    ];
    check
        .choice(KEY, text, &choices)
        .unwrap_or(DependsOnCondition::Started)
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
    if is_always_there(bare) && !bare.ends_with(".target") {
        return Err(fault.hint(NO_UNIT));
    }
    if let Some(stem) = bare.strip_suffix(".service") {
        return Err(fault.hint(format!("write \"{stem}\"")));
    }
    UnitName::new(bare).ok_or(fault)
}
