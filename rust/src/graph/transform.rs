//! Changes of a cell that any cell allows: zoneout, recurrent dropout, residual connection, expectation.

use super::primitives::Draw;
use super::{Builder, Distribution, Evaluation, Graph, Node, NodeId, Op, RowOp, Value};
use crate::error::{Error, Result};

/// Writes `graph` again and returns where each node went. For each node that is not a leaf, `change` may name a node
/// to take its place; it is given the node's index, the node, and where the nodes before it went.
pub(crate) fn rebuild<'b>(
    graph: &Graph,
    builder: &'b Builder,
    mut change: impl FnMut(&'b Builder, NodeId, &Node, &[NodeId]) -> Option<NodeId>,
) -> Vec<NodeId> {
    let mut done = vec![NodeId::MAX; graph.nodes.len()];
    for input in &graph.inputs {
        done[input.node] = builder.add_input(&input.name, graph.ty(input.node).clone(), input.limit).id;
    }
    for param in &graph.params {
        done[param.node] = builder.param(&param.name, &param.shape, param.init).id;
    }
    for state in &graph.states {
        done[state.node] = builder.state(&state.name, &graph.ty(state.node).shape).id;
    }
    for (id, node) in graph.nodes.iter().enumerate() {
        if done[id] == NodeId::MAX {
            done[id] = change(builder, id, node, &done).unwrap_or_else(|| builder.copy(node, &moved(node, &done)));
        }
    }
    done
}

/// Where the arguments of a node went.
pub(crate) fn moved(node: &Node, done: &[NodeId]) -> Vec<NodeId> {
    node.args.iter().map(|&arg| done[arg]).collect()
}

/// Ends a graph that [`rebuild`] began: the same states and outputs.
pub(crate) fn finish(graph: &Graph, builder: Builder, map: &[NodeId]) -> Result<Graph> {
    for (index, state) in graph.states.iter().enumerate() {
        builder.next_of(index, builder.value(map[state.next]));
    }
    for &output in &graph.outputs {
        builder.output(builder.value(map[output]));
    }
    builder.finish()
}

/// The cell outside of training: each random node is replaced by its expectation.
pub fn expectation(graph: &Graph) -> Result<Graph> {
    let builder = Builder::new(&graph.name);
    let map = rebuild(graph, &builder, |b, _, node, _| {
        let Op::Apply(primitive) = &node.op else { return None };
        let Evaluation::Row(RowOp::Draw { distribution, .. }) = primitive.evaluation() else { return None };
        Some(b.constant(distribution.mean(), &node.ty.shape).id)
    });
    finish(graph, builder, &map)
}

/// Zoneout (Krueger et al. 2016, eq. 2): in training each unit of a state keeps its old value with probability `p`,
/// drawn for each step; otherwise p · old + (1 − p) · new. Outputs that are a state are that state after zoneout.
pub fn zoneout(graph: &Graph, p: f64) -> Result<Graph> {
    let builder = Builder::new(&graph.name);
    let mut map = rebuild(graph, &builder, |_, _, _, _| None);
    let mut ends = Vec::new();
    for state in &graph.states {
        let (old, new) = (builder.value(map[state.node]), builder.value(map[state.next]));
        let shape = old.ty().shape;
        let label = format!("zoneout_{}", state.name);
        let distribution = Distribution::Bernoulli { probability: p, value: 1.0 };
        let keep = builder.apply(Draw { distribution, shape, per_sequence: false, label }, &[]);
        ends.push((state.next, (keep * old + (1.0 - keep) * new).id));
    }
    // Only the ends change: inside the step the new value is used as it is (eq. 5 and 6 of the paper).
    for (next, zoned) in ends {
        map[next] = zoned;
    }
    finish(graph, builder, &map)
}

/// Variational recurrent dropout (Gal & Ghahramani 2016): one mask a sequence on what enters a product with a recurrent
/// weight, that is on a state, or on a state times a gate, scaled by 1 / (1 − p).
pub fn recurrent_dropout(graph: &Graph, p: f64) -> Result<Graph> {
    let builder = Builder::new(&graph.name);
    let map = rebuild(graph, &builder, |b, _, node, done| {
        let Op::Apply(primitive) = &node.op else { return None };
        let args = moved(node, done);
        if primitive.name() != "linear" {
            return None;
        }
        let x = b.value(args[0]);
        let gated = b.arguments_of(args[0], "mul").is_some_and(|a| a.iter().any(|&a| b.is_state(a)));
        if !b.is_state(args[0]) && !gated {
            return None;
        }
        let draw = Draw {
            distribution: Distribution::Bernoulli { probability: 1.0 - p, value: 1.0 / (1.0 - p) },
            shape: x.ty().shape,
            per_sequence: true,
            label: "recurrent_dropout".into(),
        };
        Some((x * b.apply(draw, &[])).linear(b.value(args[1])).id)
    });
    finish(graph, builder, &map)
}

/// y + x: a residual connection around the cell.
pub fn residual(graph: &Graph) -> Result<Graph> {
    let builder = Builder::new(&graph.name);
    let map = rebuild(graph, &builder, |_, _, _, _| None);
    let (x, y): (Value<'_>, Value<'_>) =
        (builder.value(map[graph.inputs[0].node]), builder.value(map[graph.outputs[0]]));
    if x.ty() != y.ty() {
        return Err(Error::Shape(format!(
            "residual: expected an output of the input's shape {}, got {}",
            x.ty(),
            y.ty()
        )));
    }
    let sum = (y + x).id;
    for (index, state) in graph.states.iter().enumerate() {
        builder.next_of(index, builder.value(map[state.next]));
    }
    builder.output(builder.value(sum));
    builder.finish()
}
