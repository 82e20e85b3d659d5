//! Documents of an image that other programs read: with `null` here and there, with names that are none. The same image
//! comes out, or the error names the field.

mod common;

use common::{Outcome, TestFolder, archive, digest, hex, is_root, oci_index, small_image};
use serde_json::{Value, json};

/// An image's documents, before their digests are taken.
struct Documents {
    config: Value,
    manifest: Value,
    entry: Value,
}

/// Puts a value somewhere.
type Change = Box<dyn Fn(&mut Documents, Value)>;

/// The archive of an image whose documents were changed.
fn changed(change: impl Fn(&mut Documents)) -> Vec<u8> {
    changed_text(change, |config| config)
}

/// Its configuration is changed as text, too: JSON of ours can't be that odd.
fn changed_text(
    change: impl Fn(&mut Documents),
    config_text: impl Fn(String) -> String,
) -> Vec<u8> {
    let mut image = small_image("x", b"content");
    image.config["config"] = json!({
        "Cmd": ["x"], "Env": ["A=1"], "User": "1", "Labels": {"a": "b"}, "Volumes": {"/d": {}},
        "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGTERM",
    });
    image.config["history"] = json!([{"created": "2026-01-02T03:04:05Z", "empty_layer": false}]);
    let mut documents = Documents {
        config: image.config.clone(),
        manifest: serde_json::from_slice(&image.manifest()).unwrap(),
        entry: image.descriptor(),
    };
    change(&mut documents);
    let config = config_text(documents.config.to_string());
    documents.manifest["config"]["digest"] = digest(config.as_bytes()).into();
    documents.manifest["config"]["size"] = config.len().into();
    let manifest = documents.manifest.to_string();
    if documents.entry["digest"].is_string() {
        documents.entry["digest"] = digest(manifest.as_bytes()).into();
        documents.entry["size"] = manifest.len().into();
    }
    let mut files: Vec<(String, Vec<u8>)> = image
        .layers
        .iter()
        .cloned()
        .chain([config.into_bytes(), manifest.into_bytes()])
        .map(|bytes| (format!("blobs/sha256/{}", hex(&bytes)), bytes))
        .collect();
    files.extend(oci_index(&[documents.entry]));
    archive(&files)
}

/// What a container would get, whatever the digests are.
#[derive(Debug, PartialEq, Eq)]
struct Loaded {
    config: String,
    layers: Vec<std::path::PathBuf>,
}

fn load(archive: &[u8], name: &str) -> Loaded {
    let folder = TestFolder::new();
    folder.load(archive).succeeded();
    loaded(&folder, name)
}

fn loaded(folder: &TestFolder, name: &str) -> Loaded {
    let image = folder.store().image(name).unwrap();
    let below = |layer: std::path::PathBuf| layer.strip_prefix(folder.root()).unwrap().to_owned();
    Loaded {
        config: format!("{:?}", image.config),
        layers: image.layers.into_iter().map(below).collect(),
    }
}

#[test]
fn null_and_absent_and_empty_give_the_same_image() {
    if !is_root("unpacking images") {
        return;
    }
    let plain = load(&changed(|_| ()), "x");
    let mut changes: Vec<(&str, Change)> = vec![
        ("os", Box::new(|to, value| to.config["os"] = value)),
        (
            "variant",
            Box::new(|to, value| to.config["variant"] = value),
        ),
        (
            "architecture",
            Box::new(|to, value| to.config["architecture"] = value),
        ),
        (
            "os.version",
            Box::new(|to, value| to.config["os.version"] = value),
        ),
        (
            "rootfs.type",
            Box::new(|to, value| to.config["rootfs"]["type"] = value),
        ),
        (
            "manifest's mediaType",
            Box::new(|to, value| to.manifest["mediaType"] = value),
        ),
        (
            "layers[0].mediaType",
            Box::new(|to, value| to.manifest["layers"][0]["mediaType"] = value),
        ),
        (
            "entry's mediaType",
            Box::new(|to, value| to.entry["mediaType"] = value),
        ),
        (
            "platform",
            Box::new(|to, value| {
                to.entry["platform"] = json!({"os": value, "architecture": value, "variant": value})
            }),
        ),
        (
            "full name",
            Box::new(|to, value| to.entry["annotations"]["io.containerd.image.name"] = value),
        ),
        (
            "reference type",
            Box::new(|to, value| to.entry["annotations"]["vnd.docker.reference.type"] = value),
        ),
    ];
    for (name, change) in &changes {
        for value in [Value::Null, json!("")] {
            let archive = changed(|documents| change(documents, value.clone()));
            assert_eq!(load(&archive, "x"), plain, "{name}: {value}");
        }
    }
    changes = vec![
        (
            "history",
            Box::new(|to, value| to.config["history"] = value),
        ),
        (
            "os.features",
            Box::new(|to, value| to.config["os.features"] = value),
        ),
        (
            "exposed ports",
            Box::new(|to, value| to.config["config"]["ExposedPorts"] = value),
        ),
        (
            "health check",
            Box::new(|to, value| to.config["config"]["Healthcheck"] = value),
        ),
        (
            "entry point",
            Box::new(|to, value| to.config["config"]["Entrypoint"] = value),
        ),
        (
            "a volume",
            Box::new(|to, value| to.config["config"]["Volumes"]["/d"] = value),
        ),
        (
            "config's annotations",
            Box::new(|to, value| to.manifest["config"]["annotations"] = value),
        ),
        (
            "layers[0].size",
            Box::new(|to, value| to.manifest["layers"][0]["size"] = value),
        ),
        (
            "layers[0].urls",
            Box::new(|to, value| to.manifest["layers"][0]["urls"] = value),
        ),
        (
            "manifest's annotations",
            Box::new(|to, value| to.manifest["annotations"] = value),
        ),
        (
            "entry's size",
            Box::new(|to, value| to.entry["size"] = value),
        ),
        (
            "entry's platform",
            Box::new(|to, value| to.entry["platform"] = value),
        ),
        (
            "schemaVersion",
            Box::new(|to, value| to.manifest["schemaVersion"] = value),
        ),
    ];
    for (name, change) in &changes {
        let archive = changed(|documents| change(documents, Value::Null));
        assert_eq!(load(&archive, "x"), plain, "{name}");
    }
}

