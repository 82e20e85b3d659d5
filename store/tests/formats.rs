//! Every format that images come in leads to the same image.

mod common;

use common::{
    Layer, TestFolder, TestImage, archive, gzip, hex, is_root, oci_index, small_image, tar_of, zstd,
};
use std::fs;

#[test]
fn every_format_and_compression_gives_the_same_layers() {
    if !is_root("unpacking images") {
        return;
    }
    let layers = [
        tar_of(&[("bottom", b"1"), ("same", b"1")]),
        tar_of(&[("same", b"2")]),
    ];
    let plain = TestImage::new("app:1", &layers);
    let gzipped = plain.clone().compressed(gzip, "+gzip");
    let zstandard = plain.clone().compressed(zstd, "+zstd");
    for (image, what) in [(&plain, "plain"), (&gzipped, "gzip"), (&zstandard, "zstd")] {
        for (bytes, format) in [(image.oci(), "oci"), (image.docker(), "docker")] {
            for (outer, outer_name) in [
                (bytes.clone(), "plain"),
                (gzip(&bytes), "gzip"),
                (zstd(&bytes), "zstd"),
            ] {
                for streamed in [false, true] {
                    let context = format!(
                        "{format} in {outer_name} with {what} layers, streamed: {streamed}"
                    );
                    let folder = TestFolder::new();
                    let outcome = if streamed {
                        folder.load_stream(&outer)
                    } else {
                        folder.load(&outer)
                    };
                    assert!(outcome.ok, "{context}: {outcome:?}");
                    assert!(
                        outcome
                            .out
                            .contains("loaded docker.io/library/app:1 sha256:"),
                        "{context}: {outcome:?}"
                    );
                    let image = folder.store().image("app:1").unwrap();
                    assert_eq!(image.config.cmd, ["/bin/true"]);
                    assert_eq!(image.config.created, "2026-01-02T03:04:05Z");
                    let names: Vec<_> = image
                        .layers
                        .iter()
                        .map(|layer| layer.file_name().unwrap().to_str().unwrap().to_owned())
                        .collect();
                    assert_eq!(
                        names,
                        layers.iter().map(|layer| hex(layer)).collect::<Vec<_>>(),
                        "{context}"
                    );
                    assert_eq!(
                        fs::read(image.layers[1].join("same")).unwrap(),
                        b"2",
                        "{context}"
                    );
                    assert_eq!(folder.names("tmp"), [""; 0], "{context}");
                }
            }
        }
    }
}

#[test]
fn a_layout_folder_is_loaded_and_found_by_digest() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let image = small_image("registry.example/team/app:2", b"hello").compressed(gzip, "+gzip");
    let layout = folder.path().join("layout");
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    for (name, bytes) in image.oci_files() {
        fs::write(layout.join(name), bytes).unwrap();
    }
    folder.run(&["load", layout.to_str().unwrap()]).succeeded();
    let digest = folder
        .store()
        .image("registry.example/team/app:2")
        .unwrap()
        .digest;
    assert_eq!(digest, common::digest(&image.manifest()));
    for reference in [
        format!("registry.example/team/app@{digest}"),
        digest.clone(),
    ] {
        assert_eq!(folder.store().image(&reference).unwrap().digest, digest);
    }
}

#[test]
fn an_image_of_several_platforms_is_loaded_for_this_one() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let ours = small_image("x", b"amd64");
    let mut descriptors = Vec::new();
    for (architecture, variant) in [("arm64", None), ("amd64", Some("v3")), ("amd64", None)] {
        let mut descriptor = ours.descriptor();
        descriptor["platform"] =
            serde_json::json!({"os": "linux", "architecture": architecture, "variant": variant});
        if variant.is_some() || architecture == "arm64" {
            // Not in the archive, as after `docker pull` for one platform.
            descriptor["digest"] = common::digest(architecture.as_bytes()).into();
        }
        descriptors.push(descriptor);
    }
    let mut attestation = ours.descriptor();
    attestation["platform"] = serde_json::json!({"os": "unknown", "architecture": "unknown"});
    attestation["annotations"] =
        serde_json::json!({"vnd.docker.reference.type": "attestation-manifest"});
    descriptors.push(attestation);
    let nested = serde_json::json!({"schemaVersion": 2, "manifests": descriptors})
        .to_string()
        .into_bytes();
    let mut files = ours.blobs();
    files.push((format!("blobs/sha256/{}", hex(&nested)), nested.clone()));
    files.extend(oci_index(&[serde_json::json!({
        "mediaType": "application/vnd.oci.image.index.v1+json", "digest": common::digest(&nested), "size": nested.len(),
        "annotations": {"io.containerd.image.name": "docker.io/library/multi:3", "org.opencontainers.image.ref.name": "3"},
    })]));
    folder.load(&archive(&files)).succeeded();
    assert_eq!(
        fs::read(folder.only_layer("multi:3").join("etc/motd")).unwrap(),
        b"amd64"
    );
}

