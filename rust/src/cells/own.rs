//! Cells that are in no table: a user's own, whose graph comes with the specification of the model.

use super::regularised;
use crate::error::{Error, Result};
use crate::graph::{self, Evaluation, Graph, Init, Op};
use serde::Deserialize;
use serde_json::Value as Json;

/// What such a cell is called in specifications.
pub const OWN: &str = "own";

/// What any cell may be asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    recurrent_dropout: f64,
    #[serde(default)]
    zoneout: f64,
}

/// The cell of this graph, with `recurrent_dropout` and `zoneout` of the options.
pub fn own(graph: &Json, options: &Json) -> Result<Graph> {
    let options =
        Options::deserialize(options).map_err(|e| Error::Value(format!("options of a cell of one's own: {e}")))?;
    let graph = graph::from_json(graph)?;
    check(&graph)?;
    regularised(graph, options.recurrent_dropout, options.zoneout)
}

/// Refuses what a cell cannot be made of, and sizes of which a sum might overflow.
fn check(graph: &Graph) -> Result<()> {
    for (what, count) in [("inputs", graph.inputs.len()), ("outputs", graph.outputs.len())] {
        if count != 1 {
            return Err(Error::value(format!("{what} of '{}'", graph.name), 1, count));
        }
    }
    const LIMIT: usize = 1 << 40;
    let total = graph.nodes.iter().try_fold(0usize, |sum, node| sum.checked_add(node.ty.width()));
    if total.is_none_or(|total| total > LIMIT) {
        return Err(Error::value(format!("elements of '{}'", graph.name), format!("at most {LIMIT}"), "more"));
    }
    for param in &graph.params {
        let len: usize = param.shape.iter().product();
        if let Init::Shifted { from, to, .. } = param.init
            && (from > to || to > len)
        {
            return Err(Error::value(
                format!("shift of '{}'", param.name),
                format!("a range in {len}"),
                format!("{from}..{to}"),
            ));
        }
    }
    let sums = |op: &Op| matches!(op, Op::Apply(p) if matches!(p.evaluation(), Evaluation::Accumulate(_)));
    if graph.nodes.iter().any(|node| sums(&node.op)) {
        return Err(Error::value(format!("cell '{}'", graph.name), "no sums over steps", "one"));
    }
    Ok(())
}