#[test]
fn odd_json_that_go_reads_gives_the_same_image() {
    if !is_root("unpacking images") {
        return;
    }
    let plain = load(&changed(|_| ()), "x");
    let deep = format!("{}{}", "[".repeat(9_000), "]".repeat(9_000));
    for odd in ["1e999", r#""\ud800""#, &deep, r#"{"a":1,"a":2}"#] {
        let field = format!(r#"{{"zzz":{odd},"#);
        let archive = changed_text(|_| (), |config| config.replacen('{', &field, 1));
        assert_eq!(load(&archive, "x"), plain);
    }
    let lone = changed_text(|_| (), |config| config.replace(r#""A=1""#, r#""A=\ud800""#));
    let replaced = changed(|to| to.config["config"]["Env"] = json!(["A=\u{fffd}"]));
    assert_eq!(load(&lone, "x"), load(&replaced, "x"));
}

#[test]
fn an_index_without_a_media_type_is_told_by_its_content() {
    if !is_root("unpacking images") {
        return;
    }
    let image = small_image("x", b"content");
    let entry = image.descriptor();
    let nested = json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    let mut files = image.blobs();
    files.push((
        format!("blobs/sha256/{}", hex(nested.as_bytes())),
        nested.clone().into_bytes(),
    ));
    files.extend(oci_index(&[json!({
        "digest": digest(nested.as_bytes()), "size": nested.len(),
        "annotations": {"org.opencontainers.image.ref.name": "y:1"},
    })]));
    load(&archive(&files), "y:1");
}

#[test]
fn a_media_type_that_does_not_do_is_told_by_its_field() {
    if !is_root("unpacking images") {
        return;
    }
    let folder = TestFolder::new();
    let refused = |archive: Vec<u8>, parts: &[&str]| {
        folder.load(&archive).failed(parts);
    };
    for value in [Value::Null, json!("")] {
        let config = changed(|to| to.manifest["config"]["mediaType"] = value.clone());
        refused(
            config,
            &["docker.io/library/x:latest", "config.mediaType is missing"],
        );
    }
    refused(
        changed(|to| to.manifest["config"]["mediaType"] = json!("a/b")),
        &["config.mediaType: `a/b` is not a container image"],
    );
    refused(
        changed(|to| to.manifest["layers"][0]["mediaType"] = json!("a/b")),
        &["layers[0].mediaType: layers of type `a/b` are not supported"],
    );
    refused(
        changed(|to| to.entry["mediaType"] = json!("a/b")),
        &["manifests[0].mediaType: `a/b` is not a container image"],
    );
    refused(
        changed(|to| to.entry["digest"] = Value::Null),
        &["index.json is malformed", "manifests[0].digest"],
    );
}

/// An image of that name, as an index and as Docker's list say it.
fn named(name: &str) -> [Vec<u8>; 3] {
    let full = changed(|to| {
        to.entry["annotations"] = json!({"io.containerd.image.name": name});
    });
    [
        full,
        small_image(name, b"content").oci(),
        small_image(name, b"content").docker(),
    ]
}

#[test]
fn what_is_no_name_leaves_an_image_nameless_or_with_the_given_one() {
    if !is_root("unpacking images") {
        return;
    }
    for name in [
        "Release-1",
        "<none>:<none>",
        "Wrong Name:1",
        "registry.example/Team/app:1",
    ] {
        for archive in named(name) {
            let folder = TestFolder::new();
            let path = folder.write("archive", &archive);
            let note = |outcome: &Outcome| {
                let note = format!("ignoring the name `{name}` of the archive");
                assert_eq!(outcome.out.matches(&note).count(), 1, "{outcome:?}");
            };
            let outcome = folder.run(&["load", path.to_str().unwrap()]).succeeded();
            note(&outcome);
            assert!(outcome.out.contains("it has no name"), "{outcome:?}");
            let [reference] = folder.names("refs").try_into().unwrap();
            assert!(reference.starts_with("sha256:"), "{reference}");
            let named = folder.run(&["load", path.to_str().unwrap(), "--name", "web:1"]);
            note(&named.succeeded());
            assert_eq!(
                folder.names("refs"),
                ["docker.io+library+web:1".to_owned(), reference]
            );
        }
    }
}

#[test]
fn names_beside_one_that_is_none_are_kept() {
    if !is_root("unpacking images") {
        return;
    }
    let image = small_image("Release-1", b"x");
    let config = format!("blobs/sha256/{}", hex(&image.config_bytes()));
    let layer = format!("blobs/sha256/{}", hex(&image.layers[0]));
    for (tags, notes) in [(json!(["redis:7"]), 0), (json!(["redis:7", "Redis:7"]), 1)] {
        let folder = TestFolder::new();
        let mut files = image.oci_files();
        let list = json!([{"Config": config, "RepoTags": tags, "Layers": [layer]}]);
        files.push(("manifest.json".to_owned(), list.to_string().into_bytes()));
        let outcome = folder.load(&archive(&files)).succeeded();
        assert_eq!(
            outcome.out.matches("ignoring the name").count(),
            notes,
            "{outcome:?}"
        );
        assert_eq!(folder.names("refs"), ["docker.io+library+redis:7"]);
    }
}
