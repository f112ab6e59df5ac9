//! Running instructions, and the only time loop.

use super::addresses::{Addresses, Moving};
use super::frame::{Bound, Rule, Span};
use super::rows::Rows;
use super::shared;
use crate::kernels::{Block, Element, Gemm, Kernels};
use crate::plan::{Instruction, Place, Plan, Start};
use std::ops::Range;

/// What random nodes are keyed by, besides the node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Draw {
    /// The seed of the call (the package derives one for each update).
    pub seed: u64,
    /// The absolute index of the call's first step.
    pub position: u64,
}

/// A worker's view of a plan while it runs.
pub struct Runner<'a, E: Element> {
    /// The SIMD path.
    pub kernels: &'static Kernels<E>,
    /// The plan.
    pub plan: &'a Plan,
    /// Its buffers.
    pub bound: &'a [Bound<E>],
    /// Packed weights.
    pub packs: &'a [*const E],
    /// The rows.
    pub rows: &'a Rows,
    /// For each of them, its index in the caller's arrays.
    pub ids: &'a [usize],
    /// Randomness of the call.
    pub draw: Draw,
    /// Where the graph stands in the model; random nodes are keyed by it.
    pub path: &'a str,
    /// Memory for the temporaries of block programs.
    pub scratch: *mut E,
    at: Addresses<E>,
}

impl<'a, E: Element> Runner<'a, E> {
    /// A runner; see the fields.
    #[allow(clippy::too_many_arguments, reason = "they are the fields")]
    pub fn new(
        kernels: &'static Kernels<E>,
        plan: &'a Plan,
        bound: &'a [Bound<E>],
        packs: &'a [*const E],
        rows: &'a Rows,
        ids: &'a [usize],
        draw: Draw,
        path: &'a str,
        scratch: *mut E,
    ) -> Self {
        Self { kernels, plan, bound, packs, rows, ids, draw, path, scratch, at: Addresses::default() }
    }

    /// Runs the steps from..to: what comes before the loop, the loop, what comes after. `enter(t)` runs before step t
    /// of a backward plan, when rows that end at t join.
    ///
    /// # Safety
    /// Every buffer that the plan's instructions use is bound to memory that holds these steps, and nothing else
    /// writes it meanwhile.
    pub unsafe fn steps(&mut self, from: usize, to: usize, mut enter: impl FnMut(usize)) {
        let plan = self.plan;
        // SAFETY: the caller's promise covers all three lists.
        unsafe {
            self.chunk(&plan.before, from, to);
            if plan.has_loop() {
                let active = to.min(self.rows.steps);
                let step = |index| if plan.backward { active - 1 - index } else { from + index };
                let count = active.saturating_sub(from);
                if let [Instruction::Block { width, .. }] = &plan.step[..] {
                    (0..count).for_each(|index| enter(step(index)));
                    // All steps of a few rows before the next rows, so that their state stays in the first-level cache: rows do
                    // not meet. A few pieces of the program, so that a call of it is worth making.
                    let tile = 4 * crate::kernels::block_rows(*width);
                    for first in (0..self.rows.count()).step_by(tile) {
                        self.time(count, step, first..(first + tile).min(self.rows.count()), |_| {});
                    }
                } else {
                    self.time(count, step, 0..self.rows.count(), enter);
                }
            }
            self.chunk(&plan.after, from, to);
        }
    }

    /// The time loop, over these rows.
    unsafe fn time(
        &mut self,
        count: usize,
        step: impl Fn(usize) -> usize,
        rows: Range<usize>,
        mut enter: impl FnMut(usize),
    ) {
        let list = &self.plan.step[..];
        if count == 0 || rows.is_empty() {
            return;
        }
        let even = self.rows.is_even();
        let moving = |i| Moving::new(i, self.bound, self.rows, (step(0), !self.plan.backward), rows.start);
        let mut moving: Vec<_> = if even { list.iter().map(moving).collect() } else { Vec::new() };
        for t in (0..count).map(step) {
            enter(t);
            let rows = rows.start..rows.end.min(self.rows.active(t));
            // SAFETY: passed on from `steps`.
            unsafe {
                if even {
                    for (instruction, moving) in list.iter().zip(&mut moving) {
                        self.run(instruction, &moving.at, Span::Step(t), rows.len());
                        moving.advance(1);
                    }
                } else if !rows.is_empty() {
                    list.iter().for_each(|i| self.instruction(i, Span::Step(t), rows.clone()));
                }
            }
        }
    }

