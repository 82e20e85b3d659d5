//! Where the bytes go: a table per component, and the budget that keeps it so.

use crate::error::{BuildError, at, content};
use crate::segment::{Segment, compressed_size};
use crate::tree::{Node, Tree};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// One row of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Size {
    pub component: String,
    /// As on the running machine.
    pub bytes: u64,
    /// In the image. For one program of several: compressed on its own, so that they add up to more than their part.
    pub compressed: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    system: u64,
    modules: u64,
    hardware: u64,
    /// What a part may add to `hardware`.
    parts: BTreeMap<String, u64>,
}

/// The parts of the image, then the programs in the system part.
pub(crate) fn measure(kernel: u64, segments: &[Segment], system: &Tree) -> Vec<Size> {
    let mut sizes = vec![Size {
        component: "kernel".to_owned(),
        bytes: kernel,
        compressed: kernel,
    }];
    sizes.extend(segments.iter().map(|segment| Size {
        component: segment.name.to_owned(),
        bytes: segment.bytes,
        compressed: segment.compressed.len() as u64,
    }));
    for (path, node) in system.nodes() {
        if let (Some(name), Node::File { bytes, .. }) =
            (path.strip_prefix("usr/lib/keelson/bin/"), node)
        {
            let (length, compressed) = (bytes.len() as u64, compressed_size(bytes));
            sizes.push(Size {
                component: format!("system/{name}"),
                bytes: length,
                compressed,
            });
        }
    }
    sizes
}

/// Fail when a part is over its budget.
/// `extra`: the parts that it has beyond those of every image.
pub(crate) fn check(sizes: &[Size], budget: &Path, extra: &[String]) -> Result<(), BuildError> {
    let text = std::fs::read_to_string(budget).map_err(at(budget))?;
    let budget: Budget =
        toml::from_str(&text).map_err(|error| content(budget, error.to_string()))?;
    let compressed = |name: &str| {
        sizes
            .iter()
            .find(|size| size.component == name)
            .map_or(0, |size| size.compressed)
    };
    let extra: u64 = extra.iter().filter_map(|part| budget.parts.get(part)).sum();
    let parts = [
        (
            "system",
            compressed("system") + compressed("units"),
            budget.system,
        ),
        (
            "modules",
            compressed("modules") + compressed("hardware"),
            budget.modules,
        ),
        (
            "hardware",
            compressed("hardware"),
            budget.hardware.saturating_add(extra),
        ),
    ];
    for (component, bytes, budget) in parts {
        if bytes > budget {
            return Err(BuildError::Budget {
                component: component.to_owned(),
                bytes,
                budget,
            });
        }
    }
    Ok(())
}

/// The report as text.
pub(crate) fn table(sizes: &[Size]) -> String {
    let mut text = format!("{:<20} {:>12} {:>12}\n", "component", "KiB", "compressed");
    for size in sizes {
        let kib = |bytes: u64| format!("{}.{}", bytes / 1024, bytes % 1024 * 10 / 1024);
        let _ = writeln!(
            text,
            "{:<20} {:>12} {:>12}",
            size.component,
            kib(size.bytes),
            kib(size.compressed)
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(component: &str, compressed: u64) -> Size {
        Size {
            component: component.to_owned(),
            bytes: compressed,
            compressed,
        }
    }

    #[test]
    fn part_over_its_budget_fails_the_build() {
        let budget = Path::new(env!("CARGO_MANIFEST_DIR")).join("budget.toml");
        check(
            &[
                size("kernel", 1 << 30),
                size("system", 7 << 20),
                size("units", 1 << 20),
            ],
            &budget,
            &[],
        )
        .unwrap();
        let error = check(&[size("system", 8 << 20), size("units", 1)], &budget, &[]).unwrap_err();
        assert!(
            error.to_string().contains("system is 8388609 bytes"),
            "{error}"
        );
        check(&[size("system", 0), size("preload", 1 << 40)], &budget, &[]).unwrap();
    }

    #[test]
    fn a_part_has_a_budget_of_its_own() {
        let budget = Path::new(env!("CARGO_MANIFEST_DIR")).join("budget.toml");
        let sizes = [size("hardware", 8 << 20)];
        let error = check(&sizes, &budget, &[]).unwrap_err();
        assert!(error.to_string().contains("hardware is 8388608 bytes"));
        check(&sizes, &budget, &["file-systems".to_owned()]).unwrap();
    }
}
