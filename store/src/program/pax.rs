//! Extension headers of a tar archive: what they say replaces or adds to the fields of the header after them
//! (POSIX.1-2017, pax, "pax Extended Header"; GNU tar's long names).

use crate::program::sparse::Sparse;
use crate::program::tarball::Time;

/// What extension headers say about the entry that follows them.
#[derive(Default)]
pub(crate) struct Extension {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    pub(crate) mtime: Option<Time>,
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Names of those in forms that no program reads that unpacks images.
    pub(crate) unread_attributes: Vec<Vec<u8>>,
    pub(crate) sparse: Option<PaxSparse>,
}

/// What GNU tar says of a sparse file (GNU tar manual, "PAX Format").
#[derive(Default)]
pub(crate) struct PaxSparse {
    pub(crate) version: (u64, u64),
    /// The entry's own path is made up.
    pub(crate) name: Option<Vec<u8>>,
    /// Its parts; in version 1.0 they stand at the head of the content instead.
    pub(crate) map: Sparse,
    /// Of a part whose length is the next record (version 0.0).
    offset: Option<u64>,
}

impl Extension {
    /// Reads the `length key=value` lines of a pax header.
    pub(crate) fn read_pax(&mut self, document: &[u8]) -> Result<(), &'static str> {
        let mut rest = document;
        while !rest.is_empty() {
            let (key, value, after) =
                pax_record(rest).ok_or("its pax header is not `length key=value` lines")?;
            self.apply(key, value)?;
            rest = after;
        }
        Ok(())
    }

    fn apply(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match key {
            b"path" | b"linkpath" if value.contains(&0) => return Err("its name contains a NUL"),
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(decimal(value).ok_or("its pax size is not a number")?),
            b"uid" => self.uid = Some(decimal(value).ok_or("its pax uid is not a number")?),
            b"gid" => self.gid = Some(decimal(value).ok_or("its pax gid is not a number")?),
            b"mtime" => self.mtime = Some(pax_time(value).ok_or("its pax mtime is not a time")?),
            _ => {
                if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                    let sparse = self.sparse.get_or_insert_default();
                    return sparse.apply(key, value);
                }
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.attributes.push((name.to_vec(), value.to_vec()));
                } else if key.starts_with(b"SCHILY.acl.") || key.starts_with(b"RHT.security.") {
                    // Lists and labels as text, of star and GNU tar.
                    self.unread_attributes.push(key.to_vec());
                }
            }
        }
        Ok(())
    }
}

impl PaxSparse {
    fn apply(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        const WRONG: &str = "what it says of a sparse file is not a number";
        match key {
            b"name" if value.contains(&0) => return Err("its name contains a NUL"),
            b"name" => self.name = Some(value.to_vec()),
            b"major" => self.version.0 = decimal(value).ok_or(WRONG)?,
            b"minor" => self.version.1 = decimal(value).ok_or(WRONG)?,
            b"size" | b"realsize" => self.map.size = decimal(value).ok_or(WRONG)?,
            b"offset" => self.offset = Some(decimal(value).ok_or(WRONG)?),
            b"numbytes" => {
                let offset = self.offset.take();
                let offset = offset.ok_or("a part of a sparse file has no offset")?;
                self.map.add(offset, decimal(value).ok_or(WRONG)?)?;
            }
            b"map" => {
                let mut numbers = value.split(|byte| *byte == b',');
                while let Some(offset) = numbers.next().filter(|text| !text.is_empty()) {
                    let length = numbers.next().ok_or(WRONG)?;
                    let (offset, length) = (decimal(offset), decimal(length));
                    self.map.add(offset.ok_or(WRONG)?, length.ok_or(WRONG)?)?;
                }
            }
            // The number of parts, which are counted anyhow.
            _ => {}
        }
        Ok(())
    }
}

/// `25 path=usr/bin/something\n`, the length counting all of it: key, value, what follows.
fn pax_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&bytes[..space])?).ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &bytes[length..]))
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `1350244992.023960108`, perhaps negative.
fn pax_time(text: &[u8]) -> Option<Time> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    let nanoseconds: u32 = digits.parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Some(Time {
            seconds: seconds.checked_sub(1)?,
            nanoseconds: 1_000_000_000 - nanoseconds,
        });
    }
    Some(Time {
        seconds,
        nanoseconds,
    })
}

/// The content of a GNU long name.
pub(crate) fn cut_at_nul(mut text: Vec<u8>) -> Vec<u8> {
    let end = text
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(text.len());
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_give_length_key_and_value() {
        let mut extension = Extension::default();
        extension
            .read_pax(b"12 path=a=b\n20 mtime=-1.25\n")
            .unwrap_err();
        extension
            .read_pax(b"12 path=a=b\n15 mtime=-1.25\n13 linkpath=\n")
            .unwrap();
        assert_eq!(extension.path.as_deref(), Some(&b"a=b"[..]));
        assert_eq!(extension.link.as_deref(), Some(&b""[..]));
        assert_eq!(
            extension.mtime,
            Some(Time {
                seconds: -2,
                nanoseconds: 750_000_000
            })
        );
        for bad in [
            &b"0 \n"[..],
            b"5 a=b",
            b"99 path=x\n",
            b"path=x\n",
            b"9 size=x\n",
            b"-9 path=x\n",
            b"3 \n",
        ] {
            assert!(
                Extension::default().read_pax(bad).is_err(),
                "{}",
                bad.escape_ascii()
            );
        }
    }
}