#[test]
fn an_image_without_a_name_goes_by_its_digest_until_it_gets_one() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let nameless = small_image("latest", b"x");
    let digest = common::digest(&nameless.manifest());
    let outcome = folder.load(&nameless.oci()).succeeded();
    assert!(
        outcome.out.contains(&format!("loaded {digest} {digest}")),
        "{outcome:?}"
    );
    let path = folder.path().join("archive");
    folder
        .run(&["load", path.to_str().unwrap(), "--name", "named"])
        .succeeded();
    assert_eq!(folder.store().image("named:latest").unwrap().digest, digest);
    folder
        .run(&["load", path.to_str().unwrap(), "--name", &digest])
        .failed(&["--name takes a name", "is a digest; nothing was changed"]);
}

#[test]
fn a_name_is_added_to_those_of_the_archive() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let path = folder.write("archive", &small_image("own:1", b"x").docker());
    let load = |name| folder.run(&["load", path.to_str().unwrap(), "--name", name]);
    load("further").succeeded();
    load("own:1").succeeded();
    assert_eq!(
        folder.names("refs"),
        [
            "docker.io+library+further:latest",
            "docker.io+library+own:1"
        ]
    );
}

#[test]
fn an_image_is_found_by_the_id_of_its_manifest_or_configuration() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let (one, two) = (small_image("latest", b"1"), small_image("two:2", b"2"));
    let outcome = folder.load(&one.oci()).succeeded();
    folder.load(&two.oci()).succeeded();
    let manifest = common::digest(&one.manifest());
    let config = common::digest(&one.config_bytes());
    assert!(
        outcome
            .out
            .contains(&format!("image = \"{}\"", &manifest[..19])),
        "{outcome:?}"
    );
    for id in [
        &manifest,
        &manifest[..19],
        &manifest[..30],
        &config,
        &config[..19],
    ] {
        assert_eq!(folder.store().image(id).unwrap().digest, manifest, "{id}");
    }
    let named = common::digest(&two.manifest());
    assert_eq!(folder.store().image(&named[..19]).unwrap().digest, named);
    let fault = |id: &str| folder.store().image(id).unwrap_err().to_string();
    assert!(fault(&manifest[..18]).contains("12 to 64 digits"));
    let unknown = fault("sha256:000000000000");
    assert!(
        unknown.starts_with("image sha256:000000000000 is not on this machine")
            && unknown.contains(&manifest),
        "{unknown}"
    );
    // As Docker would take it.
    let bare = fault(&manifest[7..19]);
    assert!(
        bare.contains(&format!("(nearest known: {})", &manifest[..19])),
        "{bare}"
    );
}

#[test]
fn an_id_that_may_mean_several_images_is_refused_with_all_of_them() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let (one, two) = (small_image("latest", b"1"), small_image("two:2", b"2"));
    folder.load(&one.oci()).succeeded();
    folder.load(&two.oci()).succeeded();
    // No two known digests begin alike for 12 digits: the record says that of the second does.
    let record = folder.root().join("refs/docker.io+library+two:2");
    let first = common::digest(&one.manifest());
    let alike = first[..30].to_owned() + &"0".repeat(71 - 30);
    let text = fs::read_to_string(&record).unwrap();
    let text = text.replace(&common::digest(&two.manifest()), &alike);
    fs::write(&record, text).unwrap();
    let error = folder.store().image(&first[..19]).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "{} is the id of 2 images: docker.io/library/two:2 ({alike}), {first}; write more of its digits",
            &first[..19]
        )
    );
    assert_eq!(folder.store().image(&first).unwrap().digest, first);
    // The same image by two names, or as two archives with other manifests, is no other image.
    let path = folder.write("archive", &one.docker());
    folder
        .run(&["load", path.to_str().unwrap(), "--name", "one"])
        .succeeded();
    let config = common::digest(&one.config_bytes());
    folder.store().image(&config[..19]).unwrap();
}

#[test]
fn a_save_of_a_recent_docker_takes_its_names_from_the_list_of_images() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let image = small_image("7", b"x");
    let mut files = image.oci_files();
    let config = format!("blobs/sha256/{}", hex(&image.config_bytes()));
    let layer = format!("blobs/sha256/{}", hex(&image.layers[0]));
    let list = serde_json::json!([{"Config": config, "RepoTags": ["redis:7", "redis:7.2"], "Layers": [layer]}]);
    files.push(("manifest.json".to_owned(), list.to_string().into_bytes()));
    folder.load(&archive(&files)).succeeded();
    assert_eq!(
        folder.names("refs"),
        ["docker.io+library+redis:7", "docker.io+library+redis:7.2"]
    );
}

