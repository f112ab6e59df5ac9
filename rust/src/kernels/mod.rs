//! The only SIMD code: matrix products, elementwise programs and reductions, with the same bits on every path.
//!
//! A kernel is written once, generic over the instruction set and the element type, and reached through a table of
//! function pointers per path, [`Kernels`]. The rules that make results equal to the bit:
//!
//! - an output of [`Gemm`] is one chain of fused multiply-adds in the order of its terms, k ascending; vectors run
//!   across outputs, never across the reduction. So neither the width of a vector nor the shape of a tile shows;
//! - [`Accumulate`] is one such chain per window, and the windows are added in order;
//! - [`Reduce`] uses 16 partials (k mod 16) and one fixed tree;
//! - elementwise operations are IEEE operations, or polynomials made of them in one fixed order.
//!
//! The kernels take raw pointers: the engine lays out its buffers once and promises their extent. Row buffers that are
//! read or written elementwise begin at multiples of 64 bytes, have strides that are multiples of [`Element::PAD`], and
//! may be read and written up to the padded width. What the padding holds is arbitrary and reaches no valid element.

mod accumulate;
mod bfloat;
mod block;
mod constants;
mod copies;
mod element;
mod gemm;
mod math;
mod narrow;
mod pack;
mod probe;
mod reduce;
mod scratch;
mod simd;
mod stretch;
mod tables;
mod trig;

pub use accumulate::{Accumulate, Left, Segment, Window};
pub use block::{Block, BlockOp, Elementwise, Operand, block_rows, scratch_len};
pub use element::Element;
pub use gemm::{Gemm, Term};
pub use narrow::{Narrow, NarrowGemm, Width};
pub use pack::{Piece, Precision, nearest, pack, pack_pairs, packed_len};
pub use reduce::{Broadcast, Reduce, ReduceKind};
pub use tables::{Isa, Kernels, isa, isa_checked};
