//! A machine of its own for each case, and what PID 1 does to start a container.

use crate::image::Image;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use sys::clone::{CONTAINER_NAMESPACES, Child, Spawn, spawn};
use sys::device_filter;
use sys::mount::{FileSystem, attribute};
use sys::pidfd::{self, Ended};
use unit::{
    Container, ExecSpec, LaunchFailure, LaunchGo, LaunchNetwork, LaunchReport, LaunchRoot,
    LaunchSpec, Mount, Resources, UnitName,
};

pub(crate) const IMAGE: &str = "docker.io/library/probe:1";

pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|status| status.uid() == 0)
}

/// Mounts and network of the test are its own from here on; /mnt is a tmpfs that goes with it. As PID 1, it ignores no signal,
/// whatever whoever started it does.
pub(crate) fn separate() {
    sys::signal::ignore_nothing();
    sys::namespace::separate_mounts().unwrap();
    sys::namespace::separate_network().unwrap();
    let tree = FileSystem::open(c"tmpfs")
        .unwrap()
        .mount(attribute::NOSUID)
        .unwrap();
    tree.attach(File::open("/mnt").unwrap().as_fd()).unwrap();
}

/// A group of the test's own in the machine's cgroup v2 hierarchy, with one for the unit's run in it.
#[derive(Debug)]
pub(crate) struct Group {
    ours: PathBuf,
    run: PathBuf,
    /// For commands that join the container.
    step: PathBuf,
}

impl Group {
    /// None where there is no cgroup v2.
    pub(crate) fn new() -> Option<Self> {
        let place = PathBuf::from("/mnt/cgroup");
        fs::create_dir_all(&place).ok()?;
        let tree = FileSystem::open(c"cgroup2").ok()?.mount(0).ok()?;
        tree.attach(File::open(&place).ok()?.as_fd()).ok()?;
        let ours = place.join(format!("keelson-test-{}", std::process::id()));
        let run = ours.join("web@1:1");
        fs::create_dir_all(&run).ok()?;
        let step = ours.join("step-0");
        fs::create_dir_all(&step).ok()?;
        // As PID 1 does for all containers.
        let folder = File::open(&ours).ok()?;
        device_filter::attach(folder.as_fd(), &device_filter::OF_CONTAINERS).ok()?;
        Some(Self { ours, run, step })
    }

    /// As PID 1 does with one that was killed.
    pub(crate) fn renew_step(&self) {
        fs::remove_dir(&self.step).unwrap();
        fs::create_dir(&self.step).unwrap();
    }

    /// End everything in the group of commands.
    pub(crate) fn kill_step(&self) {
        fs::write(self.step.join("cgroup.kill"), "1").unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What is left says the failure of the test itself.
        let _ = fs::remove_dir(&self.run);
        let _ = fs::remove_dir(&self.step);
        let _ = fs::remove_dir(&self.ours);
    }
}

/// State of a machine with one image.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) state: PathBuf,
    images: usize,
}

impl Machine {
    pub(crate) fn new(name: &str) -> Self {
        // Option values of overlayfs are at most 255 bytes long, so names of cases are not part of the path.
        let number = name.bytes().fold(0u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(byte.into())
        });
        let state = PathBuf::from(format!("/mnt/{number:08x}"));
        fs::create_dir_all(&state).unwrap();
        Self { state, images: 0 }
    }

    /// The image that containers are started from, to be changed and then committed.
    pub(crate) fn image(&mut self) -> Image {
        self.images += 1;
        Image::new(&self.state.join("images"), IMAGE, self.images)
    }

    pub(crate) fn image_without_layers(&mut self) -> Image {
        self.images += 1;
        Image::empty(&self.state.join("images"), IMAGE, self.images)
    }

    /// A container of the committed image that executes these probe commands, separated by `--`.
    pub(crate) fn launch(&self, probe: &str) -> Launch {
        Launch {
            state: self.state.clone(),
            program: env!("CARGO_BIN_EXE_launcher").to_owned(),
            options: vec![
                "--limits".into(),
                "inherited".into(),
                "--cgroups".into(),
                "none".into(),
            ],
            cgroup: None,
            step: None,
            spec: LaunchSpec {
                unit: UnitName::new("web@1").unwrap(),
                run: 1,
                group: "web@1:1".to_owned(),
                environment: Vec::new(),
                container: Container {
                    image: IMAGE.to_owned(),
                    entrypoint: None,
                    command: Some(words(probe)),
                    env: BTreeMap::new(),
                    working_dir: None,
                    user: None,
                    hostname: "web-1".to_owned(),
                    init: false,
                    read_only: false,
                    stop_signal: None,
                },
                resources: Resources::default(),
                mounts: Vec::new(),
                root: LaunchRoot::Kept,
                notify_socket: None,
                network: LaunchNetwork::Namespace,
            },
        }
    }

    /// What the probe says to these commands, in a container like `launch` makes it.
    pub(crate) fn answers(&self, probe: &str) -> Vec<String> {
        self.launch(probe).run().answers()
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// One start of the launcher.
#[derive(Debug)]
pub(crate) struct Launch {
    state: PathBuf,
    /// The launcher.
    pub(crate) program: String,
    pub(crate) options: Vec<String>,
    /// The group it is born in.
    cgroup: Option<File>,
    /// The group that commands are born in.
    step: Option<File>,
    pub(crate) spec: LaunchSpec,
}

/// A running launcher or container.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    report: File,
    pub(crate) stdout: File,
    stderr: File,
}

