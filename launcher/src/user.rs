//! Who runs the workload: `uid[:gid]` or `name[:group]`, looked up in the container's own /etc/passwd and /etc/group.

use crate::failure::{At, Fault};
use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::path::Path;
use sys::path::{self, Kind, Links};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// Most bytes read of either file: they come from an image, and 100,000 users fit.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// Ids as setresuid(2) takes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary ones.
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// Look the text up below `root`. Empty: root.
pub(crate) fn find(root: BorrowedFd<'_>, text: &str) -> Result<User, Fault> {
    let passwd = read(root, PASSWD)?;
    let group = read(root, GROUP)?;
    resolve(text, &passwd, &group)
}

/// An image without the file has no names.
fn read(root: BorrowedFd<'_>, name: &str) -> Result<String, Fault> {
    // Not O_PATH, so a FIFO or a device must not keep us waiting.
    let flags = sys::path::READ | sys::path::NONBLOCK;
    let found = match path::open(root, Path::new(name), flags, Links::Follow) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        other => other.at("open", name)?,
    };
    let file = File::from(found);
    if path::kind(std::os::fd::AsFd::as_fd(&file)).at("look at", name)? != Kind::File {
        return Err(Fault::invalid(name, "is not a file in the image"));
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .at("read", name)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The rules are runc's: a number need not be in the file; a group that is named leaves the supplementary ones out.
fn resolve(text: &str, passwd: &str, group: &str) -> Result<User, Fault> {
    let (user_text, group_text) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
        None => (text, None),
    };
    let user_text = if user_text.is_empty() { "0" } else { user_text };
    let number = user_text.parse::<u32>().ok();
    let entries = || passwd.lines().filter_map(PasswdEntry::parse);
    let entry = entries()
        .find(|entry| entry.name == user_text)
        .or_else(|| entries().find(|entry| Some(entry.uid) == number));
    let uid = match (&entry, number) {
        (Some(entry), _) => entry.uid,
        (None, Some(number)) => number,
        (None, None) => {
            return Err(Fault::invalid(
                PASSWD,
                format!("the image has no user {user_text}; give a number or a name that it has"),
            ));
        }
    };
    let groups = || group.lines().filter_map(GroupEntry::parse);
    let gid = match group_text {
        None => entry.as_ref().map_or(0, |entry| entry.gid),
        Some(text) => {
            let number = text.parse::<u32>().ok();
            let found = groups().find(|entry| entry.name == text);
            found.map(|entry| entry.gid).or(number).ok_or_else(|| {
                Fault::invalid(
                    GROUP,
                    format!("the image has no group {text}; give a number or a name that it has"),
                )
            })?
        }
    };
    let mut supplementary = Vec::new();
    if let (Some(entry), None) = (&entry, group_text) {
        let member =
            |found: &GroupEntry<'_>| found.members.split(',').any(|name| name == entry.name);
        supplementary = groups().filter(member).map(|found| found.gid).collect();
    }
    for id in [uid, gid].iter().chain(&supplementary) {
        if *id > unit::ID_MAX {
            return Err(Fault::invalid(PASSWD, format!("{id} is not an id")));
        }
    }
    Ok(User {
        uid,
        gid,
        groups: supplementary,
        home: entry
            .map(|entry| entry.home)
            .filter(|home| !home.is_empty())
            .unwrap_or("/")
            .to_owned(),
    })
}

/// A line of passwd(5).
struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> PasswdEntry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or_default();
        Some(Self {
            name,
            uid,
            gid,
            home,
        })
    }
}

/// A line of group(5).
struct GroupEntry<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> GroupEntry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = fields.nth(1)?.parse().ok()?;
        let members = fields.next().unwrap_or_default().trim_end();
        Some(Self { name, gid, members })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD_TEXT: &str = "root:x:0:0:root:/root:/bin/sh\n# comment\nbroken:x\nredis:x:999:998::/var/lib/redis:\n100:x:7:7::/:\n";
    const GROUP_TEXT: &str = "root:x:0:\nredis:x:998:\nssl:x:50:a,redis\nadm:x:4:root,redis\n";

    fn user(text: &str) -> Result<User, String> {
        resolve(text, PASSWD_TEXT, GROUP_TEXT).map_err(|fault| fault.to_string())
    }

    fn ids(text: &str) -> (u32, u32, Vec<u32>) {
        let user = user(text).unwrap();
        (user.uid, user.gid, user.groups)
    }

    #[test]
    fn names_and_numbers_are_looked_up() {
        assert_eq!(ids(""), (0, 0, vec![4]));
        assert_eq!(ids("redis"), (999, 998, vec![50, 4]));
        assert_eq!(ids("999"), (999, 998, vec![50, 4]));
        assert_eq!(user("redis").unwrap().home, "/var/lib/redis");
    }

    #[test]
    fn a_named_group_leaves_the_supplementary_ones_out() {
        assert_eq!(ids("redis:ssl"), (999, 50, vec![]));
        assert_eq!(ids("redis:77"), (999, 77, vec![]));
        assert_eq!(ids("redis:"), (999, 998, vec![50, 4]));
    }

    #[test]
    fn a_number_need_not_be_known() {
        assert_eq!(ids("4242"), (4242, 0, vec![]));
        assert_eq!(ids("4242:4343"), (4242, 4343, vec![]));
        assert_eq!(user("4242").unwrap().home, "/");
    }

    #[test]
    fn a_name_that_looks_like_a_number_wins() {
        assert_eq!(ids("100"), (7, 7, vec![]));
    }

    #[test]
    fn an_unknown_name_and_an_impossible_id_are_errors() {
        assert!(user("nobody").unwrap_err().contains("no user nobody"));
        assert!(
            user("redis:nogroup")
                .unwrap_err()
                .contains("no group nogroup")
        );
        assert!(user("4294967295").is_err());
        assert!(user("-1").is_err());
        assert!(resolve("redis", "", "").is_err());
    }
}
