//! Preload, list, remove, garbage collection, and interruptions.

mod common;

use common::{
    Layer, Outcome, Random, TestFolder, TestImage, gzip, hex, in_mount_namespace, is_root,
    small_image, tar_of,
};
use std::fs;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::process::Stdio;
use std::time::Duration;

#[test]
fn an_archive_of_the_release_is_loaded_once() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let release = folder.path().join("preload");
    fs::create_dir(&release).unwrap();
    let preload = || folder.run(&["preload", "--from", release.to_str().unwrap()]);
    preload().succeeded();
    let archive = small_image("redis", b"x").oci();
    let index = serde_json::json!([
        {"file": "missing.tar", "sha256": "00".repeat(32)},
        {"file": "redis.tar", "sha256": hex(&archive)},
    ]);
    fs::write(release.join("index.json"), index.to_string()).unwrap();
    fs::write(release.join("redis.tar"), &archive).unwrap();
    // One that fails doesn't keep the others out.
    let first = preload().failed(&["cannot open", "missing.tar"]);
    assert!(
        first.out.contains("loaded docker.io/library/redis:latest"),
        "{first:?}"
    );
    // It is not opened again: the release's memory is given back by then.
    fs::remove_file(release.join("redis.tar")).unwrap();
    let second = preload().failed(&["missing.tar"]);
    assert_eq!(second.out, "loading missing.tar\n");
    // What the operator removed stays removed.
    folder.run(&["rm", "redis"]).succeeded();
    preload().failed(&["missing.tar"]);
    assert_eq!(folder.names("refs"), [""; 0]);
    fs::write(
        release.join("index.json"),
        r#"[{"file":"../x","sha256":"00"}]"#,
    )
    .unwrap();
    preload().failed(&["index.json is malformed"]);
}

#[test]
fn images_of_the_release_and_of_the_operator_are_loaded_at_the_same_time() {
    const ARCHIVES: usize = 60;
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let release = folder.path().join("preload");
    fs::create_dir(&release).unwrap();
    let items: Vec<_> = (0..ARCHIVES)
        .map(|number| {
            let archive = small_image(&format!("own{number}"), b"x").oci();
            let file = format!("{number}.tar");
            fs::write(release.join(&file), &archive).unwrap();
            serde_json::json!({"file": file, "sha256": hex(&archive)})
        })
        .collect();
    fs::write(
        release.join("index.json"),
        serde_json::json!(items).to_string(),
    )
    .unwrap();
    let other = folder.write("other.tar", &small_image("other", b"y").oci());
    let mut preload = folder
        .command()
        .args(["preload", "--from", release.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while preload.try_wait().unwrap().is_none() {
        folder.run(&["load", other.to_str().unwrap()]).succeeded();
    }
    let preload = preload.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&preload.stderr);
    assert!(preload.status.success(), "{told}");
    assert_eq!(folder.names("preloaded.2").len(), ARCHIVES);
    assert_eq!(folder.names("refs").len(), ARCHIVES + 1);
}

#[test]
fn the_list_says_what_is_here() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    assert_eq!(folder.run(&["ls", "--json"]).succeeded().out, "[]\n");
    let layer = tar_of(&[("a", &[1; 1000]), ("b", &[2; 24])]);
    let image = TestImage::new("app:1", &[layer.clone(), tar_of(&[("c", b"3")]), layer])
        .compressed(gzip, "+gzip");
    folder.load(&image.oci()).succeeded();
    let listed: serde_json::Value =
        serde_json::from_str(&folder.run(&["ls", "--json"]).succeeded().out).unwrap();
    let expected = serde_json::json!([{
        "reference": "docker.io/library/app:1", "digest": common::digest(&image.manifest()), "size": 1025, "layers": 3,
        "created": "2026-01-02T03:04:05Z",
    }]);
    assert_eq!(listed, expected);
    let table = folder.run(&["ls"]).succeeded().out;
    assert!(
        table.starts_with("REFERENCE") && table.contains("1.0 KiB"),
        "{table}"
    );
    fs::write(folder.root().join("refs/broken"), "{").unwrap();
    let partly = folder.run(&["ls"]).failed(&["image broken is damaged"]);
    assert!(partly.out.contains("app:1"), "{partly:?}");
}

