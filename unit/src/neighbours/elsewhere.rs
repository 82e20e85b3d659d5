//! Files of Quadlet and systemd, by the ends of their names.

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

/// Base, kind, what it is, what it is here.
pub(super) fn of_elsewhere(name: &str) -> Option<(&str, &'static str, &'static str, &'static str)> {
    let (base, end) = name.rsplit_once('.')?;
    let end = end.to_lowercase();
    let row = KINDS_ELSEWHERE.iter().find(|(kind, _, _)| *kind == end)?;
    (!base.is_empty()).then_some((base, row.0, row.1, row.2))
}
