//! The rows of a slab that lie in a worker's share, and sums of one slab over a chunk of steps.

use super::frame::Bound;
use super::pipeline::{Call, WINDOW};
use super::rows::Rows;
use crate::kernels::{self, Element, Left, Segment, Window};
use crate::plan::{Accumulate, Place};
use std::ops::Range;

/// The windows of 16 steps that a chunk consists of, last first.
fn windows(from: usize, to: usize) -> impl Iterator<Item = (usize, usize)> {
    (from / WINDOW..to.div_ceil(WINDOW)).rev().map(move |w| ((w * WINDOW).max(from), ((w + 1) * WINDOW).min(to)))
}

/// A worker's rows of a sum.
pub(super) struct Sum<'a, E> {
    pub accumulate: &'a Accumulate,
    pub rows: Range<usize>,
    pub total: Bound<E>,
}

/// The rows of a slab that lie in a share.
pub(super) struct Part<'a, E> {
    rows: &'a Rows,
    bound: &'a [Bound<E>],
    /// The slab's rows, counted within the share.
    range: Range<usize>,
}

impl<'a, E: Element> Part<'a, E> {
    pub(super) fn new(
        call: &'a Call<'_, E>,
        (shard, bound): (usize, &'a [Bound<E>]),
        slab: &Range<usize>,
    ) -> Option<Self> {
        let rows = &call.batch.shards[shard];
        let range = slab.start.max(rows.range.start)..slab.end.min(rows.range.end);
        (!range.is_empty()).then(|| {
            let first = rows.range.start;
            Self { rows, bound, range: range.start - first..range.end - first }
        })
    }

    /// How many of its rows are within their length at step `t`.
    fn active(&self, t: usize) -> usize {
        self.rows.active(t).min(self.range.end).saturating_sub(self.range.start)
    }

    /// Elements between rows of a place.
    fn stride(&self, place: Place) -> usize {
        self.bound[place.buffer].stride
    }

    /// Its first row of a place at step `t`, at a column.
    fn at(&self, place: Place, t: usize, column: usize) -> *const E {
        let first = self.bound[place.buffer].at(self.rows, t, place.offset + column, place.later);
        first.wrapping_add(self.range.start * self.stride(place)).cast_const()
    }
}

/// Adds products summed over the steps from..to; all sums have the same operand on the right, of which these are the
/// columns. `fresh`: the first steps that the slab has.
pub(super) fn products<'p, E: Element>(
    call: &Call<'_, E>,
    parts: &'p [Part<'p, E>],
    columns: &Range<usize>,
    sums: &[Sum<'_, E>],
    fresh: bool,
    from: usize,
    to: usize,
) {
    let b = sums[0].accumulate.b.0;
    // A lone row's steps lie side by side: they are rows of one segment, the last of them first.
    let lone = match parts {
        [part] if part.rows.count() == 1 => Some(part),
        _ => None,
    };
    // All workers' buffers of a plan have the same strides.
    let along = |place| parts[0].stride(place) as isize * if lone.is_some() { -1 } else { 1 };
    let (mut segments, mut origins, mut list) = (Vec::new(), Vec::new(), Vec::new());
    for (first, last) in windows(from, to) {
        let start = segments.len();
        let mut push = |part: &'p Part<'p, E>, t, rows| {
            if rows > 0 {
                segments.push(Segment { b: part.at(b, t, columns.start), b_stride: along(b), rows });
                origins.push((part, t));
            }
        };
        match lone {
            Some(part) => {
                let last = last.min(part.rows.steps);
                push(part, last.saturating_sub(1), last.saturating_sub(first));
            }
            None => (first..last).rev().for_each(|t| parts.iter().for_each(|part| push(part, t, part.active(t)))),
        }
        if segments.len() > start {
            list.push(Window { first: start, count: segments.len() - start });
        }
    }
    let operands: Vec<Vec<*const E>> = sums
        .iter()
        .map(|sum| match sum.accumulate.a {
            Some((a, _)) => origins.iter().map(|(part, t)| part.at(a, *t, sum.rows.start)).collect(),
            None => Vec::new(),
        })
        .collect();
    let lefts: Vec<_> = sums
        .iter()
        .zip(&operands)
        .map(|(sum, a)| Left {
            m: sum.rows.len(),
            a,
            a_stride: sum.accumulate.a.map_or(0, |(a, _)| along(a)),
            total: sum.total.ptr.wrapping_add(sum.rows.start * sum.total.stride + columns.start),
            total_stride: sum.total.stride,
        })
        .collect();
    let job = kernels::Accumulate { v: columns.len(), windows: &list, segments: &segments, lefts: &lefts, fresh };
    // SAFETY: operands hold the rows of each step; tiles of one total are disjoint (columns are cut at cache lines).
    unsafe { (call.kernels.accumulate)(&job) };
}

/// Adds rows to those rows of a table that the indices name.
pub(super) fn rows_sum<E: Element>(
    parts: &[Part<'_, E>],
    columns: &Range<usize>,
    &Sum { accumulate: sum, total, .. }: &Sum<'_, E>,
    from: usize,
    to: usize,
) {
    let Some((index, _)) = sum.a else { return };
    let width = columns.len();
    let mut chain = vec![E::default(); width];
    let mut uses: Vec<(u32, u32, *const E)> = Vec::new();
    for (first, last) in windows(from, to) {
        uses.clear();
        for t in (first..last).rev() {
            for part in parts {
                let (indices, values) = (part.at(index, t, 0), part.at(sum.b.0, t, columns.start));
                for r in 0..part.active(t) {
                    // SAFETY: staged indices hold a row for each valid step.
                    let row = unsafe { indices.wrapping_add(r * part.stride(index)).cast::<u32>().read() };
                    uses.push((row, uses.len() as u32, values.wrapping_add(r * part.stride(sum.b.0))));
                }
            }
        }
        // Uses of one row of the table side by side, each in the order of the chain.
        uses.sort_unstable_by_key(|u| (u.0, u.1));
        for group in uses.chunk_by(|a, b| a.0 == b.0) {
            chain.fill(E::default());
            for &(_, _, values) in group {
                // SAFETY: the operand holds the tile's columns.
                let values = unsafe { std::slice::from_raw_parts(values, width) };
                chain.iter_mut().zip(values).for_each(|(p, &v)| *p = *p + v);
            }
            let row = total.ptr.wrapping_add(group[0].0 as usize * total.stride + columns.start);
            // SAFETY: indices were checked against the rows of the table; workers have disjoint columns.
            let row = unsafe { std::slice::from_raw_parts_mut(row, width) };
            row.iter_mut().zip(&chain).for_each(|(r, &p)| *r = *r + p);
        }
    }
}