#[test]
fn gc_removes_what_no_reference_needs_and_nothing_else() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let shared = tar_of(&[("shared", b"1")]);
    folder
        .load(&TestImage::new("one", &[shared.clone(), tar_of(&[("one", b"1")])]).oci())
        .succeeded();
    folder
        .load(&TestImage::new("two", &[shared, tar_of(&[("two", b"2")])]).oci())
        .succeeded();
    assert_eq!(
        folder.run(&["gc"]).succeeded().out,
        "removed 0 layers and 0 blobs\n"
    );
    folder.run(&["rm", "oone"]).failed(&[
        "docker.io/library/oone:latest is not on this machine",
        "nearest known: docker.io/library/one:latest",
    ]);
    folder.run(&["rm", "one"]).succeeded();
    assert_eq!(folder.names("layers").len(), 3);
    assert_eq!(
        folder.run(&["gc"]).succeeded().out,
        "removed 1 layers and 2 blobs\n"
    );
    assert_eq!(folder.store().image("two").unwrap().layers.len(), 2);
    assert_eq!(
        (
            folder.names("layers").len(),
            folder.names("blobs/sha256").len()
        ),
        (2, 2)
    );
    // What a damaged reference needs is unknown.
    fs::write(folder.root().join("refs/broken"), "{").unwrap();
    folder
        .run(&["gc"])
        .failed(&["image broken is damaged", "nothing was removed"]);
    folder.run(&["rm", "two"]).succeeded();
    assert_eq!(folder.names("layers").len(), 2);
}

#[test]
fn gc_leaves_a_mounted_layer_alone() {
    if !is_root("mounting an overlay") {
        return;
    }
    let folder = TestFolder::new();
    folder
        .load(&TestImage::new("x", &[tar_of(&[("a", b"1")]), tar_of(&[("b", b"2")])]).oci())
        .succeeded();
    let image = folder.store().image("x").unwrap();
    let lower = format!(
        "{}:{}",
        image.layers[1].display(),
        image.layers[0].display()
    );
    drop(image);
    folder.run(&["rm", "x"]).succeeded();
    let script = format!(
        "mount -t tmpfs none /mnt; mkdir /mnt/root; mount -t overlay overlay -o lowerdir={lower} /mnt/root
         $1 --root $2/images gc; cat /mnt/root/a /mnt/root/b"
    );
    let mounted = in_mount_namespace(&folder, &script).succeeded();
    assert_eq!(
        mounted.out,
        "removed 0 layers and 2 blobs\nkept 2 unused layers that containers have mounted\n12"
    );
    assert_eq!(
        folder.run(&["gc"]).succeeded().out,
        "removed 2 layers and 0 blobs\n"
    );
}

#[test]
fn gc_waits_for_who_is_using_an_image() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    folder.load(&small_image("x", b"x").oci()).succeeded();
    let image = folder.store().image("x").unwrap();
    let mut gc = folder
        .command()
        .args(["rm", "x"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(gc.try_wait().unwrap().is_none(), "it didn't wait");
    // Loading only adds, so it doesn't wait for users, nor they for it.
    assert!(image.layers[0].is_dir());
    drop(image);
    assert!(gc.wait().unwrap().success());
}

/// A load that is killed anywhere leaves the old images usable, the next load succeeds, and gc finds the rest.
#[test]
fn a_load_can_be_killed_at_any_moment() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    folder.load(&small_image("old", b"old").oci()).succeeded();
    let mut random = Random(0x5eed);
    let layers: Vec<Vec<u8>> = (0..4)
        .map(|layer| {
            let mut tar = Layer::new();
            for file in 0..40 {
                tar = tar.file(&format!("{layer}/{file}"), &random.bytes(4000));
            }
            tar.done()
        })
        .collect();
    let image = TestImage::new("new", &layers).compressed(gzip, "+gzip");
    let archive = image.oci();
    let path = folder.write("new.tar", &archive);
    let whole = std::time::Instant::now();
    folder
        .run(&["load", path.to_str().unwrap(), "--name", "timing"])
        .succeeded();
    let whole = whole.elapsed();
    folder.run(&["rm", "timing"]).succeeded();
    folder.run(&["rm", "new"]).succeeded();
    folder.run(&["gc"]).succeeded();

    let mut finished = 0;
    for round in 0..60 {
        let mut command = folder.command();
        command.arg("load").stdout(Stdio::null());
        if round % 2 == 0 {
            // Through a pipe that ends the process at an exact byte.
            let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
            let mut pipe = child.stdin.take().unwrap();
            pipe.write_all(&archive[..random.below(archive.len())])
                .unwrap();
            child.kill().unwrap();
            child.wait().unwrap();
        } else {
            let mut child = command.arg(&path).spawn().unwrap();
            let nanoseconds = u64::try_from(whole.as_nanos()).unwrap();
            std::thread::sleep(Duration::from_nanos(random.next() % nanoseconds));
            child.kill().unwrap();
            finished += i32::from(child.wait().unwrap().success());
        }
        assert_eq!(
            fs::read(folder.only_layer("old").join("etc/motd")).unwrap(),
            b"old"
        );
        // Either the whole image is here, or nothing of it can be seen.
        if let Ok(seen) = folder.store().image("new") {
            assert_whole(&seen);
        }
        if round % 5 == 0 {
            folder.run(&["load", path.to_str().unwrap()]).succeeded();
            assert_whole(&folder.store().image("new").unwrap());
            assert_eq!(folder.names("tmp"), [""; 0]);
            folder.run(&["rm", "new"]).succeeded();
            folder.run(&["gc"]).succeeded();
            assert_eq!(
                (
                    folder.names("layers").len(),
                    folder.names("blobs/sha256").len()
                ),
                (1, 2)
            );
        } else if folder.store().image("new").is_ok() {
            folder.run(&["rm", "new"]).succeeded();
        }
    }
    println!("{finished} of 30 loads had finished before they were killed");
}

