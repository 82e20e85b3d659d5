//! VOLUMEs of an image that lie in what the unit mounts itself: they are not made, for what the unit says counts.
//!
//! Docker and podman mount an anonymous volume at each VOLUME that is not exactly the target of a mount: the data of who mounts
//! a volume on /home/app then goes into another one below it, and is not where it is looked for.

use crate::failure::{At, Fault};
use crate::mounts::{Origin, Planned};
use crate::root::Root;
use std::path::{Path, PathBuf};

/// A VOLUME's path, cleaned as Docker does (path.Clean of Go): absolute, without `.`, `..` and repeated slashes.
pub(crate) fn clean(volume: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in volume.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

/// VOLUMEs that the unit's own mounts stand in for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Covered {
    /// Target of the VOLUME, and of the mount that it lies in.
    volumes: Vec<(String, String)>,
}

impl Covered {
    /// Where links of the image lead is taken into account.
    pub(crate) fn find(root: &Root, planned: &[Planned]) -> Result<Self, Fault> {
        let of = |origin| move |mount: &&Planned| mount.origin == origin;
        if !planned.iter().any(|mount| mount.origin == Origin::Image) {
            return Ok(Self::default());
        }
        let real = |mount: &Planned| -> Result<(PathBuf, String), Fault> {
            let place = sys::path::real(root.as_fd(), Path::new(&mount.target));
            Ok((place.at("look up", &mount.target)?, mount.target.clone()))
        };
        let places = |origin| planned.iter().filter(of(origin)).map(real);
        let units: Result<Vec<_>, Fault> = places(Origin::Unit).collect();
        let images: Result<Vec<_>, Fault> = places(Origin::Image).collect();
        Ok(Self::among(&units?, images?))
    }

    fn among(units: &[(PathBuf, String)], images: Vec<(PathBuf, String)>) -> Self {
        let inside = |(place, volume): (PathBuf, String)| {
            let around = units.iter().filter(|(unit, _)| place.starts_with(unit));
            let nearest = around.max_by_key(|(unit, _)| unit.components().count())?;
            Some((volume, nearest.1.clone()))
        };
        let volumes = images.into_iter().filter_map(inside).collect();
        Self { volumes }
    }

    pub(crate) fn has(&self, mount: &Planned) -> bool {
        mount.origin == Origin::Image
            && self
                .volumes
                .iter()
                .any(|(volume, _)| *volume == mount.target)
    }

    /// For the operator, one line for all of them.
    pub(crate) fn note(&self) -> Option<String> {
        let each = self.volumes.iter();
        let each: Vec<String> = each
            .map(|(volume, unit)| format!("{volume} (in {unit})"))
            .collect();
        let list = each.join(", ");
        (!each.is_empty()).then(|| {
            format!("the image's VOLUME {list} is not made: it lies in what the unit mounts, which keeps what is written there")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(list: &[(&str, &str)]) -> Vec<(PathBuf, String)> {
        let place = |(real, written): &(&str, &str)| (PathBuf::from(real), (*written).to_owned());
        list.iter().map(place).collect()
    }

    #[test]
    fn paths_are_cleaned_as_docker_does() {
        for (written, clean_path) in [
            ("/home/app/../app/", "/home/app"),
            ("data", "/data"),
            ("//a/./b", "/a/b"),
            ("/../..", "/"),
        ] {
            assert_eq!(clean(written), clean_path, "{written}");
        }
    }

    #[test]
    fn what_lies_in_a_mount_of_the_units_is_covered() {
        let units = places(&[("/srv", "/srv"), ("/srv/home", "/home")]);
        let images = places(&[
            ("/srv/home/.state", "/home/.state"),
            ("/srv/x", "/srv/x"),
            ("/srvx", "/srvx"),
            ("/var/lib", "/var/lib"),
        ]);
        let covered = Covered::among(&units, images);
        let note = covered.note().unwrap();
        assert!(
            note.contains("/home/.state (in /home), /srv/x (in /srv) is"),
            "{note}"
        );
        assert_eq!(Covered::among(&units, Vec::new()).note(), None);
    }
}
