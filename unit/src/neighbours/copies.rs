//! Names that have that of a unit file in them, or are nearly one: copies of editors, what is switched off, mistyped ends.

use super::{Stray, UNIT_KINDS};
use crate::nearest::nearest;

/// Ends of names of copies that editors and package managers make.
const COPIES: &[&str] = &[
    "~",
    ".bak",
    ".backup",
    ".old",
    ".orig",
    ".save",
    ".sav",
    ".tmp",
    ".rej",
    ".new",
    ".copy",
    ".dpkg-old",
    ".dpkg-new",
    ".dpkg-dist",
    ".ucf-dist",
    ".ucf-old",
    ".rpmsave",
    ".rpmnew",
    ".rpmorig",
];
const SWAP: &[&str] = &[".swp", ".swo", ".swn", ".swx"];
/// How people switch a file off.
const SWITCHED_OFF: &[&str] = &[".disabled", ".disable", ".off", ".inactive", ".skip"];
/// What is written for `toml` by mistake or habit.
const NEARLY_TOML: &[&str] = &[
    "tml", "tom", "toml5", "yaml", "yml", "json", "conf", "cfg", "ini",
];

/// A name that has that of a unit file in it, or is nearly one.
pub(super) fn nearly_unit(name: &str) -> Option<Stray> {
    let small = name.to_lowercase();
    let unit = UNIT_KINDS.iter().find_map(|kind| {
        let at = small.find(&format!(".{kind}.toml"))?;
        let behind = small.get(at..)?.get(kind.len().saturating_add(6)..)?;
        let base = name.get(..at)?.trim_start_matches(['.', '#']);
        (!base.is_empty()).then(|| {
            (
                format!("{base}.{kind}.toml"),
                behind.trim_end_matches('#').to_owned(),
            )
        })
    });
    let Some((meant, behind)) = unit else {
        return nearly_toml(name);
    };
    let ends = |list: &[&str]| list.contains(&behind.as_str());
    let counted = behind.starts_with(".~") && behind.ends_with('~');
    let named = format!("name it `{meant}`");
    Some(if ends(SWAP) {
        Stray {
            is: format!("`{name}` is what an editor keeps while `{meant}` is open"),
            hint: "remove it when no editor has the file open".to_owned(),
        }
    } else if ends(COPIES) || counted || name.starts_with('#') || name.starts_with(".#") {
        Stray {
            is: format!("`{name}` is a copy of `{meant}`"),
            hint: format!("remove it, or keep it elsewhere; if it shall count, {named}"),
        }
    } else if ends(SWITCHED_OFF) {
        Stray {
            is: format!("`{name}` is no unit file by this name"),
            hint: format!(
                "a unit that is not to start is `{meant}` with `wanted_by = []`, or is switched off by `keelctl disable`"
            ),
        }
    } else if name.starts_with('.') {
        Stray {
            is: format!("`{name}` is hidden"),
            hint: format!("if it shall count, {named}"),
        }
    } else {
        Stray {
            is: format!("`{name}` is no unit file by this name"),
            hint: format!("if it shall count, {named}"),
        }
    })
}

/// `web.container.tml`, `web.Container.yaml`, `web.TOML`
fn nearly_toml(name: &str) -> Option<Stray> {
    if name.starts_with('.') {
        return None;
    }
    let (stem, end) = name.rsplit_once('.')?;
    let end = end.to_lowercase();
    let of_kind = stem.rsplit_once('.').and_then(|(base, kind)| {
        let kinds = UNIT_KINDS.iter().copied();
        let small = kind.to_lowercase();
        let kind = kinds
            .clone()
            .find(|known| *known == small)
            .or_else(|| nearest(&small, kinds))?;
        (!base.is_empty()).then(|| format!("{base}.{kind}.toml"))
    });
    let meant = match of_kind {
        Some(meant) if end == "toml" || NEARLY_TOML.contains(&end.as_str()) || end == "txt" => {
            meant
        }
        _ if end == "toml" || matches!(end.as_str(), "tml" | "tom") => {
            format!("{stem}.container.toml")
        }
        _ => return None,
    };
    Some(Stray {
        is: format!("`{name}` is no unit file by this name"),
        hint: format!("if it shall count, name it `{meant}`, in TOML"),
    })
}
