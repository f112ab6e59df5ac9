//! From units and places to instructions.

use super::cut::{Phase, evaluation};
use super::fuse;
use super::layout::{Layout, StartKind, Unit, affine_parts};
use super::{Class, GemmTerm, Instruction, Pack, PackPiece, Place, Plan, Request, Start, padded};
use crate::error::{Error, Result};
use crate::graph::{Evaluation, NodeId, RowOp};
use crate::kernels::{BlockOp, Elementwise};
use std::collections::{BTreeMap, HashMap};

impl Layout {
    pub(super) fn emit(mut self, request: Request<'_>) -> Result<Plan> {
        let mut packs = Vec::new();
        let sums = self.emit_sums(&request)?;
        let mut lists: HashMap<Phase, Vec<Instruction>> = HashMap::new();
        let mut prologue_end = Vec::new();
        for phase in [Phase::Prologue, Phase::Before, Phase::Step, Phase::After, Phase::Epilogue] {
            let mut list = Vec::new();
            if phase == Phase::Prologue {
                for &(from, width, to) in &self.copies_first {
                    list.push(copy_row(from, width, to, 0));
                }
            }
            for unit in self.units.remove(&phase).unwrap_or_default() {
                match unit {
                    Unit::Gemm(members) => {
                        self.emit_group(&request, &members, &mut packs, &mut list, &mut prologue_end)?
                    }
                    Unit::Block(members) => list.push(self.emit_block(&request, &members)),
                    Unit::Row(id) if self.views.contains(&id) => {}
                    Unit::Row(id) => list.push(self.emit_row(&request, id)?),
                }
            }
            lists.insert(phase, list);
        }
        let mut take = |phase| lists.remove(&phase).unwrap_or_default();
        let (mut prologue, before, mut step, after) =
            (take(Phase::Prologue), take(Phase::Before), take(Phase::Step), take(Phase::After));
        let epilogue = take(Phase::Epilogue);
        prologue.append(&mut prologue_end);
        for &(node, to, width) in &self.moves {
            let from = self.place(&request, node)?;
            let ops = vec![BlockOp { op: Elementwise::Copy, dst: 1, a: 0, b: 0, c: 0 }];
            step.push(Instruction::Block {
                width: padded(width, self.pad),
                operands: vec![from, to],
                ops,
                temporaries: 0,
                nodes: vec![node],
            });
        }
        let gradients = self.emit_gradients(&request, &sums)?;
        let outputs = request.graph.outputs.iter().map(|&id| self.place(&request, id)).collect::<Result<Vec<_>>>()?;
        let mut saved = BTreeMap::new();
        for &id in request.saved {
            saved.insert(id, self.place(&request, id)?);
        }
        Ok(Plan {
            backward: request.backward,
            graph: request.graph,
            buffers: self.buffers,
            prologue,
            before,
            step,
            after,
            accumulate: sums.list,
            flattened: sums.flattened,
            epilogue,
            packs,
            tracks: self.tracks,
            inputs: self.inputs,
            outputs,
            saved,
            gradients,
        })
    }

    pub(super) fn place(&self, request: &Request<'_>, id: NodeId) -> Result<Place> {
        self.places.get(&id).copied().ok_or_else(|| {
            Error::Unsupported(format!(
                "'{}': node {id} cannot be planned: expected a value that varies from step to step",
                request.graph.name
            ))
        })
    }

