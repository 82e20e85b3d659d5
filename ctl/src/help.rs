//! The texts of `keelctl help`.

/// What `keelctl help` prints.
pub(crate) const OVERVIEW: &str = "\
keelctl: run a Keelson machine

Usage: keelctl [--machine DIR] [--json] [--timeout TIME] COMMAND …

Units
  ps                      all units
  status [UNIT…]          one in detail; without UNIT: how the machine is doing
  start|stop|restart UNIT…
  logs [-f] [UNIT…]       what containers wrote
  exec [-it] UNIT CMD…    run a command in a container
  check PATH…             check unit files (no machine needed)

Images
  image load FILE|DIR|-   load an OCI or docker archive, or an OCI layout folder
  image ls                images in the store

Machine
  wait-ready              wait until all default units are ready
  top                     memory, space for state, and what Keelson's own programs use
  boot-chart [-o FILE]    SVG of the boot: stages and units over time
  trace --dump            the last decisions of the supervisor
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
        "Usage: keelctl status [UNIT…]\n\nWhy a unit is in its state, since when, its last exit, restarts, dependencies, mistakes in its file, and its\nlast log lines. Without UNIT: how the machine is doing (its memory, its state partition), and which units need\nattention.\n",
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
        "Usage: keelctl image load FILE|DIR|-\n       keelctl image ls\n\n\
         load: an OCI or docker archive (tar; plain, gzip or zstd), an OCI layout folder, or an archive on stdin.\n\
         ls: references, digests, sizes.\n",
    ),
    (
        "check",
        "Usage: keelctl check PATH…\n\nCheck unit files and folders of them. Exit status 1 when one would not be loaded.\n",
    ),
    (
        "boot-chart",
        "Usage: keelctl boot-chart [-o FILE.svg]\n\nBoot stages and unit states over time as SVG, to stdout without -o.\n\n  -o, --output FILE   write it there\n",
    ),
    (
        "trace",
        "Usage: keelctl trace --dump\n\nThe supervisor's last events and what it did about each, one line per entry.\n",
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
