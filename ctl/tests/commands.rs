//! What an operator types and sees, by the control socket and by a serial port alike.

mod support;

use control::request::Request;
use support::{Machine, Way};

const WAYS: [Way; 2] = [Way::Socket, Way::Serial];

#[test]
fn tables_and_details_are_printed() {
    let machine = Machine::start();
    for way in WAYS {
        let ps = machine.run(way, &["ps"], b"");
        assert_eq!(ps.expect(0).text().lines().count(), 3, "{}", ps.text());
        assert!(
            ps.text()
                .contains("redis@1  redis:7  redis-server --port 6379  running"),
            "{}",
            ps.text()
        );
        let status = machine
            .run(way, &["status", "redis@1"], b"")
            .expect(0)
            .text();
        assert!(
            status.contains("Last exit: killed by SIGKILL (out of memory)"),
            "{status}"
        );
        assert!(status.ends_with("\n\nline 1\nline 2\nline 3\nline 4\nline 5\nline 6\nline 7\nline 8\nline 9\nline 10\n"), "{status}");
        let overview = machine.run(way, &["status"], b"").expect(0).text();
        assert_eq!(
            overview,
            "● degraded: 2 units (2 running)\n  the machine: THE STATE PARTITION IS NEARLY FULL\n"
        );
        let images = machine.run(way, &["image", "ls"], b"").expect(0).text();
        assert!(
            images.contains("docker.io/library/redis:7  abababababab  19M"),
            "{images}"
        );
        assert_eq!(
            machine.run(way, &["ps", "-q"], b"").expect(0).text(),
            "redis@1\nweb\n"
        );
        let trace = machine.run(way, &["trace"], b"").expect(0).text();
        assert_eq!(trace, "12 start redis@1\n40 up redis@1\n");
        let dump = machine.run(way, &["trace", "--dump"], b"").expect(0).text();
        assert_eq!(dump, "{\"release\":\"0\"}\n");
        let why = machine.run(way, &["why", "redis@1"], b"").expect(0).text();
        assert!(why.contains("2m 13s ago  start default"), "{why}");
        machine.run(way, &["why", "nope"], b"").expect(3);
        let graph = machine.run(way, &["graph", "web"], b"").expect(0).text();
        assert!(graph.contains("\"web\" -> \"redis@1\""), "{graph}");
        machine.run(way, &["graph", "nope"], b"").expect(3);
    }
}

/// What costs as much as there are units is asked for only by whoever wants to see all of it.
#[test]
fn nobody_asks_for_more_than_is_shown() {
    let machine = Machine::start();
    let asked = |words: &[&str]| {
        machine.init.seen(|seen| seen.requests.clear());
        machine.run(Way::Socket, words, b"").expect(0);
        machine.init.seen(|seen| std::mem::take(&mut seen.requests))
    };
    let all = |request: &Request| matches!(request, Request::Ps | Request::Graph);
    let row = |memory| vec![Request::List { memory }];
    assert_eq!(asked(&["ps"]), row(true));
    assert_eq!(asked(&["ps", "-q"]), row(false));
    assert_eq!(asked(&["ps", "--json"]), [Request::Ps]);
    assert_eq!(asked(&["status"])[..1], row(false));
    for words in [
        &["status", "redis@1"][..],
        &["status", "redis@1", "--json"],
        &["logs", "redis@1"],
        &["exec", "redis@1", "true"],
        &["start", "redis@1"],
        &["why", "redis@1"],
        &["history", "redis@1"],
    ] {
        let requests = asked(words);
        assert!(!requests.iter().any(all), "{words:?}: {requests:?}");
        let list = |request: &Request| matches!(request, Request::List { .. });
        assert!(!requests.iter().any(list), "{words:?}: {requests:?}");
    }
}

/// The fields that people script against: they are added to, never renamed. `KEELCTL_BLESS=1` writes the file anew.
#[test]
fn json_fields_stay_what_they_are() {
    let machine = Machine::start();
    for way in WAYS {
        let mut all = String::new();
        for words in [
            &["ps", "--json"][..],
            &["status", "redis@1", "--json"],
            &["image", "ls", "--json"],
            &["boot-chart", "--json"],
            &["trace", "--json"],
            &["why", "redis@1", "--json"],
            &["history", "redis@1", "--json"],
            &["timers", "--json"],
            &["graph", "--json"],
            &["top", "--json"],
            &["version", "--json"],
        ] {
            all.push_str(&format!("== {}\n", words.join(" ")));
            all.push_str(&machine.run(way, words, b"").expect(0).text());
        }
        golden("json.txt", &all);
    }
}

#[test]
fn a_boot_chart_is_an_svg_file() {
    let machine = Machine::start();
    for way in WAYS {
        let file = machine.folder().join("boot.svg");
        machine
            .run(way, &["boot-chart", "-o", file.to_str().unwrap()], b"")
            .expect(0);
        golden("boot.svg", &std::fs::read_to_string(&file).unwrap());
        let printed = machine.run(way, &["boot-chart"], b"").expect(0).text();
        assert_eq!(printed, std::fs::read_to_string(&file).unwrap());
    }
}

fn golden(name: &str, found: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("KEELCTL_BLESS").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "not as in {}; look at it and set KEELCTL_BLESS=1:\n{found}",
        path.display()
    );
}

