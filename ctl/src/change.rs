//! `keelctl diff`, `apply`, and the choices: enable, disable, mask, unmask.

use crate::act;
use crate::carry::{Input, Notice, Outcome, carry};
use crate::failure::Failure;
use crate::folder::{self, Empty};
use crate::options::{Invocation, Now};
use crate::output::{self, Colour, paint};
use crate::signals::Signals;
use crate::{check, human};
use control::change::{Changes, What};
use control::machine::{CallError, Machine, Patience};
use control::reply::Reply;
use control::request::Request;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;
use unit::{Change, Diagnostic, KeyChange, UnitChange};

/// Exit status 1 when the machine would refuse them.
pub(crate) fn diff(
    invocation: &Invocation,
    machine: &Machine,
    folder: &Path,
    empty: Empty,
) -> Result<u8, Failure> {
    let files = folder::read(folder, empty)?;
    check::show(&unit::strays(folder))?;
    let patience = invocation.patience(Patience::USUAL);
    match send(machine, &Request::Diff, patience, files, &mut |_| Ok(()))? {
        Reply::Changes(changes) => {
            show(invocation, folder, &changes)?;
            Ok(0)
        }
        Reply::Refused { diagnostics } => refused(invocation, folder, diagnostics),
        other => Err(Failure::from_reply(other)),
    }
}

pub(crate) fn apply(
    invocation: &Invocation,
    machine: &Machine,
    folder: &Path,
    wait: bool,
    empty: Empty,
) -> Result<u8, Failure> {
    let files = folder::read(folder, empty)?;
    check::show(&unit::strays(folder))?;
    let patience = invocation.patience(if wait {
        Patience::LONG
    } else {
        Patience::USUAL
    });
    let request = Request::Apply { wait };
    let mut changing = |changes: &Changes| show(invocation, folder, changes);
    match send(machine, &request, patience, files, &mut changing)? {
        Reply::Changes(changes) => {
            show(invocation, folder, &changes)?;
            Ok(0)
        }
        Reply::Done => Ok(0),
        Reply::Refused { diagnostics } => refused(invocation, folder, diagnostics),
        other => Err(Failure::from_reply(other)),
    }
}

pub(crate) fn choose(
    invocation: &Invocation,
    machine: &Machine,
    request: &Request,
    now: &Now,
) -> Result<u8, Failure> {
    let patience = invocation.patience(Patience::USUAL);
    match machine.ask(request, patience, |_| {})? {
        Reply::Done => {}
        Reply::Refused { diagnostics } => {
            return refused(invocation, Path::new(sys::paths::UNITS), diagnostics);
        }
        other => return Err(Failure::from_reply(other)),
    }
    let more = match now.clone() {
        Now::Nothing => return Ok(0),
        Now::Start(units) => Request::Start { units },
        Now::Stop(units) => Request::Stop { units },
    };
    act::act(invocation, machine, &more)?;
    Ok(0)
}

/// The files, and what the machine answers last.
fn send(
    machine: &Machine,
    request: &Request,
    patience: Patience,
    files: Vec<u8>,
    changing: &mut dyn FnMut(&Changes) -> Result<(), Failure>,
) -> Result<Reply, Failure> {
    let failed = |error: io::Error| Failure::Failed(format!("unit files: {error}"));
    let signals = Signals::block()?;
    let deadline = patience.outcome.map(|outcome| Instant::now() + outcome);
    let (reader, mut writer) = io::pipe().map_err(failed)?;
    let mut call = machine.call(request, None, patience.reach)?;
    // It ends when it is written, or when nobody reads it any more.
    std::thread::spawn(move || writer.write_all(&files));
    let input = Input::From(reader.as_fd());
    let mut shown = Ok(());
    let outcome = carry(&mut call, &signals, &input, deadline, &mut |_, notice| {
        if let Notice::Reply(Reply::Changing(changes)) = notice
            && shown.is_ok()
        {
            shown = changing(changes);
        }
    })?;
    shown?;
    match outcome {
        Outcome::Reply(reply) => Ok(reply),
        Outcome::Signal(signal) => Err(Failure::Failed(format!(
            "ended by {}; what the machine has begun goes on",
            unit::signal::display(signal)
        ))),
        Outcome::TimedOut => Err(CallError::NoAnswer {
            waited: patience.outcome.unwrap_or_default(),
        }
        .into()),
    }
}

/// As `check` shows them, with the operator's own paths.
fn refused(
    invocation: &Invocation,
    folder: &Path,
    mut diagnostics: Vec<Diagnostic>,
) -> Result<u8, Failure> {
    localise(folder, &mut diagnostics);
    if invocation.json {
        output::json(&diagnostics)?;
    } else {
        check::show(&diagnostics)?;
        output::complain("refused: nothing was changed");
    }
    Ok(1)
}

