//! What the name of a file says: `web.container.toml`, `redis@.container.toml`, `app.target.toml`.

use crate::UnitName;
use crate::fault::Fault;
use crate::nearest::nearest;
use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FileName {
    Container(UnitName),
    /// `redis@`
    Template(String),
    Target(UnitName),
    Timer(UnitName),
}

impl FileName {
    /// The unit of a container file that is not a template.
    pub(crate) fn container(self) -> Option<UnitName> {
        match self {
            Self::Container(unit) => Some(unit),
            Self::Template(_) | Self::Target(_) | Self::Timer(_) => None,
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(unit) | Self::Target(unit) | Self::Timer(unit) => unit.fmt(f),
            Self::Template(base) => f.write_str(base),
        }
    }
}

const KINDS: &[&str] = &["container", "target", "network", "volume", "image", "timer"];

/// `Err` has the name of the unit that this would be.
pub(crate) fn parse(file_name: &str) -> Result<FileName, (String, Fault)> {
    const EXPECTED: &str =
        "NAME.container.toml, NAME@.container.toml, NAME.target.toml or NAME.timer.toml";
    let stem = file_name.strip_suffix(".toml").unwrap_or(file_name);
    let Some((base, kind)) = stem.rsplit_once('.') else {
        let fault = Fault::new("does not say what kind of unit it is", EXPECTED);
        return Err((
            stem.to_owned(),
            fault.hint(format!("name it `{stem}.container.toml`")),
        ));
    };
    let bad_name = || {
        let fault = Fault::new("is not named as a unit", EXPECTED);
        let at_most = UnitName::BYTES_MAX;
        (
            stem.to_owned(),
            fault.hint(format!(
                "a name has letters, digits, `_`, `-` and `.`, at most {at_most} in all"
            )),
        )
    };
    match kind {
        "container" => {
            if let Some((_, suffix)) = base
                .rsplit_once('.')
                .filter(|(_, suffix)| KINDS.contains(suffix))
            {
                let fault = Fault::new("has a name that ends like another kind of unit", EXPECTED);
                return Err((
                    base.to_owned(),
                    fault.hint(format!("leave `.{suffix}` out")),
                ));
            }
            if base.ends_with('@') {
                let good = UnitName::new(&format!("{base}1")).is_some();
                return if good {
                    Ok(FileName::Template(base.to_owned()))
                } else {
                    Err(bad_name())
                };
            }
            UnitName::new(base)
                .map(FileName::Container)
                .ok_or_else(bad_name)
        }
        "target" | "timer" if base.contains('@') => Err((
            stem.to_owned(),
            Fault::new(
                format!("is a template of a {kind}, which is not supported yet"),
                EXPECTED,
            ),
        )),
        "target" => UnitName::new(stem)
            .map(FileName::Target)
            .ok_or_else(bad_name),
        "timer" => UnitName::new(stem)
            .map(FileName::Timer)
            .ok_or_else(bad_name),
        "network" | "volume" | "image" => {
            let fault = Fault::new(
                format!("is a unit of kind {kind}, which is not supported yet"),
                EXPECTED,
            );
            Err((stem.to_owned(), fault))
        }
        _ => {
            let fault = Fault::new("does not say what kind of unit it is", EXPECTED);
            let name = nearest(kind, KINDS.iter().copied())
                .map_or(format!("{stem}.container.toml"), |kind| {
                    format!("{base}.{kind}.toml")
                });
            Err((stem.to_owned(), fault.hint(format!("name it `{name}`"))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_and_name_come_from_the_file_name() {
        let name = |text: &str| UnitName::new(text).unwrap();
        let parse = |text: &str| super::parse(text);
        assert_eq!(
            parse("web.container.toml").unwrap(),
            FileName::Container(name("web"))
        );
        assert_eq!(
            parse("a.b.container.toml").unwrap(),
            FileName::Container(name("a.b"))
        );
        assert_eq!(
            parse("redis@.container.toml").unwrap(),
            FileName::Template("redis@".to_owned())
        );
        assert_eq!(
            parse("redis@1.container.toml").unwrap(),
            FileName::Container(name("redis@1"))
        );
        assert_eq!(
            parse("app.target.toml").unwrap(),
            FileName::Target(name("app.target"))
        );
        assert_eq!(
            parse("app.timer.toml").unwrap(),
            FileName::Timer(name("app.timer"))
        );
        for bad in [
            "web.toml",
            "web.contaner.toml",
            "web.network.toml",
            "x.target.container.toml",
            "ä.container.toml",
            "@.container.toml",
            "a@@.container.toml",
            ".container.toml",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mistyped_kind_is_recognised() {
        let (_, fault) = parse("web.contaner.toml").unwrap_err();
        assert_eq!(fault.hint.as_deref(), Some("name it `web.container.toml`"));
    }
}
