//! The graph as SVG: boxes in rows, lines from each unit down to what it needs.
//!
//! The same graph gives the same bytes. Names are what units are called, so they are escaped.

use super::{colour, layout};
use crate::human;
use control::explain::{GraphEdge, UnitGraph};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Pixels.
const ROW: f64 = 84.0;
const BOX: f64 = 34.0;
const GAP: f64 = 22.0;
const EDGE: f64 = 24.0;
const LEGEND: f64 = 54.0;
/// Of a character of the font, on average.
const CHARACTER: f64 = 7.4;
const NAME_CHARACTERS: usize = 32;

/// Kinds in the order of the legend: name, colour, dashes. Of two edges between the same units, the first is drawn.
const KINDS: [(&str, &str, &str); 10] = [
    ("binds_to", "#22313f", ""),
    ("requires", "#44576a", ""),
    ("requisite", "#44576a", "8 3 2 3"),
    ("wants", "#44576a", "6 4"),
    ("starts", "#4c78a8", "6 4"),
    ("conflicts", "#d2473f", ""),
    ("on_failure", "#d2473f", "6 4"),
    ("on_success", "#3fa66b", "6 4"),
    ("part_of", "#a98bc4", "6 4"),
    ("after", "#a3adb6", "2 4"),
];

struct Placed {
    x: f64,
    y: f64,
    width: f64,
}

/// A complete SVG document.
pub(crate) fn svg(graph: &UnitGraph) -> String {
    let rows = layout::rows(graph);
    let widths: Vec<f64> = graph
        .units
        .iter()
        .map(|unit| {
            human::cut(&unit.name, NAME_CHARACTERS).chars().count() as f64 * CHARACTER + 20.0
        })
        .collect();
    let row_width = |row: &Vec<usize>| {
        let boxes: f64 = row.iter().map(|unit| widths[*unit] + GAP).sum();
        (boxes - GAP).max(0.0)
    };
    let legend_width = KINDS.len() as f64 * 96.0;
    let inner = rows.iter().map(row_width).fold(legend_width, f64::max);
    let mut placed: BTreeMap<&str, Placed> = BTreeMap::new();
    for (number, row) in rows.iter().enumerate() {
        let mut x = EDGE + (inner - row_width(row)) / 2.0;
        for unit in row {
            let width = widths[*unit];
            let y = EDGE + number as f64 * ROW;
            placed.insert(&graph.units[*unit].name, Placed { x, y, width });
            x += width + GAP;
        }
    }
    let width = inner + 2.0 * EDGE;
    let below = EDGE + rows.len() as f64 * ROW;
    let height = below + LEGEND;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    edges(&mut text, graph, &placed);
    boxes(&mut text, graph, &placed);
    legend(&mut text, below);
    text.push_str("</svg>\n");
    text
}

fn edges(text: &mut String, graph: &UnitGraph, placed: &BTreeMap<&str, Placed>) {
    let rank = |edge: &GraphEdge| KINDS.iter().position(|(kind, ..)| *kind == edge.kind);
    let mut drawn: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for edge in &graph.edges {
        if let Some(rank) = rank(edge) {
            let kept = drawn.entry((&edge.from, &edge.to)).or_insert(rank);
            *kept = (*kept).min(rank);
        }
    }
    for ((from, to), rank) in drawn {
        let (Some(upper), Some(lower)) = (placed.get(from), placed.get(to)) else {
            continue;
        };
        let (kind, colour, dashes) = KINDS[rank];
        let (x1, y1) = (upper.x + upper.width / 2.0, upper.y + BOX);
        let (x2, y2) = (lower.x + lower.width / 2.0, lower.y);
        // Upwards or within a row: from box to box by a bow.
        let bend = if y2 > y1 { (y2 - y1) / 2.0 } else { ROW / 2.0 };
        let weight = if kind == "binds_to" { 2.6 } else { 1.4 };
        let _ = writeln!(
            text,
            "<path d=\"M{x1:.1} {y1:.1} C{x1:.1} {:.1} {x2:.1} {:.1} {x2:.1} {y2:.1}\" fill=\"none\" \
             stroke=\"{colour}\" stroke-width=\"{weight}\" stroke-dasharray=\"{dashes}\">\
             <title>{} {kind} {}</title></path>",
            y1 + bend,
            y2 - bend,
            escaped(from),
            escaped(to),
        );
        let _ = writeln!(
            text,
            "<path d=\"M{:.1} {:.1} L{x2:.1} {y2:.1} L{:.1} {:.1}\" fill=\"{colour}\"/>",
            x2 - 4.0,
            y2 - 8.0,
            x2 + 4.0,
            y2 - 8.0
        );
    }
}

fn boxes(text: &mut String, graph: &UnitGraph, placed: &BTreeMap<&str, Placed>) {
    for unit in &graph.units {
        let Some(Placed { x, y, width }) = placed.get(unit.name.as_str()) else {
            continue;
        };
        let round = if unit.kind == "container" {
            5.0
        } else {
            BOX / 2.0
        };
        let name = human::cut(&unit.name, NAME_CHARACTERS);
        let _ = writeln!(
            text,
            "<g><title>{}: {}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BOX}\" \
             rx=\"{round}\" fill=\"{}\" stroke=\"#44576a\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text></g>",
            escaped(&unit.name),
            escaped(&unit.state),
            colour(&unit.state),
            x + width / 2.0,
            y + BOX / 2.0 + 4.5,
            escaped(&name),
        );
    }
}

fn legend(text: &mut String, top: f64) {
    for (number, (kind, colour, dashes)) in KINDS.iter().enumerate() {
        let x = EDGE + number as f64 * 96.0;
        let y = top + 20.0;
        let _ = writeln!(
            text,
            "<path d=\"M{x:.0} {y:.0} h24\" stroke=\"{colour}\" stroke-width=\"1.6\" stroke-dasharray=\"{dashes}\"/>\
             <text x=\"{:.0}\" y=\"{:.0}\" font-size=\"11\" fill=\"#44576a\">{kind}</text>",
            x + 29.0,
            y + 4.0
        );
    }
}

fn escaped(name: &str) -> String {
    let name = human::printable(name);
    name.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::example;

    #[test]
    fn every_unit_has_a_box_and_every_pair_one_line() {
        let graph = example();
        let text = svg(&graph);
        assert!(text.starts_with("<svg ") && text.ends_with("</svg>\n"));
        for unit in &graph.units {
            assert!(
                text.contains(&format!(">{}</text>", unit.name)),
                "{}",
                unit.name
            );
        }
        // `after` between two units is not drawn beside `requires`.
        assert_eq!(
            text.matches("<title>gateway requires discovery</title>")
                .count(),
            1
        );
        assert!(!text.contains("gateway after discovery"));
        assert!(text.contains("<title>gateway conflicts sweep.timer</title>"));
        assert_eq!(text.matches("<g>").count(), text.matches("</g>").count());
    }

    #[test]
    fn a_name_is_no_markup() {
        let mut graph = example();
        "<&>\"".clone_into(&mut graph.units[0].name);
        assert!(svg(&graph).contains("&lt;&amp;&gt;&quot;"));
    }
}
