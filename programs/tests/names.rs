//! The program, called by names.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

fn called(name: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_programs"))
        .arg0(name)
        .args(arguments.iter().map(OsStr::new))
        .output()
        .unwrap()
}

#[test]
fn each_name_is_its_program() {
    let says = |name: &str, arguments: &[&str]| {
        let output = called(name, arguments);
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    let (status, text) = says("/usr/bin/keelctl", &["--version"]);
    assert!(status == Some(0) && text.starts_with("keelctl "), "{text}");
    let (status, text) = says("launcher", &["walk"]);
    assert!(
        status == Some(2) && text.contains("launcher run|exec"),
        "{text}"
    );
    let (status, text) = says("store", &["eat"]);
    assert!(status == Some(2) && text.contains("usage: store"), "{text}");
}

#[test]
fn without_a_programs_name_it_says_which_there_are() {
    let output = called("programs", &[]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("keelctl, launcher, logd, netd"), "{text}");
}
