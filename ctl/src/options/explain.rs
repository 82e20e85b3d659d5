//! The words of commands that explain.

use super::{Command, Word, Words, text, unknown, usage};
use crate::failure::Failure;
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GraphFormat {
    Dot,
    Svg,
}

impl Words {
    pub(super) fn one_unit(&mut self, command: &str) -> Result<String, Failure> {
        match <[String; 1]>::try_from(self.values()?) {
            Ok([unit]) => Ok(unit),
            Err(_) => Err(usage(format!("{command} needs one unit"))),
        }
    }

    /// Without a format, what the file's name says.
    pub(super) fn graph(&mut self) -> Result<Command, Failure> {
        let (mut format, mut file, mut units) = (None, None, Vec::new());
        while let Some(word) = self.next()? {
            match word {
                Word::Long(name) if name == "dot" => format = Some(GraphFormat::Dot),
                Word::Long(name) if name == "svg" => format = Some(GraphFormat::Svg),
                Word::Short('o') => file = Some(PathBuf::from(self.value()?)),
                Word::Long(name) if name == "output" => file = Some(PathBuf::from(self.value()?)),
                Word::Value(value) => units.push(text(value)?),
                other => return Err(unknown(&other)),
            }
        }
        let file: Option<PathBuf> = file.filter(|file| file.as_os_str() != "-");
        let named = file.as_ref().and_then(|file| file.extension());
        let by_name = match named {
            Some(end) if end == "svg" => GraphFormat::Svg,
            Some(_) | None => GraphFormat::Dot,
        };
        Ok(Command::Graph {
            format: format.unwrap_or(by_name),
            file,
            units,
        })
    }

    pub(super) fn trace(&mut self) -> Result<Command, Failure> {
        let mut dump = false;
        while let Some(word) = self.next()? {
            match word {
                Word::Long(name) if name == "dump" => dump = true,
                other => return Err(unknown(&other)),
            }
        }
        Ok(if dump {
            Command::TraceDump
        } else {
            Command::Trace
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::tests::command as parsed;

    #[test]
    fn a_graph_is_what_its_file_is_called_unless_something_else_is_asked_for() {
        let graph = |format, file: Option<&str>| {
            Ok(Command::Graph {
                format,
                file: file.map(PathBuf::from),
                units: Vec::new(),
            })
        };
        assert_eq!(parsed("graph"), graph(GraphFormat::Dot, None));
        assert_eq!(parsed("graph --svg -o -"), graph(GraphFormat::Svg, None));
        let file = Some("x.svg");
        assert_eq!(parsed("graph -o x.svg"), graph(GraphFormat::Svg, file));
        assert_eq!(
            parsed("graph --dot -o x.svg"),
            graph(GraphFormat::Dot, file)
        );
        assert!(parsed("graph --png").is_err());
    }

    #[test]
    fn why_is_about_one_unit() {
        let unit = "web".to_owned();
        assert_eq!(parsed("why web"), Ok(Command::Why { unit }));
        assert!(parsed("why").unwrap_err().contains("one unit"));
        assert!(parsed("history a b").is_err());
        assert_eq!(parsed("trace"), Ok(Command::Trace));
        assert_eq!(parsed("trace --dump"), Ok(Command::TraceDump));
    }
}
