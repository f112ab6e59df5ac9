//! The chunker and the automatizer: two nets, of which the second learns what the first one makes of its failures.
//!
//! Schmidhuber (1992), *Learning complex, extended sequences using the principle of history compression*, Neural
//! Computation 4(2), on collapsing the hierarchy, and its appendix, details of the 2-net chunking architecture. The automatizer A reads the
//! observation of every step, x(t) ∘ d(t), a symbol and the teacher's targets where there are any, and predicts the
//! next. The chunker C reads only what A failed to predict, with an account of when that came, and predicts what it will
//! read next. A has further outputs, which imitate the state of C, h_C(t) ∘ o_C(t): its hidden units and its
//! predictions. A's error is the sum of both; the paper weighs them equally.

mod net;
mod offline;
mod signals;
mod storage;

pub use net::Learning;
pub use storage::dtype_of;

use crate::error::{Error, Result};
use crate::kernels::Element;
use crate::model::Model;
use net::{Net, Reach};
use serde::{Deserialize, Serialize};
use signals::{Observation, most_probable};
use std::sync::Arc;

/// Steps that the history puts together into one entry.
pub const INTERVAL: u64 = 1000;

/// Between two questions whether to stop.
const PATIENCE: usize = 64;

/// What tells the chunker when an unpredicted input came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// ln(steps since the last failure) / 10.
    Time,
    /// The states of the automatizer before the input.
    State,
    /// Nothing: the input alone.
    None,
}

/// The settings of a [`ChunkerAutomatizer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Symbols: 0 to this - 1.
    pub symbols: usize,
    /// Target units beside them.
    pub targets: usize,
    /// What comes with an unpredicted input.
    pub account: Account,
    /// A prediction fails where a probability is below this; if absent, where another symbol is more probable, or a
    /// target unit is on the wrong side of ½.
    pub threshold: Option<f64>,
    /// Weight of the imitation beside the prediction in the automatizer's error.
    pub balance: f64,
    /// Steps over which errors are sent back in each net, online.
    pub bptt: usize,
    /// Steps between updates of the automatizer, online.
    #[serde(default = "each")]
    pub every: usize,
    /// Largest norm of a net's gradient.
    pub clip_norm: Option<f64>,
    /// Key of the draws of dropout and zoneout.
    pub seed: u64,
    /// How the automatizer learns.
    pub automatizer: Learning,
    /// How the chunker learns.
    pub chunker: Learning,
}

/// Of files that do not tell: an update a step.
fn each() -> usize {
    1
}

/// What happened in [`INTERVAL`] steps: sums, each to be divided by the steps, or the failures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Entry {
    /// Steps of the automatizer.
    pub steps: f64,
    /// Failures: steps of the chunker.
    pub failures: f64,
    /// -ln(probability) of the symbols, nats.
    pub prediction: f64,
    /// ½ ‖imitation − state of the chunker‖².
    pub imitation: f64,
    /// -ln(probability) of the symbols that the chunker read, nats.
    pub chunker: f64,
}

/// What a call found at each step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Work<E> {
    /// The probability that the automatizer gave the symbol which came (steps).
    pub probability: Vec<E>,
    /// The symbol that it held most probable (steps).
    pub predicted: Vec<i64>,
    /// Its target units (steps, targets).
    pub targets: Vec<E>,
    /// Whether the prediction failed, and the chunker was told (steps).
    pub failures: Vec<bool>,
    /// With detail, the probabilities of all symbols (steps, symbols).
    pub predictions: Vec<E>,
    /// With detail, the automatizer's states after each step (steps, width), side by side.
    pub automatizer: Vec<E>,
    /// With detail, the chunker's (steps, width).
    pub chunker: Vec<E>,
}

/// Two nets that divide the work: see the [module](self).
pub struct ChunkerAutomatizer<E: Element> {
    settings: Settings,
    automatizer: Net<E>,
    chunker: Net<E>,
    /// Steps since the last failure.
    elapsed: u64,
    /// What the automatizer imitates: the chunker's states and predictions.
    goal: Vec<E>,
    history: Vec<Entry>,
}

