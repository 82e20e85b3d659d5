//! Streams: exec, logs and archives, by both ways, and what happens when one side goes away in the middle.

mod support;

use control::request::Request;
use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Machine, Way, noise};

const WAYS: [Way; 2] = [Way::Socket, Way::Serial];

#[test]
fn exec_carries_stdin_stdout_stderr_and_the_exit_status() {
    let machine = Machine::start();
    let data = noise(5_000_000, 11);
    for way in WAYS {
        let cat = machine.run(way, &["exec", "-i", "redis@1", "--", "cat"], &data);
        assert!(
            cat.expect(0).stdout == data,
            "{} bytes of {}",
            cat.stdout.len(),
            data.len()
        );
        let both = machine.run(
            way,
            &[
                "exec",
                "redis@1",
                "sh",
                "-c",
                "echo out; echo err >&2; exit 7",
            ],
            b"",
        );
        assert_eq!(
            (both.expect(7).text().as_str(), both.stderr.as_str()),
            ("out\n", "err\n")
        );
        let killed = machine.run(way, &["exec", "redis@1", "sh", "-c", "kill -9 $$"], b"");
        killed.expect(137);
        let env = machine.run(
            way,
            &[
                "exec",
                "-e",
                "COLOUR=blue",
                "redis@1",
                "sh",
                "-c",
                "echo $COLOUR",
            ],
            b"",
        );
        assert_eq!(env.expect(0).text(), "blue\n");
        machine
            .run(way, &["exec", "nothing", "true"], b"")
            .expect(3);
    }
}

#[test]
fn exec_of_what_cannot_be_started_ends_as_in_a_shell() {
    let machine = Machine::start();
    for way in WAYS {
        for (command, status, why) in [
            ("no-such-command", 127, "command not found"),
            ("/etc", 126, "is a folder"),
        ] {
            let ran = machine.run(way, &["exec", "redis@1", command], b"");
            assert!(ran.expect(status).stderr.contains(why), "{}", ran.stderr);
            assert!(ran.stdout.is_empty());
        }
    }
}

#[test]
fn exec_without_i_has_an_empty_stdin() {
    let machine = Machine::start();
    for way in WAYS {
        let ran = machine.run(way, &["exec", "redis@1", "wc", "-c"], b"not for you");
        assert_eq!(ran.expect(0).text().trim(), "0");
    }
}

#[test]
fn a_command_that_stops_reading_does_not_stop_the_rest() {
    let machine = Machine::start();
    let data = noise(3_000_000, 3);
    for way in WAYS {
        let ran = machine.run(
            way,
            &[
                "exec",
                "-i",
                "redis@1",
                "--",
                "sh",
                "-c",
                "head -c 5; exec <&-; sleep 0.2; echo end",
            ],
            &data,
        );
        assert!(ran.expect(0).stdout.ends_with(b"end\n"));
    }
}

