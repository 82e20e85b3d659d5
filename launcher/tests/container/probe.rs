//! What runs inside: a list of small commands, each answered by one line or block on standard output.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::ExitCode;

/// First argument that makes this program the probe.
pub(crate) const NAME: &str = "probe";

/// `cat PATH`, `ls PATH`, `stat PATH`, `write PATH TEXT`, `make PATH`, `node PATH MAJOR MINOR`, `send PATH TEXT`, `env NAME`, `cwd`, `fds`, `tty`, `echo TEXT`, `exit N`, `sleep`,
/// `signal PID N` (sends it), `signals N` (waits for so many, and answers with their numbers), `orphans N` (leaves so many behind, which end at once), `zombies`,
/// `leave` (some processes that nobody waits for), `ps` (names and states of all processes),
/// `run FOLDER` (copies this program there and executes it), `options TARGET` (of the mount there), `drop UID`;
/// separated by `--`.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    for command in arguments.split(|argument| argument == "--") {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let answer = match words.as_slice() {
            ["cat", path] => {
                text(fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
            }
            ["ls", path] => text(list(path)),
            ["stat", path] => text(status(path)),
            ["write", path, content] => text(write(path, content)),
            ["make", path] => text(fs::create_dir(path).map(|()| "ok".to_owned())),
            ["node", path, major, minor] => {
                let number = |text: &str| text.parse().unwrap_or(0);
                text(node(path, (number(major), number(minor))))
            }
            ["send", path, content] => text(send(path, content)),
            ["env", name] => std::env::var(name).unwrap_or_else(|_| "unset".to_owned()),
            ["cwd"] => text(std::env::current_dir().map(|path| path.display().to_string())),
            // Less the one that lists them.
            ["fds"] => text(list("/proc/self/fd").map(|names| names.replace(" 3", ""))),
            ["tty"] => {
                text(fs::read_link("/proc/self/fd/0").map(|path| path.display().to_string()))
            }
            ["echo", words] => (*words).to_owned(),
            ["exit", code] => return ExitCode::from(code.parse::<u8>().unwrap_or(99)),
            ["sleep"] => {
                let _ = std::io::stdout().flush();
                std::thread::sleep(std::time::Duration::from_secs(60));
                "woke up".to_owned()
            }
            ["signals", count] => match signals(count.parse().unwrap_or(0)) {
                Ok(()) => return ExitCode::SUCCESS,
                Err(error) => error.to_string(),
            },
            ["signal", pid, signal] => {
                let number = |text: &str| text.parse().unwrap_or(0);
                let sent = sys::signal::send_to_child(number(pid), number(signal));
                text(sent.map(|()| "sent".to_owned()))
            }
            ["orphans", count] => text(orphans(count.parse().unwrap_or(0))),
            ["drop", user] => {
                let user = user.parse().unwrap_or(0);
                text(sys::credentials::become_user(user, user, &[]).map(|()| "dropped".to_owned()))
            }
            ["run", folder] => text(run_in(folder)),
            ["options", target] => text(options(target)),
            ["zombies"] => text(zombies().map(|count| count.to_string())),
            ["leave"] => text(leave()),
            ["orphan", rest @ ..] => text(start(rest).map(|_| "gone".to_owned())),
            ["ps"] => text(processes()),
            ["line"] => {
                let mut byte = [0];
                let mut line = Vec::new();
                while byte != *b"\n" && std::io::stdin().read_exact(&mut byte).is_ok() {
                    line.push(byte[0]);
                }
                String::from_utf8_lossy(&line).trim_end().to_owned()
            }
            unknown => format!("unknown command {unknown:?}"),
        };
        println!("{answer}");
    }
    ExitCode::SUCCESS
}

/// Two generations, in sessions of their own: one that sleeps on, and one that ends by itself at once.
fn leave() -> std::io::Result<String> {
    start(&["orphan", "sleep"])?.wait()?;
    start(&["orphan", "exit", "0"])?.wait()?;
    Ok("left".to_owned())
}

