//! Scans that run time in parallel, for recurrences that are linear: a long sequence is folded into segments, which are
//! rows of a batch like any other.
//!
//! First every segment runs from zero states, and with it the transfer graph: what its last states owe to its first. Then
//! the true first states of the segments follow from one another, and every segment runs again from these. Backward the
//! same with the transposed transfer matrices. How a sequence is folded depends on its number of steps alone, so results
//! have the same bits for any number of threads and on every SIMD path; they are not those of the plain loop, whose sums
//! are made in another order.

use super::Model;
use super::run::Pass;
use crate::engine::{Batch, Carry, Fold, Folded, Memory, Recording, Scan, Sink, Stage, View, WINDOW, num_threads};
use crate::error::Result;
use crate::kernels::Element;

/// Segments are at least this long, and at most this many.
const SHORTEST: usize = 256;
const MOST: usize = 64;

/// For each state, its rows one after the other.
type States<E> = Vec<Vec<E>>;

/// Steps of a segment.
fn segment(steps: usize) -> usize {
    steps.div_ceil(MOST).max(SHORTEST).next_multiple_of(WINDOW)
}

/// Whether a sequence of so many steps has more than one segment.
pub(super) fn folds(steps: usize) -> bool {
    steps > segment(steps)
}

/// A batch and the batch of its segments; segment s of row b is row s · rows + b.
struct Segments<'a> {
    whole: &'a Batch,
    /// For each of the caller's rows, its length.
    lengths: Vec<usize>,
    length: usize,
    count: usize,
}

impl<'a> Segments<'a> {
    fn new(whole: &'a Batch) -> Self {
        let mut lengths = vec![0; whole.count];
        whole.order.iter().zip(&whole.lengths).for_each(|(&id, &length)| lengths[id] = length);
        let length = segment(whole.steps);
        Self { whole, lengths, length, count: whole.steps.div_ceil(length) }
    }

    fn rows(&self) -> usize {
        self.whole.count
    }

    /// The batch of windows `from..to` of every segment.
    fn batch(&self, from: usize, to: usize) -> Result<Batch> {
        let rows = self.count * self.rows();
        let length = |row: usize| {
            let start = row / self.rows() * self.length + from;
            self.lengths[row % self.rows()].saturating_sub(start).min(to - from) as i64
        };
        let lengths: Vec<i64> = (0..rows).map(length).collect();
        Batch::new(to - from, rows, Some(&lengths), num_threads().min(rows).max(1))
    }

    /// A view of whole sequences seen as windows of segments, each beginning `from` steps after its segment.
    fn view<E>(&self, view: View<E>, from: usize) -> View<E> {
        let fold = Fold { steps: self.length, rows: self.rows(), start: from, lengths: self.lengths.as_ptr() };
        View { fold: Some(fold), ..view }
    }

    /// The segment in which a row ends.
    fn last(&self, row: usize) -> usize {
        self.lengths[row].saturating_sub(1) / self.length
    }

    /// The elements of segment `s` of all rows among (segments × rows, width).
    fn of(&self, s: usize, width: usize) -> std::ops::Range<usize> {
        s * self.rows() * width..(s + 1) * self.rows() * width
    }
}

impl<E: Element> Model<E> {
    #[allow(clippy::too_many_arguments, reason = "one call site, which has them all")]
    /// Runs a stage over folded sequences. `state` holds its initial states (rows, width); returns the final ones.
    pub(super) fn scan_forward(
        &self,
        pass: &Pass<'_, E>,
        (stage, scan): (&Stage<E>, &Scan<E>),
        batch: &Batch,
        view: View<E>,
        sinks: &[Sink<E>],
        state: States<E>,
        record: Option<Option<usize>>,
    ) -> Result<(States<E>, Option<Recording<E>>)> {
        let segments = Segments::new(batch);
        let (rows, count) = (segments.rows(), segments.count);
        let widths: Vec<usize> = state.iter().map(|s| s.len() / rows.max(1)).collect();
        let mut first: Vec<Vec<E>> = widths.iter().map(|w| vec![E::default(); count * rows * w]).collect();
        for (first, state) in first.iter_mut().zip(&state) {
            first[..state.len()].copy_from_slice(state);
        }
        if scan.depth > 0 {
            // What reaches over a few steps only: from the end of the segment before.
            let from = segments.length - scan.depth.min(segments.length);
            let ends = segments.batch(from, segments.length)?;
            let stages = [stage];
            let call = self.call(pass, &stages, &ends, vec![segments.view(view, from)]);
            let mut carry = Carry::new(&stages, ends.count)?;
            call.forward(&mut carry, &[])?;
            for &delay in &scan.delays {
                let last = carry.get(delay, &ends.order);
                for s in 1..count {
                    let (to, from) = (segments.of(s, widths[delay]), segments.of(s - 1, widths[delay]));
                    first[delay][to].copy_from_slice(&last[from]);
                }
            }
        }
        let folded = segments.batch(0, segments.length)?;
        let view = segments.view(view, 0);
        let local = {
            let stages = [&scan.stage];
            let call = self.call(pass, &stages, &folded, vec![view]);
            let mut carry = Carry::new(&stages, folded.count)?;
            for &delay in &scan.delays {
                carry.set(delay, &first[delay], &folded.order);
            }
            for i in 0..scan.moving.len() {
                let index = state.len() + i * scan.moving.len() + i;
                let ones = vec![E::from_f64(1.0); count * rows * widths[scan.moving[i]]];
                carry.set(index, &ones, &folded.order);
            }
            call.forward(&mut carry, &[])?;
            (0..carry.count()).map(|index| carry.get(index, &folded.order)).collect::<Vec<_>>()
        };
        let transfer = local[state.len()..].to_vec();
        for s in 1..count {
            for (i, &moving) in scan.moving.iter().enumerate() {
                let (to, from) = (segments.of(s, widths[moving]), segments.of(s - 1, widths[moving]));
                for k in 0..to.len() {
                    let mut sum = local[moving][from.start + k];
                    for (j, &other) in scan.moving.iter().enumerate() {
                        let entry = transfer[i * scan.moving.len() + j][from.start + k];
                        sum = sum + entry * first[other][from.start + k];
                    }
                    first[moving][to.start + k] = sum;
                }
            }
        }
        let stages = [stage];
        let call = self.call(pass, &stages, &folded, vec![view]);
        let mut carry = Carry::new(&stages, folded.count)?;
        first.iter().enumerate().for_each(|(index, first)| carry.set(index, first, &folded.order));
        let sinks: Vec<Sink<E>> = sinks.iter().map(|s| Sink { view: segments.view(s.view, 0), ..*s }).collect();
        let recording = match record {
            None => {
                call.forward(&mut carry, &sinks)?;
                None
            }
            Some(checkpoint) => Some(call.record(&mut carry, &sinks, checkpoint)?),
        };
        let finals = widths.iter().enumerate().map(|(index, &width)| {
            let all = carry.get(index, &folded.order);
            let row = |b: usize| all[segments.of(segments.last(b), width)][b * width..(b + 1) * width].to_vec();
            (0..rows).flat_map(row).collect()
        });
        let finals = finals.collect();
        let recording = recording.map(|recording| recording.of_segments(Folded { batch: folded, transfer }));
        Ok((finals, recording))
    }

