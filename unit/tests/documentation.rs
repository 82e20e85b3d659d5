//! What the documentation shows is what the parser accepts.
//!
//! Every block of `docs/*.md` (and of the README) marked `toml` must be a good unit file, every one marked `toml bad` a
//! bad one. `toml file=NAME` gives the name of the file; blocks of one page are loaded together, so that they may refer
//! to each other. Blocks marked otherwise are not looked at.

use std::path::{Path, PathBuf};
use unit::{Loaded, Source};

struct Block {
    /// Page and line, to find it again.
    at: String,
    file: String,
    bad: bool,
    text: String,
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let entries = std::fs::read_dir(root.join("docs")).into_iter().flatten();
    let mut pages: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    pages.push(root.join("README.md"));
    pages.retain(|page| {
        page.is_file() && page.extension().is_some_and(|extension| extension == "md")
    });
    pages.sort();
    pages
}

fn blocks(page: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(page).expect("a page");
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (line, number) in text.lines().zip(1..) {
        match (line.strip_prefix("```"), open) {
            (Some(info), false) => {
                let mut words = info.split_whitespace();
                open = words.next() == Some("toml");
                if open {
                    let words: Vec<&str> = words.collect();
                    let named = words.iter().find_map(|word| word.strip_prefix("file="));
                    let file = named
                        .map_or_else(|| format!("block{number}.container.toml"), str::to_owned);
                    let at = format!("{}:{number}", page.display());
                    blocks.push(Block {
                        at,
                        file,
                        bad: words.contains(&"bad"),
                        text: String::new(),
                    });
                }
            }
            (Some(_), true) => open = false,
            (None, true) => {
                let block = blocks.last_mut().expect("open block");
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, false) => {}
        }
    }
    blocks
}

fn source(block: &Block) -> Source {
    Source {
        file: block.file.clone(),
        text: block.text.clone(),
    }
}

/// With the keys that the machine does not perform yet: the page lists them.
fn load(sources: Vec<Source>) -> Loaded {
    unit::load_sources(sources)
}

#[test]
fn good_blocks_are_accepted() {
    for page in pages() {
        let blocks = blocks(&page);
        let good: Vec<&Block> = blocks.iter().filter(|block| !block.bad).collect();
        let loaded = load(good.iter().map(|block| source(block)).collect());
        let shown: Vec<String> = loaded.diagnostics.iter().map(ToString::to_string).collect();
        let places: Vec<&str> = good.iter().map(|block| block.at.as_str()).collect();
        assert!(shown.is_empty(), "{places:?}\n{}", shown.join("\n"));
    }
}

#[test]
fn bad_blocks_are_refused() {
    for page in pages() {
        for block in blocks(&page).iter().filter(|block| block.bad) {
            assert!(
                load(vec![source(block)]).has_errors(),
                "{} is accepted",
                block.at
            );
        }
    }
}

#[test]
fn the_redis_example_gives_five_ports() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/units.md");
    let sources = blocks(&page).iter().map(source).collect();
    let set = load(sources).set;
    let redis = set
        .units()
        .iter()
        .filter(|unit| unit.name.as_str().starts_with("redis@"));
    let ports: Vec<(&str, Option<u16>)> = redis
        .filter_map(|unit| {
            Some((
                unit.name.as_str(),
                unit.container()?.ports.first()?.host_port,
            ))
        })
        .collect();
    let expected = [
        ("redis@1", 7001),
        ("redis@2", 7002),
        ("redis@3", 7003),
        ("redis@4", 7004),
        ("redis@5", 7005),
    ];
    assert_eq!(ports, expected.map(|(name, port)| (name, Some(port))));
}
