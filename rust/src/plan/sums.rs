//! Sums over steps and samples: which are made together, and which part of a parameter's gradient each is.
//!
//! The gradients of all gates meet the same operands: state, input, ones. They lie side by side, so that they are one
//! operand, of one sum with each of the others, and what is copied for a sum is copied once.

use super::cut::{Phase, evaluation};
use super::layout::Layout;
use super::{Accumulate, Class, GradientFrom, GradientPart, Place, Request, padded};
use crate::error::{Error, Result};
use crate::graph::{Accumulation, Evaluation, NodeId};
use std::collections::{BTreeMap, HashMap};

/// The sums of a plan.
#[derive(Default)]
pub(super) struct Sums {
    pub list: Vec<Accumulate>,
    /// Sums that the epilogue works on, and the rows that they are laid out as.
    pub flattened: Vec<(usize, Place)>,
    /// Where the sum of a node is: which, its first column and how many.
    parts: HashMap<NodeId, (usize, usize, usize)>,
}

impl Layout {
    /// Lays values side by side that meet the same operand in sums, where they are made by elementwise programs.
    pub(super) fn place_side_by_side(&mut self, request: &Request<'_>) {
        let mut partners: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
        for id in 0..request.graph.nodes.len() {
            if !self.is_gradient(id) || evaluation(request, id) != Some(Evaluation::Accumulate(Accumulation::Outer)) {
                continue;
            }
            let args = &request.graph.nodes[id].args;
            for (value, other) in [(args[0], args[1]), (args[1], args[0])] {
                let made = matches!(evaluation(request, value), Some(Evaluation::Elementwise(_)));
                let fits = made && !self.places.contains_key(&value) && !self.kept.contains(&value);
                let partners = partners.entry(other).or_default();
                if fits && self.class(self.phases[value], value) == Class::Chunk && !partners.contains(&value) {
                    partners.push(value);
                }
            }
        }
        let mut groups: Vec<Vec<NodeId>> = partners.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
        for mut group in groups {
            group.retain(|value| !self.places.contains_key(value));
            if group.len() < 2 {
                continue;
            }
            let widths: Vec<usize> = group.iter().map(|&id| padded(request.graph.width(id), self.pad)).collect();
            let buffer = self.buffer(Class::Chunk, widths.iter().sum());
            let mut offset = 0;
            for (value, width) in group.into_iter().zip(widths) {
                self.places.insert(value, Place { buffer, offset, later: false });
                self.side_by_side.insert(value);
                offset += width;
            }
        }
    }

    /// Whether a node is a sum that is part of a gradient and nothing else.
    fn is_gradient(&self, id: NodeId) -> bool {
        self.phases[id] == Phase::Accumulate && self.users[id].iter().all(|&user| user == usize::MAX)
    }

    pub(super) fn emit_sums(&mut self, request: &Request<'_>) -> Result<Sums> {
        let graph = &request.graph;
        let mut sums = Sums::default();
        for (id, node) in graph.nodes.iter().enumerate() {
            if self.phases[id] != Phase::Accumulate {
                continue;
            }
            let Some(Evaluation::Accumulate(kind)) = evaluation(request, id) else { continue };
            let operand = |i: usize| -> Result<(Place, usize)> {
                let arg = node.args[i];
                if !graph.nodes[arg].varies {
                    return Err(Error::Unsupported(format!(
                        "'{}': the sum of a constant over steps (node {id}) cannot be planned yet",
                        graph.name
                    )));
                }
                Ok((self.place(request, arg)?, graph.width(arg)))
            };
            let (a, b) = match kind {
                Accumulation::Sum => (None, operand(0)?),
                _ => (Some(operand(0)?), operand(1)?),
            };
            // Vectors run across the second operand: one that lies beside others, or the wider one, where the other is
            // narrower than a vector.
            let beside = |i: usize| node.args.get(i).is_some_and(|arg| self.side_by_side.contains(arg));
            let swapped = kind == Accumulation::Outer
                && a.is_some_and(|a| match (beside(0), beside(1)) {
                    (true, false) => true,
                    (false, true) => false,
                    _ => a.1 > b.1 && b.1 < 2 * self.pad,
                });
            let (a, b) = match (swapped, a) {
                (true, Some(a)) => (Some(b), a),
                _ => (a, b),
            };
            let rows = match kind {
                Accumulation::Rows => node.ty.shape[0],
                _ => a.map_or(1, |a| a.1),
            };
            let gradient = self.is_gradient(id);
            if gradient
                && kind != Accumulation::Rows
                && let Some(sum) = sums.list.iter().position(|sum| sum.continues(kind, swapped, a, b, self.pad))
                && sums.flattened.iter().all(|flattened| flattened.0 != sum)
            {
                // The next columns of a sum that is there.
                let wider = &mut sums.list[sum];
                let column = b.0.offset - wider.b.0.offset;
                wider.b.1 = column + b.1;
                wider.nodes.push((id, column));
                sums.parts.insert(id, (sum, column, b.1));
                continue;
            }
            let sum = sums.list.len();
            sums.parts.insert(id, (sum, 0, b.1));
            if !gradient {
                let row = self.fresh(Class::Final, graph.width(id));
                self.places.insert(id, row);
                sums.flattened.push((sum, row));
            }
            sums.list.push(Accumulate { kind, a, b, rows, swapped, nodes: vec![(id, 0)] });
        }
        for (index, sum) in sums.list.iter().enumerate() {
            self.buffer(Class::Total(index), sum.b.1);
        }
        Ok(sums)
    }

    pub(super) fn emit_gradients(&self, request: &Request<'_>, sums: &Sums) -> Result<Vec<GradientPart>> {
        let part = |&(param, offset, node): &(usize, usize, NodeId)| {
            let from = match sums.parts.get(&node) {
                Some(&(sum, column, width)) => GradientFrom::Total { sum, column, width },
                None => GradientFrom::Row(self.place(request, node)?, request.graph.width(node)),
            };
            Ok(GradientPart { param, offset, from })
        };
        request.gradients.iter().map(part).collect()
    }
}

impl Accumulate {
    /// Whether a sum of these operands is the next columns of this one.
    fn continues(
        &self,
        kind: Accumulation,
        swapped: bool,
        a: Option<(Place, usize)>,
        b: (Place, usize),
        pad: usize,
    ) -> bool {
        let next = self.b.0.moved(padded(self.b.1, pad));
        (self.kind, self.swapped, self.a, next) == (kind, swapped, a, b.0)
    }
}
