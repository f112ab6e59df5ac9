//! A graph that is ready to run: its plans, made once, and its constants and packed weights, made once a change of
//! the parameters.

use super::frame::{Bound, Rule, Span};
use super::memory::Memory;
use super::params::{Layout, Params};
use super::rows::Batch;
use super::rowwise;
use super::run::{Draw, Runner};
use crate::error::Result;
use crate::graph::{self, Graph, NodeId, Op, ReverseInput};
use crate::kernels::{self, Element, Kernels, Piece, Precision};
use crate::plan::{Class, Instruction, Plan, Request, normal_form};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Where a stage's input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// The output of the stage before; for the first stage, input 0 of the pipeline.
    Previous,
    /// An input of the whole pipeline.
    External(usize),
}

/// A graph in a model.
#[derive(Debug)]
pub struct Stage<E> {
    /// Where it stands: "layer.sublayer.direction"; random nodes are keyed by it.
    pub path: String,
    /// Its graph, with the random nodes of training.
    pub graph: Graph,
    /// Where its inputs come from.
    pub wires: Vec<Wire>,
    /// For each of its parameters, the model's.
    pub params: Vec<usize>,
    /// What a scan that runs time in parallel needs, where one is asked for.
    pub scan: Option<Box<Scan<E>>>,
    plans: [OnceLock<Plans>; 2],
    ready: Mutex<Vec<(Which, Arc<Ready<E>>)>>,
}

/// How a stage's time runs in parallel; see [`graph::transfer`].
#[derive(Debug)]
pub struct Scan<E> {
    /// The cell with the states that carry its transfer matrix.
    pub stage: Stage<E>,
    /// The states that depend on themselves.
    pub moving: Vec<usize>,
    /// The states that depend on the last few inputs alone.
    pub delays: Vec<usize>,
    /// Over how many steps those reach.
    pub depth: usize,
}

/// The plans of a stage, in training or out of it.
#[derive(Debug)]
pub struct Plans {
    /// Forward, keeping nothing.
    pub infer: Plan,
    /// Forward, keeping what the backward pass reads.
    pub record: Plan,
    /// Backward, without and with gradients of the inputs.
    pub reverse: [ReversePlan; 2],
}

/// A backward plan and what its inputs are.
#[derive(Debug)]
pub struct ReversePlan {
    /// The plan.
    pub plan: Plan,
    /// What each of its inputs is.
    pub inputs: Vec<ReverseInput>,
    /// For each of its outputs, which input of the forward graph it is the gradient of.
    pub inputs_of: Vec<usize>,
}

/// Which plan of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Forward, keeping nothing.
    Infer(bool),
    /// Forward, keeping what the backward pass reads.
    Record(bool),
    /// Backward, with or without gradients of the inputs.
    Reverse(bool, bool),
}

/// A plan's constants and packed weights for one state of the parameters.
#[derive(Debug)]
pub struct Ready<E> {
    stamp: (u64, u64),
    precision: Precision,
    /// Bindings of constants, parameters and prologue rows; others are not bound.
    pub bound: Vec<Bound<E>>,
    /// Packed weights.
    pub packs: Vec<*const E>,
    once: Memory<E>,
    packed: Memory<E>,
}

// SAFETY: the pointers lead into memory that the struct owns, and to the parameters, which the model's lock guards.
unsafe impl<E: Element> Send for Ready<E> {}
// SAFETY: after it is made it is only read.
unsafe impl<E: Element> Sync for Ready<E> {}

impl<E: Element> Stage<E> {
    /// A stage; its plans are made when they are first needed, but errors of planning come now.
    pub fn new(path: String, graph: Graph, wires: Vec<Wire>, params: Vec<usize>) -> Result<Self> {
        let (plans, ready) = Default::default();
        let stage = Self { path, graph, wires, params, scan: None, plans, ready };
        let _ = stage.plans[0].set(Plans::new(&graph::expectation(&stage.graph)?, E::PAD)?);
        let _ = stage.plans[1].set(Plans::new(&stage.graph, E::PAD)?);
        Ok(stage)
    }

    /// The stage with time in parallel.
    pub fn scanned(mut self) -> Result<Self> {
        let graph::Transfer { graph, moving, delays, depth } = graph::transfer(&self.graph)?;
        let stage = Self::new(self.path.clone(), graph, self.wires.clone(), self.params.clone())?;
        self.scan = Some(Box::new(Scan { stage, moving, delays, depth }));
        Ok(self)
    }

