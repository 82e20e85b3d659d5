//! The words of commands that change which units there are, and which of them are started.

use super::{Command, Word, Words, text, unknown, usage};
use crate::failure::Failure;
use control::request::{Choice, Request};
use std::path::PathBuf;

/// What happens to the units besides the choice.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Now {
    Nothing,
    Start(Vec<String>),
    Stop(Vec<String>),
}

impl Words {
    pub(super) fn diff(&mut self) -> Result<Command, Failure> {
        let (folder, flags) = self.folder("diff", &["allow-empty"])?;
        Ok(Command::Diff {
            folder,
            empty: flags.contains(&"allow-empty".to_owned()),
        })
    }

    pub(super) fn apply(&mut self) -> Result<Command, Failure> {
        let (folder, flags) = self.folder("apply", &["wait", "allow-empty"])?;
        Ok(Command::Apply {
            folder,
            wait: flags.contains(&"wait".to_owned()),
            empty: flags.contains(&"allow-empty".to_owned()),
        })
    }

    fn folder(&mut self, command: &str, known: &[&str]) -> Result<(PathBuf, Vec<String>), Failure> {
        let (mut folders, mut flags) = (Vec::new(), Vec::new());
        while let Some(word) = self.next()? {
            match word {
                Word::Long(name) if known.contains(&name.as_str()) => flags.push(name),
                Word::Value(value) => folders.push(PathBuf::from(value)),
                other => return Err(unknown(&other)),
            }
        }
        match <[PathBuf; 1]>::try_from(folders) {
            Ok([folder]) => Ok((folder, flags)),
            Err(_) => Err(usage(format!(
                "{command} needs one folder of unit files: what is not in it is removed"
            ))),
        }
    }

    pub(super) fn choose(&mut self, command: &str) -> Result<Command, Failure> {
        let (mut units, mut profiles, mut now) = (Vec::new(), Vec::new(), false);
        let takes_profiles = matches!(command, "enable" | "disable");
        while let Some(word) = self.next()? {
            match word {
                Word::Long(name) if name == "now" && command != "unmask" => now = true,
                Word::Long(name) if name == "profile" && takes_profiles => {
                    profiles.push(self.text()?);
                }
                Word::Value(value) => units.push(text(value)?),
                other => return Err(unknown(&other)),
            }
        }
        if units.is_empty() && profiles.is_empty() {
            return Err(usage(if takes_profiles {
                "name at least one unit, or a `--profile`"
            } else {
                "name at least one unit"
            }));
        }
        if now && units.is_empty() {
            return Err(usage("`--now` is for units that are named"));
        }
        let named = units.clone();
        let (choice, now) = match (command, now) {
            ("enable", true) => (Choice::Enable { units, profiles }, Now::Start(named)),
            ("enable", false) => (Choice::Enable { units, profiles }, Now::Nothing),
            ("disable", true) => (Choice::Disable { units, profiles }, Now::Stop(named)),
            ("disable", false) => (Choice::Disable { units, profiles }, Now::Nothing),
            ("mask", true) => (Choice::Mask { units }, Now::Stop(named)),
            ("mask", false) => (Choice::Mask { units }, Now::Nothing),
            (_, _) => (Choice::Unmask { units }, Now::Nothing),
        };
        Ok(Command::Choose {
            request: Request::Choose(choice),
            now,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::tests::command as parsed;

    #[test]
    fn apply_takes_one_folder() {
        let expected = Command::Apply {
            folder: "units".into(),
            wait: true,
            empty: false,
        };
        assert_eq!(parsed("apply --wait units"), Ok(expected));
        for line in ["apply", "apply a b", "diff"] {
            let message = parsed(line).unwrap_err();
            assert!(message.contains("one folder"), "{message}");
        }
        assert!(parsed("diff --wait x").unwrap_err().contains("`--wait`"));
    }

    #[test]
    fn a_choice_may_be_put_into_effect_at_once() {
        let units = vec!["web".to_owned()];
        let request = Request::Choose(Choice::Mask {
            units: units.clone(),
        });
        let now = Now::Stop(units.clone());
        assert_eq!(
            parsed("mask --now web"),
            Ok(Command::Choose { request, now })
        );
        let request = Request::Choose(Choice::Enable {
            units: Vec::new(),
            profiles: vec!["debug".into()],
        });
        let now = Now::Nothing;
        assert_eq!(
            parsed("enable --profile debug"),
            Ok(Command::Choose { request, now })
        );
        assert!(parsed("mask --profile debug").is_err());
        assert!(parsed("unmask --now web").is_err());
        assert!(parsed("enable --now --profile x").is_err());
        assert!(parsed("disable").unwrap_err().contains("--profile"));
    }
}
