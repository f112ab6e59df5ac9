//! Elementwise programs: a list of operations over a block of rows, run piece by piece so that temporaries stay in the
//! first-level cache.

use pulp::{Simd, WithSimd};

use super::constants::Constants;
use super::math;
use super::simd::V;
use super::tables::Path;
use super::trig;

/// Elements of a piece: what one operation is run over before the next.
const PIECE: usize = 512;

/// Elements of scratch memory that a program with so many temporaries wants.
#[must_use]
pub fn scratch_len(temporaries: usize) -> usize {
    temporaries * PIECE
}

/// Rows of this width that a program runs over before the next: narrow rows go several at a time, wide ones in parts.
#[must_use]
pub fn block_rows(width: usize) -> usize {
    (PIECE / width.max(1)).max(1)
}

/// Runs `ops` in order over `rows` rows of `width` elements.
///
/// An operation names its operands by index: first those of `operands`, then the temporaries. It may overwrite an
/// operand that earlier operations, or it itself, read. Rows and columns do not meet: the result is that of running the
/// whole program on each element.
///
/// To be valid: every operand readable (and writable, where an operation writes it) for `rows` rows of `width` elements,
/// a multiple of PAD; two operands either the same memory with the same stride, or disjoint; `scratch` writable for
/// [`scratch_len`] elements and disjoint from all operands; every index in range, and temporaries written before read.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a, E> {
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub width: usize,
    /// The program.
    pub ops: &'a [BlockOp],
    /// The operands in memory.
    pub operands: &'a [Operand<E>],
    /// Memory for temporaries.
    pub scratch: *mut E,
    /// How many temporaries there are.
    pub temporaries: usize,
}

/// An operand in memory.
#[derive(Clone, Copy, Debug)]
pub struct Operand<E> {
    /// The first element.
    pub ptr: *mut E,
    /// Elements between rows; 0: one row for all.
    pub stride: usize,
}

/// One operation: `dst = op(a, b, c)`, of which an operation reads as many as it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockOp {
    /// What to do.
    pub op: Elementwise,
    /// The result.
    pub dst: u16,
    /// The first argument.
    pub a: u16,
    /// The second.
    pub b: u16,
    /// The third.
    pub c: u16,
}

