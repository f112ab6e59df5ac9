//! History compressors: stacks of nets over NumPy sequences.

use super::arrays::{Array, array};
use super::model::Model;
use super::optimizer::Optimizer;
use super::typed::{Float, Typed, typed, typed_both};
use super::work::{quick, work};
use crate::error::{Error, Result};
use crate::history::{self, Alphabet, Compressor, Content, Event, Settings, Step, Training};
use pyo3::prelude::*;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A stack of nets.
#[pyclass(frozen, module = "rnnrs._core")]
pub(super) struct History {
    inner: Typed<Compressor<f32>, Compressor<f64>>,
}

/// Sequences of the events of one level.
#[pyclass(frozen, module = "rnnrs._core")]
pub(super) struct Events {
    inner: Typed<Sequences<f32>, Sequences<f64>>,
}

/// A stack that runs a step a call, and learns if it is told how.
#[pyclass(frozen, module = "rnnrs._core")]
pub(super) struct HistoryStream {
    inner: Typed<Running<f32>, Running<f64>>,
}

type Sequences<E> = Vec<Vec<Event<E>>>;

/// What runs, and what it reads.
pub(super) struct Running<E: Float> {
    alphabet: Alphabet,
    machine: Mutex<Machine<E>>,
}

enum Machine<E: Float> {
    Fixed(history::Cascade<E>),
    Learning(history::Learner<E>),
}

#[pymethods]
impl History {
    /// A stack of nets of one element type: `symbols`, or `features` with a `tolerance`.
    #[new]
    #[pyo3(signature = (models, symbols, features, tolerance, max_gap, threshold))]
    fn new(
        models: Vec<Py<Model>>,
        symbols: Option<usize>,
        features: Option<usize>,
        tolerance: f64,
        max_gap: usize,
        threshold: Option<f64>,
    ) -> PyResult<Self> {
        let alphabet = match (symbols, features) {
            (Some(count), None) => Alphabet::Symbols(count),
            (None, Some(features)) => Alphabet::Vectors { features, tolerance },
            _ => return Err(Error::Value("expected symbols or features, got both or neither".into()).into()),
        };
        let settings = Settings { alphabet, max_gap, threshold };
        let (mut single, mut double) = (Vec::new(), Vec::new());
        for model in &models {
            match &model.get().inner {
                Typed::Float32(model) => single.push(model.clone()),
                Typed::Float64(model) => double.push(model.clone()),
            }
        }
        let inner = match (single.is_empty(), double.is_empty()) {
            (_, true) => Typed::Float32(Compressor::new(settings, single)?),
            (true, false) => Typed::Float64(Compressor::new(settings, double)?),
            _ => return Err(Error::dtype("levels", "one dtype", "two").into()),
        };
        Ok(Self { inner })
    }

    /// Sequences of inputs as events of level 0.
    fn events(&self, py: Python<'_>, sequences: Vec<Bound<'_, PyAny>>) -> PyResult<Events> {
        let _ = py;
        typed!(&self.inner, stack, Same => {
            let all = sequences.iter().map(|x| read(stack.settings.alphabet, x)).collect::<PyResult<Sequences<_>>>()?;
            for event in all.iter().flatten() {
                stack.settings.check_event(0, event)?;
            }
            Ok(Events { inner: Same(all) })
        })
    }

    /// What a level hands up of its events.
    fn hand_up(&self, py: Python<'_>, level: usize, events: &Events) -> PyResult<Events> {
        let inner = match (&self.inner, &events.inner) {
            (Typed::Float32(stack), Typed::Float32(events)) => Typed::Float32(handed_up(py, stack, level, events)?),
            (Typed::Float64(stack), Typed::Float64(events)) => Typed::Float64(handed_up(py, stack, level, events)?),
            _ => return Err(Error::dtype("events", "those of this stack", "another dtype").into()),
        };
        Ok(Events { inner })
    }

    /// What reaches the top and how many events each level saw: (gaps, contents, counts).
    fn transform(&self, py: Python<'_>, x: &Bound<'_, PyAny>) -> PyResult<(Py<PyAny>, Py<PyAny>, Vec<usize>)> {
        typed!(&self.inner, stack => {
            let inputs = read(stack.settings.alphabet, x)?;
            let (top, counts) = work(py, |_| stack.transform(&inputs))?;
            let (gaps, contents) = written(py, &stack.settings, stack.levels.len(), &top)?;
            Ok((gaps, contents, counts))
        })
    }

    /// The inputs again.
    fn inverse(
        &self,
        py: Python<'_>,
        gaps: &Bound<'_, PyAny>,
        contents: &Bound<'_, PyAny>,
        counts: Vec<usize>,
    ) -> PyResult<Py<PyAny>> {
        typed!(&self.inner, stack => {
            let top = told(&stack.settings, stack.levels.len(), gaps, contents)?;
            let inputs = work(py, |_| stack.inverse(&top, &counts))?;
            Ok(written(py, &stack.settings, 0, &inputs)?.1)
        })
    }

