//! Learning offline: from whole sequences, with errors that go back to their beginning.

use super::net::Net;
use super::signals::Observation;
use super::{Account, ChunkerAutomatizer, Work};
use crate::engine::Draw;
use crate::error::Result;
use crate::kernels::Element;
use crate::model::{Input, Options, Tape, Values};

/// A net over a whole sequence.
struct Whole<E: Element> {
    tape: Tape<E>,
    /// Each state after each step (steps, width).
    states: Vec<Vec<E>>,
    steps: usize,
    width: usize,
}

impl<E: Element> Whole<E> {
    fn run(net: &Net<E>, seed: u64, x: &[E], steps: usize) -> Result<Self> {
        let input = Input { values: Values::Float(x), steps, rows: 1, batch_first: false };
        // Other draws at each update: no sequence is as long as they are apart.
        let draw = Draw { seed, position: net.optimizer.updates() << 32 };
        let options = Options { training: true, draw, ..Options::default() };
        let states = net.model.all_states(input, None, options)?;
        let tape = net.model.record(input, None, options, None)?;
        Ok(Self { tape, states, steps, width: net.model.chain.output })
    }

    /// The output of a step.
    fn y(&self, t: usize) -> &[E] {
        &self.tape.y[t * self.width..(t + 1) * self.width]
    }

    /// All states after a step, side by side.
    fn state(&self, t: usize) -> Vec<E> {
        let row = |state: &Vec<E>| {
            let width = state.len() / self.steps;
            state[t * width..(t + 1) * width].to_vec()
        };
        self.states.iter().flat_map(row).collect()
    }

    /// One update from the gradients of all outputs but the last, after which nothing came.
    fn learn(&self, net: &mut Net<E>, mut dy: Vec<E>) -> Result<()> {
        let share = E::from_f64(1.0 / self.steps as f64);
        dy.iter_mut().for_each(|value| *value = *value * share);
        dy.resize(self.tape.y.len(), E::default());
        let gradients = net.model.backward(&self.tape, &dy, None, false, None)?;
        net.update(gradients)
    }
}

/// What the chunker is told of a sequence: observations and its inputs; and how many there were up to each step.
type Told<'a, E> = (Vec<(Observation<'a, E>, Vec<E>)>, Vec<usize>);

impl<E: Element> ChunkerAutomatizer<E> {
    /// Learns from one whole sequence, which begins with states of zero, by one update of each net: errors go back to its
    /// beginning. The stream is where it was.
    pub fn learn_sequence(&mut self, symbols: &[i64], targets: Option<&[E]>) -> Result<Work<E>> {
        let observations = self.observations(symbols, targets)?;
        let (steps, seed) = (observations.len(), self.settings.seed);
        let mut work = Work::default();
        if steps == 0 {
            return Ok(work);
        }
        let x: Vec<E> = observations.iter().flat_map(|&observation| self.input(observation)).collect();
        let automatizer = Whole::run(&self.automatizer, seed, &x, steps)?;
        let (events, seen) = self.told(&observations, &automatizer, &mut work);
        let x: Vec<E> = events.iter().flat_map(|(_, x)| x.iter().copied()).collect();
        let chunker = Whole::run(&self.chunker, seed, &x, events.len())?;

        let mut sums = [0.0; 3];
        let mut dy = Vec::with_capacity(x.len());
        for (t, &observation) in observations.iter().enumerate().skip(1) {
            let event = seen[t - 1] - 1;
            let mut goal = chunker.state(event);
            goal.extend(self.activated(chunker.y(event)));
            let y = automatizer.y(t - 1);
            let (error, imitation) = self.automatizer_error(&self.predictions(y), y, observation, &goal);
            sums[1] += imitation;
            dy.extend(error);
        }
        let mut dy_chunker = Vec::new();
        for (event, (observation, x)) in events.iter().enumerate().skip(1) {
            let (error, loss) = self.chunker_error(chunker.y(event - 1), *observation, x);
            sums[2] += loss;
            dy_chunker.extend(error);
        }
        sums[0] = work.probability.iter().map(|p| -p.ln().to_f64()).sum();
        automatizer.learn(&mut self.automatizer, dy)?;
        if events.len() > 1 {
            chunker.learn(&mut self.chunker, dy_chunker)?;
        }
        let entry = self.entry();
        entry.steps += steps as f64;
        entry.failures += events.len() as f64;
        entry.prediction += sums[0];
        entry.imitation += sums[1];
        entry.chunker += sums[2];
        Ok(work)
    }

    /// What the automatizer failed to predict.
    fn told<'a>(&self, observations: &[Observation<'a, E>], automatizer: &Whole<E>, work: &mut Work<E>) -> Told<'a, E> {
        let (mut events, mut seen, mut last) = (Vec::new(), Vec::with_capacity(observations.len()), 0);
        let nothing = vec![E::default(); automatizer.width];
        for (t, &observation) in observations.iter().enumerate() {
            let p = self.predictions(if t == 0 { &nothing } else { automatizer.y(t - 1) });
            let failed = t == 0 || self.fails(&p, observation);
            if failed {
                let context = match (self.settings.account, t) {
                    (Account::State, 0) => automatizer.state(0).iter().map(|_| E::default()).collect(),
                    (Account::State, _) => automatizer.state(t - 1),
                    _ => Vec::new(),
                };
                events.push((observation, self.event(observation, (t + 1 - last) as u64, &context)));
                last = t + 1;
            }
            seen.push(events.len());
            self.note(work, &p, observation.0, failed);
        }
        (events, seen)
    }
}
