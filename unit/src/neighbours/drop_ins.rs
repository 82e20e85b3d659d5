//! Drop-ins and their folders, and what systemd calls so.

use super::people::is_for_people;
use super::{Stray, UNIT_KINDS, Verdict};

/// A file in the folder of drop-ins of a unit file.
pub(crate) fn drop_in(name: &str) -> Verdict {
    let small = name.to_lowercase();
    if name.ends_with(".toml") && !name.starts_with(['.', '#']) {
        return Verdict::Read;
    }
    let bare = name.trim_start_matches(['.', '#']).trim_end_matches('#');
    let toml = small.find(".toml");
    if toml.is_none() && (name.starts_with('.') || is_for_people(&small)) {
        return Verdict::Neutral;
    }
    let stem = bare
        .to_lowercase()
        .find(".toml")
        .and_then(|end| bare.get(..end));
    let stem = stem.unwrap_or_else(|| bare.rsplit_once('.').map_or(bare, |(stem, _)| stem));
    let is = if small.ends_with(".conf") {
        format!("`{name}` is a drop-in as systemd has them")
    } else if name.starts_with('.') && small.ends_with(".toml") {
        format!("`{name}` is hidden")
    } else if toml.is_some() {
        format!("`{name}` is no drop-in by this name")
    } else {
        format!("`{name}` is no drop-in")
    };
    let hint =
        format!("name it `{stem}.toml`, in TOML, if it shall count; if not, keep it elsewhere");
    Verdict::Stray(Stray { is, hint })
}

/// A folder in the folder of drop-ins of a unit file.
pub(crate) fn folder_of_drop_in(name: &str) -> Verdict {
    if name.starts_with('.') {
        return Verdict::Neutral;
    }
    Verdict::Stray(Stray {
        is: format!("`{name}` is a folder"),
        hint: "drop-ins lie in the folder of their unit itself".to_owned(),
    })
}

/// For whose drop-ins a folder is, when there is no such unit: systemd lets many units share one.
pub(crate) fn shared_drop_ins(unit_file: &str, files: &[&str]) -> Option<String> {
    if let Some(kind) = unit_file
        .strip_suffix(".toml")
        .filter(|kind| UNIT_KINDS.contains(kind))
    {
        return Some(format!(
            "drop-ins of all units of a kind are systemd's; here each unit has a folder of its own: `NAME.{kind}.toml.d`"
        ));
    }
    let (prefix, kind) = unit_file.strip_suffix(".toml")?.rsplit_once('.')?;
    let prefix = prefix
        .strip_suffix('-')
        .filter(|_| UNIT_KINDS.contains(&kind))?;
    let begins = |file: &&&str| {
        file.strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with('-') && rest.ends_with(&format!(".{kind}.toml")))
    };
    let own = format!("{prefix}.{kind}.toml");
    let example = match files.iter().find(begins) {
        Some(file) => (*file).to_owned(),
        None if files.contains(&own.as_str()) => own,
        None => format!("{prefix}-a.{kind}.toml"),
    };
    Some(format!(
        "drop-ins of all units whose names begin alike are systemd's; here each unit has a folder of its own: `{example}.d`"
    ))
}

/// What the folder of drop-ins `BASE.d` would be called here, with backticks.
pub(super) fn drop_ins_of(base: &str, files: &[String]) -> Option<String> {
    let all_of = |kind: &str| {
        Some(format!(
            "after the unit that it changes, `NAME.{kind}.toml.d`; drop-ins of all units of a kind are systemd's"
        ))
    };
    let small = base.to_lowercase();
    match small.as_str() {
        "service" => return all_of("container"),
        kind if UNIT_KINDS.contains(&kind) => return all_of(kind),
        _ => {}
    }
    if let Some((name, kind)) = base.rsplit_once('.') {
        let kind = kind.to_lowercase();
        match kind.as_str() {
            "service" => return Some(format!("`{name}.container.toml.d`")),
            kind if UNIT_KINDS.contains(&kind) => return Some(format!("`{name}.{kind}.toml.d`")),
            _ => {}
        }
    }
    let of_unit = UNIT_KINDS.iter().map(|kind| format!("{base}.{kind}.toml"));
    let unit = of_unit.into_iter().find(|unit| files.contains(unit))?;
    Some(format!("`{unit}.d`"))
}
