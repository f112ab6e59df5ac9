//! The rewrites that change rounding: done once, on the graph, blind to shape of batch, threads, lengths and recording.
//!
//! In this order: constants are folded; slices move below sums of products (so every gate is a product of its own);
//! sums of products become [`Affine`] nodes, what does not depend on the state first; a product in a sum becomes an
//! FMA; what is written to a state is flushed to zero below 2⁻¹⁰⁰.

use crate::error::Result;
use crate::graph::primitives::{Affine, Flush, Fma};
use crate::graph::{Along, Builder, Evaluation, Graph, Node, NodeId, Op, RowOp, finish, moved, rebuild};
use std::sync::Arc;

/// The graph in its normal form, and where each of `roots` (nodes needed besides outputs and states) went.
pub fn normal_form(graph: &Graph, roots: &[NodeId]) -> Result<(Graph, Vec<NodeId>)> {
    let mut graph = graph.clone();
    let mut roots = roots.to_vec();
    for pass in [fold, push_slices, form_affine, contract, flush_states] {
        let builder = Builder::new(&graph.name);
        let map = pass(&graph, &roots, &builder);
        roots.iter_mut().for_each(|r| *r = map[*r]);
        graph = finish(&graph, builder, &map)?;
    }
    // An output that is a state before the step is a copy of it: a stream writes the new state over the old one.
    for index in 0..graph.outputs.len() {
        let output = graph.outputs[index];
        if matches!(graph.nodes[output].op, Op::State(_)) {
            let ty = graph.ty(output).clone();
            graph.nodes.push(Node { op: Op::Apply(Arc::new(Flush)), args: vec![output], ty, varies: true });
            graph.outputs[index] = graph.nodes.len() - 1;
        }
    }
    Ok((graph, roots))
}

/// For each node, its users among the nodes that outputs, states and roots depend on; `usize::MAX` stands for those ends.
pub(super) fn users(graph: &Graph, roots: &[NodeId]) -> Vec<Vec<usize>> {
    let mut users = vec![Vec::new(); graph.nodes.len()];
    for &end in graph.outputs.iter().chain(graph.states.iter().map(|s| &s.next)).chain(roots) {
        users[end].push(usize::MAX);
    }
    for id in (0..graph.nodes.len()).rev() {
        if !users[id].is_empty() {
            for &arg in &graph.nodes[id].args {
                users[arg].push(id);
            }
        }
    }
    users
}

/// The name of the primitive a node applies, or "".
pub(super) fn primitive(node: &Node) -> &'static str {
    match &node.op {
        Op::Apply(primitive) => primitive.name(),
        _ => "",
    }
}

fn constant(graph: &Graph, id: NodeId) -> Option<f64> {
    match graph.nodes[id].op {
        Op::Constant(number) => Some(number),
        _ => None,
    }
}

fn fold(graph: &Graph, _: &[NodeId], builder: &Builder) -> Vec<NodeId> {
    rebuild(graph, builder, |b, _, node, done| {
        let args = moved(node, done);
        if primitive(node) == "linear" && !node.varies {
            // A product of parameters: made once, by the prologue.
            return Some(b.value(args[1]).matvec(b.value(args[0])).id);
        }
        let known: Vec<Option<f64>> = node.args.iter().map(|&a| constant(graph, a)).collect();
        let number = match (primitive(node), &known[..]) {
            ("add", [Some(x), Some(y)]) => x + y,
            ("sub", [Some(x), Some(y)]) => x - y,
            ("mul", [Some(x), Some(y)]) => x * y,
            ("div", [Some(x), Some(y)]) => x / y,
            ("neg", [Some(x)]) => -x,
            ("slice" | "broadcast" | "reshape" | "transpose", [Some(x)]) => *x,
            ("mul", [Some(1.0), None]) => return Some(args[1]),
            ("add", [Some(0.0), None]) => return Some(args[1]),
            ("mul" | "div", [None, Some(1.0)]) | ("add" | "sub", [None, Some(0.0)]) => return Some(args[0]),
            _ => return None,
        };
        Some(b.constant(number, &node.ty.shape).id)
    })
}

fn push_slices(graph: &Graph, roots: &[NodeId], builder: &Builder) -> Vec<NodeId> {
    let users = users(graph, roots);
    // A sum or product that is only ever seen through slices is computed in slices.
    let mut sliced = vec![false; graph.nodes.len()];
    for id in (0..graph.nodes.len()).rev() {
        let through = |&user: &usize| {
            user != usize::MAX
                && (is_part(&graph.nodes[user]) || (primitive(&graph.nodes[user]) == "add" && sliced[user]))
        };
        sliced[id] = matches!(primitive(&graph.nodes[id]), "add" | "linear")
            && !users[id].is_empty()
            && users[id].iter().all(through);
    }
    rebuild(graph, builder, |b, _, node, done| {
        let Op::Apply(p) = &node.op else { return None };
        match p.evaluation() {
            Evaluation::Row(RowOp::Along { what: Along::Part { from }, axis: 0 }) => {
                Some(Slicer { graph, sliced: &sliced, b, done }.slice(node.args[0], from, from + node.ty.shape[0]))
            }
            _ => None,
        }
    })
}