    fn emit_group(
        &mut self,
        request: &Request<'_>,
        members: &[NodeId],
        packs: &mut Vec<Pack>,
        list: &mut Vec<Instruction>,
        prologue_end: &mut Vec<Instruction>,
    ) -> Result<()> {
        let graph = &request.graph;
        let widths: Vec<usize> = members.iter().map(|&id| padded(graph.width(id), self.pad)).collect();
        let columns = widths.iter().sum();
        let starts: Vec<StartKind> = members.iter().map(|&id| affine_parts(request, id).0).collect();
        let out = self.place(request, members[0])?;
        let start = if self.consecutive(&starts, &widths, members) == Some(out) {
            Start::At(out)
        } else {
            match starts[0] {
                StartKind::Zero => Start::Zero,
                StartKind::Fixed(_) => {
                    let row = Place { buffer: self.buffer(Class::Once, columns), offset: 0, later: false };
                    let mut offset = 0;
                    for (start, (&id, &width)) in starts.iter().zip(members.iter().zip(&widths)) {
                        let StartKind::Fixed(node) = *start else { unreachable!("nodes of a group start alike") };
                        prologue_end.push(copy_row(
                            self.place(request, node)?,
                            graph.width(id),
                            Place { offset, ..row },
                            0,
                        ));
                        offset += width;
                    }
                    Start::At(row)
                }
                StartKind::Varying(_) => {
                    for (start, (&id, &width)) in starts.iter().zip(members.iter().zip(&widths)) {
                        let StartKind::Varying(node) = *start else { unreachable!("nodes of a group start alike") };
                        let operands = vec![self.place(request, node)?, self.place(request, id)?];
                        let ops = vec![BlockOp { op: Elementwise::Copy, dst: 1, a: 0, b: 0, c: 0 }];
                        list.push(Instruction::Block { width, operands, ops, temporaries: 0, nodes: vec![node] });
                    }
                    Start::At(out)
                }
            }
        };
        let mut terms = Vec::new();
        let mut k0 = 0;
        let mut pieces = Vec::new();
        for (index, &(x, ..)) in affine_parts(request, members[0]).1.iter().enumerate() {
            let k = graph.width(x);
            terms.push(GemmTerm { place: self.place(request, x)?, k });
            let mut n0 = 0;
            for (&id, &width) in members.iter().zip(&widths) {
                let (_, weight, transposed) = affine_parts(request, id).1[index];
                let shape = &graph.ty(weight).shape;
                let place = self.stored.get(&weight).copied().map_or_else(|| self.place(request, weight), Ok)?;
                pieces.push(PackPiece { place, shape: (shape[0], shape[1]), transposed, k0, n0 });
                n0 += width;
            }
            k0 += k;
        }
        let depths = terms.iter().map(|term: &GemmTerm| term.k).collect();
        packs.push(Pack { columns, depths, pieces });
        list.push(Instruction::Gemm { terms, start, out, pack: packs.len() - 1, nodes: members.to_vec() });
        Ok(())
    }

    /// A block program: its operations, each with its result in a register or at its place.
    fn emit_block(&self, request: &Request<'_>, members: &[NodeId]) -> Instruction {
        let operations = fuse::operations(request, members, &self.registers, &self.places);
        let mut operands: Vec<Place> = Vec::new();
        let mut external = |place: Place| {
            operands.iter().position(|&p| p == place).unwrap_or_else(|| {
                operands.push(place);
                operands.len() - 1
            })
        };
        // First pass: name every operand outside of the program, so that the registers can come after them.
        let mut names: HashMap<NodeId, usize> = HashMap::new();
        for operation in &operations {
            for &node in operation.args.iter().chain([&operation.id]) {
                if let (Some(&place), false) = (self.places.get(&node), self.registers.contains(&node)) {
                    names.insert(node, external(place));
                }
            }
        }
        let outside = operands.len();
        let mut last_use: HashMap<NodeId, usize> = HashMap::new();
        for (at, operation) in operations.iter().enumerate() {
            for &arg in &operation.args {
                last_use.insert(arg, at);
            }
        }
        let (mut free, mut temporaries) = (Vec::new(), 0);
        let mut ops = Vec::new();
        for (at, fuse::Operation { id, op, args, .. }) in operations.iter().enumerate() {
            let index: Vec<usize> = args.iter().map(|a| names[a]).collect();
            let mut ended: Vec<NodeId> =
                args.iter().copied().filter(|a| self.registers.contains(a) && last_use[a] == at).collect();
            ended.dedup();
            for arg in ended {
                if !free.contains(&names[&arg]) {
                    free.push(names[&arg]);
                }
            }
            if self.registers.contains(id) {
                let register = free.pop().unwrap_or_else(|| {
                    temporaries += 1;
                    outside + temporaries - 1
                });
                names.insert(*id, register);
            }
            let short = |i: usize| u16::try_from(index.get(i).copied().unwrap_or(0)).expect("a graph has fewer nodes");
            let dst = u16::try_from(names[id]).expect("a graph has fewer nodes");
            ops.push(BlockOp { op: *op, dst, a: short(0), b: short(1), c: short(2) });
        }
        let width = padded(request.graph.width(members[0]), self.pad);
        Instruction::Block { width, operands, ops, temporaries, nodes: members.to_vec() }
    }

    fn emit_row(&self, request: &Request<'_>, id: NodeId) -> Result<Instruction> {
        let graph = &request.graph;
        let node = &graph.nodes[id];
        let Some(Evaluation::Row(op)) = evaluation(request, id) else {
            return Err(Error::Unsupported(format!(
                "'{}': a product of parameters (node {id}) cannot be planned yet",
                graph.name
            )));
        };
        let args =
            node.args.iter().map(|&a| Ok((self.place(request, a)?, graph.width(a)))).collect::<Result<Vec<_>>>()?;
        let types: Vec<_> = node.args.iter().map(|&a| graph.ty(a)).collect();
        let extents = op.extents(&types, &node.ty);
        Ok(Instruction::Row { op, args, out: self.place(request, id)?, width: graph.width(id), extents, node: id })
    }
}

fn copy_row(from: Place, width: usize, to: Place, node: NodeId) -> Instruction {
    Instruction::Row { op: RowOp::Copy, args: vec![(from, width)], out: to, width, extents: [1, width, 1], node }
}
