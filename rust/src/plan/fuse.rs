//! Elementwise operations that are made as one: what nothing else reads becomes part of the operation that reads it.
//!
//! A fused operation rounds where its parts did, so no bit changes. Each saves a trip through the first-level cache: derivatives
//! of σ and tanh are three operations each, and every state that is kept is flushed.

use super::cut::evaluation;
use super::{Place, Request};
use crate::graph::{Evaluation, NodeId, Op};
use crate::kernels::Elementwise;
use std::collections::{BTreeSet, HashMap};

/// An operation of a program.
pub(super) struct Operation {
    /// The node it computes.
    pub id: NodeId,
    pub op: Elementwise,
    pub args: Vec<NodeId>,
    /// Where the first of its parts was; those after it must leave what it reads alone.
    since: usize,
}

/// The operations of a program of these nodes, of which `registers` are read by the program alone.
pub(super) fn operations(
    request: &Request<'_>,
    members: &[NodeId],
    registers: &BTreeSet<NodeId>,
    places: &HashMap<NodeId, Place>,
) -> Vec<Operation> {
    let mut uses: HashMap<NodeId, usize> = HashMap::new();
    for arg in members.iter().flat_map(|&id| &request.graph.nodes[id].args) {
        *uses.entry(*arg).or_default() += 1;
    }
    let mut list: Vec<Operation> = Vec::new();
    for (at, &id) in members.iter().enumerate() {
        let Some(Evaluation::Elementwise(op)) = evaluation(request, id) else {
            unreachable!("a block holds elementwise nodes")
        };
        let args = request.graph.nodes[id].args.clone();
        let written = |since: usize, arg: &NodeId| {
            places.get(arg).is_some_and(|place| members[since..at].iter().any(|m| places.get(m) == Some(place)))
        };
        // What computes an argument, if it may be made here.
        let part = |arg: &NodeId| {
            let alone = registers.contains(arg) && uses[arg] == 1;
            let found = list.iter().position(|part: &Operation| part.id == *arg).filter(|_| alone)?;
            let part = &list[found];
            (!part.args.iter().any(|arg| written(part.since, arg))).then_some(found)
        };
        let is_one = |arg: NodeId| matches!(request.graph.nodes[arg].op, Op::Constant(1.0));
        let operation = match fused(op, &args, &list, part, is_one) {
            Some((op, args, part)) => Operation { id, op, args, since: list.remove(part).since },
            None => Operation { id, op, args, since: at },
        };
        list.push(operation);
    }
    list
}

/// An operation made with a part of the list: what it is then, what it reads, and which part.
fn fused(
    op: Elementwise,
    args: &[NodeId],
    list: &[Operation],
    part: impl Fn(&NodeId) -> Option<usize>,
    is_one: impl Fn(NodeId) -> bool,
) -> Option<(Elementwise, Vec<NodeId>, usize)> {
    match op {
        // y − y·y, and 1 − y·y.
        Elementwise::Sub => {
            let found = part(&args[1])?;
            let square = &list[found];
            let &[y, same] = &square.args[..] else { return None };
            match square.op {
                Elementwise::Mul if y == same && args[0] == y => Some((Elementwise::SigmoidSlope, vec![y], found)),
                Elementwise::Mul if y == same && is_one(args[0]) => Some((Elementwise::TanhSlope, vec![y], found)),
                _ => None,
            }
        }
        Elementwise::Mul => [(0, 1), (1, 0)].into_iter().find_map(|(factor, slope)| {
            let found = part(&args[slope])?;
            let op = match list[found].op {
                Elementwise::SigmoidSlope => Elementwise::TimesSigmoidSlope,
                Elementwise::TanhSlope => Elementwise::TimesTanhSlope,
                _ => return None,
            };
            Some((op, vec![args[factor], list[found].args[0]], found))
        }),
        Elementwise::Flush => {
            let found = part(&args[0])?;
            let op = match list[found].op {
                Elementwise::Add => Elementwise::FlushedAdd,
                Elementwise::Mul => Elementwise::FlushedMul,
                Elementwise::Fma => Elementwise::FlushedFma,
                _ => return None,
            };
            Some((op, list[found].args.clone(), found))
        }
        _ => None,
    }
}
