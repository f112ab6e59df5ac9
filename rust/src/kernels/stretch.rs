//! The rows of [`Accumulate`] in order, cut into stretches that are copied and summed at a time.

use core::ptr::null;

use super::accumulate::{Accumulate, Segment, Window};
use super::constants::Constants;

/// Rows of a stretch.
pub(super) const ROWS: usize = 128;
/// Runs, and spans, of a stretch.
const RUNS: usize = 64;

/// Rows of one segment, from its row `row` on.
#[derive(Clone, Copy)]
pub(super) struct Run<E> {
    pub(super) rows: usize,
    pub(super) segment: usize,
    pub(super) row: usize,
    pub(super) from: Segment<E>,
}

/// Rows of one window; `ends` where they are its last.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) rows: usize,
    pub(super) ends: bool,
}

/// The next rows in order, at most [`ROWS`] of them: where they come from, and where windows end among them. A window
/// may begin before a stretch and end after it.
pub(super) struct Stretch<'a, E> {
    accumulate: &'a Accumulate<'a, E>,
    windows: &'a [Window],
    /// What comes after this stretch: a window, a segment within it, a row within that.
    window: usize,
    segment: usize,
    row: usize,
    runs: [Run<E>; RUNS],
    run_count: usize,
    spans: [Span; RUNS],
    span_count: usize,
    /// The first span continues the window of the last stretch, whose sums so far are in memory.
    pub(super) continues: bool,
    /// The first window to end replaces the total.
    pub(super) replaces: bool,
}

impl<'a, E: Constants> Stretch<'a, E> {
    pub(super) fn new(accumulate: &'a Accumulate<'a, E>) -> Self {
        // A fresh total without windows is zero, as if there were an empty one.
        const EMPTY: &[Window] = &[Window { first: 0, count: 0 }];
        let windows = if accumulate.fresh && accumulate.windows.is_empty() { EMPTY } else { accumulate.windows };
        let from = Segment { b: null(), b_stride: 0, rows: 0 };
        Stretch {
            accumulate,
            windows,
            window: 0,
            segment: 0,
            row: 0,
            runs: [Run { rows: 0, segment: 0, row: 0, from }; RUNS],
            run_count: 0,
            spans: [Span { rows: 0, ends: true }; RUNS],
            span_count: 0,
            continues: false,
            replaces: false,
        }
    }

    pub(super) fn runs(&self) -> &[Run<E>] {
        &self.runs[..self.run_count]
    }

    pub(super) fn spans(&self) -> &[Span] {
        &self.spans[..self.span_count]
    }

    /// Goes to the next stretch; whether there is one.
    pub(super) fn advance(&mut self) -> bool {
        let segments = self.accumulate.segments;
        self.continues = self.spans().last().is_some_and(|span| !span.ends);
        self.replaces = self.accumulate.fresh && self.window == 0;
        self.run_count = 0;
        self.span_count = 0;
        let mut left = ROWS;
        while let Some(window) = self.windows.get(self.window) {
            // A span for this window, if it has none here.
            if self.spans().last().is_none_or(|span| span.ends) {
                if self.span_count == RUNS {
                    break;
                }
                self.spans[self.span_count] = Span { rows: 0, ends: false };
                self.span_count += 1;
            }
            let span = &mut self.spans[self.span_count - 1];
            if self.segment == window.count {
                span.ends = true;
                self.window += 1;
                self.segment = 0;
                continue;
            }
            let segment = window.first + self.segment;
            let from = segments[segment];
            let rows = (from.rows - self.row).min(left);
            if rows > 0 {
                if self.run_count == RUNS {
                    break;
                }
                self.runs[self.run_count] = Run { rows, segment, row: self.row, from };
                self.run_count += 1;
                span.rows += rows;
                left -= rows;
                self.row += rows;
            }
            if self.row < from.rows {
                break;
            }
            self.segment += 1;
            self.row = 0;
        }
        self.span_count > 0
    }
}
