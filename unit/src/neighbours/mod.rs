//! What lies in a folder of units and is none: which of it is named in a warning, and what it would be called here.
//!
//! Nothing is ever ignored holds for files too: who puts a file beside the units wants it to count. Only what nobody can have
//! meant as a unit is passed over in silence: texts for people, hidden files, and what some unit speaks of by its path.
//!
//! To add a kind of file: a row in [`elsewhere`], or an arm in [`file`].

mod builders;
mod copies;
mod drop_ins;
mod elsewhere;
mod people;

pub(crate) use builders::is_manifest;
pub(crate) use drop_ins::{drop_in, folder_of_drop_in, shared_drop_ins};

use crate::file_name;
use builders::{of_builders, without_yaml};
use copies::nearly_unit;
use drop_ins::drop_ins_of;
use elsewhere::of_elsewhere;
use people::is_for_people;

/// What a name says about a file or folder beside the units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is read as a unit, a drop-in or a folder of them.
    Read,
    /// Nobody means it as a unit.
    Neutral,
    /// Somebody may have meant it as a unit, or as a part of one.
    Stray(Stray),
    /// Not known; when a unit speaks of it, it is that unit's matter.
    Unknown(Stray),
    /// A folder of texts for people: only what is in it and looks like a unit is named. The rest is said when there is too
    /// much in it to see.
    Texts(Stray),
}

/// What is said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stray {
    /// "`NAME` IS, and is not read"
    pub(crate) is: String,
    pub(crate) hint: String,
}

const UNIT_KINDS: &[&str] = &["container", "target", "timer", "network", "volume", "image"];

/// Made by fsck.ext4(8), and only root can look into it.
const LOST_AND_FOUND: &str = "lost+found";
const ARCHIVES: &[&str] = &[".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst", ".oci"];

/// A file in a folder of units.
pub(crate) fn file(name: &str) -> Verdict {
    if name.ends_with(".toml") && !name.starts_with(['.', '#']) {
        return Verdict::Read;
    }
    if let Some(stray) = nearly_unit(name) {
        return Verdict::Stray(stray);
    }
    let small = name.to_lowercase();
    if small == ".env" || small.ends_with(".env") {
        return Verdict::Unknown(Stray {
            is: format!("`{name}` is no unit file"),
            hint: "variables are written into `[env]` of the unit".to_owned(),
        });
    }
    if name.starts_with('.') {
        return Verdict::Neutral;
    }
    if let Some((base, kind, is, here)) = of_elsewhere(name) {
        let is = format!("`{name}` is {is}");
        let hint = here.replace("{}", base);
        let known = kind != "link" && kind != "path" && kind != "device";
        let stray = Stray { is, hint };
        return if known {
            Verdict::Stray(stray)
        } else {
            Verdict::Unknown(stray)
        };
    }
    if is_for_people(&small) {
        return Verdict::Neutral;
    }
    if let Some(verdict) = of_builders(name, &small) {
        return verdict;
    }
    if ARCHIVES.iter().any(|end| small.ends_with(end)) {
        return Verdict::Unknown(Stray {
            is: format!("`{name}` is no unit file"),
            hint: "an image comes to the machine by `keelctl image load`".to_owned(),
        });
    }
    Verdict::Unknown(Stray {
        is: format!("`{name}` is no unit file"),
        hint: "a unit is called `NAME.container.toml`; keep other files elsewhere".to_owned(),
    })
}

/// A folder in a folder of units, beside these files. [`Verdict::Unknown`]: what is in it decides.
pub(crate) fn folder(name: &str, files: &[String]) -> Verdict {
    if name.ends_with(".toml.d") && !name.starts_with('.') {
        return Verdict::Read;
    }
    let small = name.to_lowercase();
    if let Some(end) = small.find(".toml.d") {
        let meant = name.get(..end).unwrap_or(name).trim_start_matches('.');
        return Verdict::Stray(Stray {
            is: format!("`{name}` is no folder of drop-ins by this name"),
            hint: format!("name it `{meant}.toml.d` if it shall count; if not, keep it elsewhere"),
        });
    }
    if name.starts_with('.') || name == LOST_AND_FOUND {
        return Verdict::Neutral;
    }
    if let Some(base) = small
        .strip_suffix(".d")
        .and_then(|base| name.get(..base.len()))
        && let Some(meant) = drop_ins_of(base, files)
    {
        return Verdict::Stray(Stray {
            is: format!("`{name}` is no folder of drop-ins here"),
            hint: format!("name it {meant}"),
        });
    }
    let stray = Stray {
        is: format!("`{name}` is a folder"),
        hint: "folders are not looked into, but those of drop-ins: `NAME.container.toml.d`; keep others elsewhere".to_owned(),
    };
    match is_for_people(&small) {
        true => Verdict::Texts(stray),
        false => Verdict::Unknown(stray),
    }
}

/// A file somewhere below a folder that is not looked into. [`Verdict::Unknown`] is YAML, which may declare containers.
pub(crate) fn buried(name: &str) -> Verdict {
    match file(name) {
        Verdict::Read if is_unit(name) => Verdict::Stray(Stray {
            is: format!("`{name}` lies in a folder below"),
            hint: format!("folders are not looked into: put `{name}` beside the other units"),
        }),
        stray @ Verdict::Stray(_) => stray,
        Verdict::Unknown(stray) if without_yaml(&name.to_lowercase()).is_some() => {
            Verdict::Unknown(stray)
        }
        Verdict::Read | Verdict::Neutral | Verdict::Unknown(_) | Verdict::Texts(_) => {
            Verdict::Neutral
        }
    }
}

/// A folder of drop-ins there.
pub(crate) fn buried_folder(name: &str) -> Option<Stray> {
    let unit = name.strip_suffix(".d").filter(|unit| is_unit(unit))?;
    Some(Stray {
        is: format!("`{name}` lies in a folder below"),
        hint: format!("folders are not looked into: put `{name}` beside `{unit}`"),
    })
}

/// `a.container.toml`, whether its name is a good one or not.
fn is_unit(name: &str) -> bool {
    file_name::parse(name).is_ok()
        || UNIT_KINDS
            .iter()
            .any(|kind| name.ends_with(&format!(".{kind}.toml")))
}
