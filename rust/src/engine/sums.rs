//! Gradients of parameters: sums over all steps and samples, in an order that threads do not change.
//!
//! The rows of a batch are cut into slabs, which depend on the batch and the parameters alone. In a slab there is one chain
//! of FMAs for each window of 16 steps, from the last step to the first and rows ascending; the sums of the windows are
//! added from the last to the first, and in the end those of the slabs in their order. Where no slab is cut by the shares
//! of the workers each worker sums its own, without waiting for others; else they meet and take tiles of the result.

use super::frame::{Bound, Rule};
use super::memory::Memory;
use super::part::{Part, Sum, products, rows_sum};
use super::pipeline::Call;
use super::pool;
use super::rows::Rows;
use super::stage::{Which, run_once};
use crate::error::Result;
use crate::graph::Accumulation;
use crate::kernels::Element;
use crate::plan::{Accumulate, Class, GradientFrom, Plan};
use std::ops::Range;

/// The fewest rows of a slab.
const SLAB: usize = 16;

/// The most slabs.
const SLABS: usize = 16;

/// Sums of more elements than this are not held once for each slab: they would not stay in the second-level cache.
const SMALL: usize = 256 * 1024;

/// The sums of all stages under way.
pub(super) struct Sums<E: Element> {
    memory: Memory<E>,
    /// For each stage, the bindings of the first slab's totals and of what the epilogue makes.
    bound: Vec<Vec<Bound<E>>>,
    /// The rows of each slab, in the engine's order.
    slabs: Vec<Range<usize>>,
    /// Elements from a slab's totals to the next one's.
    stride: usize,
}

// SAFETY: workers write disjoint tiles of the totals.
unsafe impl<E: Element> Sync for Sums<E> {}

/// Tiles of sums for one worker: of a slab these columns, and of each sum these rows. All have the same operand on the
/// right.
struct Tile {
    stage: usize,
    slab: usize,
    columns: Range<usize>,
    sums: Vec<(usize, Range<usize>)>,
}

/// Where a share's operands are: which share, and its bindings of all stages.
pub(super) type Source<'a, E> = (usize, &'a [Vec<Bound<E>>]);

