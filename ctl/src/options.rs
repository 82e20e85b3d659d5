//! The command line: words → what to do.

use crate::chart::Until;
use crate::failure::Failure;
use crate::{help, time};
use control::machine::Patience;
use control::request::{ExecRequest, LogsRequest, Request};
use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

mod change;
mod explain;

pub(crate) use change::Now;
pub(crate) use explain::GraphFormat;

#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) machine: Option<PathBuf>,
    pub(crate) json: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) command: Command,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Help(&'static str),
    Version,
    Ps {
        quiet: bool,
    },
    Status {
        units: Vec<String>,
    },
    /// Answered `Done` when it is so.
    Act(Request),
    /// The machine's end.
    End(Request),
    Trace,
    TraceDump,
    Why {
        unit: String,
    },
    History {
        unit: String,
    },
    Timers,
    Graph {
        format: GraphFormat,
        /// `None`: to stdout.
        file: Option<PathBuf>,
        /// Empty: all.
        units: Vec<String>,
    },
    Top,
    Logs(LogsRequest),
    Exec {
        request: ExecRequest,
        interactive: bool,
    },
    /// `-`: stdin.
    ImageLoad {
        archive: PathBuf,
        /// That the archive's only image is called, too.
        name: Option<String>,
    },
    ImageLs,
    Check {
        paths: Vec<PathBuf>,
    },
    Diff {
        folder: PathBuf,
        empty: bool,
    },
    Apply {
        folder: PathBuf,
        wait: bool,
        empty: bool,
    },
    /// Outlives a reboot.
    Choose {
        request: Request,
        now: Now,
    },
    /// `None`: to stdout.
    BootChart {
        file: Option<PathBuf>,
        until: Until,
    },
}

impl Invocation {
    /// The command's own patience, or the operator's.
    pub(crate) fn patience(&self, usual: Patience) -> Patience {
        self.timeout.map_or(usual, |timeout| usual.at_most(timeout))
    }
}

/// A word of the command line that is not an option for all commands.
#[derive(Debug)]
enum Word {
    Short(char),
    Long(String),
    Value(OsString),
}

/// Takes the options that all commands have, wherever they stand.
struct Words {
    parser: Parser,
    machine: Option<PathBuf>,
    json: bool,
    timeout: Option<Duration>,
    help: bool,
}

pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Failure> {
    let mut words = Words {
        parser: Parser::from_args(arguments),
        machine: None,
        json: false,
        timeout: None,
        help: false,
    };
    let command = match words.next()? {
        None => Command::Help(help::OVERVIEW),
        Some(Word::Value(name)) => {
            let name = text(name)?;
            let parsed = words.command(&name);
            // Help is given whatever else is wrong.
            match help::of(&name) {
                Some(own) if words.help => Command::Help(own),
                _ => parsed?,
            }
        }
        Some(Word::Short('V')) => Command::Version,
        Some(Word::Long(name)) if name == "version" => Command::Version,
        Some(other) => return Err(unknown(&other)),
    };
    Ok(Invocation {
        machine: words.machine,
        json: words.json,
        timeout: words.timeout,
        command,
    })
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::Usage(text.into())
}

fn text(word: OsString) -> Result<String, Failure> {
    word.into_string()
        .map_err(|word| usage(format!("`{}` is not UTF-8", word.display())))
}

fn unknown(word: &Word) -> Failure {
    match word {
        Word::Short(letter) => usage(format!("unknown option `-{letter}`")),
        Word::Long(name) => usage(format!("unknown option `--{name}`")),
        Word::Value(value) => usage(format!("unexpected argument `{}`", value.display())),
    }
}

impl Words {
    fn next(&mut self) -> Result<Option<Word>, Failure> {
        loop {
            let word = match self
                .parser
                .next()
                .map_err(|error| usage(error.to_string()))?
            {
                None => return Ok(None),
                Some(Arg::Short(letter)) => Word::Short(letter),
                Some(Arg::Long(name)) => Word::Long(name.to_owned()),
                Some(Arg::Value(value)) => Word::Value(value),
            };
            match &word {
                Word::Short('h') => self.help = true,
                Word::Short('m') => self.machine = Some(self.value()?.into()),
                Word::Long(name) => match name.as_str() {
                    "help" => self.help = true,
                    "machine" => self.machine = Some(self.value()?.into()),
                    "json" => self.json = true,
                    "timeout" => {
                        let value = self.text()?;
                        self.timeout = Some(time::timeout(&value)?);
                    }
                    _ => return Ok(Some(word)),
                },
                Word::Short(_) | Word::Value(_) => return Ok(Some(word)),
            }
        }
    }

    fn value(&mut self) -> Result<OsString, Failure> {
        self.parser
            .value()
            .map_err(|error| usage(error.to_string()))
    }