    /// The plans in training or out of it.
    pub fn plans(&self, training: bool) -> &Plans {
        self.plans[usize::from(training)].get().expect("set by `new`")
    }

    /// One plan.
    pub fn plan(&self, which: Which) -> &Plan {
        match which {
            Which::Infer(training) => &self.plans(training).infer,
            Which::Record(training) => &self.plans(training).record,
            Which::Reverse(training, dx) => &self.plans(training).reverse[usize::from(dx)].plan,
        }
    }

    /// A plan's constants and packed weights, made anew if the parameters have changed.
    pub fn ready(
        &self,
        which: Which,
        params: &Params<E>,
        layout: &Layout,
        kernels: &'static Kernels<E>,
    ) -> Result<Arc<Ready<E>>> {
        let mut known = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |(w, ready): &(Which, Arc<Ready<E>>)| *w == which && ready.precision == kernels.precision;
        if let Some((_, ready)) = known.iter().find(|known| same(known) && known.1.stamp == params.stamp()) {
            return Ok(ready.clone());
        }
        // What nobody reads any more gives its memory to its successor.
        let old = known.iter().position(same).map(|index| known.swap_remove(index).1);
        let old = old.and_then(|old| Arc::try_unwrap(old).ok());
        let ready = Arc::new(Ready::new(self, which, params, layout, kernels, old)?);
        known.push((which, ready.clone()));
        Ok(ready)
    }
}

impl Plans {
    fn new(cell: &Graph, pad: usize) -> Result<Self> {
        let (forward, _) = normal_form(cell, &[])?;
        let inputs = vec![None; forward.inputs.len()];
        let plan = |saved: &[NodeId], record: bool| {
            Plan::new(Request {
                graph: forward.clone(),
                saved,
                gradients: &[],
                tracked: inputs.clone(),
                backward: false,
                record,
                pad,
            })
        };
        let reverses = [graph::reverse(&forward, false)?, graph::reverse(&forward, true)?];
        let saved: BTreeSet<NodeId> = reverses.iter().flat_map(graph::Reverse::saved).collect();
        let saved: Vec<NodeId> = saved.into_iter().collect();
        let record = plan(&saved, true)?;
        let reverse_plan = |reverse: graph::Reverse| -> Result<ReversePlan> {
            let roots: Vec<NodeId> = reverse.gradients.iter().map(|g| g.node).collect();
            let (graph, roots) = normal_form(&reverse.graph, &roots)?;
            let gradients: Vec<_> =
                reverse.gradients.iter().zip(roots).map(|(g, node)| (g.param, g.offset, node)).collect();
            let tracked = reverse.inputs.iter().map(|input| match input {
                ReverseInput::Saved(id) => {
                    let place = record.saved[id];
                    matches!(record.buffers[place.buffer].class, Class::Track(_)).then_some(place.later)
                }
                ReverseInput::OutputGradient(_) => None,
            });
            let request = Request {
                graph,
                saved: &[],
                gradients: &gradients,
                tracked: tracked.collect(),
                backward: true,
                record: false,
                pad,
            };
            Ok(ReversePlan { plan: Plan::new(request)?, inputs: reverse.inputs, inputs_of: reverse.inputs_of })
        };
        let [without, with] = reverses;
        let reverse = [reverse_plan(without)?, reverse_plan(with)?];
        Ok(Self { infer: plan(&[], false)?, record, reverse })
    }
}