struct Sources<'a, E>(&'a [Source<'a, E>]);
// SAFETY: what the workers wrote before they met is only read.
unsafe impl<E> Sync for Sources<'_, E> {}

/// Cuts a batch of `rows` rows, given the elements of all sums. There is one slab at least, if need be an empty one.
fn slabs(rows: usize, elements: usize) -> Vec<Range<usize>> {
    let size = if elements <= SMALL { rows.div_ceil(SLABS).max(SLAB) } else { rows.max(1) };
    (0..rows.max(1)).step_by(size).map(|first| first..(first + size).min(rows)).collect()
}

impl<E: Element> Sums<E> {
    pub(super) fn new(call: &Call<'_, E>, modes: &[Which]) -> Result<Self> {
        let rows = |plan: &Plan, class: Class| match class {
            Class::Total(index) => plan.accumulate[index].rows,
            _ => 1,
        };
        let plans: Vec<&Plan> = modes.iter().enumerate().map(|(i, &m)| &call.reverse(i, m).plan).collect();
        let total = |class: Class| matches!(class, Class::Total(_));
        let last = |class: Class| matches!(class, Class::Final);
        let size = |which: &dyn Fn(Class) -> bool| -> usize {
            let of = |p: &Plan| {
                p.buffers.iter().filter(|b| which(b.class)).map(|b| rows(p, b.class) * b.stride).sum::<usize>()
            };
            plans.iter().map(|p| of(p)).sum()
        };
        let (stride, finals) = (size(&total), size(&last));
        let slabs = slabs(call.batch.count, stride);
        let size = slabs.len() * stride + finals;
        let mut memory = call.arenas.take(size.max(1))?;
        memory.slice_mut()[..size].fill(E::default());
        let (mut total_at, mut final_at) = (0, slabs.len() * stride);
        let mut bound = Vec::new();
        for (index, plan) in plans.iter().enumerate() {
            let ready = call.stages[index].ready(modes[index], call.params, call.layout, call.kernels)?;
            let mut own_bound = ready.bound.clone();
            for (buffer, bound) in plan.buffers.iter().zip(&mut own_bound) {
                let at = match buffer.class {
                    class if total(class) => &mut total_at,
                    class if last(class) => &mut final_at,
                    _ => continue,
                };
                *bound = Bound { ptr: memory.ptr().wrapping_add(*at), stride: buffer.stride, rule: Rule::Fixed };
                *at += rows(plan, buffer.class) * buffer.stride;
            }
            bound.push(own_bound);
        }
        Ok(Self { memory, bound, slabs, stride })
    }

    /// Whether each worker can sum its own slabs by itself.
    pub(super) fn apart(&self, call: &Call<'_, E>) -> bool {
        let shards = &call.batch.shards;
        let within = |slab: &Range<usize>, rows: &Rows| rows.range.start <= slab.start && slab.end <= rows.range.end;
        self.slabs.iter().all(|slab| shards.iter().any(|rows| within(slab, rows)))
    }

    /// Adds the steps from..to (chunks come from the last to the first) of a worker's slabs, where [`Self::apart`].
    pub(super) fn add_own(&self, call: &Call<'_, E>, modes: &[Which], source: Source<'_, E>, from: usize, to: usize) {
        let own = &call.batch.shards[source.0].range;
        let slabs = (0..self.slabs.len()).filter(|&slab| own.contains(&self.slabs[slab].start));
        for tile in self.tiles(call, modes, slabs, 0, 1) {
            self.add_tile(call, modes, &[source], &tile, from, to);
        }
    }

    /// Adds the steps from..to of all slabs, in tiles that are shared out to the workers. `sources` holds all shares.
    pub(super) fn add(&self, call: &Call<'_, E>, modes: &[Which], sources: &[Source<'_, E>], from: usize, to: usize) {
        let workers = call.batch.shards.len();
        let sources = Sources(sources);
        pool::run(workers, &|worker| {
            let sources = &sources;
            for tile in self.tiles(call, modes, 0..self.slabs.len(), worker, workers) {
                self.add_tile(call, modes, sources.0, &tile, from, to);
            }
        });
    }

    /// A worker's tiles of all sums of these slabs.
    fn tiles(
        &self,
        call: &Call<'_, E>,
        modes: &[Which],
        slabs: impl Iterator<Item = usize>,
        worker: usize,
        workers: usize,
    ) -> Vec<Tile> {
        let mut tiles: Vec<Tile> = Vec::new();
        for slab in slabs {
            for (stage, &mode) in modes.iter().enumerate() {
                let plan = &call.reverse(stage, mode).plan;
                for (sum, accumulate) in plan.accumulate.iter().enumerate() {
                    let (rows, columns) = tile::<E>(accumulate, worker, workers);
                    if rows.is_empty() || columns.is_empty() {
                        continue;
                    }
                    let same = |tile: &&mut Tile| {
                        let other = || &plan.accumulate[tile.sums[0].0];
                        (tile.stage, tile.slab) == (stage, slab)
                            && tile.columns == columns
                            && other().b == accumulate.b
                            && [accumulate.kind, other().kind].iter().all(|kind| *kind != Accumulation::Rows)
                    };
                    match tiles.iter_mut().find(same) {
                        Some(tile) => tile.sums.push((sum, rows)),
                        None => tiles.push(Tile { stage, slab, columns, sums: vec![(sum, rows)] }),
                    }
                }
            }
        }
        tiles
    }

    fn add_tile(
        &self,
        call: &Call<'_, E>,
        modes: &[Which],
        sources: &[Source<'_, E>],
        tile: &Tile,
        from: usize,
        to: usize,
    ) {
        let slab = &self.slabs[tile.slab];
        let parts: Vec<Part<'_, E>> =
            sources.iter().filter_map(|&(shard, bound)| Part::new(call, (shard, &bound[tile.stage]), slab)).collect();
        if parts.is_empty() {
            return;
        }
        // Of the slab's longest row.
        let steps = call.batch.lengths[slab.start];
        if from >= steps {
            return;
        }
        let plan = &call.reverse(tile.stage, modes[tile.stage]).plan;
        let sums = tile.sums.iter().map(|(sum, rows)| {
            let total = total_of(plan, &self.bound[tile.stage], *sum);
            let total = Bound { ptr: total.ptr.wrapping_add(tile.slab * self.stride), ..total };
            Sum { accumulate: &plan.accumulate[*sum], rows: rows.clone(), total }
        });
        let sums: Vec<_> = sums.collect();
        if sums[0].accumulate.kind == Accumulation::Rows {
            rows_sum(&parts, &tile.columns, &sums[0], from, to);
        } else {
            products(call, &parts, &tile.columns, &sums, to >= steps, from, to);
        }
    }

    /// Runs the epilogues and adds all parts to the gradients of the parameters.
    pub(super) fn finish(mut self, call: &Call<'_, E>, modes: &[Which], gradients: &mut Memory<E>) -> Result<()> {
        let (first, others) = self.memory.slice_mut().split_at_mut(self.stride);
        for slab in others.chunks_exact(self.stride.max(1)).take(self.slabs.len().saturating_sub(1)) {
            first.iter_mut().zip(slab).for_each(|(sum, &part)| *sum = *sum + part);
        }
        for (index, &mode) in modes.iter().enumerate() {
            let stage = call.stages[index];
            let plan = &call.reverse(index, mode).plan;
            let bound = &self.bound[index];
            for &(sum, row) in &plan.flattened {
                let accumulate = &plan.accumulate[sum];
                let row = bound[row.buffer].ptr.wrapping_add(row.offset);
                // SAFETY: the row holds every element of the sum; it began as zeros.
                let row = unsafe { std::slice::from_raw_parts_mut(row, accumulate.rows * accumulate.b.1) };
                add_total(accumulate, total_of(plan, bound, sum), 0..accumulate.b.1, row);
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
                    GradientFrom::Total { sum, column, width } => {
                        let total = total_of(plan, bound, sum);
                        add_total(&plan.accumulate[sum], total, column..column + width, target);
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

/// Adds columns of a sum, in the order of the parameter's elements, to their gradient.
fn add_total<E: Element>(sum: &Accumulate, total: Bound<E>, columns: Range<usize>, target: &mut [E]) {
    let (rows, width) = (sum.rows, columns.len());
    // SAFETY: the total holds `rows` rows of at least as many elements as the sum has columns.
    let row = |m: usize| unsafe {
        std::slice::from_raw_parts(total.ptr.wrapping_add(m * total.stride + columns.start), width)
    };
    if !sum.swapped {
        for m in 0..rows {
            target[m * width..][..width].iter_mut().zip(row(m)).for_each(|(target, &value)| *target = *target + value);
        }
        return;
    }
    // Transposed square by square: each cache line of either side is met in one of them.
    const SIDE: usize = 16;
    for k in (0..width).step_by(SIDE) {
        for m in 0..rows {
            for (k, &value) in (k..width.min(k + SIDE)).zip(&row(m)[k..]) {
                target[k * rows + m] = target[k * rows + m] + value;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slabs_hold_every_row_once() {
        for rows in [0, 1, 15, 16, 17, 32, 255, 256, 257, 1000] {
            for elements in [0, SMALL, SMALL + 1] {
                let cut = slabs(rows, elements);
                assert!(!cut.is_empty() && cut.len() <= SLABS);
                assert_eq!((cut[0].start, cut[cut.len() - 1].end), (0, rows));
                assert!(cut.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].len() >= SLAB));
                assert!(elements <= SMALL || cut.len() == 1);
            }
        }
    }
}
