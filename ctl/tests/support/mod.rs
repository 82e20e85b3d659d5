//! A machine without a machine: a PID 1 that answers from a script of ours, the real relay, and what stands for QEMU
//! between its port and the host's socket.
//!
//! ```text
//! keelctl ──▶ folder/pid1.sock ───────────────────────────────▶ FakeInit
//! keelctl ──▶ folder/control.0.sock ─▶ FakePort ─▶ real relay ─▶ FakeInit
//! ```

#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod init;
pub(crate) mod port;

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A fresh folder that goes with its test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("keelctl-{}-{number}", std::process::id()));
        // Of a test that was killed, and had this process number before.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The two ways to a machine, both of which every rule holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Socket,
    Serial,
}

/// A machine, its relay and one serial port.
pub(crate) struct Machine {
    folder: Folder,
    pub(crate) init: init::FakeInit,
    pub(crate) port: port::FakePort,
}

impl Machine {
    pub(crate) fn start() -> Self {
        let folder = Folder::new();
        let init = init::FakeInit::start(&folder.path().join("pid1.sock"));
        let port = port::FakePort::start(folder.path(), 0, &folder.path().join("pid1.sock"));
        Self { folder, init, port }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `keelctl` with these words, talking to this machine.
    pub(crate) fn keelctl<S: AsRef<OsStr>>(&self, way: Way, words: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keelctl"));
        let place = match way {
            Way::Socket => self.folder().join("pid1.sock"),
            Way::Serial => self.folder().to_owned(),
        };
        command.arg("--machine").arg(place).args(words);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Run it to its end, with this on stdin.
    pub(crate) fn run(&self, way: Way, words: &[&str], stdin: &[u8]) -> Ran {
        let mut child = self
            .keelctl(way, words)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            scope.spawn(move || {
                // A command that does not read its stdin closes it.
                let _ = input.write_all(stdin);
            });
            child.wait_with_output().unwrap()
        });
        Ran::from(output)
    }
}

/// How a keelctl ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn expect(&self, status: i32) -> &Self {
        assert_eq!(
            self.status,
            Some(status),
            "stdout: {}\nstderr: {}",
            self.text(),
            self.stderr
        );
        self
    }
}

/// Bytes that repeat nowhere near, so that what is lost, doubled or swapped is noticed.
pub(crate) fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let words = std::iter::repeat_with(|| {
        // xorshift64 (Marsaglia 2003)
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(bytes).collect()
}
