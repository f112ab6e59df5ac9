//! Gradients of parameters: sums over all steps and samples, in an order that threads do not change.
//!
//! One chain of FMAs for each window of 16 steps, from the last step to the first and rows ascending; the sums of the
//! windows are added from the last to the first. Workers take tiles of the result.

use super::frame::{Bound, Rule};
use super::memory::Memory;
use super::pipeline::{Call, WINDOW};
use super::pool;
use super::stage::{Which, run_once};
use crate::error::Result;
use crate::graph::Accumulation;
use crate::kernels::{self, Element, Left, Segment, Window};
use crate::plan::{Accumulate, Class, GradientFrom, Place, Plan};
use std::ops::Range;

/// The sums of all stages under way.
pub(super) struct Sums<E: Element> {
    memory: Memory<E>,
    /// For each stage, the bindings of its totals and of what the epilogue makes.
    bound: Vec<Vec<Bound<E>>>,
    fresh: bool,
}

/// Tiles of sums for one worker: these columns, and of each sum these rows. All have the same operand on the right.
struct Tile {
    stage: usize,
    columns: Range<usize>,
    sums: Vec<(usize, Range<usize>)>,
}

struct Shared<'a, E>(&'a [Vec<Bound<E>>]);
// SAFETY: workers write disjoint tiles of the totals.
unsafe impl<E> Sync for Shared<'_, E> {}