/// Whether a node is a slice along the first axis.
fn is_part(node: &Node) -> bool {
    matches!(&node.op, Op::Apply(p)
        if matches!(p.evaluation(), Evaluation::Row(RowOp::Along { what: Along::Part { .. }, axis: 0 })))
}

/// Moves a slice below sums and products that are only seen through slices.
struct Slicer<'a> {
    graph: &'a Graph,
    sliced: &'a [bool],
    b: &'a Builder,
    done: &'a [NodeId],
}

impl Slicer<'_> {
    /// Elements `from..to` of node `id`.
    fn slice(&self, id: NodeId, from: usize, to: usize) -> NodeId {
        let (node, b) = (&self.graph.nodes[id], self.b);
        let part = |arg: usize| b.value(self.slice(node.args[arg], from, to));
        match (&node.op, primitive(node)) {
            (Op::Constant(number), _) => {
                let mut shape = node.ty.shape.clone();
                shape[0] = to - from;
                b.constant(*number, &shape).id
            }
            (_, "add") if self.sliced[id] => (part(0) + part(1)).id,
            (_, "linear") if self.sliced[id] => b.value(self.done[node.args[0]]).linear(part(1)).id,
            _ => b.value(self.done[id]).slice(from, to).id,
        }
    }
}

fn form_affine(graph: &Graph, roots: &[NodeId], builder: &Builder) -> Vec<NodeId> {
    let users = users(graph, roots);
    let stateful = graph.stateful();
    let only_user_adds =
        |id: NodeId| matches!(users[id][..], [user] if user != usize::MAX && primitive(&graph.nodes[user]) == "add");
    let is_product = |id: NodeId| matches!(primitive(&graph.nodes[id]), "linear" | "linear_transposed");
    rebuild(graph, builder, |b, id, node, done| {
        let root = node.varies
            && !users[id].is_empty()
            && matches!(primitive(node), "add" | "linear" | "linear_transposed")
            && !only_user_adds(id);
        if !root {
            return None;
        }
        // The summands as written; sums used elsewhere too are values like any other.
        let mut summands = Vec::new();
        let mut open = vec![id];
        while let Some(next) = open.pop() {
            if primitive(&graph.nodes[next]) == "add" && (next == id || only_user_adds(next)) {
                open.extend(graph.nodes[next].args.iter().rev());
            } else {
                summands.push(next);
            }
        }
        if !summands.iter().any(|&s| is_product(s) && (s == id || only_user_adds(s))) {
            return None;
        }
        let product = |&&s: &&NodeId| is_product(s) && (s == id || only_user_adds(s));
        let fixed = summands.iter().filter(|&&s| !graph.nodes[s].varies);
        let mut chain = fixed.map(|&s| b.value(done[s])).reduce(|sum, v| sum + v).map(|v| v.id);
        for dependent in [false, true] {
            let terms: Vec<NodeId> =
                summands.iter().filter(product).copied().filter(|&s| stateful[s] == dependent).collect();
            if !terms.is_empty() {
                let transposed = terms.iter().map(|&t| primitive(&graph.nodes[t]) == "linear_transposed").collect();
                let pairs = terms.iter().flat_map(|&t| graph.nodes[t].args.iter().map(|&a| done[a]));
                let args: Vec<NodeId> = chain.into_iter().chain(pairs).collect();
                chain = Some(b.apply_dyn(Arc::new(Affine { init: chain.is_some(), transposed }), &args).id);
            }
        }
        // Other values are added after the products: so gates that see the new state still share one product.
        let others = summands.iter().filter(|&s| graph.nodes[*s].varies && !product(&s));
        others.fold(chain, |sum, &s| Some(sum.map_or(done[s], |sum| (b.value(sum) + b.value(done[s])).id)))
    })
    // Sums and products that were drawn into a chain still have nodes; nothing uses them.
}

fn contract(graph: &Graph, roots: &[NodeId], builder: &Builder) -> Vec<NodeId> {
    let users = users(graph, roots);
    let single = |id: NodeId| primitive(&graph.nodes[id]) == "mul" && users[id].len() == 1;
    rebuild(graph, builder, |b, _, node, done| {
        if primitive(node) != "add" || !node.varies {
            return None;
        }
        let (product, other) = match node.args[..] {
            [x, y] if single(x) && x != y => (x, y),
            [x, y] if single(y) && x != y => (y, x),
            _ => return None,
        };
        let factors = &graph.nodes[product].args;
        Some(b.apply(Fma, &[b.value(done[factors[0]]), b.value(done[factors[1]]), b.value(done[other])]).id)
    })
}

fn flush_states(graph: &Graph, _: &[NodeId], builder: &Builder) -> Vec<NodeId> {
    let is_next = |id: NodeId| graph.states.iter().any(|s| s.next == id);
    let mut map = rebuild(graph, builder, |b, id, node, done| {
        // Every later use sees what the state holds.
        is_next(id).then(|| b.apply(Flush, &[b.value(b.copy(node, &moved(node, done)))]).id)
    });
    for state in &graph.states {
        if !matches!(graph.nodes[state.next].op, Op::Apply(_) | Op::Constant(_) | Op::Tensor(_)) {
            // A state that takes an input, a parameter or a state as it is. The leaf itself stays for its other uses.
            map[state.next] = builder.apply(Flush, &[builder.value(map[state.next])]).id;
        }
    }
    map
}