fn start(command: &[&str]) -> std::io::Result<std::process::Child> {
    let mut process = std::process::Command::new(std::env::current_exe()?);
    sys::process::outlive_us(process.arg(NAME).args(command));
    process.spawn()
}

fn processes() -> std::io::Result<String> {
    let mut all = Vec::new();
    for name in list("/proc")?.split(' ') {
        let stat = fs::read_to_string(format!("/proc/{name}/stat")).unwrap_or_default();
        let (Ok(_), Some((start, rest))) = (name.parse::<u32>(), stat.split_once(')')) else {
            continue;
        };
        let command = start.split_once('(').map_or("", |(_, command)| command);
        let state = rest.trim_start().get(..1).unwrap_or("?");
        all.push(format!("{command}:{state}"));
    }
    Ok(all.join(" "))
}

fn signals(count: u32) -> std::io::Result<()> {
    sys::signal::block_all()?;
    println!("waiting");
    for _ in 0..count {
        println!("{}", sys::signal::next()?);
    }
    Ok(())
}

fn orphans(count: u32) -> std::io::Result<String> {
    for _ in 0..count {
        match sys::program::fork()? {
            sys::program::Fork::Child => {
                if let Ok(sys::program::Fork::Child) = sys::program::fork() {
                    // Not before the one in between.
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                sys::program::exit_at_once(0)
            }
            sys::program::Fork::Parent(child) => sys::pidfd::wait(child.pidfd.as_fd())?,
        };
    }
    std::thread::sleep(std::time::Duration::from_millis(200));
    Ok("left".to_owned())
}

fn run_in(folder: &str) -> std::io::Result<String> {
    let copy = format!("{folder}/copy-of-the-probe");
    fs::copy("/proc/self/exe", &copy)?;
    let output = std::process::Command::new(copy)
        .args([NAME, "echo", "ran"])
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Those of the mount itself, of proc_pid_mountinfo(5).
fn options(target: &str) -> std::io::Result<String> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let fields = table.lines().rev().map(|line| line.split(' ').collect());
    let mut found = fields.filter(|fields: &Vec<&str>| fields.get(4) == Some(&target));
    Ok(found
        .next()
        .map_or_else(String::new, |fields| fields[5].to_owned()))
}

/// Processes that have ended and that nobody has asked how.
fn zombies() -> std::io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir("/proc")? {
        let stat = fs::read_to_string(entry?.path().join("stat")).unwrap_or_default();
        count += usize::from(stat.contains(") Z "));
    }
    Ok(count)
}

fn text(result: std::io::Result<String>) -> String {
    match result {
        Ok(text) => text.trim_end().to_owned(),
        Err(error) => format!("errno {}", error.raw_os_error().unwrap_or(0)),
    }
}

fn list(path: &str) -> std::io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.join(" "))
}

fn status(path: &str) -> std::io::Result<String> {
    let status = fs::symlink_metadata(path)?;
    Ok(format!(
        "{:o} {}:{} {}",
        status.permissions().mode(),
        status.uid(),
        status.gid(),
        status.size()
    ))
}

/// Opens without O_CREAT where the file is there, as a shell's `>` on /proc and /dev does not.
fn write(path: &str, content: &str) -> std::io::Result<String> {
    let mut file = if Path::new(path).exists() {
        fs::OpenOptions::new().write(true).open(path)?
    } else {
        fs::File::create(path)?
    };
    file.write_all(content.as_bytes())?;
    Ok("ok".to_owned())
}

fn send(path: &str, content: &str) -> std::io::Result<String> {
    let socket = std::os::unix::net::UnixDatagram::unbound()?;
    socket.send_to(content.as_bytes(), path)?;
    Ok("ok".to_owned())
}

fn node(path: &str, number: (u64, u64)) -> std::io::Result<String> {
    let root = fs::File::open("/")?;
    let name = path.trim_start_matches('/');
    sys::device::make_character(std::os::fd::AsFd::as_fd(&root), name, 0o666, number)?;
    Ok("ok".to_owned())
}