#[test]
fn every_exit_status_means_one_thing() {
    let machine = Machine::start();
    for way in WAYS {
        let done = machine.run(way, &["start", "redis@1"], b"");
        assert_eq!(done.expect(0).text(), "");
        assert_eq!(
            done.stderr, "keelctl: asked \\u{1b}[2Jnicely\n",
            "a message can't drive the terminal"
        );
        let failed = machine.run(way, &["restart", "broken"], b"");
        assert!(
            failed
                .expect(1)
                .stderr
                .ends_with("keelctl: unit `broken`: exec: /bin/x: no such file\n"),
            "{}",
            failed.stderr
        );
        let usage = machine.run(way, &["start"], b"");
        assert!(
            usage.expect(2).stderr.contains("name at least one unit"),
            "{}",
            usage.stderr
        );
        let near = machine.run(way, &["status", "redis"], b"");
        assert_eq!(
            near.expect(3).stderr,
            "keelctl: no unit `redis`; is it `redis@1`?\n"
        );
        let unknown = machine.run(way, &["stop", "nothing"], b"");
        assert!(
            unknown
                .expect(3)
                .stderr
                .contains("no unit `nothing`; `keelctl ps` lists them"),
            "{}",
            unknown.stderr
        );
        machine.run(way, &["wait-ready"], b"").expect(0);
        machine.run(way, &["poweroff"], b"").expect(0);
    }
}

#[test]
fn no_machine_is_an_exit_status_of_its_own() {
    let nowhere = support::Folder::new();
    let ran = |place: &std::path::Path| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_keelctl"))
            .args(["ps", "--timeout", "1"])
            .env("KEELSON_MACHINE", place)
            .output()
            .unwrap();
        support::Ran::from(output)
    };
    let empty = ran(nowhere.path());
    assert!(
        empty
            .expect(4)
            .stderr
            .contains("no Keelson machine answers at"),
        "{}",
        empty.stderr
    );
    // QEMU has gone and left its socket behind.
    drop(std::os::unix::net::UnixListener::bind(nowhere.path().join("control.0.sock")).unwrap());
    let stale = ran(nowhere.path());
    assert!(
        stale
            .expect(4)
            .stderr
            .contains("no Keelson machine answers at"),
        "{}",
        stale.stderr
    );
    // QEMU is there, and nobody in it.
    let silent = support::Folder::new();
    let _listener =
        std::os::unix::net::UnixListener::bind(silent.path().join("control.0.sock")).unwrap();
    let ran = ran(silent.path());
    assert!(
        ran.expect(4).stderr.contains("has not answered for 1 s"),
        "{}",
        ran.stderr
    );
}

#[test]
fn check_needs_no_machine_and_shows_the_place() {
    let folder = support::Folder::new();
    let good = folder.path().join("web.container.toml");
    std::fs::write(
        &good,
        "[container]\nimage = \"docker.io/library/redis:7\"\n",
    )
    .unwrap();
    let check = |path: &std::path::Path, words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_keelctl"));
        support::Ran::from(command.arg("check").arg(path).args(words).output().unwrap())
    };
    assert_eq!(
        check(&good, &[]).expect(0).text(),
        "no errors, 0 warnings\n"
    );
    let bad = folder.path().join("bad.container.toml");
    std::fs::write(
        &bad,
        "[container]\nimage = \"docker.io/library/redis:7\"\nimagee = 3\n",
    )
    .unwrap();
    let found = check(folder.path(), &[]);
    assert!(
        found.expect(1).stderr.contains("bad.container.toml:3:1"),
        "{}",
        found.stderr
    );
    assert!(found.stderr.contains("^^^^^^"), "{}", found.stderr);
    assert!(
        found.text().contains("1 unit will not be loaded"),
        "{}",
        found.text()
    );
    let json = check(&bad, &["--json"]);
    let diagnostics: serde_json::Value = serde_json::from_str(&json.expect(1).text()).unwrap();
    assert_eq!(diagnostics[0]["line"], 3);
    assert!(
        check(&folder.path().join("none.toml"), &[])
            .expect(1)
            .stderr
            .contains("none.toml: no such file")
    );
}

#[test]
fn output_that_nobody_reads_ends_quietly() {
    let machine = Machine::start();
    for way in WAYS {
        let mut child = machine.keelctl(way, &["logs", "-f"]).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(141));
        assert_eq!(output.stderr, b"");
    }
    machine
        .init
        .wait_for("both queries are cancelled", |seen| seen.cancelled == 2);
}

#[test]
fn the_files_of_a_folder_go_to_the_machine_and_its_verdict_comes_back() {
    let machine = Machine::start();
    for way in WAYS {
        let folder = machine.folder().join("units");
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("web.container.toml");
        // More than fits into a pipe.
        let text = format!("# {}\n", "x".repeat(300_000));
        std::fs::write(&path, &text).unwrap();
        let dir = folder.to_str().unwrap();
        for command in ["diff", "apply"] {
            let done = machine.run(way, &[command, dir], b"").expect(0).text();
            assert_eq!(done, "+ web: new; starts\n1 new\n");
            let sent = machine.init.seen(|seen| std::mem::take(&mut seen.archive));
            let sent: std::collections::BTreeMap<String, String> =
                serde_json::from_slice(&sent).unwrap();
            assert_eq!(sent.get("web.container.toml"), Some(&text));
        }
        let waited = machine.run(way, &["apply", "--wait", dir], b"");
        waited.expect(1);
        assert!(
            waited.text().starts_with("+ web: new; starts\n"),
            "{}",
            waited.text()
        );
        assert!(
            waited.stderr.contains("exited with code 1"),
            "{}",
            waited.stderr
        );
        std::fs::write(&path, "bad").unwrap();
        for command in ["diff", "apply"] {
            let refused = machine.run(way, &[command, dir], b"");
            refused.expect(1);
            let place = format!("{dir}/web.container.toml");
            assert!(refused.stderr.contains(&place), "{}", refused.stderr);
            assert!(
                refused.stderr.contains("nothing was changed"),
                "{}",
                refused.stderr
            );
        }
    }
}