struct Sources<'a, E>(&'a [&'a [Vec<Bound<E>>]]);
// SAFETY: what the workers wrote before they met is only read.
unsafe impl<E> Sync for Sources<'_, E> {}

impl<E: Element> Sums<E> {
    pub(super) fn new(call: &Call<'_, E>, modes: &[Which]) -> Result<Self> {
        let rows = |plan: &Plan, class: Class| match class {
            Class::Total(index) => plan.accumulate[index].rows,
            _ => 1,
        };
        let plans: Vec<&Plan> = modes.iter().enumerate().map(|(i, &m)| &call.reverse(i, m).plan).collect();
        let own = |class: Class| matches!(class, Class::Total(_) | Class::Final);
        let size = plans
            .iter()
            .flat_map(|p| p.buffers.iter().filter(|b| own(b.class)).map(|b| rows(p, b.class) * b.stride))
            .sum::<usize>();
        let mut memory = call.arenas.take(size.max(1))?;
        memory.slice_mut()[..size].fill(E::default());
        let mut at = 0;
        let mut bound = Vec::new();
        for (index, plan) in plans.iter().enumerate() {
            let ready = call.stages[index].ready(modes[index], call.params, call.layout, call.kernels)?;
            let mut own_bound = ready.bound.clone();
            for (buffer, bound) in plan.buffers.iter().zip(&mut own_bound) {
                if own(buffer.class) {
                    *bound = Bound { ptr: memory.ptr().wrapping_add(at), stride: buffer.stride, rule: Rule::Fixed };
                    at += rows(plan, buffer.class) * buffer.stride;
                }
            }
            bound.push(own_bound);
        }
        Ok(Self { memory, bound, fresh: true })
    }

    /// Adds the steps from..to (chunks come from the last to the first). `sources` holds each worker's bindings.
    pub(super) fn add(
        &mut self,
        call: &Call<'_, E>,
        modes: &[Which],
        sources: &[&[Vec<Bound<E>>]],
        from: usize,
        to: usize,
    ) {
        let workers = call.batch.shards.len();
        let mut tiles: Vec<Vec<Tile>> = (0..workers).map(|_| Vec::new()).collect();
        for (stage, &mode) in modes.iter().enumerate() {
            for (sum, accumulate) in call.reverse(stage, mode).plan.accumulate.iter().enumerate() {
                for (worker, tiles) in tiles.iter_mut().enumerate() {
                    let (rows, columns) = tile::<E>(accumulate, worker, workers);
                    if rows.is_empty() || columns.is_empty() {
                        continue;
                    }
                    let same = |tile: &&mut Tile| {
                        let other = || &call.reverse(stage, mode).plan.accumulate[tile.sums[0].0];
                        tile.stage == stage
                            && tile.columns == columns
                            && other().b == accumulate.b
                            && [accumulate.kind, other().kind].iter().all(|kind| *kind != Accumulation::Rows)
                    };
                    match tiles.iter_mut().find(same) {
                        Some(tile) => tile.sums.push((sum, rows)),
                        None => tiles.push(Tile { stage, columns, sums: vec![(sum, rows)] }),
                    }
                }
            }
        }
        let (totals, sources) = (Shared(&self.bound), Sources(sources));
        let fresh = self.fresh;
        pool::run(workers, &|worker| {
            let (totals, sources) = (&totals, &sources);
            for tile in &tiles[worker] {
                let plan = &call.reverse(tile.stage, modes[tile.stage]).plan;
                let sums = tile.sums.iter().map(|(sum, rows)| Sum {
                    accumulate: &plan.accumulate[*sum],
                    rows: rows.clone(),
                    total: total_of(plan, &totals.0[tile.stage], *sum),
                });
                let sums: Vec<_> = sums.collect();
                if sums[0].accumulate.kind == Accumulation::Rows {
                    rows_sum(call, sources.0, tile, &sums[0], from, to);
                } else {
                    products(call, sources.0, tile, &sums, fresh, from, to);
                }
            }
        });
        self.fresh = false;
    }

    /// Runs the epilogues and adds all parts to the gradients of the parameters.
    pub(super) fn finish(self, call: &Call<'_, E>, modes: &[Which], gradients: &mut Memory<E>) -> Result<()> {
        for (index, &mode) in modes.iter().enumerate() {
            let stage = call.stages[index];
            let plan = &call.reverse(index, mode).plan;
            let bound = &self.bound[index];
            for &(sum, row) in &plan.flattened {
                let accumulate = &plan.accumulate[sum];
                let row = bound[row.buffer].ptr.wrapping_add(row.offset);
                // SAFETY: the row holds every element of the sum; it began as zeros.
                let row = unsafe { std::slice::from_raw_parts_mut(row, accumulate.rows * accumulate.b.1) };
                add_total(accumulate, total_of(plan, bound, sum), row);
            }
            run_once(stage, plan, &plan.epilogue, bound, call.kernels)?;
            for part in &plan.gradients {
                let slot = &call.layout.slots[stage.params[part.param]];
                let target = &mut gradients.slice_mut()[slot.offset + part.offset..slot.offset + slot.len];
                match part.from {
                    GradientFrom::Row(place, width) => {
                        let row = bound[place.buffer].ptr.wrapping_add(place.offset);
                        for (k, target) in target[..width].iter_mut().enumerate() {
                            // SAFETY: the row holds `width` elements.
                            *target = *target + unsafe { *row.add(k) };
                        }
                    }
                    GradientFrom::Total(sum) => {
                        add_total(&plan.accumulate[sum], total_of(plan, bound, sum), target);
                    }
                }
            }
        }
        call.arenas.give(self.memory);
        Ok(())
    }
}

/// Where a sum is bound.
fn total_of<E: Element>(plan: &Plan, bound: &[Bound<E>], sum: usize) -> Bound<E> {
    let total = plan.buffers.iter().position(|b| b.class == Class::Total(sum));
    bound[total.expect("every sum has its buffer")]
}

/// Adds a sum, in the order of the parameter's elements, to its gradient.
fn add_total<E: Element>(sum: &Accumulate, total: Bound<E>, target: &mut [E]) {
    let (rows, columns) = (sum.rows, sum.b.1);
    for m in 0..rows {
        // SAFETY: the total holds `rows` rows of at least `columns` elements.
        let row = unsafe { std::slice::from_raw_parts(total.ptr.wrapping_add(m * total.stride), columns) };
        if sum.swapped {
            for (k, &value) in row.iter().enumerate() {
                target[k * rows + m] = target[k * rows + m] + value;
            }
        } else {
            for (target, &value) in target[m * columns..][..columns].iter_mut().zip(row) {
                *target = *target + value;
            }
        }
    }
}

/// A worker's rows and columns of a sum: rows where there are enough for all, else columns.
fn tile<E: Element>(sum: &Accumulate, worker: usize, workers: usize) -> (Range<usize>, Range<usize>) {
    let share = |size: usize, step: usize| {
        let units = size.div_ceil(step);
        let cut = |w: usize| (units * w / workers * step).min(size);
        cut(worker)..cut(worker + 1)
    };
    const TILE: usize = 8;
    if sum.kind != Accumulation::Rows && sum.rows >= TILE * workers {
        (share(sum.rows, TILE), 0..sum.b.1)
    } else {
        (0..sum.rows, share(sum.b.1, 2 * E::PAD))
    }
}

/// The windows of 16 steps that a chunk consists of, last first.
fn windows(from: usize, to: usize) -> impl Iterator<Item = (usize, usize)> {
    (from / WINDOW..to.div_ceil(WINDOW)).rev().map(move |w| ((w * WINDOW).max(from), ((w + 1) * WINDOW).min(to)))
}

/// A worker's rows of a sum.
struct Sum<'a, E> {
    accumulate: &'a Accumulate,
    rows: Range<usize>,
    total: Bound<E>,
}

