//! `init --check-handover`: a program that can't go on where the running PID 1 is says so, and why.

use std::fs;
use std::process::{Command, Output};

fn check(test: &str, handover: &str) -> Output {
    let path = std::env::temp_dir().join(format!("keelson-handover-{test}-{}", std::process::id()));
    fs::write(&path, handover).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test may wait")]
    let output = Command::new("sh")
        .args(["-c", "exec \"$0\" --check-handover 3<\"$1\""])
        .arg(env!("CARGO_BIN_EXE_init"))
        .arg(&path)
        .output()
        .unwrap();
    fs::remove_file(&path).unwrap();
    output
}

#[test]
fn a_handover_of_another_version_or_without_sense_is_refused_with_the_reason() {
    let cases = [
        ("empty", "", "EOF"),
        ("torn", "{\"version\":1,\"machine\":{", "EOF"),
        (
            "other",
            "{\"version\":4711,\"machine\":{}}",
            "has version 4711",
        ),
        ("missing", "{\"version\":1,\"machine\":{}}", "missing field"),
    ];
    for (test, handover, why) in cases {
        let output = check(test, handover);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{test}: {said}");
        assert!(said.contains(why), "{test}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
