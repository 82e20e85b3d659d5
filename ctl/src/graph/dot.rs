//! The graph in the language of Graphviz (graphviz.org/doc/info/lang.html).

use super::colour;
use crate::human;
use control::explain::UnitGraph;
use std::fmt::Write;

pub(crate) fn dot(graph: &UnitGraph) -> String {
    let mut text = String::from(
        "digraph units {\n  rankdir = TB;\n  node [shape = box, style = \"filled,rounded\", fontname = \"sans-serif\"];\n",
    );
    for unit in &graph.units {
        let (name, state) = (quoted(&unit.name), human::printable(&unit.state));
        let colour = colour(&unit.state);
        let shape = match unit.kind.as_str() {
            "target" => ", shape = ellipse",
            "timer" => ", shape = diamond",
            _ => "",
        };
        let _ = writeln!(
            text,
            "  {name} [fillcolor = \"{colour}\", tooltip = \"{state}\"{shape}];"
        );
    }
    for edge in &graph.edges {
        let (from, to) = (quoted(&edge.from), quoted(&edge.to));
        let (kind, style) = (human::printable(&edge.kind), style(&edge.kind));
        let _ = writeln!(text, "  {from} -> {to} [{style}, tooltip = \"{kind}\"];");
    }
    text.push_str("}\n");
    text
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", human::printable(name).replace('"', "\\\""))
}

/// An order alone does not pull a unit up; `constraint` keeps it from bending the drawing.
fn style(kind: &str) -> &'static str {
    match kind {
        "requires" => "style = solid",
        "binds_to" => "style = bold",
        "requisite" => "style = solid, arrowhead = tee",
        "wants" => "style = dashed",
        "after" => "style = dotted, color = \"#8a949e\"",
        "conflicts" => "style = solid, color = \"#d2473f\", dir = both, constraint = false",
        "on_failure" => "style = dashed, color = \"#d2473f\", constraint = false",
        "on_success" => "style = dashed, color = \"#3fa66b\", constraint = false",
        _ => "style = dashed, color = \"#4c78a8\", constraint = false",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::tests::example;

    #[test]
    fn units_are_nodes_and_keys_are_edges() {
        let text = dot(&example());
        assert!(text.starts_with("digraph units {\n"), "{text}");
        assert!(
            text.contains("  \"discovery\" [fillcolor = \"#f6cfcb\", tooltip = \"failed\"];"),
            "{text}"
        );
        assert!(text.contains(
            "\"default.target\" [fillcolor = \"#cdeed8\", tooltip = \"running\", shape = ellipse];"
        ));
        assert!(
            text.contains(
                "  \"gateway\" -> \"discovery\" [style = solid, tooltip = \"requires\"];"
            )
        );
        assert!(text.ends_with("}\n"));
    }
}
