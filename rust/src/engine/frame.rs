//! A plan's buffers bound to memory: where the rows of a place are at a step.

use super::memory::Memory;
use super::rows::Rows;
use crate::kernels::Element;
use crate::plan::{Buffer, Class, Place, Plan};

/// How a buffer's rows are found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Row r at r: what is overwritten each step, and single rows (stride 0).
    Fixed,
    /// Packed rows of all steps; the first belongs to the row offset `origin`.
    Packed {
        /// Row offset of the first step.
        origin: usize,
    },
    /// Boundaries between steps: first that before step `first` with all rows, then the boundary after each step, packed.
    Track {
        /// The step before which the first boundary lies.
        first: usize,
        /// Row offset of that step.
        origin: usize,
        /// For a track seen as a step input: always the boundary before (false) or after (true) the step.
        fixed: Option<bool>,
    },
}

/// A buffer's memory.
#[derive(Clone, Copy, Debug)]
pub struct Bound<E> {
    /// Its first element.
    pub ptr: *mut E,
    /// Elements from row to row; 0 where there is one row for all.
    pub stride: usize,
    /// How rows are found.
    pub rule: Rule,
}

impl<E> Bound<E> {
    /// Not bound: nothing reads or writes it.
    pub const NONE: Self = Self { ptr: std::ptr::null_mut(), stride: 0, rule: Rule::Fixed };
}

/// The steps an instruction works on.
#[derive(Clone, Copy, Debug)]
pub enum Span {
    /// One step of the loop.
    Step(usize),
    /// All steps from..to at once.
    Range(usize, usize),
}

impl Span {
    /// Its first step.
    #[inline]
    pub fn first(self) -> usize {
        match self {
            Span::Step(t) | Span::Range(t, _) => t,
        }
    }

    /// How many rows it has.
    #[inline]
    pub fn rows(self, rows: &Rows) -> usize {
        match self {
            Span::Step(t) => rows.active(t),
            Span::Range(from, to) => rows.between(from, to),
        }
    }
}

impl<E: Element> Bound<E> {
    /// The first row of step `t`, at column `offset`; `later` picks a track's boundary after the step.
    #[inline]
    pub fn at(&self, rows: &Rows, t: usize, offset: usize, later: bool) -> *mut E {
        let row = match self.rule {
            Rule::Fixed => 0,
            Rule::Packed { origin } => rows.offset(t) - origin,
            Rule::Track { first, origin, fixed } => {
                let boundary = t + usize::from(fixed.unwrap_or(later));
                if boundary == first { 0 } else { rows.count() + rows.offset(boundary - 1) - origin }
            }
        };
        self.ptr.wrapping_add(row * self.stride + offset)
    }

    /// Elements from the rows of a step to those of the next, in a share whose rows have one length. The boundaries of a
    /// track, too, lie side by side there.
    pub fn pace(&self, rows: &Rows) -> isize {
        match self.rule {
            Rule::Fixed => 0,
            Rule::Packed { .. } | Rule::Track { .. } => (rows.count() * self.stride) as isize,
        }
    }

    /// The boundary `boundary` of a track.
    #[inline]
    pub fn boundary(&self, rows: &Rows, boundary: usize) -> *mut E {
        match self.rule {
            Rule::Track { first, .. } if boundary == first => self.at(rows, boundary, 0, false),
            _ => self.at(rows, boundary - 1, 0, true),
        }
    }

    /// The same memory as a step input of another plan that reads it at `place`.
    pub fn as_input(&self, place: Place) -> Self {
        let rule = match self.rule {
            Rule::Track { first, origin, fixed } => {
                Rule::Track { first, origin, fixed: Some(fixed.unwrap_or(place.later)) }
            }
            rule => rule,
        };
        Self { ptr: self.ptr.wrapping_add(place.offset), stride: self.stride, rule }
    }
}

/// Which memory a buffer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// The worker's, for a chunk of steps.
    Chunk,
    /// Kept for the backward pass.
    Segment,
    /// Elsewhere: shared constants, parameters, inputs, totals.
    Elsewhere,
}

/// Which memory a buffer takes; tracks are kept where the plan records.
pub fn home(buffer: &Buffer, record: bool) -> Home {
    match buffer.class {
        Class::Temp | Class::Chunk => Home::Chunk,
        Class::Track(_) if !record => Home::Chunk,
        Class::Track(_) | Class::Segment => Home::Segment,
        _ => Home::Elsewhere,
    }
}

/// The elements that the buffers of a home need for `rows` rows, of which `packed` over all steps.
pub fn size(plan: &Plan, which: Home, record: bool, rows: usize, packed: usize) -> usize {
    let of = |buffer: &Buffer| match buffer.class {
        Class::Temp => rows * buffer.stride,
        Class::Track(_) => (rows + packed) * buffer.stride,
        _ => packed * buffer.stride,
    };
    plan.buffers.iter().filter(|b| home(b, record) == which).map(of).sum()
}

/// Binds the buffers of a home to `memory` from element `at`, for the steps from `first`; returns the end.
#[allow(clippy::too_many_arguments, reason = "one call site a home; a struct would only name the same things again")]
pub fn bind<E: Element>(
    plan: &Plan,
    which: Home,
    record: bool,
    memory: &Memory<E>,
    mut at: usize,
    rows: &Rows,
    first: usize,
    packed: usize,
    bound: &mut [Bound<E>],
) -> usize {
    for (buffer, bound) in plan.buffers.iter().zip(bound) {
        if home(buffer, record) != which {
            continue;
        }
        let origin = rows.offset(first);
        let (count, rule) = match buffer.class {
            Class::Temp => (rows.count(), Rule::Fixed),
            Class::Track(_) => (rows.count() + packed, Rule::Track { first, origin, fixed: None }),
            _ => (packed, Rule::Packed { origin }),
        };
        let size = count * buffer.stride;
        assert!(at + size <= memory.len(), "a plan's buffers fit the memory taken for them");
        *bound = Bound { ptr: memory.ptr().wrapping_add(at), stride: buffer.stride, rule };
        at += size;
    }
    at
}

/// Moves the buffers of a home on to the steps from `first`.
pub fn rebase<E: Element>(plan: &Plan, which: Home, record: bool, rows: &Rows, first: usize, bound: &mut [Bound<E>]) {
    let origin = rows.offset(first);
    for (buffer, bound) in plan.buffers.iter().zip(bound) {
        if home(buffer, record) == which {
            bound.rule = match bound.rule {
                Rule::Fixed => Rule::Fixed,
                Rule::Packed { .. } => Rule::Packed { origin },
                Rule::Track { fixed, .. } => Rule::Track { first, origin, fixed },
            };
        }
    }
}