impl<E: Element> Ready<E> {
    fn new(
        stage: &Stage<E>,
        which: Which,
        params: &Params<E>,
        layout: &Layout,
        kernels: &'static Kernels<E>,
        old: Option<Self>,
    ) -> Result<Self> {
        let plan = stage.plan(which);
        let (old_once, old_packed) = old.map(|old| (old.once, old.packed)).unzip();
        let reuse = |old: Option<Memory<E>>, len: usize| match old {
            Some(old) if old.len() == len => Ok(old),
            _ => Memory::new(len),
        };
        let own = |class: &Class| matches!(class, Class::Constant(_) | Class::Tensor(_) | Class::Once);
        let total = plan.buffers.iter().filter(|b| own(&b.class)).map(|b| b.stride).sum::<usize>();
        let mut once = reuse(old_once, total.max(1))?;
        let mut bound = vec![Bound::NONE; plan.buffers.len()];
        let mut at = 0;
        for (buffer, bound) in plan.buffers.iter().zip(&mut bound) {
            match buffer.class {
                Class::Constant(number) => once.slice_mut()[at..at + buffer.stride].fill(E::from_f64(number)),
                Class::Tensor(node) => {
                    let Op::Tensor(numbers) = &plan.graph.nodes[node].op else { unreachable!("the class says so") };
                    let row = &mut once.slice_mut()[at..at + buffer.stride];
                    row.fill(E::default());
                    row.iter_mut().zip(&numbers[..]).for_each(|(to, &number)| *to = E::from_f64(number));
                }
                Class::Param(index) => {
                    let slot = &layout.slots[stage.params[index]];
                    *bound = Bound { ptr: params.memory.ptr().wrapping_add(slot.offset), stride: 0, rule: Rule::Fixed };
                }
                _ => {}
            }
            if own(&buffer.class) {
                *bound = Bound { ptr: once.ptr().wrapping_add(at), stride: 0, rule: Rule::Fixed };
                at += buffer.stride;
            }
        }
        // The prologue works on one row, so a batch of one row and one step carries it.
        run_once(stage, plan, &plan.prologue, &bound, kernels)?;
        let sizes: Vec<usize> = plan
            .packs
            .iter()
            .map(|p| (p.columns * kernels.precision.depth(p.depths.iter().copied())).next_multiple_of(64))
            .collect();
        let packed = reuse(old_packed, sizes.iter().sum::<usize>().max(1))?;
        let mut packs = Vec::new();
        let mut at = 0;
        for (pack, size) in plan.packs.iter().zip(sizes) {
            let piece = |p: &crate::plan::PackPiece| {
                let src = bound[p.place.buffer].ptr.wrapping_add(p.place.offset).cast_const();
                let (rows, columns) = p.shape;
                // Element (k, n) of the product's matrix: W[n][k], or W[k][n] where the weight is used as stored.
                let (sk, sn, k, n) =
                    if p.transposed { (columns, 1, rows, columns) } else { (1, columns, columns, rows) };
                Piece { src, sk, sn, k0: p.k0, k, n0: p.n0, n }
            };
            let pieces: Vec<Piece<E>> = pack.pieces.iter().map(piece).collect();
            let out = packed.ptr().wrapping_add(at);
            // SAFETY: pieces lie within their parameters (shapes were checked by the graph), `out` within `packed`.
            unsafe { kernels.pack(pack.columns, &pack.depths, &pieces, out) };
            packs.push(out.cast_const());
            at += size;
        }
        Ok(Self { stamp: params.stamp(), precision: kernels.precision, bound, packs, once, packed })
    }
}

/// Runs a prologue or epilogue: instructions on single rows.
pub fn run_once<E: Element>(
    stage: &Stage<E>,
    plan: &Plan,
    list: &[Instruction],
    bound: &[Bound<E>],
    kernels: &'static Kernels<E>,
) -> Result<()> {
    if list.is_empty() {
        return Ok(());
    }
    let batch = Batch::new(1, 1, None, 1)?;
    let scratch = Memory::new(scratch_len::<E>(plan))?;
    let mut runner = Runner::new(
        kernels,
        plan,
        bound,
        &[],
        &batch.shards[0],
        &batch.order,
        Draw::default(),
        &stage.path,
        scratch.ptr(),
    );
    // SAFETY: single rows are bound; nothing else has seen this memory yet.
    unsafe { runner.list(list, Span::Step(0)) };
    Ok(())
}

/// Elements of scratch memory that a plan's programs and row operations need.
pub fn scratch_len<E: Element>(plan: &Plan) -> usize {
    let lists = [&plan.prologue, &plan.before, &plan.step, &plan.after, &plan.epilogue];
    let needed = lists.iter().flat_map(|l| l.iter()).map(|i| match i {
        Instruction::Block { temporaries, .. } => kernels::scratch_len(*temporaries),
        Instruction::Row { op, extents, .. } => rowwise::scratch_len::<E>(op, *extents),
        Instruction::Gemm { .. } => 0,
    });
    needed.max().unwrap_or(0).max(1)
}
