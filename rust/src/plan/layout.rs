//! The order of computation, and where each value lies.

use super::cut::{Phase, evaluation, view_start};
use super::rewrite::users;
use super::{Buffer, BufferId, Class, Place, Request, padded};
use crate::graph::{Evaluation, NodeId, Op, parameter_view};
use std::collections::{BTreeSet, HashMap};

/// A set of nodes that one instruction computes.
#[derive(Clone, Debug)]
pub(super) enum Unit {
    /// Affine nodes with the same left operands.
    Gemm(Vec<NodeId>),
    /// Elementwise nodes of one width.
    Block(Vec<NodeId>),
    /// One other node.
    Row(NodeId),
}

/// A plan in the making.
pub(super) struct Layout {
    pub phases: Vec<Phase>,
    pub users: Vec<Vec<usize>>,
    pub units: HashMap<Phase, Vec<Unit>>,
    pub buffers: Vec<Buffer>,
    pub places: HashMap<NodeId, Place>,
    /// Rows that the prologue copies to aligned memory: (source, width, target).
    pub copies_first: Vec<(Place, usize, Place)>,
    /// Parameters that have such a copy, as they are stored.
    pub stored: HashMap<NodeId, Place>,
    /// Nodes that live in registers of their block program.
    pub registers: BTreeSet<NodeId>,
    /// Slices that are columns of their argument's buffer.
    pub views: BTreeSet<NodeId>,
    /// States whose next value must be copied into their track: (value, track, width).
    pub moves: Vec<(NodeId, Place, usize)>,
    pub tracks: Vec<BufferId>,
    pub inputs: Vec<Option<BufferId>>,
    pub raw_params: HashMap<usize, BufferId>,
    pub kept: BTreeSet<NodeId>,
    /// Values that lie beside others which meet the same operand in sums.
    pub side_by_side: BTreeSet<NodeId>,
    pub pad: usize,
}

/// How the accumulators of an affine node start; nodes of a group start alike.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum StartKind {
    Zero,
    Fixed(NodeId),
    Varying(NodeId),
}

/// The start, and the left operands and weights of an affine node.
pub(super) fn affine_parts(request: &Request<'_>, id: NodeId) -> (StartKind, Vec<(NodeId, NodeId, bool)>) {
    let node = &request.graph.nodes[id];
    let Some(Evaluation::Affine { init, transposed }) = evaluation(request, id) else {
        unreachable!("only affine nodes are grouped")
    };
    let first = usize::from(init);
    let start = match init {
        true if request.graph.nodes[node.args[0]].varies => StartKind::Varying(node.args[0]),
        true => StartKind::Fixed(node.args[0]),
        false => StartKind::Zero,
    };
    let terms = node.args[first..].chunks_exact(2).zip(transposed).map(|(pair, t)| (pair[0], pair[1], t)).collect();
    (start, terms)
}

impl Layout {
    pub(super) fn new(request: &Request<'_>, phases: Vec<Phase>) -> Self {
        let roots: Vec<NodeId> = request.saved.iter().copied().chain(request.gradients.iter().map(|g| g.2)).collect();
        let mut kept: BTreeSet<NodeId> = request.saved.iter().copied().collect();
        if request.record {
            kept.extend(&request.graph.outputs);
        }
        let mut layout = Self {
            users: users(&request.graph, &roots),
            phases,
            units: HashMap::new(),
            buffers: Vec::new(),
            places: HashMap::new(),
            copies_first: Vec::new(),
            stored: HashMap::new(),
            registers: BTreeSet::new(),
            views: BTreeSet::new(),
            moves: Vec::new(),
            tracks: Vec::new(),
            inputs: vec![None; request.graph.inputs.len()],
            raw_params: HashMap::new(),
            kept,
            side_by_side: BTreeSet::new(),
            pad: request.pad,
        };
        for phase in [Phase::Prologue, Phase::Before, Phase::Step, Phase::After, Phase::Epilogue] {
            let units = layout.schedule(request, phase);
            layout.units.insert(phase, units);
        }
        layout.place_leaves(request);
        layout.place_states(request);
        layout.place_side_by_side(request);
        for phase in [Phase::Prologue, Phase::Before, Phase::Step, Phase::After, Phase::Epilogue] {
            for unit in layout.units[&phase].clone() {
                match unit {
                    Unit::Gemm(members) => layout.place_group(request, phase, &members),
                    Unit::Block(members) => layout.place_block(request, phase, &members),
                    Unit::Row(id) => layout.place_row(request, phase, id),
                }
            }
        }
        layout
    }

