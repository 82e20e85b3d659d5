//! Bad archives and bad days: each ends in one line that says what to do, and changes nothing.

mod common;

use common::{
    Layer, Random, TestFolder, TestImage, archive, gzip, hex, in_mount_namespace, is_root,
    oci_index, small_image, tar_of, zstd,
};
use std::fs;

/// A store with one good image, which every failure must leave alone.
struct Guarded(TestFolder);

impl Guarded {
    fn new() -> Self {
        let folder = TestFolder::new();
        folder.load(&small_image("good", b"good").oci()).succeeded();
        Self(folder)
    }

    #[track_caller]
    fn refuses(&self, bytes: &[u8], message: &[&str]) {
        for outcome in [self.0.load(bytes), self.0.load_stream(bytes)] {
            outcome.failed(message);
            self.is_unchanged();
        }
    }

    #[track_caller]
    fn is_unchanged(&self) {
        assert_eq!(
            fs::read(self.0.only_layer("good").join("etc/motd")).unwrap(),
            b"good"
        );
        assert_eq!(self.0.names("refs").len(), 1);
        assert_eq!(self.0.names("layers").len(), 1);
        assert_eq!(self.0.names("tmp"), [""; 0]);
    }
}

fn replaced(files: &[(String, Vec<u8>)], name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut files = files.to_vec();
    files
        .iter_mut()
        .find(|(candidate, _)| candidate == name)
        .unwrap()
        .1 = bytes.to_vec();
    archive(&files)
}

fn without(files: &[(String, Vec<u8>)], name: &str) -> Vec<u8> {
    archive(
        &files
            .iter()
            .filter(|(candidate, _)| candidate != name)
            .cloned()
            .collect::<Vec<_>>(),
    )
}

#[test]
fn a_forged_layer_is_named_with_both_digests() {
    if !is_root("unpacking images") {
        return;
    }
    let store = Guarded::new();
    let good = tar_of(&[("bin/app", b"good")]);
    let evil = tar_of(&[("bin/app", b"evil")]);
    for (compress, suffix) in [
        ((|bytes| bytes.to_vec()) as fn(&[u8]) -> Vec<u8>, ""),
        (gzip, "+gzip"),
        (zstd, "+zstd"),
    ] {
        let image = TestImage::new("app", &[tar_of(&[("a", b"1")]), good.clone()])
            .compressed(compress, suffix);
        // The blob is another than the manifest says.
        let mut forged = compress(&evil);
        forged.resize(compress(&good).len(), 0);
        let name = format!("blobs/sha256/{}", hex(&compress(&good)));
        let bytes = replaced(&image.oci_files(), &name, &forged);
        store.refuses(
            &bytes,
            &[
                "layer 2 of 2 of docker.io/library/app:latest is damaged or forged",
                &common::digest(&compress(&good)),
                &common::digest(&forged),
            ],
        );
        // The blob is what the manifest says, but not what the configuration says.
        let mut image = image;
        image.layers[1] = compress(&evil);
        store.refuses(
            &image.oci(),
            &[
                "layer 2 of 2",
                "damaged or forged",
                &common::digest(&good),
                &common::digest(&evil),
            ],
        );
        store.refuses(
            &image.docker(),
            &[
                "layer 2 of 2",
                "damaged or forged",
                &common::digest(&good),
                &common::digest(&evil),
            ],
        );
    }
}

#[test]
fn a_forged_manifest_or_configuration_is_named() {
    if !is_root("unpacking images") {
        return;
    }
    let store = Guarded::new();
    let image = small_image("app", b"x");
    let mut other = image.clone();
    other.config["config"]["Cmd"][0] = "/bin/evil".into();
    let config = format!("blobs/sha256/{}", hex(&image.config_bytes()));
    store.refuses(
        &replaced(&image.oci_files(), &config, &other.config_bytes()),
        &[
            "the configuration of docker.io/library/app:latest is damaged or forged",
            &common::digest(&other.config_bytes()),
        ],
    );
    let manifest = format!("blobs/sha256/{}", hex(&image.manifest()));
    store.refuses(
        &replaced(&image.oci_files(), &manifest, &other.manifest()),
        &["the manifest of docker.io/library/app:latest is damaged or forged"],
    );
    let docker_config = format!("{}.json", hex(&image.config_bytes()));
    store.refuses(
        &replaced(&image.docker_files(), &docker_config, &other.config_bytes()),
        &["the configuration of docker.io/library/app:latest is damaged or forged"],
    );
}

