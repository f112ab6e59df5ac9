//! How a graph is computed: cut into phases, fused into programs, laid out in buffers. Plans are immutable and know
//! neither the number of steps nor the batch.
//!
//! | phase | what | runs |
//! | --- | --- | --- |
//! | prologue | what depends on parameters only | once a call |
//! | before | products with the step's inputs, and what feeds them | over a chunk of steps at once |
//! | step | everything on the state path, and other elementwise nodes | in the time loop |
//! | after | products of results that feed no state | over a chunk at once |
//! | accumulate | gradients of parameters | over a chunk at once, all samples |
//! | epilogue | gradients of what the prologue made | once |

mod cut;
mod emit;
mod explain;
mod fuse;
mod layout;
mod rewrite;
mod sums;

pub use cut::Phase;
pub use rewrite::normal_form;

use crate::graph::{Accumulation, Graph, NodeId, RowOp};
use crate::kernels::BlockOp;
use std::collections::BTreeMap;

/// The index of a buffer of a plan.
pub type BufferId = usize;

/// What a buffer is for, and so how its rows are addressed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Class {
    /// One row, the same number in each element.
    Constant(f64),
    /// One row, the numbers of a node.
    Tensor(NodeId),
    /// A parameter, in canonical order.
    Param(usize),
    /// One row, made by the prologue.
    Once,
    /// One row, made by the epilogue.
    Final,
    /// A row for each sample, overwritten each step.
    Temp,
    /// A row for each sample and step of a chunk.
    Chunk,
    /// A row for each sample and step that is kept for the backward pass.
    Segment,
    /// The values of a state at the boundaries between steps.
    Track(usize),
    /// A step input, owned by someone else.
    External(usize),
    /// A parameter gradient under accumulation.
    Total(usize),
}

/// Memory with a row for each sample (and step).
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// What it is for.
    pub class: Class,
    /// Elements from one row to the next, a multiple of 64 bytes.
    pub stride: usize,
}

/// Where a value is: columns of a buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// The buffer.
    pub buffer: BufferId,
    /// The first column.
    pub offset: usize,
    /// Of a track: the boundary after step t instead of the one before (for a backward plan, in forward time).
    pub later: bool,
}

impl Place {
    /// The place so many columns on.
    fn moved(self, columns: usize) -> Self {
        Self { offset: self.offset + columns, ..self }
    }
}

/// One term of a GEMM: columns of a buffer times the next `k` rows of the packed weights.
#[derive(Clone, Debug)]
pub struct GemmTerm {
    /// Where the left operand is.
    pub place: Place,
    /// Its width.
    pub k: usize,
}

/// Where the accumulators of a GEMM start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// At zero.
    Zero,
    /// At the rows of a place.
    At(Place),
}

/// A piece of a packed matrix: a weight (rows × columns in canonical order), as x · Wᵀ or as x · W.
#[derive(Clone, Debug)]
pub struct PackPiece {
    /// Where the weight is: a parameter or a prologue buffer.
    pub place: Place,
    /// Its rows and columns.
    pub shape: (usize, usize),
    /// Whether it is used as x · W.
    pub transposed: bool,
    /// First depth (element of the reduction).
    pub k0: usize,
    /// First column of the product.
    pub n0: usize,
}

/// Weights packed into panels, once a change of the parameters.
#[derive(Clone, Debug)]
pub struct Pack {
    /// Columns, padded.
    pub columns: usize,
    /// Length of the reduction, by term.
    pub depths: Vec<usize>,
    /// What it is made of.
    pub pieces: Vec<PackPiece>,
}

/// One instruction: it works on all rows that are given to it.
#[derive(Clone, Debug)]
pub enum Instruction {
    /// Products with packed weights.
    Gemm {
        /// Left operands.
        terms: Vec<GemmTerm>,
        /// Initial accumulators.
        start: Start,
        /// Result.
        out: Place,
        /// Which packed weights.
        pack: usize,
        /// The nodes it computes, for [`explain`](Plan::explain).
        nodes: Vec<NodeId>,
    },
    /// A fused elementwise program.
    Block {
        /// Padded width.
        width: usize,
        /// Operands outside of the program.
        operands: Vec<Place>,
        /// Operations; indices above the operands are temporaries.
        ops: Vec<BlockOp>,
        /// How many temporaries.
        temporaries: usize,
        /// The nodes it computes.
        nodes: Vec<NodeId>,
    },
    /// An operation on whole rows.
    Row {
        /// Which.
        op: RowOp,
        /// Arguments and their widths.
        args: Vec<(Place, usize)>,
        /// Result.
        out: Place,
        /// Width of the result.
        width: usize,
        /// How the operation sees its rows; see [`RowOp::extents`].
        extents: [usize; 3],
        /// The node it computes.
        node: NodeId,
    },
}