fn products<E: Element>(
    call: &Call<'_, E>,
    sources: &[&[Vec<Bound<E>>]],
    tile: &Tile,
    sums: &[Sum<'_, E>],
    fresh: bool,
    from: usize,
    to: usize,
) {
    let bound = |shard: usize, place: Place| &sources[shard][tile.stage][place.buffer];
    let at = |shard: usize, place: Place, t: usize, column: usize| {
        let rows = &call.batch.shards[shard];
        bound(shard, place).at(rows, t, place.offset + column, place.later).cast_const()
    };
    let b = sums[0].accumulate.b.0;
    let (mut segments, mut origins, mut list) = (Vec::new(), Vec::new(), Vec::new());
    for (first, last) in windows(from, to) {
        let start = segments.len();
        for t in (first..last).rev() {
            for (shard, rows) in call.batch.shards.iter().enumerate() {
                let count = rows.active(t);
                if count > 0 {
                    let b_stride = bound(shard, b).stride;
                    segments.push(Segment { b: at(shard, b, t, tile.columns.start), b_stride, rows: count });
                    origins.push((shard, t));
                }
            }
        }
        if segments.len() > start {
            list.push(Window { first: start, count: segments.len() - start });
        }
    }
    let operands: Vec<Vec<*const E>> = sums
        .iter()
        .map(|sum| match sum.accumulate.a {
            Some((a, _)) => origins.iter().map(|&(shard, t)| at(shard, a, t, sum.rows.start)).collect(),
            None => Vec::new(),
        })
        .collect();
    let lefts: Vec<_> = sums
        .iter()
        .zip(&operands)
        .map(|(sum, a)| Left {
            m: sum.rows.len(),
            a,
            // All workers' buffers of a plan have the same strides.
            a_stride: sum.accumulate.a.map_or(0, |(a, _)| bound(0, a).stride),
            total: sum.total.ptr.wrapping_add(sum.rows.start * sum.total.stride + tile.columns.start),
            total_stride: sum.total.stride,
        })
        .collect();
    let job = kernels::Accumulate { v: tile.columns.len(), windows: &list, segments: &segments, lefts: &lefts, fresh };
    // SAFETY: operands hold the rows of each step; tiles of one total are disjoint (columns are cut at cache lines).
    unsafe { (call.kernels.accumulate)(&job) };
}

fn rows_sum<E: Element>(
    call: &Call<'_, E>,
    sources: &[&[Vec<Bound<E>>]],
    tile: &Tile,
    &Sum { accumulate: sum, total, .. }: &Sum<'_, E>,
    from: usize,
    to: usize,
) {
    let Some((index, _)) = sum.a else { return };
    let width = tile.columns.len();
    let mut part = vec![E::default(); width];
    let mut uses: Vec<(u32, u32, *const E)> = Vec::new();
    for (first, last) in windows(from, to) {
        uses.clear();
        for t in (first..last).rev() {
            for (shard, rows) in call.batch.shards.iter().enumerate() {
                let bound = |place: Place| &sources[shard][tile.stage][place.buffer];
                let (i, b) = (bound(index), bound(sum.b.0));
                let (indices, values) = (
                    i.at(rows, t, index.offset, index.later),
                    b.at(rows, t, sum.b.0.offset + tile.columns.start, sum.b.0.later),
                );
                for r in 0..rows.active(t) {
                    // SAFETY: staged indices hold a row for each valid step.
                    let row = unsafe { indices.wrapping_add(r * i.stride).cast::<u32>().read() };
                    uses.push((row, uses.len() as u32, values.wrapping_add(r * b.stride).cast_const()));
                }
            }
        }
        // Uses of one row of the table side by side, each in the order of the chain.
        uses.sort_unstable_by_key(|u| (u.0, u.1));
        for group in uses.chunk_by(|a, b| a.0 == b.0) {
            part.fill(E::default());
            for &(_, _, values) in group {
                // SAFETY: the operand holds the tile's columns.
                let values = unsafe { std::slice::from_raw_parts(values, width) };
                part.iter_mut().zip(values).for_each(|(p, &v)| *p = *p + v);
            }
            let row = total.ptr.wrapping_add(group[0].0 as usize * total.stride + tile.columns.start);
            // SAFETY: indices were checked against the rows of the table; workers have disjoint columns.
            let row = unsafe { std::slice::from_raw_parts_mut(row, width) };
            row.iter_mut().zip(&part).for_each(|(r, &p)| *r = *r + p);
        }
    }
}