#[test]
fn a_truncated_archive_is_named_as_such_wherever_it_ends() {
    if !is_root("unpacking images") {
        return;
    }
    let store = Guarded::new();
    let layer = Layer::new()
        .file("bin/app", &Random(7).bytes(200_000))
        .done();
    let image = TestImage::new("app", &[layer]).compressed(gzip, "+gzip");
    let plain = image.oci();
    for whole in [plain.clone(), gzip(&plain), zstd(&plain), image.docker()] {
        for part in [1_usize, 7, 50, 90] {
            let cut = &whole[..whole.len() * part / 100];
            store.refuses(cut, &["truncated"]);
        }
    }
    store.refuses(&plain[..3], &["not an image archive"]);
    // The archive is whole, a layer in it is not.
    let mut image = image;
    let length = image.layers[0].len() / 2;
    image.layers[0].truncate(length);
    store.refuses(
        &image.oci(),
        &["truncated", "layer 1 of 1 of docker.io/library/app:latest"],
    );
}

#[test]
fn what_is_no_image_archive_is_refused_as_such() {
    if !is_root("unpacking images") {
        return;
    }
    let store = Guarded::new();
    let not = "this is not an image archive";
    store.refuses(b"", &[not]);
    store.refuses(b"hello, I am a text", &[not]);
    store.refuses(&Random(1).bytes(5000), &[not]);
    store.refuses(&gzip(b"hello, I am a text"), &[not]);
    store.refuses(
        &tar_of(&[("etc/passwd", b"root")]),
        &[not, "index.json", "manifest.json"],
    );
    store.refuses(
        &tar_of(&[("repositories", b"{}")]),
        &[not, "older than 1.10"],
    );
    store.refuses(
        &tar_of(&[("manifest.json", b"[]")]),
        &[not, "names no image"],
    );
    store.refuses(
        &tar_of(&[("index.json", b"{")]),
        &["index.json is malformed"],
    );
    store.refuses(
        b"\xfd7zXZ\0\0\0aaaaaaaaaa",
        &["xz compression is not supported"],
    );
    let missing = store.0.path().join("nowhere.tar");
    store
        .0
        .run(&["load", missing.to_str().unwrap()])
        .failed(&["cannot open", "nowhere.tar"]);
    store
        .0
        .run(&["load", store.0.path().to_str().unwrap()])
        .failed(&[not]);
    store.is_unchanged();
}

#[test]
fn a_missing_part_is_named() {
    if !is_root("unpacking images") {
        return;
    }
    let store = Guarded::new();
    let image = small_image("app", b"x");
    let name = |bytes: &[u8]| format!("blobs/sha256/{}", hex(bytes));
    let files = image.oci_files();
    store.refuses(
        &without(&files, &name(&image.config_bytes())),
        &["lacks the configuration of docker.io/library/app:latest"],
    );
    store.refuses(
        &without(&files, &name(&image.manifest())),
        &["lacks the manifest of docker.io/library/app:latest"],
    );
    store.refuses(
        &without(&files, &name(&image.layers[0])),
        &["lacks layer 1 of 1 of docker.io/library/app:latest"],
    );
    let docker = image.docker_files();
    store.refuses(
        &without(&docker, &format!("{}.json", hex(&image.config_bytes()))),
        &["lacks the configuration of"],
    );
    store.refuses(
        &without(&docker, &format!("{}/layer.tar", hex(&image.layers[0]))),
        &["lacks layer 1 of 1"],
    );
}

#[test]
fn what_is_no_container_image_is_refused() {
    if !is_root("unpacking images") {
        return;
    }
    let store = Guarded::new();
    let mut chart = small_image("chart", b"x");
    chart.config_type = "application/vnd.cncf.helm.config.v1+json".to_owned();
    store.refuses(
        &chart.oci(),
        &["`application/vnd.cncf.helm.config.v1+json` is not a container image"],
    );
    let mut strange = small_image("strange", b"x");
    strange.layer_type = "application/vnd.example.layer.v1.squashfs".to_owned();
    store.refuses(
        &strange.oci(),
        &[
            "layer 1 of 1",
            "`application/vnd.example.layer.v1.squashfs` are not supported",
        ],
    );
    let mut few = small_image("few", b"x");
    few.config["rootfs"]["diff_ids"] = serde_json::json!([]);
    store.refuses(&few.oci(), &["names 0 layers, the manifest 1"]);
    let endless = serde_json::json!({"mediaType": "application/vnd.oci.image.index.v1+json", "digest": "sha256:../../x", "size": 1});
    store.refuses(
        &archive(&oci_index(&[endless])),
        &["index.json is malformed", "not a sha256 digest"],
    );
}

#[test]
fn one_bad_image_keeps_all_others_of_its_archive_out() {
    if !is_root("unpacking images") {
        return;
    }
    let store = Guarded::new();
    let (one, mut two) = (small_image("one", b"1"), small_image("two", b"2"));
    two.layers[0] = tar_of(&[("evil", b"")]);
    let mut files = one.blobs();
    files.extend(two.blobs());
    files.extend(oci_index(&[one.descriptor(), two.descriptor()]));
    store.refuses(
        &archive(&files),
        &["layer 1 of 1 of docker.io/library/two:latest is damaged or forged"],
    );
}

