//! The texts of `keelctl help`.

/// What `keelctl help` prints.
pub(crate) const OVERVIEW: &str = "\
keelctl: run a Keelson machine

Usage: keelctl [--machine DIR] [--json] [--timeout TIME] COMMAND …

Units
  ps                      all units
  status [UNIT…]          one in detail; without UNIT: how the machine is doing
  start|stop|restart UNIT…
  reload UNIT…            let containers take up their new configuration
  reset-failed [UNIT…]    forget failures and limits that were hit
  pause|unpause UNIT…     freeze and thaw containers
  logs [-f] [UNIT…]       what containers wrote
  exec [-it] UNIT CMD…    run a command in a container

Why units are as they are
  why UNIT                the chain of events that led to its state
  history UNIT            its latest runs, of a job or oneshot
  timers                  when the clock starts which unit
  graph [--svg] [-o FILE] [UNIT…]
                          who needs whom, as DOT or SVG
  trace [--dump]          the last decisions of the supervisor

Which units there are
  check PATH…             check unit files (no machine needed)
  diff DIR                what the unit files of DIR would change
  apply [--wait] DIR      make them the machine's
  enable|disable [--now] [--profile PROFILE]… UNIT…
                          whether units are started at boot
  mask|unmask [--now] UNIT…
                          whether anything may start them

Images
  image load [--name NAME] FILE|DIR|-
                          load an OCI or docker archive, or an OCI layout folder
  image ls                images in the store

Machine
  wait-ready              wait until all default units are ready
  top                     memory, space for state, and what Keelson's own programs use
  boot-chart [-o FILE]    SVG of the boot: stages and units over time
  reexec                  have PID 1 execute itself anew; no container notices
  poweroff, reboot
  version

Options
  -m, --machine DIR       run folder of a machine under QEMU, or its control socket
                          (default: this machine, or $KEELSON_MACHINE)
      --json              print JSON; the fields are in docs/keelctl.md
      --timeout TIME      give up after TIME: 30s, 2m
  -h, --help              help, also for a command: keelctl logs --help

Exit status: 0 done, 1 failed, 2 wrong usage, 3 no such unit, 4 no machine; exec: that of the command,
or 125 to 127 when it could not be started.
";

