//! Which phase computes a node.

use super::rewrite::users;
use super::{Plan, Request};
use crate::graph::{Along, Evaluation, NodeId, Op, RowOp};

/// The phases in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Not computed: nothing uses it, or it is a leaf.
    None,
    /// Once, before.
    Prologue,
    /// Over chunks, before the loop.
    Before,
    /// In the time loop.
    Step,
    /// Over chunks, after the loop.
    After,
    /// Sums over steps and samples.
    Accumulate,
    /// Once, after.
    Epilogue,
}

/// The evaluation of a node that applies a primitive.
pub(super) fn evaluation(request: &Request<'_>, id: NodeId) -> Option<Evaluation> {
    match &request.graph.nodes[id].op {
        Op::Apply(primitive) => Some(primitive.evaluation()),
        _ => None,
    }
}

/// Whether a node is the value of a state before the step, whose rows do not lie one after the other in a chunk.
fn is_boundary(request: &Request<'_>, id: NodeId) -> bool {
    match request.graph.nodes[id].op {
        Op::State(_) => true,
        Op::Input(i) => request.tracked[i] == Some(false),
        _ => false,
    }
}

pub(super) fn phases(request: &Request<'_>) -> Vec<Phase> {
    let graph = &request.graph;
    let roots: Vec<NodeId> = request.saved.iter().copied().chain(request.gradients.iter().map(|g| g.2)).collect();
    let users = users(graph, &roots);
    let (stateful, feeds) = (graph.stateful(), graph.feeds_state());
    let recurrent = !graph.states.is_empty();
    let mut phases = vec![Phase::None; graph.nodes.len()];
    for (id, node) in graph.nodes.iter().enumerate() {
        let Some(evaluation) = evaluation(request, id) else { continue };
        if users[id].is_empty() {
            continue;
        }
        let arg_phase = |phase: Phase| node.args.iter().any(|&a| phases[a] == phase);
        let reads_boundary = node.args.iter().any(|&a| is_boundary(request, a));
        let affine = matches!(evaluation, Evaluation::Affine { .. });
        let elementwise = matches!(evaluation, Evaluation::Elementwise(_));
        phases[id] = if matches!(evaluation, Evaluation::Accumulate(_)) {
            Phase::Accumulate
        } else if arg_phase(Phase::Accumulate) || arg_phase(Phase::Epilogue) {
            Phase::Epilogue
        } else if !node.varies {
            Phase::Prologue
        } else if !recurrent {
            Phase::Before
        } else if arg_phase(Phase::After) || (affine && !feeds[id] && stateful[id] && !reads_boundary) {
            Phase::After
        } else if !stateful[id] && !elementwise && !reads_boundary && !arg_phase(Phase::Step) {
            Phase::Before
        } else {
            Phase::Step
        };
    }
    // What feeds the phase before runs there too.
    for id in (0..graph.nodes.len()).rev() {
        if phases[id] == Phase::Before {
            for &arg in &graph.nodes[id].args {
                if phases[arg] == Phase::Step {
                    phases[arg] = Phase::Before;
                }
            }
        }
    }
    phases
}

impl Plan {
    /// Whether there is a loop over steps.
    pub fn has_loop(&self) -> bool {
        !self.step.is_empty()
    }
}

/// Where a node that is nothing but a stretch of its argument's elements begins in it: a slice, a reshape.
pub(super) fn view_start(request: &Request<'_>, id: NodeId) -> Option<usize> {
    let node = &request.graph.nodes[id];
    match evaluation(request, id)? {
        Evaluation::Row(RowOp::Along { what: Along::Part { from }, axis: 0 }) => {
            Some(from * node.ty.shape[1..].iter().product::<usize>())
        }
        Evaluation::Row(RowOp::Copy) => Some(0),
        _ => None,
    }
}
