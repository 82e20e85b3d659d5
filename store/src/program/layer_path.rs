//! The names of a layer's entries as paths below the layer's root.

use crate::program::limits::PATH_BYTES_MAX;

/// A path of an archive as a path below the layer's root: cleaned as text, as Go's path.Clean does it, before any link is
/// looked at. `..` of the root is the root in an absolute path; in another one it leads out. Empty: the root.
pub(crate) fn inner_path(path: &[u8]) -> Result<Vec<u8>, &'static str> {
    if path.len() >= PATH_BYTES_MAX {
        return Err("its path is longer than 4096 bytes");
    }
    let is_absolute = path.starts_with(b"/");
    let mut inner = Vec::with_capacity(path.len());
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => continue,
            b".." if inner.is_empty() && !is_absolute => {
                return Err("its path leads out of the layer (`..`)");
            }
            b".." => {
                let end = inner.iter().rposition(|byte| *byte == b'/');
                inner.truncate(end.unwrap_or(0));
            }
            name => {
                if !inner.is_empty() {
                    inner.push(b'/');
                }
                inner.extend_from_slice(name);
            }
        }
    }
    Ok(inner)
}

/// Folder and name; `None` for the root.
pub(crate) fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    Some(match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    })
}

/// The folders on the way to a path, from the top, and it: `a`, `a/b`, `a/b/c`.
pub(crate) fn prefixes(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let ends = slashes.map(|(slash, _)| slash).chain([path.len()]);
    ends.filter(|end| *end > 0).map(|end| &path[..end])
}

pub(crate) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root() {
        assert_eq!(inner_path(b"./usr//bin/./x/").unwrap(), b"usr/bin/x");
        assert_eq!(inner_path(b"/etc/passwd").unwrap(), b"etc/passwd");
        assert_eq!(inner_path(b"./").unwrap(), b"");
        for bad in [&b".."[..], b"../x", b"a/../../x", b"./../x", b"a/../.."] {
            assert!(inner_path(bad).is_err());
        }
        for (path, clean) in [
            (&b"usr/../f"[..], &b"f"[..]),
            (b"usr/lib/../../f", b"f"),
            (b"usr/lib/..//./f/", b"usr/f"),
            (b"a/..", b""),
            (b"/../f", b"f"),
            (b"/a/../../f", b"f"),
        ] {
            assert_eq!(inner_path(path).unwrap(), clean);
        }
        assert!(inner_path(&[b'a'; 4096]).is_err());
        assert_eq!(split(b"a/b/c"), Some((&b"a/b"[..], &b"c"[..])));
        assert_eq!(split(b"a"), Some((&b""[..], &b"a"[..])));
        let all: Vec<&[u8]> = prefixes(b"a/b/c").collect();
        assert_eq!(all, [&b"a"[..], b"a/b", b"a/b/c"]);
        assert_eq!(prefixes(b"").count(), 0);
    }
}