    /// Runs a folded recording backward from the gradients of the final states; returns those of the initial states.
    pub(super) fn scan_backward(
        &self,
        pass: &Pass<'_, E>,
        (stage, scan): (&Stage<E>, &Scan<E>),
        (batch, recording, kept): (&Batch, &Recording<E>, &Folded<E>),
        (x, dy, dx): (View<E>, View<E>, Option<View<E>>),
        dstate: &[Vec<E>],
        gradients: &mut Memory<E>,
    ) -> Result<States<E>> {
        let segments = Segments::new(batch);
        let (rows, count) = (segments.rows(), segments.count);
        let widths: Vec<usize> = dstate.iter().map(|s| s.len() / rows.max(1)).collect();
        // The gradients of the states after each segment: at first those given, where rows end.
        let mut after: Vec<Vec<E>> = widths.iter().map(|w| vec![E::default(); count * rows * w]).collect();
        for (after, (given, &width)) in after.iter_mut().zip(dstate.iter().zip(&widths)) {
            for b in 0..rows {
                let at = segments.of(segments.last(b), width).start + b * width;
                after[at..at + width].copy_from_slice(&given[b * width..(b + 1) * width]);
            }
        }
        let stages = [stage];
        let call = self.call(pass, &stages, &kept.batch, vec![segments.view(x, 0)]);
        let run = |after: &[Vec<E>], dx: Option<View<E>>, gradients: Option<&mut Memory<E>>| -> Result<States<E>> {
            let mut carry = Carry::new(&stages, kept.batch.count)?;
            after.iter().enumerate().for_each(|(index, after)| carry.set(index, after, &kept.batch.order));
            let dx = dx.map(|dx| segments.view(dx, 0));
            call.backward(recording, &mut carry, segments.view(dy, 0), dx, gradients)?;
            Ok((0..widths.len()).map(|index| carry.get(index, &kept.batch.order)).collect())
        };
        let before = run(&after, None, None)?;
        // What a segment's first states get through those after it: the transposed transfer matrix.
        let mut extra: Vec<Vec<E>> = scan.moving.iter().map(|&m| vec![E::default(); rows * widths[m]]).collect();
        for s in (0..count - 1).rev() {
            let mut next = Vec::new();
            for (i, &moving) in scan.moving.iter().enumerate() {
                let width = widths[moving];
                let range = segments.of(s + 1, width);
                let mut total = before[moving][range.clone()].to_vec();
                for (k, total) in total.iter_mut().enumerate() {
                    for (j, extra) in extra.iter().enumerate() {
                        let entry = kept.transfer[j * scan.moving.len() + i][range.start + k];
                        *total = *total + entry * extra[k];
                    }
                    // Nothing flows back from beyond a row's end.
                    if s >= segments.last(k / width) {
                        *total = E::default();
                    }
                }
                let here = segments.of(s, width);
                after[moving][here].iter_mut().zip(&total).for_each(|(after, &total)| *after = *after + total);
                next.push(total);
            }
            extra = next;
        }
        if !scan.delays.is_empty() {
            // What delays get depends on the true gradients of the others, and reaches no further than they do.
            let before = run(&after, None, None)?;
            for &delay in &scan.delays {
                let width = widths[delay];
                for s in 0..count - 1 {
                    for b in (0..rows).filter(|&b| s < segments.last(b)) {
                        let (to, from) = (segments.of(s, width).start, segments.of(s + 1, width).start);
                        for k in b * width..(b + 1) * width {
                            after[delay][to + k] = after[delay][to + k] + before[delay][from + k];
                        }
                    }
                }
            }
        }
        let before = run(&after, dx, Some(gradients))?;
        Ok(before.into_iter().zip(&widths).map(|(all, &width)| all[segments.of(0, width)].to_vec()).collect())
    }
}

/// The scan of a call's only stage, where its sequence is long enough to be folded.
pub(super) fn of<'a, E: Element>(stages: &[&'a Stage<E>], steps: usize) -> Option<(&'a Stage<E>, &'a Scan<E>)> {
    match stages {
        [stage] if folds(steps) => stage.scan.as_deref().map(|scan| (*stage, scan)),
        _ => None,
    }
}