#[test]
fn links_of_an_old_docker_archive_are_followed_and_several_images_loaded() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let image = small_image("a:1", b"x");
    let config = image.config_bytes();
    let list = serde_json::json!([
        {"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["one/layer.tar"]},
        {"Config": "c.json", "RepoTags": ["b:1"], "Layers": ["two/layer.tar"]},
    ]);
    let bytes = Layer::new()
        .symlink("two/layer.tar", "../one/layer.tar")
        .file("one/layer.tar", &image.layers[0])
        .file("c.json", &config)
        .file("manifest.json", list.to_string().as_bytes())
        .done();
    folder.load_stream(&bytes).succeeded();
    assert_eq!(folder.names("refs").len(), 2);
    assert_eq!(folder.names("layers").len(), 1);
    let path = folder.write("archive", &bytes);
    folder
        .run(&["load", path.to_str().unwrap(), "--name", "c"])
        .failed(&["--name names one image, the archive has 2"]);
}

/// Docker unpacks an archive and looks for its parts there, as if the folder were the root.
#[test]
fn links_lead_to_a_layer_from_any_place_of_a_docker_archive() {
    if !is_root("unpacking images") {
        return;
    }
    let image = small_image("linked", b"x");
    let layer = &image.layers[0];
    let at = |place: &str| Layer::new().file(place, layer);
    let links: Vec<(&str, &str, Layer)> = vec![
        (
            "absolute",
            "two/layer.tar",
            at("one/layer.tar").symlink("two/layer.tar", "/one/layer.tar"),
        ),
        (
            "at the root",
            "layer.tar",
            at("one/layer.tar").symlink("layer.tar", "one/layer.tar"),
        ),
        (
            "absolute, at the root",
            "layer.tar",
            at("one/layer.tar").symlink("layer.tar", "/one/layer.tar"),
        ),
        (
            "both at the root, with `./`",
            "./layer.tar",
            at("./one.tar").symlink("./layer.tar", "./one.tar"),
        ),
        (
            "out of the archive is its root",
            "two/layer.tar",
            at("one/layer.tar").symlink("two/layer.tar", "../../../one/layer.tar"),
        ),
        (
            "from the root into it by way of others",
            "a",
            at("one/layer.tar")
                .symlink("a", "./c")
                .symlink("c", "/d/layer.tar")
                .symlink("d", "one"),
        ),
        (
            "a folder of the root",
            "two/layer.tar",
            at("one/layer.tar").symlink("two", "/one"),
        ),
        (
            "a hard link at the root",
            "layer.tar",
            at("one/layer.tar").hard_link("layer.tar", "one/layer.tar"),
        ),
    ];
    let list = |layer: &str| {
        let list =
            serde_json::json!([{"Config": "c.json", "RepoTags": ["linked"], "Layers": [layer]}]);
        list.to_string()
    };
    for (case, name, parts) in links {
        let bytes = parts
            .file("c.json", &image.config_bytes())
            .file("real.json", list(name).as_bytes())
            .symlink("manifest.json", "/real.json")
            .done();
        for way in ["file", "stream", "folder"] {
            let folder = TestFolder::new();
            let outcome = match way {
                "file" => folder.load(&bytes),
                "stream" => folder.load_stream(&bytes),
                _ => {
                    let place = folder.path().join("extracted");
                    tar::Archive::new(&bytes[..]).unpack(&place).unwrap();
                    folder.run(&["load", place.to_str().unwrap()])
                }
            };
            assert!(outcome.ok, "{case}, {way}: {outcome:?}");
            assert_eq!(
                fs::read(folder.only_layer("linked").join("etc/motd")).unwrap(),
                b"x",
                "{case}, {way}"
            );
        }
    }
    for (target, other) in [
        ("/layer.tar", "a"),
        ("../nowhere", "a"),
        ("a", "/layer.tar"),
    ] {
        let folder = TestFolder::new();
        let bytes = Layer::new()
            .symlink("layer.tar", target)
            .symlink("a", other)
            .file("c.json", &image.config_bytes())
            .file("manifest.json", list("layer.tar").as_bytes())
            .done();
        folder.load(&bytes).failed(&[
            "the archive lacks layer 1 of 1 of docker.io/library/linked:latest (layer.tar)",
        ]);
    }
}

#[test]
fn a_layer_that_is_here_is_not_unpacked_again() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let shared = tar_of(&[("shared", b"1")]);
    folder
        .load(&TestImage::new("one", std::slice::from_ref(&shared)).oci())
        .succeeded();
    // The second archive leaves it out.
    let second = TestImage::new("two", &[shared.clone(), tar_of(&[("own", b"2")])]);
    let left_out = format!("blobs/sha256/{}", hex(&shared));
    let files: Vec<_> = second
        .oci_files()
        .into_iter()
        .filter(|(name, _)| *name != left_out)
        .collect();
    let outcome = folder.load(&archive(&files)).succeeded();
    assert!(
        outcome
            .out
            .contains("layer 1 of 2 of docker.io/library/two:latest: already here"),
        "{outcome:?}"
    );
    assert_eq!(folder.store().image("two").unwrap().layers.len(), 2);
}

#[test]
fn an_image_for_another_platform_is_refused_by_name() {
    let folder = TestFolder::new();
    let mut image = small_image("app", b"x");
    image.config["architecture"] = "arm64".into();
    folder
        .load(&image.oci())
        .failed(&["docker.io/library/app:latest has no variant for linux/amd64 (only linux/arm64); nothing was changed"]);
}