    fn text(&mut self) -> Result<String, Failure> {
        text(self.value()?)
    }

    fn command(&mut self, name: &str) -> Result<Command, Failure> {
        Ok(match name {
            "help" => {
                let about = self.values()?;
                match about.first() {
                    None => Command::Help(help::OVERVIEW),
                    Some(command) => {
                        Command::Help(help::of(command).ok_or_else(|| no_command(command))?)
                    }
                }
            }
            "version" => self.nothing_else(Command::Version)?,
            "ps" => self.ps()?,
            "status" => Command::Status {
                units: self.values()?,
            },
            "start" => Command::Act(Request::Start {
                units: self.units()?,
            }),
            "stop" => Command::Act(Request::Stop {
                units: self.units()?,
            }),
            "restart" => Command::Act(Request::Restart {
                units: self.units()?,
            }),
            "reset-failed" => Command::Act(Request::ResetFailed {
                units: self.values()?,
            }),
            "reload" => Command::Act(Request::Reload {
                units: self.units()?,
            }),
            "diff" => self.diff()?,
            "apply" => self.apply()?,
            "enable" | "disable" | "mask" | "unmask" => self.choose(name)?,
            "pause" => Command::Act(Request::Pause {
                units: self.units()?,
            }),
            "unpause" => Command::Act(Request::Unpause {
                units: self.units()?,
            }),
            "wait-ready" => self.nothing_else(Command::Act(Request::WaitReady))?,
            "reexec" => self.nothing_else(Command::Act(Request::Reexec))?,
            "top" => self.nothing_else(Command::Top)?,
            "poweroff" => self.nothing_else(Command::End(Request::PowerOff))?,
            "reboot" => self.nothing_else(Command::End(Request::Reboot))?,
            "logs" => self.logs()?,
            "exec" => self.exec()?,
            "image" => self.image()?,
            "check" => {
                let paths: Vec<PathBuf> = self.values()?.into_iter().map(PathBuf::from).collect();
                if paths.is_empty() {
                    return Err(usage(
                        "check needs the path of a unit file or of a folder of them",
                    ));
                }
                Command::Check { paths }
            }
            "boot-chart" => self.boot_chart()?,
            "trace" => self.trace()?,
            "why" => Command::Why {
                unit: self.one_unit(name)?,
            },
            "history" => Command::History {
                unit: self.one_unit(name)?,
            },
            "timers" => self.nothing_else(Command::Timers)?,
            "graph" => self.graph()?,
            other => return Err(no_command(other)),
        })
    }

    /// All other words, none of which is an option.
    fn values(&mut self) -> Result<Vec<String>, Failure> {
        let mut values = Vec::new();
        while let Some(word) = self.next()? {
            match word {
                Word::Value(value) => values.push(text(value)?),
                other => return Err(unknown(&other)),
            }
        }
        Ok(values)
    }

    fn units(&mut self) -> Result<Vec<String>, Failure> {
        let units = self.values()?;
        if units.is_empty() {
            Err(usage("name at least one unit"))
        } else {
            Ok(units)
        }
    }

    fn nothing_else(&mut self, command: Command) -> Result<Command, Failure> {
        match self.next()? {
            None => Ok(command),
            Some(word) => Err(unknown(&word)),
        }
    }

    fn ps(&mut self) -> Result<Command, Failure> {
        let mut quiet = false;
        while let Some(word) = self.next()? {
            match word {
                Word::Short('q') => quiet = true,
                Word::Long(name) if name == "quiet" => quiet = true,
                other => return Err(unknown(&other)),
            }
        }
        Ok(Command::Ps { quiet })
    }

    fn logs(&mut self) -> Result<Command, Failure> {
        let mut request = LogsRequest::default();
        while let Some(word) = self.next()? {
            match &word {
                Word::Short('f') => request.follow = true,
                Word::Short('p') => request.prefix = true,
                Word::Short('n') => request.tail = Some(self.count()?),
                Word::Long(name) => match name.as_str() {
                    "follow" => request.follow = true,
                    "prefix" => request.prefix = true,
                    "tail" => request.tail = Some(self.count()?),
                    "since" => {
                        request.since_ms = Some(time::moment(&self.text()?, time::now_ms())?)
                    }
                    "until" => {
                        request.until_ms = Some(time::moment(&self.text()?, time::now_ms())?)
                    }
                    _ => return Err(unknown(&word)),
                },
                Word::Value(value) => request.units.push(text(value.clone())?),
                Word::Short(_) => return Err(unknown(&word)),
            }
        }
        request.json = self.json;
        Ok(Command::Logs(request))
    }