    /// Orders the nodes of a phase: products and row operations as soon as they can run, elementwise nodes in programs
    /// as long as possible.
    fn schedule(&self, request: &Request<'_>, phase: Phase) -> Vec<Unit> {
        let graph = &request.graph;
        let mut open: Vec<NodeId> = (0..graph.nodes.len())
            .filter(|&id| self.phases[id] == phase && !self.is_parameter_view(request, id))
            .collect();
        let mut units = Vec::new();
        // Long graphs have as many rounds as nodes, so what is asked in each round is kept ready.
        let (mut pending, mut elementwise) = (vec![false; graph.nodes.len()], vec![false; graph.nodes.len()]);
        for &id in &open {
            pending[id] = true;
            elementwise[id] = matches!(evaluation(request, id), Some(Evaluation::Elementwise(_)));
        }
        let ready = |id: NodeId, pending: &[bool]| graph.nodes[id].args.iter().all(|&a| !pending[a]);
        while !open.is_empty() {
            let products = open.iter().copied().filter(|&id| !elementwise[id] && ready(id, &pending));
            let mut now: Vec<NodeId> = products.collect();
            if now.is_empty() {
                let first = open.iter().copied().find(|&id| ready(id, &pending)).expect("a graph has no cycles");
                let width = graph.width(first);
                for &id in &open {
                    if elementwise[id] && graph.width(id) == width && ready(id, &pending) {
                        pending[id] = false;
                        now.push(id);
                    }
                }
                units.push(Unit::Block(now));
            } else {
                now.iter().for_each(|&id| pending[id] = false);
                let mut groups: Vec<(Vec<NodeId>, std::mem::Discriminant<StartKind>, Vec<NodeId>)> = Vec::new();
                for &id in &now {
                    if !matches!(evaluation(request, id), Some(Evaluation::Affine { .. })) {
                        units.push(Unit::Row(id));
                        continue;
                    }
                    let (start, terms) = affine_parts(request, id);
                    let operands: Vec<NodeId> = terms.iter().map(|t| t.0).collect();
                    let kind = std::mem::discriminant(&start);
                    match groups.iter_mut().find(|g| g.0 == operands && g.1 == kind) {
                        Some(group) => group.2.push(id),
                        None => groups.push((operands, kind, vec![id])),
                    }
                }
                units.extend(groups.into_iter().map(|g| Unit::Gemm(g.2)));
            }
            open.retain(|&id| pending[id]);
        }
        units
    }

    fn is_parameter_view(&self, request: &Request<'_>, id: NodeId) -> bool {
        parameter_view(&request.graph, id).is_some()
    }

    pub(super) fn buffer(&mut self, class: Class, width: usize) -> BufferId {
        // An odd number of cache lines, so that walking down the rows meets every set of the cache.
        let lines = width.div_ceil(self.pad).max(1);
        let wide = matches!(class, Class::Chunk | Class::Segment | Class::Temp | Class::Track(_)) && lines >= 8;
        let stride = (if wide { lines | 1 } else { lines }) * self.pad;
        self.buffers.push(Buffer { class, stride });
        self.buffers.len() - 1
    }

    pub(super) fn fresh(&mut self, class: Class, width: usize) -> Place {
        Place { buffer: self.buffer(class, width), offset: 0, later: false }
    }

    /// The buffer of a parameter as it is stored.
    pub(super) fn raw_param(&mut self, param: usize, width: usize) -> BufferId {
        if let Some(&known) = self.raw_params.get(&param) {
            return known;
        }
        let buffer = self.buffer(Class::Param(param), width);
        self.raw_params.insert(param, buffer);
        buffer
    }

    fn used(&self, id: NodeId) -> bool {
        !self.users[id].is_empty()
    }

    fn place_leaves(&mut self, request: &Request<'_>) {
        let graph = &request.graph;
        for id in 0..graph.nodes.len() {
            if !self.used(id) {
                continue;
            }
            let width = graph.width(id);
            if let Some((param, offset)) = parameter_view(graph, id) {
                let raw = self.raw_param(param, graph.params[param].shape.iter().product());
                let stored = Place { buffer: raw, offset, later: false };
                // Products read weights as they are stored; everything else wants an aligned, padded row.
                let weight = |&user: &usize| {
                    user != usize::MAX && (self.is_weight(request, user, id) || self.is_parameter_view(request, user))
                };
                if self.users[id].iter().all(weight) {
                    self.places.insert(id, stored);
                } else {
                    let row = self.fresh(Class::Once, width);
                    self.copies_first.push((stored, width, row));
                    self.places.insert(id, row);
                    self.stored.insert(id, stored);
                }
                continue;
            }
            match graph.nodes[id].op {
                Op::Constant(number) => {
                    let place = self.fresh(Class::Constant(number), width);
                    self.places.insert(id, place);
                }
                Op::Tensor(_) => {
                    let place = self.fresh(Class::Tensor(id), width);
                    self.places.insert(id, place);
                }
                Op::Input(index) => {
                    let mut place = self.fresh(Class::External(index), width);
                    place.later = request.tracked[index].unwrap_or(false);
                    self.inputs[index] = Some(place.buffer);
                    self.places.insert(id, place);
                }
                _ => {}
            }
        }
    }

    /// Whether `user` reads `id` as a weight (or as a table of rows).
    fn is_weight(&self, request: &Request<'_>, user: NodeId, id: NodeId) -> bool {
        match evaluation(request, user) {
            Some(Evaluation::Affine { .. }) => {
                let (_, terms) = affine_parts(request, user);
                terms.iter().any(|t| t.1 == id) && terms.iter().all(|t| t.0 != id)
            }
            Some(Evaluation::Row(crate::graph::RowOp::Gather)) => request.graph.nodes[user].args[0] == id,
            _ => false,
        }
    }

