//! What the measured machine has beside the release: the agent, crun with its libraries, busybox, and units to start.

use crate::Failure;
use crate::boot::Prepared;
use host::build::Profile;
use host::fetch::{self, Freshness, Package};
use std::collections::BTreeMap;
use std::path::PathBuf;

type Files = Vec<(String, u32, Vec<u8>)>;

/// As many as the agent starts for its list of many.
const MORE: u32 = 60;
pub(crate) const IMAGE: &str = "docker.io/library/redis:latest";
/// Where Debian's programs and libraries are, and were before the folders were merged.
const PROGRAMS: [&str; 4] = ["usr/bin", "bin", "usr/sbin", "sbin"];
const LIBRARIES: [&str; 4] = [
    "usr/lib/x86_64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "usr/lib64",
    "lib64",
];

/// The release's initramfs with these files behind it.
///
/// # Errors
/// When they can't be built or fetched.
pub(crate) fn make(prepared: &Prepared) -> Result<PathBuf, Failure> {
    let agent = host::build::program("floor-init", Profile::Os)?;
    let crun = fetch::closure("crun", |name| name.starts_with("lib"), Freshness::Cached)?;
    let busybox = fetch::package("busybox-static", Freshness::Cached)?;
    let mut files: Files = vec![("bench/agent".to_owned(), 0o755, std::fs::read(agent.path)?)];
    for (name, packages) in [
        ("crun", crun.as_slice()),
        ("busybox", std::slice::from_ref(&busybox)),
    ] {
        let path = program(packages, name).ok_or_else(|| format!("no package has {name}"))?;
        files.push((format!("bench/{name}"), 0o755, std::fs::read(path)?));
    }
    for (name, path) in libraries(&crun)? {
        files.push((format!("bench/lib/{name}"), 0o755, std::fs::read(path)?));
    }
    let mut bytes = std::fs::read(&prepared.artefacts.initramfs)?;
    bytes.extend(image::initramfs(files)?);
    let place = prepared.folder().join("launch.img");
    std::fs::write(&place, bytes)?;
    Ok(place)
}

fn program(packages: &[Package], name: &str) -> Option<PathBuf> {
    let places = packages
        .iter()
        .flat_map(|package| PROGRAMS.map(|folder| package.folder.join(folder).join(name)));
    places.into_iter().find(|path| path.is_file())
}

/// Name → file, links followed.
fn libraries(packages: &[Package]) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut found = BTreeMap::new();
    for folder in packages
        .iter()
        .flat_map(|package| LIBRARIES.map(|folder| package.folder.join(folder)))
    {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.contains(".so") && path.is_file() {
                found.insert(name.into_owned(), path.clone());
            }
        }
    }
    // A link out of its package's folder, as the loader has it, is the file of that name elsewhere.
    if !found.contains_key("ld-linux-x86-64.so.2") {
        return Err("no package has ld-linux-x86-64.so.2".into());
    }
    Ok(found)
}

/// Of the names that the agent starts them by (tests/bench/floor/src/launch).
pub(crate) fn units() -> Result<String, Failure> {
    let unit = |words: &str, rest: &str| {
        format!(
            "schema = 1\n\n[unit]\nwanted_by = []\n\n[container]\nimage = \"{IMAGE}\"\n{words}\n\n[resources]\nmemory = \"1G\"\n\n{rest}"
        )
    };
    let once = "user = \"root\"\nentrypoint = [\"/bin/true\"]";
    let oneshot = "[service]\ntype = \"oneshot\"\n";
    let sleeper = unit(
        "user = \"root\"\nentrypoint = [\"/bin/sleep\", \"1000000\"]",
        "[network]\nmode = \"none\"\n",
    );
    let mut units: BTreeMap<String, String> = BTreeMap::from([
        (
            "bench-alone.container.toml",
            unit(once, &format!("{oneshot}\n[network]\nmode = \"none\"\n")),
        ),
        (
            "bench-bridged.container.toml",
            unit(
                once,
                &format!("{oneshot}\n[[ports]]\npublish = \"6391:6379\"\n"),
            ),
        ),
        ("bench-sleeper.container.toml", sleeper.clone()),
        (
            "bench-redis.container.toml",
            unit(
                "",
                "[service]\nrestart_delay = \"10ms\"\nrestart_delay_max = \"10ms\"\n\n[[ports]]\npublish = \"6390:6379\"\n",
            ),
        ),
    ].map(|(name, text)| (name.to_owned(), text)));
    // Together with the four above and without what they need, 63 or so: the size at which lists were slow once.
    units.extend((0..MORE).map(|number| {
        let light = sleeper.replace("1G", "16M");
        (format!("bench-more-{number}.container.toml"), light)
    }));
    Ok(serde_json::to_string(&units)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_in_whichever_folder_its_package_has_it() {
        let folder = std::env::temp_dir().join(format!("keelson-bench-{}", std::process::id()));
        let place = folder.join("bin");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("busybox"), "").unwrap();
        let package = Package {
            name: "busybox-static".to_owned(),
            version: "1".to_owned(),
            sha256: String::new(),
            folder: folder.clone(),
        };
        let found = program(std::slice::from_ref(&package), "busybox");
        assert_eq!(found, Some(place.join("busybox")));
        assert_eq!(program(&[package], "crun"), None);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
