//! `cargo boot` and `cargo keelctl` as a newcomer and a script call them, on a machine in a folder of their own.

use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};
use vm::{Checks, artefacts, container};

const SCENARIO: &str = "boot-command";

struct Newcomer {
    folder: PathBuf,
}

impl Newcomer {
    fn cargo(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO"))
            .args(words)
            .current_dir(host::paths::workspace())
            .env("KEELSON_MACHINE", &self.folder)
            .output()
            .unwrap()
    }

    /// What it has said, if it ended with this status.
    fn says(&self, words: &[&str], status: i32) -> String {
        let output = self.cargo(words);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{words:?}: {said}");
        said
    }

    /// An answer to `PING` by a port as it is written down.
    fn pings(&self) {
        let text = std::fs::read_to_string(self.folder.join("ports.json")).unwrap();
        let ports: Vec<Value> = serde_json::from_str(&text).unwrap();
        let port = ports.iter().find(|port| port["unit"] == "one").unwrap();
        assert_eq!(port["guest_port"], 7001, "{text}");
        assert_eq!(port["host_address"], "127.0.0.1", "{text}");
        let answer = Command::new("redis-cli")
            .args(["-p", &port["host_port"].to_string(), "PING"])
            .output()
            .unwrap();
        assert_eq!(answer.stdout, b"PONG\n");
    }
}

pub(crate) fn a_script_boots_asks_stops_and_cuts() {
    let _turn = vm::Turn::take();
    let mut checks = Checks::of(SCENARIO);
    // It installs what the host lacks, and says so by itself.
    artefacts();
    let folder = host::paths::made().join("tests").join(SCENARIO);
    let it = Newcomer { folder };
    // What a test that was ended has left.
    it.cargo(&["boot", "--", "--cut"]);
    let _ = std::fs::remove_dir_all(&it.folder);
    let units = it.folder.join("units");
    std::fs::create_dir_all(&units).unwrap();
    let publishes = "[[ports]]\npublish = \"7001:6379\"\n";
    let (name, text) = container("one", publishes);
    std::fs::write(units.join(&name), &text).unwrap();
    let units = units.to_str().unwrap();
    let size = ["--units", units, "--memory", "1G", "--disk-size", "2G"];
    let boot = |more: &[&'static str]| [&["boot", "--"], &size[..], more].concat();

    checks.that(
        "it boots headless, returns when all is ready, and leaves it running",
        || {
            let said = it.says(&boot(&["--headless", "--until", "ready"]), 0);
            assert!(said.contains("redis-cli -p"), "{said}");
            it.pings();
        },
    );
    checks.that("keelctl finds the machine by itself", || {
        let said = it.says(&["keelctl", "ps", "-q"], 0);
        assert!(said.lines().any(|line| line == "one"), "{said}");
    });
    checks.that("a second machine in the same folder is refused", || {
        let said = it.says(&boot(&["--headless"]), 1);
        assert!(said.contains("is running already"), "{said}");
    });
    checks.that("--stop shuts it down in order", || {
        it.says(&["boot", "--", "--stop"], 0);
        let console = std::fs::read_to_string(it.folder.join("console.log")).unwrap();
        assert!(console.contains("keelson: stage unmount ok"), "{console}");
        it.says(&["keelctl", "ps"], 4);
    });
    checks.that("a unit with a mistake boots nothing", || {
        let path = PathBuf::from(units).join(&name);
        std::fs::write(&path, text.replace("publish", "publsh")).unwrap();
        let said = it.says(&boot(&["--headless"]), 1);
        assert!(
            said.contains("publsh") && said.contains("one.container.toml"),
            "{said}"
        );
        std::fs::write(&path, &text).unwrap();
        it.says(&["keelctl", "ps"], 4);
    });
    checks.that(
        "--until SECONDS returns then, and --cut pulls the plug",
        || {
            it.says(&boot(&["--headless", "--until", "1"]), 0);
            it.says(&["boot", "--", "--cut"], 0);
            it.says(&["keelctl", "ps"], 4);
            let console = std::fs::read_to_string(it.folder.join("console.log")).unwrap();
            assert!(!console.contains("keelson: power off"), "{console}");
        },
    );
    checks.that(
        "without --headless it lives until then, and is shut down",
        || {
            let said = it.says(&boot(&["--until", "ready"]), 0);
            assert!(said.contains("network"), "no stage is shown: {said}");
            let console = std::fs::read_to_string(it.folder.join("console.log")).unwrap();
            assert!(console.contains("keelson: stage unmount ok"), "{console}");
        },
    );
    checks.that(
        "a unit that fails is told, and the machine is shut down in order",
        || {
            let wrong = "[service]\ntype = \"oneshot\"\n";
            let (name, text) = container("wrong", &format!("entrypoint = [\"false\"]\n{wrong}"));
            std::fs::write(PathBuf::from(units).join(&name), text).unwrap();
            let said = it.says(&boot(&["--until", "ready"]), 1);
            assert!(said.contains("wrong"), "{said}");
            let console = std::fs::read_to_string(it.folder.join("console.log")).unwrap();
            assert!(console.contains("keelson: stage unmount ok"), "{console}");
        },
    );
    checks.end();
}