    /// What each level saw of a sequence: (times, levels, predicted, surprise in nats), an element a step of a level.
    fn trace(&self, py: Python<'_>, x: &Bound<'_, PyAny>) -> PyResult<[Py<PyAny>; 4]> {
        typed!(&self.inner, stack => {
            let inputs = read(stack.settings.alphabet, x)?;
            let steps = work(py, |_| {
                let (mut cascade, mut steps) = (stack.start()?, Vec::new());
                for (time, input) in inputs.into_iter().enumerate() {
                    cascade.push(input, |step| steps.push((time, step.level, step.predicted, step.surprise)))?;
                }
                Ok(steps)
            })?;
            let count = [steps.len()];
            Ok([
                array(py, steps.iter().map(|s| s.0 as i64).collect(), &count)?,
                array(py, steps.iter().map(|s| s.1 as i64).collect(), &count)?,
                array(py, steps.iter().map(|s| s.2).collect(), &count)?,
                array(py, steps.iter().map(|s| s.3[0] + s.3[1]).collect(), &count)?,
            ])
        })
    }

    /// (bits of times, bits of symbols, events) of each sequence of a level, told with its net's probabilities.
    fn bits(&self, py: Python<'_>, level: usize, events: &Events) -> PyResult<Vec<(f64, f64, usize)>> {
        typed_both!("events", (&self.inner, &events.inner), (stack, events) => work(py, |_| {
            let told = |sequence: &Vec<_>| {
                let bits = stack.bits(level, sequence)?;
                Ok((bits.times, bits.symbols, bits.events))
            };
            events.iter().map(told).collect()
        }))
    }

    /// One pass of a level over batches of its sequences; nats an event.
    #[allow(clippy::too_many_arguments, reason = "the settings of training")]
    fn train(
        &self,
        py: Python<'_>,
        level: usize,
        events: &Events,
        orders: Vec<Vec<usize>>,
        optimizer: &Optimizer,
        lr: f64,
        bptt: usize,
        clip_norm: Option<f64>,
    ) -> PyResult<f64> {
        let training = Training { optimizer: String::new(), lr, bptt, clip_norm };
        typed_both!("events", (&self.inner, &events.inner), (stack, events) => work(py, |interrupt| {
            if let Some(bad) = orders.iter().flatten().find(|&&k| k >= events.len()) {
                return Err(Error::value("orders", format!("sequences below {}", events.len()), bad));
            }
            stack.train(level, events, &orders, &mut optimizer.lock(), &training, interrupt)
        }))
    }

    /// The stack at the beginning of a sequence; it learns if an optimizer (JSON) is given.
    #[pyo3(signature = (optimizer=None, lr=0.0, bptt=1, clip_norm=None))]
    fn stream(
        &self,
        optimizer: Option<String>,
        lr: f64,
        bptt: usize,
        clip_norm: Option<f64>,
    ) -> PyResult<HistoryStream> {
        typed!(&self.inner, stack, Same => quick(|| {
            let machine = match optimizer {
                Some(optimizer) => {
                    Machine::Learning(history::Learner::new(stack, &Training { optimizer, lr, bptt, clip_norm })?)
                }
                None => Machine::Fixed(stack.start()?),
            };
            let running = Running { alphabet: stack.settings.alphabet, machine: Mutex::new(machine) };
            Ok(HistoryStream { inner: Same(running) })
        }))
    }
}

#[pymethods]
impl Events {
    /// How many events each sequence has.
    fn lengths(&self) -> Vec<usize> {
        typed!(&self.inner, all => all.iter().map(Vec::len).collect())
    }
}

#[pymethods]
impl HistoryStream {
    /// A sequence of inputs, a step after the other: (times, levels, predicted, surprise in nats) of what the levels saw.
    fn push(&self, py: Python<'_>, x: &Bound<'_, PyAny>) -> PyResult<[Py<PyAny>; 4]> {
        typed!(&self.inner, running => {
            let inputs = read(running.alphabet, x)?;
            let mut machine = running.lock()?;
            let mut steps: Vec<(usize, Step<_>)> = Vec::new();
            quick(|| {
                for (time, input) in inputs.into_iter().enumerate() {
                    let seen = |step| steps.push((time, step));
                    match &mut *machine {
                        Machine::Fixed(cascade) => cascade.push(input, seen)?,
                        Machine::Learning(learner) => learner.push(input, seen)?,
                    };
                }
                Ok(())
            })?;
            let count = [steps.len()];
            Ok([
                array(py, steps.iter().map(|s| s.0 as i64).collect(), &count)?,
                array(py, steps.iter().map(|s| s.1.level as i64).collect(), &count)?,
                array(py, steps.iter().map(|s| s.1.predicted).collect(), &count)?,
                array(py, steps.iter().map(|s| s.1.surprise[0] + s.1.surprise[1]).collect(), &count)?,
            ])
        })
    }
}