    /// Runs a list over a chunk at once; step by step where it reads boundaries that do not lie side by side.
    unsafe fn chunk(&mut self, list: &[Instruction], from: usize, to: usize) {
        if list.is_empty() {
            return;
        }
        let to = to.min(self.rows.steps);
        // SAFETY: passed on from `steps`.
        unsafe {
            if list.iter().any(|i| places(i).any(|p| self.is_scattered(p))) {
                (from..to).for_each(|t| self.list(list, Span::Step(t)));
            } else if from < to {
                self.list(list, Span::Range(from, to));
            }
        }
    }

    fn is_scattered(&self, place: Place) -> bool {
        match self.bound[place.buffer].rule {
            Rule::Track { fixed, .. } => !fixed.unwrap_or(place.later),
            _ => false,
        }
    }

    pub(super) fn at(&self, place: Place, t: usize) -> *mut E {
        self.bound[place.buffer].at(self.rows, t, place.offset, place.later)
    }

    /// Runs instructions on the rows of a span.
    ///
    /// # Safety
    /// As [`Runner::steps`].
    pub unsafe fn list(&mut self, list: &[Instruction], span: Span) {
        let rows = span.rows(self.rows);
        if rows == 0 {
            return;
        }
        for instruction in list {
            // SAFETY: the caller's promise.
            unsafe { self.instruction(instruction, span, 0..rows) };
        }
    }

    /// Runs an instruction on rows of a span: an elementwise program, or from the first row on.
    unsafe fn instruction(&mut self, instruction: &Instruction, span: Span, rows: Range<usize>) {
        let mut at = std::mem::take(&mut self.at);
        at.point(instruction, self.bound, self.rows, span.first());
        at.begin_at(rows.start);
        // SAFETY: passed on from `steps`.
        unsafe { self.run(instruction, &at, span, rows.len()) };
        self.at = at;
    }

    /// Runs an instruction on `rows` rows from where its addresses point to.
    #[inline]
    unsafe fn run(&self, instruction: &Instruction, at: &Addresses<E>, span: Span, rows: usize) {
        match instruction {
            Instruction::Gemm { pack, .. } => {
                let &Addresses { ref terms, init, init_stride, out, out_stride, .. } = at;
                let (columns, weights) = (self.plan.packs[*pack].columns, self.packs[*pack]);
                let gemm = Gemm { rows, columns, terms, weights, init, init_stride, out, out_stride };
                // SAFETY: places are bound to memory of at least `rows` rows of the padded width; operands are not the output.
                unsafe { shared::gemm(self.kernels, &gemm) };
            }
            Instruction::Block { width, ops, temporaries, .. } => {
                let (width, temporaries) = (*width, *temporaries);
                let block = Block { rows, width, ops, operands: &at.operands, scratch: self.scratch, temporaries };
                // SAFETY: as above; the scratch holds the temporaries of the plan's largest program.
                unsafe { (self.kernels.block)(&block) };
            }
            // SAFETY: as above.
            Instruction::Row { op, args, out, width, extents, .. } => unsafe {
                self.row(op, args, *out, *width, *extents, span, rows);
            },
        }
    }
}

/// The places an instruction reads or writes.
fn places(instruction: &Instruction) -> Box<dyn Iterator<Item = Place> + '_> {
    match instruction {
        Instruction::Gemm { terms, start, out, .. } => {
            let start = match start {
                Start::At(place) => Some(*place),
                Start::Zero => None,
            };
            Box::new(terms.iter().map(|t| t.place).chain(start).chain([*out]))
        }
        Instruction::Block { operands, .. } => Box::new(operands.iter().copied()),
        Instruction::Row { args, out, .. } => Box::new(args.iter().map(|a| a.0).chain([*out])),
    }
}

/// Stores an integer in an element of the model's type: its bits lie at the start.
///
/// # Safety
/// `at` is valid for writes; `E` is at least four bytes wide.
pub unsafe fn put_index<E>(at: *mut E, value: u32) {
    // SAFETY: the caller's promise; elements are aligned for u32.
    unsafe { at.cast::<u32>().write(value) };
}
