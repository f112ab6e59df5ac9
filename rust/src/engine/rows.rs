//! Which rows are in which step: lengths, their order, and the share of each worker.

use crate::error::{Error, Result};
use std::ops::Range;

/// The rows of a batch, longest first, cut into shares for workers.
#[derive(Debug)]
pub struct Batch {
    /// Steps of the arrays.
    pub steps: usize,
    /// Rows of the arrays.
    pub count: usize,
    /// For each row in the engine's order, its index in the caller's arrays.
    pub order: Vec<usize>,
    /// For each row in the engine's order, its length.
    pub lengths: Vec<usize>,
    /// The share of each worker.
    pub shards: Vec<Rows>,
}

/// A worker's rows. At step t the first `active(t)` of them are within their length; valid rows of all steps lie packed
/// one after the other, those of step t from `offset(t)`.
#[derive(Debug)]
pub struct Rows {
    /// The rows, in the engine's order.
    pub range: Range<usize>,
    /// The longest length.
    pub steps: usize,
    /// None where all rows have this length.
    ragged: Option<Ragged>,
}

#[derive(Debug)]
struct Ragged {
    active: Vec<usize>,
    offsets: Vec<usize>,
}

impl Batch {
    /// Rows of equal length (`lengths` absent) or of these lengths, cut for at most `workers` workers.
    pub fn new(steps: usize, count: usize, lengths: Option<&[i64]>, workers: usize) -> Result<Self> {
        let mut order: Vec<usize> = (0..count).collect();
        let lengths = match lengths {
            None => vec![steps; count],
            Some(given) => {
                if given.len() != count {
                    return Err(Error::shape("lengths", format!("one length for each of {count} rows"), given.len()));
                }
                let check = |&l: &i64| {
                    usize::try_from(l)
                        .ok()
                        .filter(|&l| l <= steps)
                        .ok_or_else(|| Error::value("lengths", format!("0 to {steps}"), l))
                };
                let given: Vec<usize> = given.iter().map(check).collect::<Result<_>>()?;
                order.sort_by_key(|&row| std::cmp::Reverse(given[row]));
                order.iter().map(|&row| given[row]).collect()
            }
        };
        // Equal shares of the sum of lengths; every row counts a little, so that empty rows are shared too.
        let weight = |l: &usize| l + 1;
        let total: usize = lengths.iter().map(weight).sum();
        let workers = workers.clamp(1, count.max(1));
        let mut shards = Vec::with_capacity(workers);
        let (mut first, mut sum) = (0, 0);
        for worker in 0..workers {
            let goal = total * (worker + 1) / workers;
            let mut last = first;
            while last < count && (sum < goal || worker + 1 == workers) {
                sum += weight(&lengths[last]);
                last += 1;
            }
            shards.push(Rows::new(first..last, &lengths[first..last]));
            first = last;
        }
        Ok(Self { steps, count, order, lengths, shards })
    }

    /// The longest length.
    pub fn longest(&self) -> usize {
        self.lengths.first().copied().unwrap_or(0)
    }

    /// Valid steps of all rows.
    pub fn total(&self) -> usize {
        self.lengths.iter().sum()
    }
}

impl Rows {
    fn new(range: Range<usize>, lengths: &[usize]) -> Self {
        let steps = lengths.first().copied().unwrap_or(0);
        if lengths.iter().all(|&l| l == steps) {
            return Self { range, steps, ragged: None };
        }
        let mut active = vec![0; steps];
        let mut rows = lengths.len();
        for (t, active) in active.iter_mut().enumerate() {
            while lengths[rows - 1] <= t {
                rows -= 1;
            }
            *active = rows;
        }
        let mut offsets = Vec::with_capacity(steps + 1);
        let mut offset = 0;
        for &rows in &active {
            offsets.push(offset);
            offset += rows;
        }
        offsets.push(offset);
        Self { range, steps, ragged: Some(Ragged { active, offsets }) }
    }

    /// How many rows it has.
    #[inline]
    pub fn count(&self) -> usize {
        self.range.len()
    }

    /// Whether all rows have one length.
    pub fn is_even(&self) -> bool {
        self.ragged.is_none()
    }

    /// How many rows are within their length at step `t`.
    #[inline]
    pub fn active(&self, t: usize) -> usize {
        match &self.ragged {
            None if t < self.steps => self.range.len(),
            None => 0,
            Some(ragged) => ragged.active.get(t).copied().unwrap_or(0),
        }
    }

    /// How many rows of earlier steps lie before those of step `t`.
    #[inline]
    pub fn offset(&self, t: usize) -> usize {
        match &self.ragged {
            None => t.min(self.steps) * self.range.len(),
            Some(ragged) => ragged.offsets[t.min(self.steps)],
        }
    }

    /// The rows of the steps `from..to`.
    #[inline]
    pub fn between(&self, from: usize, to: usize) -> usize {
        self.offset(to) - self.offset(from)
    }

    /// The most rows of any `steps` consecutive steps.
    pub fn most(&self, steps: usize) -> usize {
        steps.min(self.steps) * self.range.len()
    }

    /// The length of row `r` (within the share).
    pub fn length(&self, r: usize) -> usize {
        match &self.ragged {
            None => self.steps,
            // `active` falls; row r is active as long as active(t) > r.
            Some(ragged) => ragged.active.partition_point(|&a| a > r),
        }
    }
}
