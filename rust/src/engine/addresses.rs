//! Where an instruction reads and writes at a step, and how far that moves from a step to the next.

use super::frame::Bound;
use super::rows::Rows;
use crate::kernels::{Element, Operand, Term};
use crate::plan::{Instruction, Place, Start};

/// Where an instruction reads and writes at a step.
#[derive(Debug)]
pub(super) struct Addresses<E> {
    /// Left operands of a product.
    pub terms: Vec<Term<E>>,
    /// What its chains start from.
    pub init: *const E,
    pub init_stride: usize,
    /// Its result.
    pub out: *mut E,
    pub out_stride: usize,
    /// Operands of an elementwise program.
    pub operands: Vec<Operand<E>>,
}

impl<E> Default for Addresses<E> {
    fn default() -> Self {
        Self {
            terms: Vec::new(),
            init: std::ptr::null(),
            init_stride: 0,
            out: std::ptr::null_mut(),
            out_stride: 0,
            operands: Vec::new(),
        }
    }
}

impl<E: Element> Addresses<E> {
    /// Those of an instruction at step `t`.
    pub fn new(instruction: &Instruction, bound: &[Bound<E>], rows: &Rows, t: usize) -> Self {
        let mut addresses = Self::default();
        addresses.point(instruction, bound, rows, t);
        addresses
    }

    /// Points them to where an instruction works at step `t`. Row operations find their places by themselves.
    pub fn point(&mut self, instruction: &Instruction, bound: &[Bound<E>], rows: &Rows, t: usize) {
        let at = |place: Place| bound[place.buffer].at(rows, t, place.offset, place.later);
        let stride = |place: Place| bound[place.buffer].stride;
        self.terms.clear();
        self.operands.clear();
        match instruction {
            Instruction::Gemm { terms, start, out, .. } => {
                self.terms.extend(terms.iter().map(|term| Term {
                    a: at(term.place).cast_const(),
                    stride: stride(term.place),
                    k: term.k,
                }));
                (self.init, self.init_stride) = match start {
                    Start::Zero => (std::ptr::null(), 0),
                    Start::At(place) => (at(*place).cast_const(), stride(*place)),
                };
                (self.out, self.out_stride) = (at(*out), stride(*out));
            }
            Instruction::Block { operands, .. } => {
                self.operands.extend(operands.iter().map(|&place| Operand { ptr: at(place), stride: stride(place) }));
            }
            Instruction::Row { .. } => {}
        }
    }

    /// Moves the operands of a program on to row `row`.
    pub fn begin_at(&mut self, row: usize) {
        self.operands.iter_mut().for_each(|operand| operand.ptr = operand.ptr.wrapping_add(row * operand.stride));
    }

    /// The same as addresses of another type.
    pub fn cast<T>(self) -> Addresses<T> {
        let Self { terms, init, init_stride, out, out_stride, operands } = self;
        Addresses {
            terms: terms.into_iter().map(|t| Term { a: t.a.cast(), stride: t.stride, k: t.k }).collect(),
            init: init.cast(),
            init_stride,
            out: out.cast(),
            out_stride,
            operands: operands.into_iter().map(|o| Operand { ptr: o.ptr.cast(), stride: o.stride }).collect(),
        }
    }
}

/// Addresses in a share whose rows have one length: from each step to the next they move by the same distance.
#[derive(Debug)]
pub(super) struct Moving<E> {
    pub at: Addresses<E>,
    /// Elements by which they move.
    terms: Vec<isize>,
    init: isize,
    out: isize,
    operands: Vec<isize>,
}

impl<E: Element> Moving<E> {
    /// Those of an instruction at step `t`; `forward` says where the next step is. Programs begin at row `row`.
    pub fn new(
        instruction: &Instruction,
        bound: &[Bound<E>],
        rows: &Rows,
        (t, forward): (usize, bool),
        row: usize,
    ) -> Self {
        let mut at = Addresses::new(instruction, bound, rows, t);
        at.begin_at(row);
        let pace = |place: &Place| bound[place.buffer].pace(rows) * if forward { 1 } else { -1 };
        let mut moving = Self { at, terms: Vec::new(), init: 0, out: 0, operands: Vec::new() };
        match instruction {
            Instruction::Gemm { terms, start, out, .. } => {
                moving.terms = terms.iter().map(|term| pace(&term.place)).collect();
                if let Start::At(place) = start {
                    moving.init = pace(place);
                }
                moving.out = pace(out);
            }
            Instruction::Block { operands, .. } => moving.operands = operands.iter().map(pace).collect(),
            Instruction::Row { .. } => {}
        }
        moving
    }

    /// Moves on by so many steps.
    #[inline]
    pub fn advance(&mut self, steps: isize) {
        let Self { at, terms, init, out, operands } = self;
        at.terms.iter_mut().zip(terms).for_each(|(term, by)| term.a = term.a.wrapping_offset(*by * steps));
        (at.init, at.out) = (at.init.wrapping_offset(*init * steps), at.out.wrapping_offset(*out * steps));
        let operands = at.operands.iter_mut().zip(operands);
        operands.for_each(|(operand, by)| operand.ptr = operand.ptr.wrapping_offset(*by * steps));
    }

    /// The same as addresses of another type.
    pub fn cast<T>(self) -> Moving<T> {
        let Self { at, terms, init, out, operands } = self;
        Moving { at: at.cast(), terms, init, out, operands }
    }
}