/// Command → its own help.
const COMMANDS: &[(&str, &str)] = &[
    (
        "ps",
        "Usage: keelctl ps [-q]\n\nAll units: image, command, state and for how long, memory, published ports.\n\n  -q, --quiet   names only\n",
    ),
    (
        "status",
        "Usage: keelctl status [UNIT…]\n\nWhy a unit is in its state, since when, its last exit, which limit was hit, when it starts next, what it needs and\nwho needs it, mistakes in its file, and its last log lines. Without UNIT: how the machine is doing (its memory, its state partition), and which units need\nattention.\n",
    ),
    (
        "start",
        "Usage: keelctl start UNIT…\n\nStart units and what they require; returns when they run (oneshot: when they have ended).\n",
    ),
    (
        "stop",
        "Usage: keelctl stop UNIT…\n\nStop units; returns when they have ended.\n",
    ),
    (
        "restart",
        "Usage: keelctl restart UNIT…\n\nStop and start units; returns when they run again.\n",
    ),
    (
        "pause",
        "Usage: keelctl pause UNIT…\n\nFreeze running containers where they are; returns when nothing in them runs any more. They keep their memory and\ntheir connections, and are not probed.\n",
    ),
    (
        "unpause",
        "Usage: keelctl unpause UNIT…\n\nLet frozen containers go on.\n",
    ),
    (
        "logs",
        "Usage: keelctl logs [-f] [-n N] [--since TIME] [--until TIME] [--prefix] [UNIT…]\n\n\
         What the units' containers wrote, of all units without UNIT. Ctrl-C ends -f with exit status 0.\n\n\
         \u{20} -f, --follow       go on as more comes\n\
         \u{20} -n, --tail N       only the last N lines\n\
         \u{20}     --since TIME   only lines from TIME on: 10m (ago), 2026-11-21, 2026-11-21T10:00:00Z, @1795255200\n\
         \u{20}     --until TIME   and before TIME\n\
         \u{20} -p, --prefix       time and unit in front of each line\n",
    ),
    (
        "exec",
        "Usage: keelctl exec [-i] [-t] [-u USER] [-e NAME=VALUE]… [-w DIR] UNIT [--] CMD [ARG…]\n\n\
         Run a command in a running unit's container. Ends with the command's exit status, 128 + N when signal N killed it;\n\
         127 when it is not found, 126 when it can't be executed, 125 when it did not come that far.\n\n\
         \u{20} -i, --interactive      forward stdin\n\
         \u{20} -t, --tty              give it a terminal\n\
         \u{20} -u, --user USER        uid[:gid] or name[:group] of the container\n\
         \u{20} -e, --env NAME=VALUE   add to its environment\n\
         \u{20} -w, --workdir DIR      start there\n",
    ),
    (
        "image",
        "Usage: keelctl image load [--name NAME] FILE|DIR|-\n       keelctl image ls\n\n\
         load: an OCI or docker archive (tar; plain, gzip or zstd), an OCI layout folder, or an archive on stdin.\n\
         ls: references, digests, sizes. A unit may name an image by digest: image = \"sha256:DIGEST\".\n\n\
         \u{20}     --name NAME   what the image is called, beside the names that the archive has for it, if any; for an\n\
         \u{20}                   archive of one image\n",
    ),
    (
        "check",
        "Usage: keelctl check PATH…\n\nCheck unit files and folders of them. Exit status 1 when one would not be loaded.\n",
    ),
    (
        "diff",
        "Usage: keelctl diff [--allow-empty] DIR\n\n\
         What `apply` would change: units that are new, changed (with the keys) or removed, and which units would start,\n\
         stop or restart. Exit status 1 when the machine would refuse them.\n",
    ),
    (
        "apply",
        "Usage: keelctl apply [--wait] [--allow-empty] DIR\n\n\
         Put the unit files of DIR in the place of those that were applied before. They are checked as a whole; when one\n\
         has a mistake, nothing is changed. Then a changed unit restarts once, with those that follow it, a new one starts, a\n\
         removed one stops, and nothing else is touched.\n\n\
         \u{20}     --wait          return when that has come about; exit status 1 when a unit has failed\n\
         \u{20}     --allow-empty   DIR has no unit file, and all units are to go\n",
    ),
    (
        "enable",
        "Usage: keelctl enable [--now] [--profile PROFILE]… [UNIT…]\n\n\
         From the next boot on, the unit's targets start it (`wanted_by`; default.target, if the file names none); of\n\
         a profile, all its units. The choice outlives reboots and `apply`.\n\n\
         \u{20}     --now               start the units too\n\
         \u{20}     --profile PROFILE   units of this profile may be started\n",
    ),
    (
        "disable",
        "Usage: keelctl disable [--now] [--profile PROFILE]… [UNIT…]\n\n\
         No target starts the unit from the next boot on; what requires or wants it still does.\n\n\
         \u{20}     --now               stop the units too\n\
         \u{20}     --profile PROFILE   units that are only in this profile are not started\n",
    ),
    (
        "mask",
        "Usage: keelctl mask [--now] UNIT…\n\n\
         Nothing starts the unit: no target, no other unit, no timer, no operator. A running one goes on. Refused while\n\
         another unit can't do without it.\n\n\
         \u{20}     --now   stop the units too\n",
    ),
    (
        "unmask",
        "Usage: keelctl unmask UNIT…\n\nTake a mask away.\n",
    ),
    (
        "reload",
        "Usage: keelctl reload UNIT…\n\nLet running containers take up their new configuration, as `[service] reload` says.\n",
    ),
    (
        "reset-failed",
        "Usage: keelctl reset-failed [UNIT…]\n\nForget failures, limits that were hit and completed jobs, of all units without UNIT.\n",
    ),
    (
        "boot-chart",
        "Usage: keelctl boot-chart [-o FILE.svg] [--until ready|now]\n\n\
         Boot stages and unit states over time as SVG, to stdout without -o. It ends where every\n\
         default unit was ready or had failed.\n\n\
         \u{20} -o, --output FILE   write it there\n\
         \u{20}     --until now     and what came after it, until now\n",
    ),
    (
        "trace",
        "Usage: keelctl trace [--dump]\n\n\
         The supervisor's last events and what it did about each, one line per entry.\n\n\
         \u{20}     --dump   as JSON, with the state before them, for `cargo run --release -p sim -- --replay FILE`\n",
    ),
    (
        "why",
        "Usage: keelctl why UNIT\n\nThe chain of events that led to the unit's state, over the units that had a part in it; oldest first.\n",
    ),
    (
        "history",
        "Usage: keelctl history UNIT\n\n\
         The latest runs of a unit whose command is meant to end (oneshot, job, timer): when, how long, for which calendar\n\
         time, and how they ended; as many as `[timer] history` says, those before a reboot included. Times are UTC.\n",
    ),
    (
        "timers",
        "Usage: keelctl timers\n\nEach timer: when it comes next and came last, what it starts, and its times. Times are UTC.\n",
    ),
    (
        "graph",
        "Usage: keelctl graph [--dot|--svg] [-o FILE] [UNIT…]\n\n\
         Who requires, wants, follows whom, of all units, or of the named ones with all that they need and that need them; in\n\
         the language of Graphviz, or drawn.\n\n\
         \u{20}     --dot, --svg    which (default: as FILE is called, else DOT)\n\
         \u{20} -o, --output FILE   write it there\n",
    ),
    (
        "top",
        "Usage: keelctl top\n\nMemory of the machine and of its containers; space of the state partition; memory (PSS), processor time and\ndescriptors of each program that is not in a container.\n",
    ),
    (
        "wait-ready",
        "Usage: keelctl wait-ready\n\nReturns when every default unit is ready; exit status 1 when one has failed for good.\n",
    ),
    (
        "reexec",
        "Usage: keelctl reexec\n\nHave PID 1 execute its program anew. It goes on where it was: no container stops, no port closes, no log line is\nlost, and commands under way go on. When the program can't take over, the running one stays, and you are told why.\n",
    ),
    (
        "poweroff",
        "Usage: keelctl poweroff\n\nStop all units in order and switch the machine off.\n",
    ),
    (
        "reboot",
        "Usage: keelctl reboot\n\nStop all units in order and start the machine again.\n",
    ),
    (
        "version",
        "Usage: keelctl version\n\nVersions of keelctl and of the control protocol.\n",
    ),
];

/// Help for one command.
pub(crate) fn of(command: &str) -> Option<&'static str> {
    COMMANDS
        .iter()
        .find(|(name, _)| *name == command)
        .map(|(_, text)| *text)
}

/// The known command that looks most like it.
pub(crate) fn like(word: &str) -> Option<&'static str> {
    let names = COMMANDS.iter().map(|(name, _)| *name);
    names
        .filter(|name| !word.is_empty() && (name.starts_with(word) || word.starts_with(name)))
        .min_by_key(|name| name.len())
}