#[test]
fn a_full_disk_is_told_with_numbers_and_cleaned_up() {
    if !is_root("mounting a small file system") {
        return;
    }
    let folder = TestFolder::new();
    folder.write("good.tar", &small_image("good", b"good").oci());
    // 12 MiB of zeros are little when compressed: the shortage shows only while unpacking.
    let bomb = Layer::new()
        .file("zeros", &vec![0; 6 << 20])
        .file("more", &vec![0; 6 << 20])
        .done();
    folder.write(
        "big.tar",
        &TestImage::new("big", std::slice::from_ref(&bomb))
            .compressed(gzip, "+gzip")
            .oci(),
    );
    folder.write("plain.tar", &TestImage::new("big", &[bomb]).oci());
    fs::create_dir(folder.path().join("mnt")).unwrap();
    for load in [
        "load $2/big.tar",
        "load $2/plain.tar",
        "load < $2/big.tar",
        "load - < $2/plain.tar",
    ] {
        let piped = load
            .replace("- <", "<")
            .replace("load < $2/plain.tar", "load $2/plain.tar");
        let script = format!(
            "mount -t tmpfs -o size=8m none $2/mnt; $1 --root $2/mnt/images load $2/good.tar >/dev/null
             if $1 --root $2/mnt/images {piped}; then echo loaded; fi
             ls $2/mnt/images/tmp; $1 --root $2/mnt/images ls; cat $2/mnt/images/layers/*/etc/motd"
        );
        let outcome = in_mount_namespace(&folder, &script);
        assert!(outcome.error.contains("no space left in"), "{outcome:?}");
        // A tmpfs is a machine without a state partition: a larger disk would not help it.
        assert!(
            outcome.error.contains("which is in memory")
                && outcome.error.contains("at least 256.0 MiB"),
            "{outcome:?}"
        );
        assert!(
            outcome
                .error
                .contains(" MiB free, at least 12.0 MiB needed; nothing was changed"),
            "{outcome:?}"
        );
        assert!(
            outcome.out.contains("docker.io/library/good:latest") && outcome.out.ends_with("good"),
            "{outcome:?}"
        );
        assert!(!outcome.out.contains("big"), "{outcome:?}");
    }
    let streamed = in_mount_namespace(
        &folder,
        "mount -t tmpfs -o size=8m none $2/mnt; if cat $2/plain.tar | $1 --root $2/mnt/images load; then echo loaded; fi; ls $2/mnt/images/tmp",
    );
    assert!(
        streamed.error.contains("no space left in") && streamed.out.is_empty(),
        "{streamed:?}"
    );
    let inodes = in_mount_namespace(
        &folder,
        "mount -t tmpfs -o size=8m,nr_inodes=14 none $2/mnt; if $1 --root $2/mnt/images load $2/good.tar; then echo loaded; fi",
    );
    assert!(
        inodes.error.contains("no inodes left") && !inodes.out.contains("loaded"),
        "{inodes:?}"
    );
}

#[test]
fn a_read_only_store_can_be_used_but_not_changed() {
    if !is_root("mounting read-only") {
        return;
    }
    let folder = TestFolder::new();
    folder.write("good.tar", &small_image("good", b"good").oci());
    fs::create_dir(folder.path().join("mnt")).unwrap();
    let outcome = in_mount_namespace(
        &folder,
        "mount -t tmpfs none $2/mnt; $1 --root $2/mnt/images load $2/good.tar >/dev/null; mount -o remount,ro $2/mnt
         $1 --root $2/mnt/images ls; if $1 --root $2/mnt/images load $2/good.tar; then echo loaded; fi
         mount -t tmpfs -o ro none $2/mnt; if $1 --root $2/mnt/images load $2/good.tar; then echo loaded; fi",
    );
    assert!(
        outcome.out.contains("docker.io/library/good:latest") && !outcome.out.contains("loaded"),
        "{outcome:?}"
    );
    let lines: Vec<_> = outcome.error.lines().collect();
    assert_eq!(lines.len(), 2, "{outcome:?}");
    assert!(
        lines
            .iter()
            .all(|line| line
                .contains("is read-only, so no image can be loaded; nothing was changed")),
        "{outcome:?}"
    );
}

#[test]
fn a_name_that_is_not_here_is_told_with_the_nearest() {
    if !is_root("unpacking images") {
        return;
    }
    let store = Guarded::new();
    let error = store.0.store().image("goood").unwrap_err().to_string();
    assert_eq!(
        error,
        "image docker.io/library/goood:latest is not on this machine: load it with \"keelctl image load\" \
         (nearest known: docker.io/library/good:latest)"
    );
    fs::remove_dir_all(store.0.only_layer("good")).unwrap();
    let error = store.0.store().image("good").unwrap_err().to_string();
    assert!(
        error.contains("docker.io/library/good:latest is damaged")
            && error.contains("the layer is missing"),
        "{error}"
    );
    // Loading it again mends it.
    store
        .0
        .load(&small_image("good", b"good").oci())
        .succeeded();
    store.is_unchanged();
}
