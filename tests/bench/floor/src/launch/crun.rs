//! The peer: crun by hand. A bundle with the mounts, masks, capabilities and limits that Keelson's containers have; its root is
//! mounted once, and Redis's network namespace, link and address are made once, which is more than fair to it.

use super::{failed, place, timed};
use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Of Redis under crun.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
const STATE: &str = "/tmp/crun";
const NETWORK: &str = "/tmp/peer-network";
const SLEEPER_STARTS: Duration = Duration::from_secs(30);

const CAPABILITIES: &str = r#"["CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_SETGID","CAP_SETUID","CAP_SETPCAP","CAP_NET_BIND_SERVICE","CAP_NET_RAW","CAP_SYS_CHROOT","CAP_MKNOD","CAP_AUDIT_WRITE","CAP_SETFCAP"]"#;
const MOUNTS: &str = r#"[
{"destination":"/proc","type":"proc","source":"proc","options":["nosuid","noexec","nodev"]},
{"destination":"/dev","type":"tmpfs","source":"tmpfs","options":["nosuid","strictatime","mode=755","size=65536k"]},
{"destination":"/dev/pts","type":"devpts","source":"devpts","options":["nosuid","noexec","newinstance","ptmxmode=0666","mode=0620","gid=5"]},
{"destination":"/dev/shm","type":"tmpfs","source":"shm","options":["nosuid","noexec","nodev","mode=1777","size=65536k"]},
{"destination":"/dev/mqueue","type":"mqueue","source":"mqueue","options":["nosuid","noexec","nodev"]},
{"destination":"/sys","type":"sysfs","source":"sysfs","options":["nosuid","noexec","nodev","ro"]},
{"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["nosuid","noexec","nodev","relatime","ro"]}]"#;
const MASKED: &str = r#"["/proc/acpi","/proc/asound","/proc/interrupts","/proc/kcore","/proc/keys","/proc/latency_stats","/proc/sched_debug","/proc/scsi","/proc/timer_list","/proc/timer_stats","/sys/devices/virtual/powercap","/sys/firmware"]"#;
const READ_ONLY: &str = r#"["/proc/bus","/proc/fs","/proc/irq","/proc/sys","/proc/sysrq-trigger"]"#;

pub(crate) struct Peer {
    sleeper: std::cell::RefCell<Option<Child>>,
}

impl Peer {
    pub(crate) fn new(layers: &[PathBuf]) -> io::Result<Self> {
        fs::create_dir_all(STATE)?;
        for (name, words, network) in [
            ("true", r#"["/bin/true"]"#, ""),
            ("sleeper", r#"["/bin/sleep","1000000"]"#, ""),
            (
                "redis",
                r#"["redis-server","--protected-mode","no","--save",""]"#,
                NETWORK,
            ),
        ] {
            let bundle = bundle(name);
            fs::create_dir_all(bundle.join("rootfs"))?;
            let overlay = place::overlay(layers, name)?;
            place::mount_overlay(&overlay, &bundle.join("rootfs"))?;
            fs::write(bundle.join("config.json"), config(name, words, network))?;
        }
        make_network()?;
        Ok(Self {
            sleeper: std::cell::RefCell::new(None),
        })
    }

    pub(crate) fn run_true(&self) -> io::Result<Duration> {
        timed(&mut run("true"))
    }

    pub(crate) fn start_sleeper(&self) -> io::Result<()> {
        *self.sleeper.borrow_mut() = Some(run("sleeper").spawn()?);
        let until = Instant::now() + SLEEPER_STARTS;
        while let Err(error) = self.exec_true() {
            if Instant::now() > until {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    pub(crate) fn exec_true(&self) -> io::Result<Duration> {
        timed(crun().args(["exec", "sleeper", "/bin/true"]))
    }
}

fn bundle(name: &str) -> PathBuf {
    Path::new("/tmp/bundles").join(name)
}

fn crun() -> Command {
    let mut command = Command::new(place::CRUN);
    command.args(["--root", STATE, "--cgroup-manager", "cgroupfs"]);
    command
}

fn run(name: &str) -> Command {
    let mut command = crun();
    command
        .args(["run", "--bundle"])
        .arg(bundle(name))
        .arg(name);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn config(name: &str, words: &str, network: &str) -> String {
    let path = if network.is_empty() {
        String::new()
    } else {
        format!(r#","path":"{network}""#)
    };
    format!(
        r#"{{"ociVersion":"1.0.2","process":{{"terminal":false,"user":{{"uid":0,"gid":0}},"args":{words},
"env":["PATH=/usr/local/bin:/usr/bin:/bin"],"cwd":"/data","noNewPrivileges":true,
"capabilities":{{"bounding":{CAPABILITIES},"effective":{CAPABILITIES},"permitted":{CAPABILITIES}}}}},
"root":{{"path":"rootfs","readonly":false}},"hostname":"{name}","mounts":{MOUNTS},
"linux":{{"cgroupsPath":"/bench-{name}","resources":{{"devices":[{{"allow":false,"access":"rwm"}}],"memory":{{"limit":1073741824}},"pids":{{"limit":4096}}}},
"namespaces":[{{"type":"pid"}},{{"type":"network"{path}}},{{"type":"ipc"}},{{"type":"uts"}},{{"type":"mount"}},{{"type":"cgroup"}}],
"maskedPaths":{MASKED},"readonlyPaths":{READ_ONLY}}}}}"#
    )
}

/// A namespace that stays, on a bridge of its own.
fn make_network() -> io::Result<()> {
    File::create(NETWORK)?;
    for line in [
        "ip link add name peerbr type bridge",
        "ip addr add 10.99.0.1/24 dev peerbr",
        "ip link set peerbr up",
        // The kernel names the other end.
        "ip link add name peer0 type veth",
        "ip link set peer0 master peerbr",
        "ip link set peer0 up",
    ] {
        busybox(line)?;
    }
    let (tell, told) = mpsc::channel();
    let (moved, is_moved) = mpsc::channel();
    let inside = std::thread::spawn(move || -> io::Result<()> {
        sys::namespace::separate_network()?;
        let none = None::<&str>;
        let bind = nix::mount::MsFlags::MS_BIND;
        nix::mount::mount(Some("/proc/thread-self/ns/net"), NETWORK, none, bind, none)?;
        tell.send(nix::unistd::gettid()).map_err(failed)?;
        is_moved.recv().map_err(failed)?;
        busybox("ip link set lo up")?;
        busybox(&format!("ip addr add {ADDRESS}/24 dev veth0"))?;
        busybox("ip link set veth0 up")
    });
    if let Ok(thread) = told.recv() {
        busybox(&format!("ip link set veth0 netns {thread}"))?;
        moved.send(()).map_err(failed)?;
    }
    inside.join().map_err(|_| failed("no network"))?
}

fn busybox(line: &str) -> io::Result<()> {
    timed(Command::new(place::BUSYBOX).args(line.split_whitespace())).map(|_| ())
}

/// Redis under crun, started again as soon as it has ended: by a process of its own, as whoever makes a PID namespace for its
/// next child must have one thread (unshare(2)).
pub(crate) struct Loop(Child);

/// As the process that does it.
pub(crate) const LOOP: &str = "crun-loop";

impl Loop {
    pub(crate) fn start(_: &Peer) -> io::Result<Self> {
        Command::new("/proc/self/exe").arg(LOOP).spawn().map(Self)
    }

    /// Of its first process.
    pub(crate) fn group(&self) -> &'static Path {
        Path::new("/sys/fs/cgroup/bench-redis")
    }

    pub(crate) fn end(mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = fs::write(self.group().join("cgroup.kill"), "1");
    }
}

/// The process's work, until it is killed.
pub(crate) fn run_redis_again_and_again() {
    loop {
        if run("redis").stderr(Stdio::null()).status().is_err() {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