/// Where a launcher is born.
#[derive(Clone, Copy, Debug)]
enum Birth<'a> {
    /// In namespaces of its own.
    OfContainer,
    /// In those of a container.
    Inside(&'a Running),
    Outside,
}

/// What was seen when it had ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) reports: Vec<LaunchReport>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) ended: Ended,
}

impl Launch {
    pub(crate) fn mount(mut self, mount: Mount) -> Self {
        self.spec.mounts.push(mount);
        self
    }

    pub(crate) fn change(mut self, change: impl FnOnce(&mut Container)) -> Self {
        change(&mut self.spec.container);
        self
    }

    /// Born in that group, whose devices are filtered.
    pub(crate) fn in_group(mut self, group: &Group) -> Self {
        self.options.extend(["--cgroups".into(), "own".into()]);
        self.cgroup = Some(File::open(&group.run).unwrap());
        self.step = Some(File::open(&group.step).unwrap());
        self
    }

    /// Commands are born in the group as it is now.
    pub(crate) fn in_same_group(mut self, group: Option<&Group>) -> Self {
        self.step = group.map(|group| File::open(&group.step).unwrap());
        self
    }

    pub(crate) fn start(&self) -> Running {
        let text = serde_json::to_vec(&self.spec).unwrap();
        self.start_with(&text)
    }

    /// With these bytes as the specification.
    pub(crate) fn start_with(&self, spec: &[u8]) -> Running {
        let network = File::open("/proc/self/ns/net").unwrap();
        let go = LaunchGo {
            hosts: "127.0.0.1 localhost\n10.0.0.2 web-1\n".to_owned(),
            resolv_conf: "nameserver 10.0.0.1\n".to_owned(),
        };
        self.start_told(spec, |init| {
            let text = serde_json::to_vec(&go).unwrap();
            sys::socket::send(init, &text, &[network.as_fd()]).unwrap();
        })
    }