fn localise(folder: &Path, diagnostics: &mut [Diagnostic]) {
    let own = |file: &mut String| {
        let name = file.strip_prefix(sys::paths::UNITS);
        if let Some(name) = name.and_then(|name| name.strip_prefix('/')) {
            *file = folder.join(name).display().to_string();
        }
    };
    for diagnostic in diagnostics {
        own(&mut diagnostic.file);
        for related in &mut diagnostic.related {
            own(&mut related.file);
        }
    }
}

fn show(invocation: &Invocation, folder: &Path, changes: &Changes) -> Result<(), Failure> {
    if invocation.json {
        return output::json(changes);
    }
    let mut warnings = changes.warnings.clone();
    localise(folder, &mut warnings);
    check::show(&warnings)?;
    output::print(&render(changes, output::coloured()))
}

fn render(changes: &Changes, coloured: bool) -> String {
    let mut effects: BTreeMap<&str, What> = BTreeMap::new();
    for effect in &changes.effects {
        effects.insert(&effect.unit, effect.what);
    }
    let mut text = String::new();
    for note in &changes.notes {
        text.push_str(&format!("note: {}\n", human::printable(note)));
    }
    for change in &changes.units {
        let effect = effects.remove(change.unit.as_str());
        text.push_str(&unit_lines(change, effect, coloured));
    }
    for (unit, what) in effects {
        let unit = human::printable(unit);
        text.push_str(&format!(
            "  {unit}: {}, with what has changed\n",
            what.name()
        ));
    }
    text.push_str(&summary(changes));
    text
}

fn unit_lines(change: &UnitChange, effect: Option<What>, coloured: bool) -> String {
    let (sign, colour, word) = match &change.change {
        Change::Added => ("+", Colour::Green, "new"),
        Change::Removed => ("-", Colour::Red, "removed"),
        Change::Changed { .. } => ("~", Colour::Yellow, "changed"),
    };
    let name = human::printable(change.unit.as_str());
    let head = paint(&format!("{sign} {name}"), colour, coloured);
    let effect = effect.map_or_else(String::new, |what| format!("; {}", what.name()));
    let mut text = format!("{head}: {word}{effect}\n");
    if let Change::Changed { keys } = &change.change {
        for key in keys {
            text.push_str(&key_line(key));
        }
    }
    text
}

fn key_line(key: &KeyChange) -> String {
    let side = |value: &Option<String>| match value {
        None => "not given".to_owned(),
        Some(value) => human::printable(value),
    };
    let (name, old, new) = (human::printable(&key.key), side(&key.old), side(&key.new));
    format!("    {name}: {old} → {new}\n")
}

fn summary(changes: &Changes) -> String {
    let count = |of: fn(&Change) -> bool| {
        let units = changes.units.iter();
        units.filter(|unit| of(&unit.change)).count()
    };
    let parts = [
        (count(|it| matches!(it, Change::Added)), "new"),
        (count(|it| matches!(it, Change::Changed { .. })), "changed"),
        (count(|it| matches!(it, Change::Removed)), "removed"),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if parts.is_empty() {
        "no unit differs\n".to_owned()
    } else {
        format!("{}\n", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use control::change::Effect;
    use unit::{Needs, UnitName};

    fn change(unit: &str, change: Change) -> UnitChange {
        let unit = UnitName::new(unit).unwrap();
        UnitChange { unit, change }
    }

    #[test]
    fn each_unit_says_what_is_different_and_what_comes_of_it() {
        let key = KeyChange {
            key: "env.GREETING".into(),
            old: Some("\"hello\"".into()),
            new: None,
            needs: Needs::Restart,
        };
        let effect = |unit: &str, what| Effect {
            unit: unit.into(),
            what,
        };
        let changes = Changes {
            units: vec![
                change("cache", Change::Added),
                change("db", Change::Changed { keys: vec![key] }),
                change("old", Change::Removed),
            ],
            effects: vec![
                effect("cache", What::Starts),
                effect("db", What::Restarts),
                effect("old", What::Stops),
                effect("web", What::Restarts),
            ],
            warnings: Vec::new(),
            notes: vec!["memory limits add up to much".into()],
        };
        let text = "\
note: memory limits add up to much
+ cache: new; starts
~ db: changed; restarts
    env.GREETING: \"hello\" → not given
- old: removed; stops
  web: restarts, with what has changed
1 new, 1 changed, 1 removed
";
        assert_eq!(render(&changes, false), text);
        assert_eq!(render(&Changes::default(), false), "no unit differs\n");
    }

    #[test]
    fn a_refusal_names_the_operators_own_file() {
        let mut diagnostics = vec![
            Diagnostic::error("/var/units/web.container.toml", None, "bad"),
            Diagnostic::error("/usr/lib/keelson/units/db.container.toml", None, "bad"),
        ];
        localise(Path::new("my/units"), &mut diagnostics);
        let files: Vec<&str> = diagnostics.iter().map(|it| it.file.as_str()).collect();
        assert_eq!(
            files,
            [
                "my/units/web.container.toml",
                "/usr/lib/keelson/units/db.container.toml"
            ]
        );
    }
}
