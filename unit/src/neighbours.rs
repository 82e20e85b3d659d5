//! What lies in a folder of units and is none: which of it is named in a warning, and what it would be called here.
//!
//! Nothing is ever ignored holds for files too: who puts a file beside the units wants it to count. Only what nobody can have
//! meant as a unit is passed over in silence: texts for people, hidden files, and what some unit speaks of by its name.
//!
//! To add a kind of file: a row in [`KINDS_ELSEWHERE`], or an arm in [`file`].

use crate::file_name;
use crate::nearest::nearest;

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
}

/// What is said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stray {
    /// "`NAME` IS, and is not read"
    pub(crate) is: String,
    pub(crate) hint: String,
}

const UNIT_KINDS: &[&str] = &["container", "target", "timer", "network", "volume", "image"];

/// Of Quadlet and systemd: how the name ends, what it is, and what it is here, with `{}` for the rest of the name.
const KINDS_ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "container",
        "a Quadlet file",
        "here a container is `{}.container.toml`, in TOML",
    ),
    (
        "pod",
        "a Quadlet file",
        "here a group of units is `{}.target.toml`, and each container of the pod a unit of its own",
    ),
    (
        "kube",
        "a Quadlet file",
        "here each container is a file of its own: `NAME.container.toml`",
    ),
    (
        "volume",
        "a Quadlet file",
        "a volume needs no file here: name `{}` in `volumes` of a container",
    ),
    (
        "network",
        "a file of Quadlet or systemd-networkd",
        "here it would be `{}.network.toml`, which is not supported yet; the machine's own network is set on the kernel command line",
    ),
    (
        "image",
        "a Quadlet file",
        "here it would be `{}.image.toml`, which is not supported yet; name the image in the container",
    ),
    (
        "build",
        "a Quadlet file",
        "images are built elsewhere; name the image in a container",
    ),
    (
        "artifact",
        "a Quadlet file",
        "there is nothing like it here",
    ),
    (
        "service",
        "a unit of systemd",
        "here a container is `{}.container.toml`, in TOML",
    ),
    (
        "timer",
        "a unit of systemd",
        "here a timer is `{}.timer.toml`, or `[timer]` in the container that it starts",
    ),
    (
        "target",
        "a unit of systemd",
        "here a group of units is `{}.target.toml`, in TOML",
    ),
    (
        "socket",
        "a unit of systemd",
        "there is nothing like it here: a container opens its ports by itself",
    ),
    ("path", "a unit of systemd", "there is nothing like it here"),
    (
        "mount",
        "a unit of systemd",
        "there is nothing like it here: a container has `volumes`",
    ),
    (
        "automount",
        "a unit of systemd",
        "there is nothing like it here: a container has `volumes`",
    ),
    (
        "slice",
        "a unit of systemd",
        "there is nothing like it here: a container has `[resources]`",
    ),
    ("swap", "a unit of systemd", "there is nothing like it here"),
    (
        "device",
        "a unit of systemd",
        "there is nothing like it here",
    ),
    (
        "netdev",
        "a file of systemd-networkd",
        "the machine's own network is set on the kernel command line",
    ),
    (
        "link",
        "a file of systemd-networkd",
        "the machine's own network is set on the kernel command line",
    ),
];

/// Names of texts for people and for the tools of a repository, without what is behind the first dot, in small letters.
const FOR_PEOPLE: &[&str] = &[
    "readme",
    "license",
    "licence",
    "copying",
    "notice",
    "authors",
    "changelog",
    "changes",
    "contributing",
    "codeowners",
    "maintainers",
    "makefile",
    "justfile",
    "lost+found",
    "docs",
    "doc",
    "licenses",
];
const FOR_PEOPLE_ENDINGS: &[&str] = &["md", "markdown", "txt", "adoc", "rst", "html", "pdf"];

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
    if let Some(stray) = of_builders(name, &small) {
        return Verdict::Stray(stray);
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
    if name.starts_with('.') || is_for_people(&small) {
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
    Verdict::Unknown(Stray {
        is: format!("`{name}` is a folder"),
        hint: "folders are not looked into, but those of drop-ins: `NAME.container.toml.d`; keep others elsewhere".to_owned(),
    })
}

/// A file somewhere below a folder that is not looked into. `None`: it has nothing to do with units.
pub(crate) fn buried(name: &str) -> Option<Stray> {
    match file(name) {
        Verdict::Read if is_unit(name) => Some(Stray {
            is: format!("`{name}` lies in a folder below"),
            hint: format!("folders are not looked into: put `{name}` beside the other units"),
        }),
        Verdict::Stray(stray) => Some(stray),
        Verdict::Read | Verdict::Neutral | Verdict::Unknown(_) => None,
    }
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

/// `a.container.toml`, whether its name is a good one or not.
fn is_unit(name: &str) -> bool {
    file_name::parse(name).is_ok()
        || UNIT_KINDS
            .iter()
            .any(|kind| name.ends_with(&format!(".{kind}.toml")))
}

/// A name that has that of a unit file in it, or is nearly one.
fn nearly_unit(name: &str) -> Option<Stray> {
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

fn is_for_people(small: &str) -> bool {
    let (base, end) = small.split_once('.').unwrap_or((small, ""));
    let last = end.rsplit('.').next().unwrap_or(end);
    FOR_PEOPLE.contains(&base) || FOR_PEOPLE_ENDINGS.contains(&last)
}

/// Base, kind, what it is, what it is here.
fn of_elsewhere(name: &str) -> Option<(&str, &'static str, &'static str, &'static str)> {
    let (base, end) = name.rsplit_once('.')?;
    let end = end.to_lowercase();
    let row = KINDS_ELSEWHERE.iter().find(|(kind, _, _)| *kind == end)?;
    (!base.is_empty()).then_some((base, row.0, row.1, row.2))
}

/// Files of Compose, Kubernetes and image builders.
fn of_builders(name: &str, small: &str) -> Option<Stray> {
    let yaml = small
        .strip_suffix(".yaml")
        .or_else(|| small.strip_suffix(".yml"));
    let compose = |stem: &str| {
        let first = stem.split(['.', '-', '_']).next().unwrap_or(stem);
        first == "compose"
            || first == "stack"
            || stem.contains("-compose")
            || stem.contains("_compose")
    };
    if let Some(stem) = yaml {
        let what = if compose(stem) {
            "a Compose file"
        } else {
            "YAML"
        };
        return Some(Stray {
            is: format!("`{name}` is {what}"),
            hint: "here each service is a file of its own, in TOML: `SERVICE.container.toml`"
                .to_owned(),
        });
    }
    let builder = ["dockerfile", "containerfile"];
    let first = small.split('.').next().unwrap_or(small);
    let last = small.rsplit('.').next().unwrap_or(small);
    (builder.contains(&first) || builder.contains(&last)).then(|| Stray {
        is: format!("`{name}` is for building an image"),
        hint: "images are built elsewhere; name the image in a `NAME.container.toml`".to_owned(),
    })
}

/// What the folder of drop-ins `BASE.d` would be called here, with backticks.
fn drop_ins_of(base: &str, files: &[String]) -> Option<String> {
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
