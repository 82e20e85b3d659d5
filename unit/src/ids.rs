//! Ids of users and groups: the largest that there is, for the check and the launcher.

/// The largest id. The next number is `(uid_t) -1`, which setresuid(2) and chown(2) read as "leave it as it is".
pub const ID_MAX: u32 = u32::MAX - 1;

/// What is wrong with a text as user or group, if it is one half of `uid[:gid]` or `name[:group]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdFault {
    /// It is neither a number nor a name.
    Form,
    /// A number with a sign.
    Signed,
    /// A number above [`ID_MAX`].
    TooLarge,
}

/// Names are looked up in the container when it starts; here only their form is checked.
pub(crate) fn check(text: &str) -> Result<(), IdFault> {
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    if digits(text) {
        let id = text.parse::<u32>().ok().filter(|id| *id <= ID_MAX);
        return id.map(|_| ()).ok_or(IdFault::TooLarge);
    }
    if text.strip_prefix(['-', '+']).is_some_and(digits) {
        return Err(IdFault::Signed);
    }
    // A `$` at the end is Samba's mark of a machine's account; useradd(8) allows it there and nowhere else.
    let name = text.strip_suffix('$').unwrap_or(text);
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '$' | ':');
    let good = !name.is_empty() && !name.starts_with(['-', '+']) && !name.contains(bad);
    good.then_some(()).ok_or(IdFault::Form)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_id_is_the_last_that_the_kernel_takes() {
        assert_eq!(check("4294967294"), Ok(()));
        for large in ["4294967295", "4294967296", "99999999999999999999"] {
            assert_eq!(check(large), Err(IdFault::TooLarge), "{large}");
        }
        for signed in ["-1", "-1000", "+5"] {
            assert_eq!(check(signed), Err(IdFault::Signed), "{signed}");
        }
        for name in ["root", "www-data", "_apt", "HOST$", "0x10", "1a"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for bad in ["", "a b", "a/b", "$USER", "${UID}", "-x", "$"] {
            assert_eq!(check(bad), Err(IdFault::Form), "{bad}");
        }
    }
}