/// A sum over steps and samples.
#[derive(Clone, Debug)]
pub struct Accumulate {
    /// Which sum.
    pub kind: Accumulation,
    /// The operand whose elements are rows of the result (absent for a plain sum), and its width.
    pub a: Option<(Place, usize)>,
    /// The operand whose elements are columns, and its width.
    pub b: (Place, usize),
    /// Rows of the result ([`Accumulation::Rows`]: of the parameter).
    pub rows: usize,
    /// Whether the result is the transpose of what the node says (vectors run across the wider operand).
    pub swapped: bool,
    /// The nodes it computes, and the first column of each.
    pub nodes: Vec<(NodeId, usize)>,
}

/// A part of a parameter's gradient.
#[derive(Clone, Copy, Debug)]
pub struct GradientPart {
    /// The parameter.
    pub param: usize,
    /// First flat element.
    pub offset: usize,
    /// Where the part is.
    pub from: GradientFrom,
}

/// Where a part of a gradient comes from.
#[derive(Clone, Copy, Debug)]
pub enum GradientFrom {
    /// Columns of a sum.
    Total {
        /// Which sum.
        sum: usize,
        /// The first column.
        column: usize,
        /// How many.
        width: usize,
    },
    /// A row made by the epilogue, of this width.
    Row(Place, usize),
}

/// How a graph is computed.
#[derive(Debug)]
pub struct Plan {
    /// The graph in normal form.
    pub graph: Graph,
    /// All buffers.
    pub buffers: Vec<Buffer>,
    /// Once, before anything else.
    pub prologue: Vec<Instruction>,
    /// Over chunks, before the time loop.
    pub before: Vec<Instruction>,
    /// In the time loop.
    pub step: Vec<Instruction>,
    /// Over chunks, after the time loop.
    pub after: Vec<Instruction>,
    /// Over chunks, after that.
    pub accumulate: Vec<Accumulate>,
    /// Sums that the epilogue works on, each to be laid out as one row first: sum, row.
    pub flattened: Vec<(usize, Place)>,
    /// Once, at the end.
    pub epilogue: Vec<Instruction>,
    /// Packed weights.
    pub packs: Vec<Pack>,
    /// For each state, its track.
    pub tracks: Vec<BufferId>,
    /// For each step input, its buffer (none if unused).
    pub inputs: Vec<Option<BufferId>>,
    /// Where the outputs are.
    pub outputs: Vec<Place>,
    /// Where the nodes asked for are.
    pub saved: BTreeMap<NodeId, Place>,
    /// Parts of gradients, in the order of addition.
    pub gradients: Vec<GradientPart>,
    /// Whether steps run from the last to the first.
    pub backward: bool,
}

/// What to plan.
pub struct Request<'a> {
    /// A graph in normal form.
    pub graph: Graph,
    /// Nodes whose values must outlive the call, at segment level.
    pub saved: &'a [NodeId],
    /// (parameter, offset, node): parts of gradients.
    pub gradients: &'a [(usize, usize, NodeId)],
    /// For each input, whether it lies in a track (of the forward plan), and if so on the later boundary.
    pub tracked: Vec<Option<bool>>,
    /// Whether steps run from the last to the first.
    pub backward: bool,
    /// Whether outputs and states are kept for a backward pass.
    pub record: bool,
    /// Elements of 64 bytes.
    pub pad: usize,
}

impl Plan {
    /// Plans a graph.
    pub fn new(request: Request<'_>) -> crate::error::Result<Self> {
        let phases = cut::phases(&request);
        layout::Layout::new(&request, phases).emit(request)
    }
}

/// Rounds a width up to whole cache lines.
pub fn padded(width: usize, pad: usize) -> usize {
    width.div_ceil(pad) * pad
}