macro_rules! elementwise {
    ($($(#[$doc:meta])* $name:ident($s:ident $(, $arg:ident)*) = $value:expr;)*) => {
        /// An elementwise operation. All propagate NaN, unless it says otherwise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Elementwise {
            $($(#[$doc])* $name,)*
        }

        impl Elementwise {
            /// All operations.
            pub const ALL: &'static [Elementwise] = &[$(Elementwise::$name),*];

            /// How many arguments it reads.
            #[must_use]
            pub fn arity(self) -> usize {
                match self {
                    $(Elementwise::$name => [$(stringify!($arg)),*].len(),)*
                }
            }
        }

        /// Runs an operation over a piece.
        ///
        /// # Safety
        /// The processor must have the path, and the block be valid.
        #[inline(always)]
        unsafe fn apply<P: Path, E: Constants>(block: &Block<'_, E>, piece: Piece, op: &BlockOp) {
            // SAFETY: the caller's promise.
            let simd = unsafe { P::token() };
            match op.op {
                $(Elementwise::$name => {
                    struct Op<E> {
                        rows: usize,
                        width: usize,
                        dst: Operand<E>,
                        $($arg: Operand<E>,)*
                    }
                    impl<E: Constants> WithSimd for Op<E> {
                        type Output = ();
                        #[inline(always)]
                        fn with_simd<S: Simd>(self, $s: S) {
                            for r in 0..self.rows {
                                let dst = self.dst.row(r);
                                $(let $arg = self.$arg.row(r);)*
                                for k in (0..self.width).step_by(V::<S, E>::LANES) {
                                    // SAFETY: the caller of `apply` promised a valid block.
                                    unsafe {
                                        $(let $arg = V::load($s, $arg.add(k));)*
                                        $value.store(dst.add(k));
                                    }
                                }
                            }
                        }
                    }
                    simd.vectorize(Op {
                        rows: piece.rows,
                        width: piece.width,
                        dst: piece.operand(block, op.dst),
                        $($arg: piece.operand(block, op.$arg),)*
                    });
                })*
            }
        }
    };
}

elementwise! {
    /// a.
    Copy(_s, a) = a;
    /// a + b.
    Add(_s, a, b) = a + b;
    /// a − b.
    Sub(_s, a, b) = a - b;
    /// a × b.
    Mul(_s, a, b) = a * b;
    /// a ÷ b.
    Div(_s, a, b) = a / b;
    /// −a.
    Neg(_s, a) = math::negative(a);
    /// a × b + c, rounded once.
    Fma(_s, a, b, c) = a.fma(b, c);
    /// 1 / (1 + e⁻ᵃ).
    Sigmoid(_s, a) = math::sigmoid(a);
    /// tanh a.
    Tanh(_s, a) = math::tanh(a);
    /// max(a, 0).
    Relu(_s, a) = math::relu(a);
    /// eᵃ.
    Exp(_s, a) = math::exp(a);
    /// ln a; −∞ at ±0, NaN below.
    Log(_s, a) = math::log(a);
    /// ln(1 + eᵃ).
    Softplus(_s, a) = math::softplus(a);
    /// √a.
    Sqrt(_s, a) = a.sqrt();
    /// |a|.
    Abs(_s, a) = math::abs(a);
    /// 1 or −1, and a itself where it is ±0.
    Sign(_s, a) = math::sign(a);
    /// The lesser; b where they are equal.
    Minimum(_s, a, b) = math::min(a, b);
    /// The greater; b where they are equal.
    Maximum(_s, a, b) = math::max(a, b);
    /// 1 where a > b, else 0; 0 where either is NaN.
    Greater(_s, a, b) = b.lt(a).select(a.constant(E::from_f64(1.0)), a.constant(E::from_f64(0.0)));
    /// 1 where a > 0, else 0; 0 where it is NaN.
    Step(_s, a) = a.constant(E::from_f64(0.0)).lt(a).select(a.constant(E::from_f64(1.0)), a.constant(E::from_f64(0.0)));
    /// 1 where a = b, else 0; 0 where either is NaN.
    Equal(_s, a, b) = a.eq(b).select(a.constant(E::from_f64(1.0)), a.constant(E::from_f64(0.0)));
    /// b where a ≠ 0 (NaN included), else c; the other argument's NaN does not matter.
    Select(_s, a, b, c) = a.eq(a.constant(E::from_f64(0.0))).select(c, b);
    /// +0 where |a| < TINY, else a.
    Flush(_s, a) = math::flush(a);
    /// The derivative of σ where it is a: a − a².
    SigmoidSlope(_s, a) = a - a * a;
    /// The derivative of tanh where it is a: 1 − a².
    TanhSlope(_s, a) = a.constant(E::from_f64(1.0)) - a * a;
    /// a × (b − b²).
    TimesSigmoidSlope(_s, a, b) = a * (b - b * b);
    /// a × (1 − b²).
    TimesTanhSlope(_s, a, b) = a * (b.constant(E::from_f64(1.0)) - b * b);
    /// a + b, flushed.
    FlushedAdd(_s, a, b) = math::flush(a + b);
    /// a × b, flushed.
    FlushedMul(_s, a, b) = math::flush(a * b);
    /// a × b + c, rounded once and flushed.
    FlushedFma(_s, a, b, c) = math::flush(a.fma(b, c));
    /// The greatest integer not above a.
    Floor(_s, a) = math::floor(a);
    /// sin a; NaN at ±∞.
    Sin(s, a) = trig::sin(s, a);
    /// cos a; NaN at ±∞.
    Cos(s, a) = trig::cos(s, a);
}

impl<E> Operand<E> {
    #[inline(always)]
    fn row(self, r: usize) -> *mut E {
        self.ptr.wrapping_add(r * self.stride)
    }
}

/// The part of a block that one operation is run over before the next.
#[derive(Clone, Copy)]
struct Piece {
    row: usize,
    column: usize,
    rows: usize,
    width: usize,
}

impl Piece {
    /// Where the operand or temporary of an index begins in this piece.
    #[inline(always)]
    fn operand<E: Constants>(self, block: &Block<'_, E>, index: u16) -> Operand<E> {
        let index = usize::from(index);
        match block.operands.get(index) {
            Some(operand) => Operand { ptr: operand.row(self.row).wrapping_add(self.column), stride: operand.stride },
            None => {
                let temporary = index - block.operands.len();
                Operand { ptr: block.scratch.wrapping_add(temporary * PIECE), stride: self.width }
            }
        }
    }
}

/// # Safety
/// The processor must have the path, and the argument be valid.
pub(super) unsafe fn block<P: Path, E: Constants>(block: &Block<'_, E>) {
    let width = block.width.min(PIECE);
    if width == 0 {
        return;
    }
    let rows = block_rows(width);
    for row in (0..block.rows).step_by(rows) {
        for column in (0..block.width).step_by(width) {
            let piece = Piece { row, column, rows: rows.min(block.rows - row), width: width.min(block.width - column) };
            for op in block.ops {
                // SAFETY: the caller's promise; a temporary holds PIECE elements, which a piece does not exceed.
                unsafe { apply::<P, E>(block, piece, op) };
            }
        }
    }
}
