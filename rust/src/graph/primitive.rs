//! What a primitive must provide: a shape rule, an evaluation, a vector-Jacobian product.

use super::reverse::Vjp;
use super::{NodeId, Type};
use crate::kernels::Elementwise;
use serde_json::{Map, Value as Json};
use std::fmt::Debug;

/// An operation from which cells are made. The trait has no defaults for its three parts, so the compiler refuses a
/// primitive that lacks one.
pub trait Primitive: Debug + Send + Sync {
    /// The name in files and in the exporter's table.
    fn name(&self) -> &'static str;

    /// Grows when the meaning of a stored node changes; it stands in the table.
    fn version(&self) -> u32 {
        super::primitives::TABLE.iter().find(|entry| entry.0 == self.name()).map_or(0, |entry| entry.1)
    }

    /// What distinguishes two nodes of this primitive with the same arguments; stored in files.
    fn attributes(&self) -> Map<String, Json> {
        Map::new()
    }

    /// The result's type, or what is wrong with the arguments.
    fn infer(&self, args: &[&Type]) -> Result<Type, String>;

    /// How the engine computes it.
    fn evaluation(&self) -> Evaluation;

    /// Whether its value is random, so that it varies without an argument that does.
    fn is_random(&self) -> bool {
        matches!(self.evaluation(), Evaluation::Row(RowOp::Draw { .. }))
    }

    /// Gives each argument its gradient: `vjp.give(i, ...)`.
    fn vjp(&self, vjp: &Vjp<'_>);
}

/// How the engine computes a primitive.
#[derive(Clone, Debug, PartialEq)]
pub enum Evaluation {
    /// Element by element: fused with its neighbours into block programs.
    Elementwise(Elementwise),
    /// Products with parameters: one GEMM on packed panels. Arguments: the initial value (if `init`), then
    /// (x, W) for each term; W is used as `x · Wᵀ`, or as `x · W` where transposed.
    Affine {
        /// Whether the first argument is the initial value of the accumulators.
        init: bool,
        /// For each term, whether W is used as stored.
        transposed: Vec<bool>,
    },
    /// Row by row: reductions, parts, products of matrices, gathers, draws.
    Row(RowOp),
    /// A sum over all steps and samples: the gradient of a parameter.
    Accumulate(Accumulation),
}

/// Evaluations that work on whole rows. A matrix lies in its row as its own rows one after the other.
#[derive(Clone, Debug, PartialEq)]
pub enum RowOp {
    /// The sum of a row.
    Sum,
    /// The largest element of a row.
    Max,
    /// A scalar repeated over a row.
    Broadcast,
    /// The argument as it is.
    Copy,
    /// Something along an axis of a vector or matrix.
    Along {
        /// What.
        what: Along,
        /// The axis.
        axis: usize,
    },
    /// The arguments side by side along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// Row `index` of a parameter (arguments: parameter, index).
    Gather,
    /// Element `index` of each row (arguments: row, index).
    Pick,
    /// The argument at column `index`, zero elsewhere (arguments: scalar, index).
    Place,
    /// Elements, or rows of a matrix, at indices (arguments: values, indices).
    Take,
    /// Values, or rows of a matrix, added to zeros at indices (arguments: values, indices).
    ScatterAdd,
    /// The transpose of a matrix.
    Transpose,
    /// The product of two matrices.
    MatMul {
        /// Which of them are transposed first.
        transposed: [bool; 2],
    },
    /// The solution of a system of equations (arguments: matrix, vector).
    Solve {
        /// Whether the matrix is transposed first.
        transposed: bool,
    },
    /// Random values.
    Draw {
        /// From what.
        distribution: Distribution,
        /// One draw for all steps of a sequence instead of one a step.
        per_sequence: bool,
        /// Distinguishes draws within a cell.
        name: String,
    },
}

/// What is done along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// The sum, in 16 partials and a tree.
    Sum,
    /// The largest.
    Max,
    /// The index of the largest.
    Argmax,
    /// Sums of the elements up to each.
    Cumsum {
        /// From the last instead of the first.
        reverse: bool,
    },
    /// Products of the elements up to each.
    Cumprod,
    /// The gradient of those (arguments: elements, gradient).
    CumprodGradient,
    /// Element k goes to k + shift.
    Roll {
        /// By how much.
        shift: i64,
    },
    /// Indices in ascending order of the elements.
    Argsort,
    /// Repeated along an axis that the argument lacks.
    Repeat,
    /// Elements from one on.
    Part {
        /// The first.
        from: usize,
    },
    /// The elements among zeros.
    Pad {
        /// Zeros before them.
        before: usize,
    },
}

impl RowOp {
    /// The three extents by which the operation sees the flat row: along an axis (outer, extent of the axis, inner);
    /// for products (rows, length of the reduction, columns).
    pub fn extents(&self, args: &[&Type], out: &Type) -> [usize; 3] {
        let around = |ty: &Type, axis: usize| {
            let product = |range: &[usize]| range.iter().product();
            [product(&ty.shape[..axis]), ty.shape[axis], product(&ty.shape[axis + 1..])]
        };
        match self {
            Self::Along { what: Along::Repeat, axis } => around(out, *axis),
            Self::Along { axis, .. } => around(args[0], *axis),
            Self::Concat { axis } => around(out, *axis),
            Self::Take | Self::ScatterAdd | Self::Transpose => around(args[0], 0),
            Self::MatMul { transposed } => {
                let depth = args[0].shape[usize::from(!transposed[0])];
                [out.shape[0], depth, out.shape[1]]
            }
            Self::Solve { .. } => [out.width(), out.width(), 1],
            _ => [1, out.width(), 1],
        }
    }
}

/// What random values are drawn from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// `value` with probability `probability`, else 0.
    Bernoulli {
        /// Probability of drawing `value`.
        probability: f64,
        /// What is drawn.
        value: f64,
    },
    /// Uniform in [from, to).
    Uniform {
        /// The least.
        from: f64,
        /// The bound.
        to: f64,
    },
    /// Normal.
    Normal {
        /// The mean.
        mean: f64,
        /// The standard deviation.
        deviation: f64,
    },
}

impl Distribution {
    /// The mean, which takes a draw's place outside of training.
    pub fn mean(&self) -> f64 {
        match *self {
            Self::Bernoulli { probability, value } => {
                let mean = probability * value;
                // Dropout scales by 1/keep, so that the mean is 1: exactly, not to rounding.
                if (mean - 1.0).abs() < 1e-12 { 1.0 } else { mean }
            }
            Self::Uniform { from, to } => 0.5 * (from + to),
            Self::Normal { mean, .. } => mean,
        }
    }
}

/// Sums over steps and samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accumulation {
    /// Σ a: the gradient of a parameter used elementwise.
    Sum,
    /// Σ aᵀ·b: the gradient of a weight.
    Outer,
    /// Σ over samples of the rows of b placed at row `a`: the gradient of an embedding. Arguments: index, gradient.
    Rows,
}

/// A short description of a node's use in messages.
pub(crate) fn describe(name: &str, id: NodeId) -> String {
    format!("node {id} ({name})")
}