#[test]
fn a_process_left_behind_does_not_hold_up_the_end() {
    let machine = Machine::start();
    for way in WAYS {
        let since = Instant::now();
        let ran = machine.run(
            way,
            &["exec", "redis@1", "sh", "-c", "sleep 30 & echo started"],
            b"",
        );
        assert_eq!(ran.expect(0).text(), "started\n");
        assert!(since.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn archives_arrive_whole_however_they_come() {
    let machine = Machine::start();
    let data = noise(100_000_000, 5);
    let file = machine.folder().join("image.tar");
    std::fs::write(&file, &data).unwrap();
    for way in WAYS {
        let since = Instant::now();
        let ran = machine.run(way, &["image", "load", file.to_str().unwrap()], b"");
        assert_eq!(ran.expect(0).text(), "reading\n");
        println!("{way:?}: 100 MB in {:?}", since.elapsed());
        assert!(
            machine
                .init
                .seen(|seen| std::mem::take(&mut seen.archive) == data),
            "{way:?}"
        );
        machine
            .run(way, &["image", "load", "-"], &data[..1_000_000])
            .expect(0);
        assert!(
            machine
                .init
                .seen(|seen| std::mem::take(&mut seen.archive) == data[..1_000_000]),
            "{way:?}"
        );
    }
}

#[test]
fn the_name_of_an_image_goes_with_its_archive() {
    let machine = Machine::start();
    let data = noise(100_000, 5);
    let file = machine.folder().join("image.tar");
    std::fs::write(&file, &data).unwrap();
    for way in WAYS {
        let load = ["image", "load", "--name", "app:1", file.to_str().unwrap()];
        machine.run(way, &load, b"").expect(0);
        let (requests, archive) = machine.init.seen(|seen| {
            (
                std::mem::take(&mut seen.requests),
                std::mem::take(&mut seen.archive),
            )
        });
        let name = "docker.io/library/app:1".to_owned();
        assert_eq!(requests, [Request::ImageLoadAs { name }], "{way:?}");
        assert!(archive == data, "{way:?}");
    }
}

#[test]
fn a_layout_folder_is_sent_as_an_archive() {
    let machine = Machine::start();
    let layout = machine.folder().join("layout");
    std::fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    std::fs::write(layout.join("index.json"), "{}").unwrap();
    std::fs::write(layout.join("oci-layout"), "{}").unwrap();
    std::fs::write(layout.join("blobs/sha256/aa"), noise(300_000, 9)).unwrap();
    for way in WAYS {
        machine
            .run(way, &["image", "load", layout.to_str().unwrap()], b"")
            .expect(0);
        let archive = machine.init.seen(|seen| std::mem::take(&mut seen.archive));
        let mut archive = tar::Archive::new(&archive[..]);
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(
            names,
            ["oci-layout", "index.json", "blobs/sha256/aa"],
            "{way:?}"
        );
    }
    let other = machine.run(
        Way::Socket,
        &["image", "load", machine.folder().to_str().unwrap()],
        b"",
    );
    assert!(
        other.expect(1).stderr.contains("not an OCI layout folder"),
        "{}",
        other.stderr
    );
}

#[test]
fn a_refused_archive_is_not_sent_to_its_end() {
    let machine = Machine::start();
    let mut data = noise(50_000_000, 5);
    data[..6].copy_from_slice(b"forged");
    let file = machine.folder().join("image.tar");
    std::fs::write(&file, &data).unwrap();
    for way in WAYS {
        let ran = machine.run(way, &["image", "load", file.to_str().unwrap()], b"");
        assert_eq!(
            ran.expect(1).stderr,
            "keelctl: digest of layer 1 does not match\n"
        );
    }
}

#[test]
fn ctrl_c_ends_following_logs_with_0_and_cancels_the_query() {
    let machine = Machine::start();
    for (number, way) in (1..).zip(WAYS) {
        let mut child = machine
            .keelctl(way, &["logs", "-f", "redis@1"])
            .spawn()
            .unwrap();
        let mut output = child.stdout.take().unwrap();
        output.read_exact(&mut [0; 100]).unwrap();
        signal(&child, Signal::SIGINT);
        output.read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        machine
            .init
            .wait_for("the query is cancelled", |seen| seen.cancelled == number);
    }
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

/// Our own terminal, 31 rows of 97 characters, its mode, and keelctl in front of it.
fn on_terminal(mut command: Command) -> (OpenptyResult, Termios, Child) {
    let size = Winsize {
        ws_row: 31,
        ws_col: 97,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pty = openpty(Some(&size), None).unwrap();
    let before = tcgetattr(&pty.slave).unwrap();
    let end = || Stdio::from(pty.slave.try_clone().unwrap());
    let child = command
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn()
        .unwrap();
    (pty, before, child)
}

/// What is written until `end` comes.
fn read_until(terminal: &mut File, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 256];
    while !text.contains(end) {
        let count = terminal.read(&mut buffer).unwrap();
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    text
}

#[test]
fn exec_with_a_terminal_is_interactive_and_leaves_the_terminal_as_it_was() {
    let machine = Machine::start();
    for way in WAYS {
        // The terminal has its size as soon as keelctl knows of it, which may be after the command has begun.
        let script = "while [ \"$(stty size)\" = '0 0' ]; do sleep 0.01; done; stty size; trap 'stty size; exit 5' WINCH; while read line; do echo \"<$line>\"; done; while :; do sleep 0.05; done";
        let command = machine.keelctl(way, &["exec", "-it", "redis@1", "--", "sh", "-c", script]);
        let (pty, before, mut child) = on_terminal(command);
        let mut terminal = File::from(pty.master.try_clone().unwrap());
        read_until(&mut terminal, "31 97");
        assert!(tcgetattr(&pty.slave).unwrap() != before, "raw mode");
        terminal.write_all(b"hello\r").unwrap();
        read_until(&mut terminal, "<hello>");
        let size = sys::terminal::WindowSize {
            rows: 20,
            columns: 60,
        };
        sys::terminal::set_window_size(std::os::fd::AsFd::as_fd(&pty.master), size).unwrap();
        // The terminal is not keelctl's controlling one here, so that we stand in for the kernel.
        signal(&child, Signal::SIGWINCH);
        read_until(&mut terminal, "20 60");
        assert_eq!(child.wait().unwrap().code(), Some(5), "{way:?}");
        assert!(tcgetattr(&pty.slave).unwrap() == before, "{way:?}");
    }
}

#[test]
fn ctrl_d_ends_the_input_of_a_terminal() {
    let machine = Machine::start();
    for way in WAYS {
        let (pty, _, mut child) =
            on_terminal(machine.keelctl(way, &["exec", "-it", "redis@1", "cat"]));
        let mut terminal = File::from(pty.master.try_clone().unwrap());
        terminal.write_all(b"x\r").unwrap();
        read_until(&mut terminal, "x\r\nx\r\n");
        terminal.write_all(&[4]).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{way:?}");
    }
}

#[test]
fn a_killed_exec_leaves_the_terminal_as_it_was_and_cancels_the_command() {
    let machine = Machine::start();
    for (number, way) in (1..).zip(WAYS) {
        let command = machine.keelctl(
            way,
            &["exec", "-it", "redis@1", "sh", "-c", "echo up; sleep 60"],
        );
        let (pty, before, mut child) = on_terminal(command);
        let mut terminal = File::from(pty.master.try_clone().unwrap());
        read_until(&mut terminal, "up");
        signal(&child, Signal::SIGTERM);
        assert_eq!(child.wait().unwrap().code(), Some(143));
        assert!(tcgetattr(&pty.slave).unwrap() == before, "{way:?}");
        machine
            .init
            .wait_for("the command is cancelled", |seen| seen.cancelled == number);
    }
}

#[test]
fn a_terminal_is_asked_for_only_where_there_is_one() {
    let machine = Machine::start();
    let ran = machine.run(Way::Socket, &["exec", "-it", "redis@1", "sh"], b"");
    assert!(
        ran.expect(2).stderr.contains("use -i without -t"),
        "{}",
        ran.stderr
    );
}

#[test]
fn aborted_sessions_never_confuse_the_next_one() {
    let machine = Machine::start();
    let data = noise(20_000_000, 21);
    let file = machine.folder().join("image.tar");
    std::fs::write(&file, &data).unwrap();
    let load = ["image", "load", file.to_str().unwrap()];
    let flood = ["exec", "redis@1", "--", "yes", "KEELSON\x16 flood"];
    let echo = ["exec", "-i", "redis@1", "--", "cat"];
    for round in 0..24u64 {
        let words: &[&str] = match round % 3 {
            0 => &load,
            1 => &flood,
            _ => &echo,
        };
        let mut command = machine.keelctl(Way::Serial, words);
        let mut child = command
            .stdin(File::open(&file).unwrap())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(3 + round * 7 % 40));
        child.kill().unwrap();
        child.wait().unwrap();
        let probe = noise(200_000, round);
        let ran = machine.run(Way::Serial, &["exec", "-i", "redis@1", "cat"], &probe);
        assert!(ran.expect(0).stdout == probe, "round {round}");
    }
    machine.run(Way::Serial, &load, b"").expect(0);
    assert!(machine.init.seen(|seen| seen.archive == data));
}

#[test]
fn a_flood_that_nobody_reads_does_not_disturb_another_port() {
    let machine = Machine::start();
    let _second =
        support::port::FakePort::start(machine.folder(), 1, &machine.folder().join("pid1.sock"));
    let mut flood = machine
        .keelctl(Way::Serial, &["exec", "redis@1", "yes"])
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    for _ in 0..3 {
        machine.run(Way::Serial, &["ps"], b"").expect(0);
    }
    // Blocked on its own output, and still in command of itself.
    signal(&flood, Signal::SIGTERM);
    assert_eq!(flood.wait().unwrap().code(), Some(143));
    machine
        .init
        .wait_for("the flood is cancelled", |seen| seen.cancelled == 1);
}

#[test]
fn all_ports_taken_is_said_after_a_while() {
    let machine = Machine::start();
    let mut holder = machine
        .keelctl(Way::Serial, &["logs", "-f"])
        .spawn()
        .unwrap();
    holder
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut [0; 10])
        .unwrap();
    let ran = machine.run(Way::Serial, &["ps", "--timeout", "1"], b"");
    assert!(
        ran.expect(4).stderr.contains("all 1 control ports"),
        "{}",
        ran.stderr
    );
    holder.kill().unwrap();
    holder.wait().unwrap();
    machine.run(Way::Serial, &["ps"], b"").expect(0);
}

#[test]
fn a_restarted_relay_ends_the_session_with_a_message() {
    let machine = Machine::start();
    let mut child = machine
        .keelctl(Way::Serial, &["logs", "-f"])
        .spawn()
        .unwrap();
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut [0; 10])
        .unwrap();
    machine
        .port
        .restart_relay(&machine.folder().join("pid1.sock"));
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("connection lost: the stream was broken off"),
        "{stderr}"
    );
    machine.run(Way::Serial, &["ps"], b"").expect(0);
}

#[test]
fn a_machine_without_pid_1_says_so() {
    let machine = Machine::start();
    std::fs::remove_file(machine.folder().join("pid1.sock")).unwrap();
    let ran = machine.run(Way::Serial, &["ps"], b"");
    assert!(
        ran.expect(1).stderr.contains("pid1.sock: No such file"),
        "{}",
        ran.stderr
    );
}