    fn count(&mut self) -> Result<u64, Failure> {
        let value = self.text()?;
        value
            .parse()
            .map_err(|_| usage(format!("`{value}` is not a number of lines")))
    }

    fn exec(&mut self) -> Result<Command, Failure> {
        let mut request = ExecRequest {
            unit: String::new(),
            argv: Vec::new(),
            tty: false,
            env: Vec::new(),
            user: String::new(),
            working_dir: String::new(),
        };
        let mut interactive = false;
        while let Some(word) = self.next()? {
            match &word {
                Word::Short('i') => interactive = true,
                Word::Short('t') => request.tty = true,
                Word::Short('u') => request.user = self.text()?,
                Word::Short('e') => request.env.push(self.variable()?),
                Word::Short('w') => request.working_dir = self.text()?,
                Word::Long(name) => match name.as_str() {
                    "interactive" => interactive = true,
                    "tty" => request.tty = true,
                    "user" => request.user = self.text()?,
                    "env" => request.env.push(self.variable()?),
                    "workdir" => request.working_dir = self.text()?,
                    _ => return Err(unknown(&word)),
                },
                Word::Value(unit) => {
                    request.unit = text(unit.clone())?;
                    // From here on every word is the command's.
                    for word in self
                        .parser
                        .raw_args()
                        .map_err(|error| usage(error.to_string()))?
                    {
                        request.argv.push(text(word)?);
                    }
                    if request.argv.first().is_some_and(|first| first == "--") {
                        request.argv.remove(0);
                    }
                }
                Word::Short(_) => return Err(unknown(&word)),
            }
        }
        if request.unit.is_empty() || request.argv.is_empty() {
            return Err(usage("exec needs a unit and a command"));
        }
        Ok(Command::Exec {
            request,
            interactive,
        })
    }

    fn variable(&mut self) -> Result<String, Failure> {
        let value = self.text()?;
        match value.split_once('=') {
            Some((name, _)) if !name.is_empty() => Ok(value),
            _ => Err(usage(format!("`{value}` is not NAME=VALUE"))),
        }
    }

    fn image(&mut self) -> Result<Command, Failure> {
        let (mut words, mut name) = (Vec::new(), None);
        while let Some(word) = self.next()? {
            match &word {
                Word::Value(value) => words.push(text(value.clone())?),
                Word::Long(option) if option == "name" => name = Some(self.image_name()?),
                other => return Err(unknown(other)),
            }
        }
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["load", archive] => Ok(Command::ImageLoad {
                archive: archive.into(),
                name,
            }),
            ["ls"] if name.is_some() => Err(usage("--name is an option of image load")),
            ["ls"] => Ok(Command::ImageLs),
            ["load", ..] => Err(usage("image load needs one archive, folder or `-`")),
            _ => Err(usage("image needs `load` or `ls`")),
        }
    }

    /// In full, and looked at before an archive is sent.
    fn image_name(&mut self) -> Result<String, Failure> {
        let written = self.text()?;
        let name = unit::image_reference::normalise(&written)
            .map_err(|fault| usage(format!("--name: `{written}` {}", fault.problem)))?;
        match name.contains('@') || name.starts_with("sha256:") {
            true => Err(usage("--name takes a name such as app:1, not a digest")),
            false => Ok(name),
        }
    }

    fn boot_chart(&mut self) -> Result<Command, Failure> {
        let (mut file, mut until) = (None, Until::Ready);
        while let Some(word) = self.next()? {
            match &word {
                Word::Short('o') => file = Some(PathBuf::from(self.value()?)),
                Word::Long(name) if name == "output" => file = Some(PathBuf::from(self.value()?)),
                Word::Long(name) if name == "until" => {
                    until = match self.value()?.to_str() {
                        Some("ready") => Until::Ready,
                        Some("now") => Until::Now,
                        _ => return Err(usage("--until takes `ready` or `now`")),
                    };
                }
                other => return Err(unknown(other)),
            }
        }
        Ok(Command::BootChart {
            file: file.filter(|file| file.as_os_str() != "-"),
            until,
        })
    }
}

