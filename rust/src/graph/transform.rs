//! Changes of a cell that any cell allows: zoneout, recurrent dropout, residual and dense connections, expectation.

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
        let copy = builder.param(&param.name, &param.shape, param.init);
        if let Some(limit) = param.bound {
            builder.bound(copy, limit);
        }
        done[param.node] = copy.id;
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
/// weight, scaled by 1 / (1 − p). That is a state, a part or an elementwise function of one, a state times a gate or plus
/// an increment, or several of these side by side. Each state has one mask.
pub fn recurrent_dropout(graph: &Graph, p: f64) -> Result<Graph> {
    let builder = Builder::new(&graph.name);
    let mut found = false;
    let map = rebuild(graph, &builder, |b, _, node, done| {
        let Op::Apply(primitive) = &node.op else { return None };
        if primitive.name() != "linear" {
            return None;
        }
        let masked = Masking { graph, b, done, p }.masked(node.args[0])?;
        found = true;
        Some(masked.linear(b.value(done[node.args[1]])).id)
    });
    if !found {
        return Err(Error::Unsupported(format!(
            "{}: expected recurrent_dropout=0, for there is no product of the state with a weight, got {p}",
            graph.name
        )));
    }
    finish(graph, builder, &map)
}

/// Masks for what is made from states.
struct Masking<'a, 'b> {
    graph: &'a Graph,
    b: &'b Builder,
    done: &'a [NodeId],
    p: f64,
}

impl<'b> Masking<'_, 'b> {
    /// A node times its mask, if it has one; of vectors side by side and of outer products, those that have one.
    fn masked(&self, id: NodeId) -> Option<Value<'b>> {
        let (node, value) = (&self.graph.nodes[id], self.b.value(self.done[id]));
        if let Op::Apply(primitive) = &node.op
            && matches!(primitive.name(), "concat" | "reshape" | "matmul")
        {
            let parts: Vec<Option<Value<'b>>> = node.args.iter().map(|&arg| self.masked(arg)).collect();
            parts.iter().any(Option::is_some).then_some(())?;
            let parts = parts.iter().zip(&node.args).map(|(part, &arg)| part.map_or(self.done[arg], |part| part.id));
            return Some(self.b.apply_dyn(primitive.clone(), &parts.collect::<Vec<_>>()));
        }
        Some(value * self.mask(id)?)
    }

    /// The mask of the state that a node is made from.
    fn mask(&self, id: NodeId) -> Option<Value<'b>> {
        let node = &self.graph.nodes[id];
        let primitive = match &node.op {
            Op::State(index) => return Some(self.draw(*index)),
            // What the state becomes is no longer the state.
            Op::Apply(_) if self.graph.states.iter().any(|state| state.next == id) => return None,
            Op::Apply(primitive) => primitive,
            _ => return None,
        };
        let elementwise = matches!(primitive.evaluation(), Evaluation::Elementwise(_));
        match (primitive.name(), &node.args[..]) {
            ("mul", args) => {
                let state = args.iter().find(|&&arg| matches!(self.graph.nodes[arg].op, Op::State(_)))?;
                self.mask(*state)
            }
            ("add", args) => args.iter().find_map(|&arg| self.mask(arg)),
            (_, &[arg]) if elementwise => self.mask(arg),
            ("slice", &[arg]) => Some(self.b.apply_dyn(primitive.clone(), &[self.mask(arg)?.id])),
            _ => None,
        }
    }

    /// The mask of a state.
    fn draw(&self, state: usize) -> Value<'b> {
        let label = match state {
            0 => "recurrent_dropout".to_string(),
            _ => format!("recurrent_dropout_{}", self.graph.states[state].name),
        };
        let shape = self.graph.ty(self.graph.states[state].node).shape.clone();
        let (probability, value) = (1.0 - self.p, 1.0 / (1.0 - self.p));
        let distribution = Distribution::Bernoulli { probability, value };
        self.b.apply(Draw { distribution, shape, per_sequence: true, label }, &[])
    }
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
    with_output(graph, &builder, &map, sum);
    builder.finish()
}

/// (x, y): a dense connection around the cell (Huang et al. 2017), its input and its output side by side.
pub fn dense(graph: &Graph) -> Result<Graph> {
    let builder = Builder::new(&graph.name);
    let map = rebuild(graph, &builder, |_, _, _, _| None);
    let both = [graph.inputs[0].node, graph.outputs[0]].map(|id| builder.value(map[id]));
    let joined = builder.concat(&both, 0).id;
    with_output(graph, &builder, &map, joined);
    builder.finish()
}

/// Ends a graph that [`rebuild`] began: the same states, another output.
fn with_output(graph: &Graph, builder: &Builder, map: &[NodeId], output: NodeId) {
    for (index, state) in graph.states.iter().enumerate() {
        builder.next_of(index, builder.value(map[state.next]));
    }
    builder.output(builder.value(output));
}