impl<E: Element> ChunkerAutomatizer<E> {
    /// Both nets at the beginning of a stream. Their widths are those of [`Settings::widths`].
    pub fn new(automatizer: Arc<Model<E>>, chunker: Arc<Model<E>>, settings: Settings) -> Result<Self> {
        let Settings { symbols, balance, bptt, every, clip_norm, seed, threshold, .. } = settings;
        if symbols < 2 {
            return Err(Error::value("symbols", "at least 2", symbols));
        }
        if bptt == 0 {
            return Err(Error::value("bptt", "at least 1 step", 0));
        }
        if every == 0 {
            return Err(Error::value("every", "at least 1 step", 0));
        }
        if !(balance >= 0.0 && balance.is_finite()) {
            return Err(Error::value("balance", "a finite number not below 0", balance));
        }
        if let Some(bad) = threshold.filter(|t| !(*t > 0.0 && *t <= 1.0)) {
            return Err(Error::value("threshold", "a probability above 0, at most 1", bad));
        }
        if let Some(bad) = clip_norm.filter(|limit| limit.is_nan() || *limit <= 0.0) {
            return Err(Error::value("clip_norm", "a number above 0", bad));
        }
        let reach = |every| (Reach { bptt, every }, clip_norm, seed);
        let automatizer = Net::new(automatizer, settings.automatizer.clone(), reach(every))?;
        let chunker = Net::new(chunker, settings.chunker.clone(), reach(1))?;
        let widths = |net: &Net<E>| net.model.chain.states.iter().map(|state| state.width).sum();
        let expected = settings.widths(widths(&automatizer), widths(&chunker));
        for (name, net, (input, output)) in
            [("automatizer", &automatizer, expected[0]), ("chunker", &chunker, expected[1])]
        {
            let given = (net.input(), net.y.len());
            if given != (input, output) {
                return Err(Error::shape(
                    format!("{name}, inputs and outputs"),
                    format!("{input} numbers and {output}"),
                    format!("{} and {}", given.0, given.1),
                ));
            }
        }
        let mut both = Self { settings, automatizer, chunker, elapsed: 0, goal: Vec::new(), history: Vec::new() };
        both.set_goal();
        Ok(both)
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The automatizer.
    pub fn automatizer(&self) -> &Arc<Model<E>> {
        &self.automatizer.model
    }

    /// The chunker.
    pub fn chunker(&self) -> &Arc<Model<E>> {
        &self.chunker.model
    }

    /// How much each net worked: an entry for every [`INTERVAL`] steps that were learnt from, the last one growing.
    pub fn history(&self) -> &[Entry] {
        &self.history
    }

    /// Begins a new stream: both nets' states are zero, nothing has come yet.
    pub fn reset(&mut self) {
        self.automatizer.reset();
        self.chunker.reset();
        self.elapsed = 0;
        self.set_goal();
    }

    /// Goes on with the stream by `symbols` (steps) and `targets` (steps, targets; NaN for none), learning after each step
    /// if `learn`. `stop` is asked now and then; what was learnt until then stays.
    pub fn run(
        &mut self,
        symbols: &[i64],
        targets: Option<&[E]>,
        (learn, detail): (bool, bool),
        stop: &dyn Fn() -> bool,
    ) -> Result<Work<E>> {
        let observations = self.observations(symbols, targets)?;
        let mut work = Work::default();
        self.automatizer.refresh()?;
        self.chunker.refresh()?;
        self.set_goal();
        for (count, &observation) in observations.iter().enumerate() {
            if count % PATIENCE == PATIENCE - 1 && stop() {
                return Err(Error::Interrupted);
            }
            self.step(observation, learn, detail, &mut work)?;
        }
        Ok(work)
    }

    /// One step of the stream.
    fn step(&mut self, observation: Observation<'_, E>, learn: bool, detail: bool, work: &mut Work<E>) -> Result<()> {
        let p = self.predictions(&self.automatizer.y);
        let failed = !self.automatizer.has_begun() || self.fails(&p, observation);
        let context = if self.settings.account == Account::State { self.automatizer.state() } else { Vec::new() };
        if learn {
            let entry = self.entry();
            entry.steps += 1.0;
            entry.failures += f64::from(u8::from(failed));
            entry.prediction -= p[observation.0].ln().to_f64();
            if self.automatizer.has_begun() {
                let (dy, imitation) = self.automatizer_error(&p, &self.automatizer.y, observation, &self.goal);
                self.entry().imitation += imitation;
                self.automatizer.learn(dy)?;
            }
        }
        let x = self.input(observation);
        self.automatizer.step(x, learn)?;
        self.elapsed += 1;
        if failed {
            let x = self.event(observation, self.elapsed, &context);
            if learn && self.chunker.has_begun() {
                let (dy, loss) = self.chunker_error(&self.chunker.y, observation, &x);
                self.entry().chunker += loss;
                self.chunker.learn(dy)?;
            }
            self.chunker.step(x, learn)?;
            self.elapsed = 0;
            self.set_goal();
        }
        self.note(work, &p, observation.0, failed);
        if detail {
            work.predictions.extend_from_slice(&p[..self.settings.symbols]);
            work.automatizer.extend(self.automatizer.state());
            work.chunker.extend(self.chunker.state());
        }
        Ok(())
    }

    /// Sets what is to be imitated, h_C(t) ∘ o_C(t).
    fn set_goal(&mut self) {
        self.goal = self.chunker.state();
        let outputs = self.activated(&self.chunker.y);
        self.goal.extend(outputs);
    }

    /// The entry of the history that is growing.
    fn entry(&mut self) -> &mut Entry {
        if self.history.last().is_none_or(|entry| entry.steps >= INTERVAL as f64) {
            self.history.push(Entry::default());
        }
        let last = self.history.len() - 1;
        &mut self.history[last]
    }

    fn note(&self, work: &mut Work<E>, p: &[E], symbol: usize, failed: bool) {
        let symbols = self.settings.symbols;
        work.probability.push(p[symbol]);
        work.predicted.push(most_probable(&p[..symbols]) as i64);
        work.targets.extend_from_slice(&p[symbols..]);
        work.failures.push(failed);
    }
}

impl Settings {
    /// Inputs and outputs of the automatizer and of the chunker, whose states have these widths in all.
    pub fn widths(&self, automatizer: usize, chunker: usize) -> [(usize, usize); 2] {
        let seen = self.symbols + self.targets;
        let event = seen
            + match self.account {
                Account::Time => 1,
                Account::State => automatizer,
                Account::None => 0,
            };
        [(seen, seen + chunker + event), (event, event)]
    }
}