impl<E: Float> Running<E> {
    fn lock(&self) -> Result<MutexGuard<'_, Machine<E>>> {
        match self.machine.try_lock() {
            Ok(machine) => Ok(machine),
            Err(std::sync::TryLockError::Poisoned(poisoned)) => Ok(PoisonError::into_inner(poisoned)),
            Err(std::sync::TryLockError::WouldBlock) => Err(Error::Unsupported(
                "stream: expected one call at a time, got a second one from another thread".into(),
            )),
        }
    }
}

/// What a level hands up of each of its sequences.
fn handed_up<E: Float>(
    py: Python<'_>,
    stack: &Compressor<E>,
    level: usize,
    events: &Sequences<E>,
) -> PyResult<Sequences<E>> {
    work(py, |_| events.iter().map(|sequence| stack.hand_up(level, sequence)).collect())
}

/// Inputs of the lowest level: (T,) integers, or (T, features) numbers.
fn read<E: Float>(alphabet: Alphabet, x: &Bound<'_, PyAny>) -> PyResult<Vec<Event<E>>> {
    let event = |content| Event { gaps: Vec::new(), content };
    match alphabet {
        Alphabet::Symbols(count) => {
            let given = Array::<i64>::read("x", x)?;
            let [_] = given.shape() else {
                return Err(Error::shape("x", "(T,)", format!("{:?}", given.shape())).into());
            };
            let symbol = |&s: &i64| {
                let symbol = usize::try_from(s).ok().filter(|&s| s < count);
                symbol.ok_or_else(|| Error::value("x", format!("symbols 0 to {}", count - 1), s))
            };
            Ok(given.data().iter().map(|s| Ok(event(Content::Symbol(symbol(s)?)))).collect::<Result<_>>()?)
        }
        Alphabet::Vectors { features, .. } => {
            let given = Array::<E>::read("x", x)?;
            match *given.shape() {
                [_, width] if width == features => {}
                ref shape => return Err(Error::shape("x", format!("(T, {features})"), format!("{shape:?}")).into()),
            }
            Ok(given.data().chunks_exact(features).map(|v| event(Content::Vector(v.to_vec()))).collect())
        }
    }
}

/// Events of a level as arrays: gaps (n, level), -1 behind a gap of 0, and symbols (n,) or vectors (n, features), 0 there.
fn written<E: Float>(
    py: Python<'_>,
    settings: &Settings,
    level: usize,
    events: &[Event<E>],
) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
    let gap = |event: &Event<E>, k: usize| event.gaps.get(k).map_or(-1, |&gap| gap as i64);
    let gaps = events.iter().flat_map(|event| (0..level).map(move |k| gap(event, k))).collect();
    let contents = match settings.alphabet {
        Alphabet::Symbols(_) => {
            let symbol = |event: &Event<E>| if let Content::Symbol(s) = event.content { s as i64 } else { 0 };
            array(py, events.iter().map(symbol).collect(), &[events.len()])?
        }
        Alphabet::Vectors { features, .. } => {
            let vector = |event: &Event<E>| match &event.content {
                Content::Vector(values) => values.clone(),
                _ => vec![E::default(); features],
            };
            array(py, events.iter().flat_map(vector).collect(), &[events.len(), features])?
        }
    };
    Ok((array(py, gaps, &[events.len(), level])?, contents))
}

/// Events of a level from arrays as [`written`] makes them.
fn told<E: Float>(
    settings: &Settings,
    level: usize,
    gaps: &Bound<'_, PyAny>,
    contents: &Bound<'_, PyAny>,
) -> PyResult<Vec<Event<E>>> {
    let gaps = Array::<i64>::read("gaps", gaps)?;
    let [count, width] = *gaps.shape() else {
        return Err(Error::shape("gaps", format!("(events, {level})"), format!("{:?}", gaps.shape())).into());
    };
    if width != level {
        return Err(Error::shape("gaps", format!("(events, {level})"), format!("{:?}", gaps.shape())).into());
    }
    let contents: Vec<Event<E>> = read(settings.alphabet, contents)?;
    if contents.len() != count {
        return Err(Error::shape("contents", format!("{count} events"), contents.len()).into());
    }
    let event = |(gaps, content): (&[i64], Event<E>)| {
        let quiet = gaps.iter().position(|&gap| gap == 0);
        let told = &gaps[..quiet.map_or(gaps.len(), |place| place + 1)];
        let whole = |&gap: &i64| {
            usize::try_from(gap).map_err(|_| Error::value("gaps", format!("0 to {}", settings.max_gap), gap))
        };
        let content = if quiet.is_some() { Content::None } else { content.content };
        Ok(Event { gaps: told.iter().map(whole).collect::<Result<_>>()?, content })
    };
    Ok(gaps.data().chunks_exact(level).zip(contents).map(event).collect::<Result<_>>()?)
}