    fn place_states(&mut self, request: &Request<'_>) {
        let graph = &request.graph;
        for (index, state) in graph.states.iter().enumerate() {
            let width = graph.width(state.node);
            let track = self.buffer(Class::Track(index), width);
            self.tracks.push(track);
            self.places.insert(state.node, Place { buffer: track, offset: 0, later: request.backward });
            let after = Place { buffer: track, offset: 0, later: !request.backward };
            let computed = graph.nodes[state.next].varies
                && matches!(evaluation(request, state.next), Some(Evaluation::Elementwise(_)));
            if computed && !self.places.contains_key(&state.next) {
                self.places.insert(state.next, after);
            } else {
                self.moves.push((state.next, after, width));
            }
        }
    }

    /// The class of a value that needs memory of its own.
    pub(super) fn class(&self, phase: Phase, id: NodeId) -> Class {
        match phase {
            Phase::Prologue => Class::Once,
            Phase::Epilogue => Class::Final,
            _ if self.kept.contains(&id) => Class::Segment,
            Phase::Step
                if self.users[id].iter().all(|&user| user != usize::MAX && self.phases[user] == Phase::Step) =>
            {
                Class::Temp
            }
            _ => Class::Chunk,
        }
    }

    fn place_block(&mut self, request: &Request<'_>, phase: Phase, members: &[NodeId]) {
        for &id in members {
            if self.places.contains_key(&id) {
                continue;
            }
            let moved = self.moves.iter().any(|m| m.0 == id);
            let inside = self.users[id].iter().all(|user| members.contains(user)) && !moved;
            if inside && !self.kept.contains(&id) {
                self.registers.insert(id);
            } else {
                let class = self.class(phase, id);
                let place = self.fresh(class, request.graph.width(id));
                self.places.insert(id, place);
            }
        }
    }

    fn place_row(&mut self, request: &Request<'_>, phase: Phase, id: NodeId) {
        let node = &request.graph.nodes[id];
        let inside = !self.kept.contains(&id) && self.users[id].iter().all(|&user| user != usize::MAX);
        if let (true, Some(source)) = (inside, view_start(request, id))
            && let (Some(&base), true) = (self.places.get(&node.args[0]), source % self.pad == 0)
        {
            // Later phases may read the view only as long as its buffer lives.
            let outlives =
                !matches!(self.buffers[base.buffer].class, Class::Temp) || self.class(phase, id) == Class::Temp;
            if outlives {
                self.views.insert(id);
                self.places.insert(id, Place { offset: base.offset + source, ..base });
                return;
            }
        }
        let class = self.class(phase, id);
        let place = self.fresh(class, request.graph.width(id));
        self.places.insert(id, place);
    }

    /// Lays the results of a group of products side by side, each padded to whole cache lines.
    fn place_group(&mut self, request: &Request<'_>, phase: Phase, members: &[NodeId]) {
        let widths: Vec<usize> = members.iter().map(|&id| padded(request.graph.width(id), self.pad)).collect();
        let starts: Vec<StartKind> = members.iter().map(|&id| affine_parts(request, id).0).collect();
        // In place over the initial values, where these lie in the same order and nothing else reads them.
        if let Some(base) = self.consecutive(&starts, &widths, members) {
            for &id in members {
                let needed = self.class(phase, id);
                let class = &mut self.buffers[base.buffer].class;
                if needed == Class::Segment || (needed == Class::Chunk && *class == Class::Temp) {
                    *class = needed;
                }
            }
            let mut offset = base.offset;
            for (&id, &width) in members.iter().zip(&widths) {
                self.places.insert(id, Place { offset, ..base });
                offset += width;
            }
            return;
        }
        let classes: Vec<Class> = members.iter().map(|&id| self.class(phase, id)).collect();
        let class = if classes.contains(&Class::Segment) {
            Class::Segment
        } else if classes.contains(&Class::Chunk) {
            Class::Chunk
        } else {
            classes[0]
        };
        let buffer = self.buffer(class, widths.iter().sum());
        let mut offset = 0;
        for (&id, &width) in members.iter().zip(&widths) {
            self.places.insert(id, Place { buffer, offset, later: false });
            offset += width;
        }
    }

    /// The place of the first of `starts`, if they are varying values, side by side, of no other use.
    pub(super) fn consecutive(&self, starts: &[StartKind], widths: &[usize], members: &[NodeId]) -> Option<Place> {
        let mut expected: Option<Place> = None;
        for ((start, width), &member) in starts.iter().zip(widths).zip(members) {
            let StartKind::Varying(node) = *start else { return None };
            let place = *self.places.get(&node)?;
            if self.users[node] != [member] || self.kept.contains(&node) || expected.is_some_and(|e| e != place) {
                return None;
            }
            expected = Some(Place { offset: place.offset + width, ..place });
        }
        let first = starts.first()?;
        let StartKind::Varying(node) = *first else { return None };
        let class = self.buffers[self.places[&node].buffer].class;
        matches!(class, Class::Chunk | Class::Temp).then(|| self.places[&node])
    }
}
