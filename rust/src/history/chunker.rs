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
mod storage;

pub use net::Learning;
pub use storage::dtype_of;

use crate::error::{Error, Result};
use crate::kernels::Element;
use crate::model::Model;
use net::{Net, Reach};
use serde::{Deserialize, Serialize};
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

/// A symbol and its targets, NaN where there are none.
type Observation<'a, E> = (usize, &'a [E]);

/// eˣ / Σ eˣ of the symbols' part, sigmoid of the targets', the rest as it is.
fn activation<E: Element>(y: &[E], symbols: usize, targets: usize) -> Vec<E> {
    let mut p = y.to_vec();
    let greatest = y[..symbols].iter().fold(y[0], |a, &b| if b > a { b } else { a });
    let mut sum = E::default();
    for value in &mut p[..symbols] {
        *value = (*value - greatest).exp();
        sum = sum + *value;
    }
    p[..symbols].iter_mut().for_each(|value| *value = *value / sum);
    p[symbols..symbols + targets].iter_mut().for_each(|value| *value = value.sigmoid());
    p
}

/// The index of the greatest, the first of several.
fn most_probable<E: Element>(p: &[E]) -> usize {
    (1..p.len()).fold(0, |best, index| if p[index] > p[best] { index } else { best })
}

/// ½ Σ v².
fn half_square<E: Element>(values: impl Iterator<Item = E>) -> f64 {
    values.fold(0.0, |sum, value| sum + value.to_f64() * value.to_f64() / 2.0)
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

    /// Symbols and targets by step, checked.
    fn observations<'a>(&self, symbols: &[i64], targets: Option<&'a [E]>) -> Result<Vec<Observation<'a, E>>> {
        let width = self.settings.targets;
        match targets {
            Some(targets) if targets.len() != symbols.len() * width => {
                let expected = format!("{} steps x {width}", symbols.len());
                return Err(Error::shape("targets", expected, format!("{} elements", targets.len())));
            }
            Some(targets) => {
                if let Some(bad) = targets.iter().find(|d| d.to_f64() < 0.0 || d.to_f64() > 1.0) {
                    return Err(Error::value("targets", "numbers from 0 to 1, or NaN where there is none", bad));
                }
            }
            None => {}
        }
        let symbol = |(t, &symbol): (usize, &i64)| match usize::try_from(symbol) {
            Ok(index) if index < self.settings.symbols => {
                Ok((index, targets.map_or(&[][..], |targets| &targets[t * width..(t + 1) * width])))
            }
            _ => Err(Error::value("x", format!("symbols 0 to {}", self.settings.symbols - 1), symbol)),
        };
        symbols.iter().enumerate().map(symbol).collect()
    }

    /// The probabilities of the symbols and of the targets in an output of the automatizer.
    fn predictions(&self, y: &[E]) -> Vec<E> {
        self.activated(&y[..self.settings.symbols + self.settings.targets])
    }

    fn activated(&self, y: &[E]) -> Vec<E> {
        activation(y, self.settings.symbols, self.settings.targets)
    }

    /// Whether an observation was not predicted by `p`.
    fn fails(&self, p: &[E], (symbol, targets): Observation<'_, E>) -> bool {
        let symbols = self.settings.symbols;
        // Of a target between 0 and 1, that which agrees with it in the mean.
        let agreement = |(d, p): (&E, &E)| {
            let (d, p) = (d.to_f64(), p.to_f64());
            if d.is_nan() { 1.0 } else { d * p + (1.0 - d) * (1.0 - p) }
        };
        let agreed = targets.iter().zip(&p[symbols..]).map(agreement).fold(1.0, |a, b| if b < a { b } else { a });
        match self.settings.threshold {
            Some(threshold) => p[symbol].to_f64() < threshold || agreed < threshold,
            None => most_probable(&p[..symbols]) != symbol || agreed < 0.5,
        }
    }

    /// x(t) ∘ d(t): one unit a symbol, then the targets, 0 where there are none.
    fn input(&self, (symbol, targets): Observation<'_, E>) -> Vec<E> {
        let Settings { symbols, targets: width, .. } = self.settings;
        let mut x = vec![E::default(); symbols + width];
        x[symbol] = E::from_f64(1.0);
        for (x, &d) in x[symbols..].iter_mut().zip(targets) {
            *x = if d.to_f64().is_nan() { E::default() } else { d };
        }
        x
    }

    /// What the chunker is told of an observation.
    fn event(&self, observation: Observation<'_, E>, elapsed: u64, context: &[E]) -> Vec<E> {
        let mut x = self.input(observation);
        match self.settings.account {
            Account::Time => x.push(E::from_f64(Element::ln(elapsed as f64) / 10.0)),
            Account::State => x.extend_from_slice(context),
            Account::None => {}
        }
        x
    }

    /// The gradient of −ln p(symbol) and of the targets' cross-entropies: p − x ∘ d, 0 where there is no target.
    fn prediction_error(&self, p: &[E], (symbol, targets): Observation<'_, E>) -> Vec<E> {
        let Settings { symbols, targets: width, .. } = self.settings;
        let mut dy = p[..symbols + width].to_vec();
        dy[symbol] = dy[symbol] - E::from_f64(1.0);
        for (k, dy) in dy[symbols..].iter_mut().enumerate() {
            *dy = match targets.get(k) {
                Some(&d) if !d.to_f64().is_nan() => *dy - d,
                _ => E::default(),
            };
        }
        dy
    }

    /// The gradient of the automatizer's error, and the part of the imitation in it, before its weight.
    fn automatizer_error(&self, p: &[E], y: &[E], observation: Observation<'_, E>, goal: &[E]) -> (Vec<E>, f64) {
        let mut dy = self.prediction_error(p, observation);
        let balance = E::from_f64(self.settings.balance);
        let difference = || y[dy_len(&self.settings)..].iter().zip(goal).map(|(&a, &b)| a - b);
        let imitation = half_square(difference());
        dy.extend(difference().map(|value| balance * value));
        (dy, imitation)
    }

    /// The gradient of the chunker's error in predicting its next input, and −ln p of the symbol.
    fn chunker_error(&self, y: &[E], observation: Observation<'_, E>, x: &[E]) -> (Vec<E>, f64) {
        let p = self.activated(y);
        let mut dy = self.prediction_error(&p, observation);
        let known = dy.len();
        dy.extend(p[known..].iter().zip(&x[known..]).map(|(&p, &x)| p - x));
        (dy, -p[observation.0].ln().to_f64())
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

/// Where the imitation begins in an output of the automatizer.
fn dy_len(settings: &Settings) -> usize {
    settings.symbols + settings.targets
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