fn no_command(word: &str) -> Failure {
    match help::like(word) {
        Some(like) => usage(format!("unknown command `{word}`; is it `{like}`?")),
        None => usage(format!("unknown command `{word}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a line that may be wrong.
    pub(super) fn command(line: &str) -> Result<Command, String> {
        match parse(line.split_whitespace().map(OsString::from)) {
            Ok(invocation) => Ok(invocation.command),
            Err(failure) => Err(failure.to_string()),
        }
    }

    fn parsed(line: &str) -> Invocation {
        parse(line.split_whitespace().map(OsString::from)).unwrap()
    }

    fn refused(line: &str) -> String {
        let failure = parse(line.split_whitespace().map(OsString::from)).unwrap_err();
        assert_eq!(failure.status(), 2);
        failure.to_string()
    }

    #[test]
    fn options_for_all_commands_stand_anywhere() {
        for line in [
            "--machine run --json ps -q",
            "ps -q --json -m run",
            "-m=run ps --json --quiet",
        ] {
            let invocation = parsed(line);
            assert_eq!(invocation.machine, Some("run".into()), "{line}");
            assert!(invocation.json, "{line}");
            assert_eq!(invocation.command, Command::Ps { quiet: true }, "{line}");
        }
    }

    #[test]
    fn everything_behind_the_unit_is_the_command_of_exec() {
        let expected = |argv: &[&str]| Command::Exec {
            request: ExecRequest {
                unit: "redis@1".into(),
                argv: argv.iter().map(ToString::to_string).collect(),
                tty: true,
                env: vec!["A=b=c".into()],
                user: "redis".into(),
                working_dir: "/tmp".into(),
            },
            interactive: true,
        };
        let options = "exec -it -u redis --env A=b=c --workdir=/tmp redis@1";
        assert_eq!(
            parsed(&format!("{options} ls -l --json")).command,
            expected(&["ls", "-l", "--json"])
        );
        assert_eq!(
            parsed(&format!("{options} -- sh -c x")).command,
            expected(&["sh", "-c", "x"])
        );
        assert!(refused("exec redis@1").contains("a unit and a command"));
        assert!(refused("exec -e =x redis@1 ls").contains("NAME=VALUE"));
    }

    #[test]
    fn logs_take_units_and_options_in_any_order() {
        let Command::Logs(request) = parsed("logs web -f --tail 5 db --json").command else {
            panic!()
        };
        assert_eq!(request.units, ["web", "db"]);
        assert!(request.follow && request.json && !request.prefix);
        assert_eq!(request.tail, Some(5));
        assert!(refused("logs --tail many").contains("`many`"));
    }

    #[test]
    fn the_name_of_an_image_is_completed() {
        let expected = Command::ImageLoad {
            archive: "app.tar".into(),
            name: Some("docker.io/library/app:1".into()),
        };
        for line in [
            "image load --name app:1 app.tar",
            "image load app.tar --name=docker.io/app:1",
        ] {
            assert_eq!(parsed(line).command, expected, "{line}");
        }
    }

    #[test]
    fn mistakes_are_named_and_exit_with_2() {
        for (line, part) in [
            ("stat", "is it `status`"),
            ("frobnicate", "unknown command `frobnicate`"),
            ("ps --colour", "unknown option `--colour`"),
            ("start", "at least one unit"),
            ("image", "`load` or `ls`"),
            ("image load", "one archive"),
            (
                "image load --name Not:ok a.tar",
                "`Not:ok` is not an image reference",
            ),
            (
                "image load --name sha256:0123456789ab a.tar",
                "not a digest",
            ),
            ("image ls --name app", "an option of image load"),
            ("check", "the path"),
            ("--timeout soon ps", "`soon`"),
            ("--bogus", "unknown option `--bogus`"),
            ("reboot now", "unexpected argument `now`"),
        ] {
            let message = refused(line);
            assert!(message.contains(part), "{line}: {message}");
        }
    }

    #[test]
    fn a_boot_chart_ends_with_the_boot_or_now() {
        for (line, until) in [
            ("boot-chart", Until::Ready),
            ("boot-chart --until ready", Until::Ready),
            ("boot-chart --until=now -o -", Until::Now),
        ] {
            let file = None;
            let command = Command::BootChart { file, until };
            assert_eq!(parsed(line).command, command, "{line}");
        }
        assert!(parse(["boot-chart", "--until", "noon"].map(Into::into)).is_err());
    }

    #[test]
    fn every_command_of_the_overview_has_help() {
        for command in [
            "ps",
            "status",
            "start",
            "stop",
            "restart",
            "pause",
            "unpause",
            "logs",
            "exec",
            "check",
            "diff",
            "apply",
            "enable",
            "disable",
            "mask",
            "unmask",
            "reset-failed",
            "reload",
            "why",
            "history",
            "timers",
            "graph",
            "image",
            "wait-ready",
            "boot-chart",
            "trace",
            "top",
            "reexec",
            "poweroff",
            "reboot",
            "version",
        ] {
            assert!(
                matches!(
                    parsed(&format!("{command} --help")).command,
                    Command::Help(_)
                ),
                "{command}"
            );
            assert!(help::OVERVIEW.contains(command), "{command}");
        }
        assert_eq!(parsed("").command, Command::Help(help::OVERVIEW));
        assert_eq!(parsed("--help").command, Command::Help(help::OVERVIEW));
    }
}