fn assert_whole(image: &store::Image) {
    assert_eq!(image.layers.len(), 4);
    for (index, layer) in image.layers.iter().enumerate() {
        let files = fs::read_dir(layer.join(index.to_string())).unwrap();
        assert!(
            files
                .map(|file| file.unwrap().metadata().unwrap().len())
                .eq([4000; 40])
        );
    }
}

#[test]
fn two_loads_at_the_same_time_both_succeed() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let paths: Vec<_> = (0..4)
        .map(|index| {
            folder.write(
                &format!("{index}.tar"),
                &small_image(&format!("i{index}"), &[index]).oci(),
            )
        })
        .collect();
    let children: Vec<_> = paths
        .iter()
        .map(|path| {
            folder
                .command()
                .arg("load")
                .arg(path)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in children {
        Outcome::of(child.wait_with_output().unwrap()).succeeded();
    }
    assert_eq!(folder.names("refs").len(), 4);
}

#[test]
fn a_wrong_command_line_is_told_with_the_usage() {
    let folder = TestFolder::new();
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["load", "a", "b"],
        &["load", "--name"],
        &["--strange", "ls"],
    ] {
        let outcome = folder.run(arguments);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.error.contains("usage: store"), "{outcome:?}");
    }
}

/// As an older release had left them: other content, nothing that tells of the layers' form.
fn age(folder: &TestFolder, image: &str) {
    for layer in folder.store().image(image).unwrap().layers {
        let file = fs::File::open(&layer).unwrap();
        // Not what this release writes there.
        sys::xattr::set(file.as_fd(), c"trusted.keelson.layer", b"").unwrap();
        fs::write(layer.join("etc/motd"), b"wrong").unwrap();
    }
    let _ = fs::rename(
        folder.root().join("preloaded.2"),
        folder.root().join("preloaded"),
    );
}

#[test]
fn an_archive_that_an_older_release_loaded_is_loaded_once_more() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let release = folder.path().join("preload");
    fs::create_dir(&release).unwrap();
    let names = ["stays", "removed", "replaced", "latest"];
    let images = names.map(|name| small_image(name, name.as_bytes()));
    let items: Vec<_> = images
        .iter()
        .map(|image| {
            let (file, archive) = (format!("{}.tar", image.name), image.oci());
            fs::write(release.join(&file), &archive).unwrap();
            serde_json::json!({"file": file, "sha256": hex(&archive)})
        })
        .collect();
    let index = serde_json::json!(items).to_string();
    fs::write(release.join("index.json"), index).unwrap();
    let preload = || {
        folder
            .run(&["preload", "--from", release.to_str().unwrap()])
            .succeeded()
    };
    preload();
    let nameless = common::digest(&images[3].manifest());
    age(&folder, "stays");
    age(&folder, &nameless);
    folder.run(&["rm", "removed"]).succeeded();
    folder
        .load(&small_image("replaced", b"the operator's").oci())
        .succeeded();
    preload();
    let motd = |name: &str| fs::read(folder.only_layer(name).join("etc/motd")).unwrap();
    assert_eq!(motd("stays"), b"stays");
    assert_eq!(motd(&nameless), b"latest");
    assert_eq!(motd("replaced"), b"the operator's");
    assert!(folder.store().image("removed").is_err());
    assert_eq!(folder.names("tmp"), [""; 0]);
    assert_eq!(preload().out, "", "once");
}

#[test]
fn a_layer_of_an_older_release_stays_while_a_container_has_it_mounted() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let archive = folder.write("archive", &small_image("x", b"right").oci());
    folder.run(&["load", archive.to_str().unwrap()]).succeeded();
    age(&folder, "x");
    let layer = folder.only_layer("x");
    let script = format!(
        "mkdir {folder}/empty {folder}/m && mount -t overlay overlay -o lowerdir={layer}:{folder}/empty {folder}/m && \
         {store} --root {root} load {archive} && cat {folder}/m/etc/motd",
        folder = folder.path().display(),
        layer = layer.display(),
        store = env!("CARGO_BIN_EXE_store"),
        root = folder.root().display(),
        archive = archive.display(),
    );
    let mounted = in_mount_namespace(&folder, &script).succeeded();
    assert!(
        mounted.out.contains("stays as an older release") && mounted.out.ends_with("wrong"),
        "{mounted:?}"
    );
    folder.run(&["load", archive.to_str().unwrap()]).succeeded();
    assert_eq!(fs::read(layer.join("etc/motd")).unwrap(), b"right");
}