    /// With what `tell` says in the place of PID 1.
    pub(crate) fn start_told(&self, spec: &[u8], tell: impl FnOnce(BorrowedFd<'_>)) -> Running {
        let (init, launcher) = sys::socket::seqpacket_pair().unwrap();
        tell(init.as_fd());
        self.clone_launcher("run", Birth::OfContainer, spec, &[(launcher.as_fd(), 5)])
    }

    pub(crate) fn run(&self) -> Outcome {
        self.start().finish()
    }

    /// Runs it and gives the failure that it must report.
    pub(crate) fn failure(&self) -> LaunchFailure {
        self.run().failure()
    }

    /// One more process in the running container.
    pub(crate) fn exec(
        &self,
        container: &Running,
        spec: &ExecSpec,
        console: Option<BorrowedFd<'_>>,
    ) -> Running {
        let mut extra = vec![(container.child.pidfd.as_fd(), 5)];
        extra.extend(console.map(|console| (console, 6)));
        extra.extend(self.step.as_ref().map(|step| (step.as_fd(), 7)));
        let text = serde_json::to_vec(spec).unwrap();
        self.clone_launcher("exec", Birth::Inside(container), &text, &extra)
    }

    /// As somebody would start it who does not have it born in the container.
    pub(crate) fn exec_outside(&self, container: &Running, spec: &ExecSpec) -> Running {
        let text = serde_json::to_vec(spec).unwrap();
        let pidfd = [(container.child.pidfd.as_fd(), 5)];
        self.clone_launcher("exec", Birth::Outside, &text, &pidfd)
    }

    pub(crate) fn exec_spec(&self, probe: &str) -> ExecSpec {
        let argv = words(&format!("probe probe {probe}"));
        ExecSpec {
            unit: self.spec.unit.clone(),
            root: self.spec.root,
            container: self.spec.container.clone(),
            argv,
            tty: false,
            env: Vec::new(),
            user: String::new(),
            working_dir: String::new(),
        }
    }
}

impl Launch {
    fn clone_launcher(
        &self,
        mode: &str,
        birth: Birth<'_>,
        spec: &[u8],
        extra: &[(BorrowedFd<'_>, i32)],
    ) -> Running {
        let text = |text: &str| CString::new(text).unwrap();
        let program = text(&self.program);
        let mut arguments = vec![
            text("launcher"),
            text(mode),
            text("--state"),
            text(self.state.to_str().unwrap()),
        ];
        arguments.extend(self.options.iter().map(|option| text(option)));
        let arguments: Vec<&CStr> = arguments.iter().map(CString::as_c_str).collect();
        let spec = sys::memfd::sealed("spec", spec).unwrap();
        let null = File::open("/dev/null").unwrap();
        let (stdout, stdout_write) = std::io::pipe().unwrap();
        let (stderr, stderr_write) = std::io::pipe().unwrap();
        let (report, report_write) = std::io::pipe().unwrap();
        let mut descriptors = vec![
            (null.as_fd(), 0),
            (stdout_write.as_fd(), 1),
            (stderr_write.as_fd(), 2),
            (spec.as_fd(), 3),
            (report_write.as_fd(), 4),
        ];
        descriptors.extend(extra);
        let what = Spawn {
            namespaces: match birth {
                Birth::OfContainer => CONTAINER_NAMESPACES,
                Birth::Inside(_) | Birth::Outside => 0,
            },
            cgroup: self.cgroup.as_ref().map(AsFd::as_fd),
            program: &program,
            arguments: &arguments,
            environment: &[],
            descriptors: &descriptors,
        };
        let child = match birth {
            Birth::Inside(container) => {
                sys::inside::spawn(container.child.pidfd.as_fd(), &what).unwrap()
            }
            Birth::OfContainer | Birth::Outside => spawn(&what).unwrap(),
        };
        let file = |reader: std::io::PipeReader| File::from(OwnedFd::from(reader));
        Running {
            child,
            report: file(report),
            stdout: file(stdout),
            stderr: file(stderr),
        }
    }
}

impl Running {
    /// Waits until the workload runs (or never will).
    pub(crate) fn reports(&mut self) -> Vec<LaunchReport> {
        let mut text = String::new();
        self.report.read_to_string(&mut text).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Waits for this line of its output.
    pub(crate) fn until(&mut self, line: &str) {
        let (mut seen, mut byte) = (String::new(), [0]);
        while !seen.ends_with(&format!("{line}\n")) {
            assert_eq!(self.stdout.read(&mut byte).unwrap(), 1, "{seen}");
            seen.push(char::from(byte[0]));
        }
    }

    pub(crate) fn finish(mut self) -> Outcome {
        let reports = self.reports();
        let mut stdout = String::new();
        let mut stderr = String::new();
        self.stdout.read_to_string(&mut stdout).unwrap();
        self.stderr.read_to_string(&mut stderr).unwrap();
        let ended = pidfd::wait(self.child.pidfd.as_fd()).unwrap();
        Outcome {
            reports,
            stdout,
            stderr,
            ended,
        }
    }

    pub(crate) fn kill(self) -> Outcome {
        pidfd::signal(self.child.pidfd.as_fd(), 9).unwrap();
        self.finish()
    }
}

impl Outcome {
    /// Lines of the workload, which must have run and ended well.
    pub(crate) fn answers(&self) -> Vec<String> {
        assert!(
            matches!(self.reports.as_slice(), [LaunchReport::Prepared { .. }])
                && self.ended == Ended::Code(0),
            "{self:?}"
        );
        self.stdout.lines().map(str::to_owned).collect()
    }

    pub(crate) fn failure(&self) -> LaunchFailure {
        match self.reports.last() {
            Some(LaunchReport::Failed(failure)) => failure.clone(),
            other => panic!("no failure but {other:?}; {self:?}"),
        }
    }
}
