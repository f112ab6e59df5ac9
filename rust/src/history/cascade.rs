//! Levels of nets, each of which hands up what it fails to predict; and the way back, from what reached the top.

use super::event::{Content, Event, Settings};
use super::learner::Window;
use crate::error::{Error, Result};
use crate::kernels::Element;
use crate::layers::InputKind;
use crate::model::Model;
use crate::stream::Stream;
use std::ops::Range;
use std::sync::Arc;

/// A stack of nets. Level l reads and predicts events with l gaps.
#[derive(Clone, Debug)]
pub struct Compressor<E: Element> {
    /// What all levels have in common.
    pub settings: Settings,
    /// The net of each level.
    pub levels: Vec<Arc<Model<E>>>,
}

/// What happened at a level when an event came to it.
#[derive(Clone, Debug)]
pub struct Step<E> {
    /// The level.
    pub level: usize,
    /// What came.
    pub event: Event<E>,
    /// Whether it was predicted.
    pub predicted: bool,
    /// How surprising it was: -ln of the probability of its gaps, and of its symbol.
    pub surprise: [f64; 2],
}

/// A stack that runs: a step a call, and no work at levels to which nothing comes.
pub struct Cascade<E: Element> {
    settings: Settings,
    /// Which level of the whole stack is its lowest.
    base: usize,
    pub(super) running: Vec<Running<E>>,
}

/// A net on its way through the events of its level.
pub(super) struct Running<E: Element> {
    pub(super) stream: Stream<E>,
    /// What it reads.
    pub(super) x: Vec<E>,
    /// What it says of the next event.
    pub(super) y: Vec<E>,
    /// Events since it last handed one up.
    since: usize,
    /// How it learns, if it does.
    pub(super) window: Option<Window<E>>,
}

impl<E: Element> Running<E> {
    fn new(model: &Arc<Model<E>>) -> Result<Self> {
        let width = model.chain.output;
        let zero = || vec![E::default(); width];
        let mut running = Self { stream: Stream::new(model.clone(), 1)?, x: zero(), y: zero(), since: 0, window: None };
        // Before the first event it has read nothing.
        running.stream.step_float(&running.x, &mut running.y)?;
        Ok(running)
    }

    fn read(&mut self, settings: &Settings, level: usize, event: &Event<E>) -> Result<()> {
        settings.encode(level, event, &mut self.x);
        if let Some(window) = &mut self.window {
            window.reads(&mut self.stream, &self.x);
        }
        self.stream.step_float(&self.x, &mut self.y)
    }
}

impl<E: Element> Compressor<E> {
    /// A stack of these nets, from the lowest level up.
    pub fn new(settings: Settings, levels: Vec<Arc<Model<E>>>) -> Result<Self> {
        let settings = settings.check()?;
        if levels.is_empty() {
            return Err(Error::value("levels", "at least 1", 0));
        }
        for (level, model) in levels.iter().enumerate() {
            let width = settings.width(level);
            let input = match model.chain.input {
                InputKind::Float(width) => width,
                InputKind::Tokens(_) => 0,
            };
            if (input, model.chain.output) != (width, width) || !model.chain.output_steps {
                return Err(Error::shape(
                    format!("net of level {level}"),
                    format!("{width} numbers in and {width} out at each step"),
                    format!("{input} in and {} out", model.chain.output),
                ));
            }
        }
        Ok(Self { settings, levels })
    }

    /// The stack at the beginning of a sequence.
    pub fn start(&self) -> Result<Cascade<E>> {
        self.start_at(0..self.levels.len())
    }

    /// Some of its levels at the beginning of a sequence of what comes to the lowest of them.
    fn start_at(&self, levels: Range<usize>) -> Result<Cascade<E>> {
        let running = self.levels[levels.clone()].iter().map(Running::new).collect::<Result<_>>()?;
        Ok(Cascade { settings: self.settings, base: levels.start, running })
    }

    /// What a level hands up of a sequence of its events.
    pub fn hand_up(&self, level: usize, events: &[Event<E>]) -> Result<Vec<Event<E>>> {
        if level >= self.levels.len() {
            return Err(Error::value("level", format!("0 to {}", self.levels.len() - 1), level));
        }
        let (mut cascade, mut up) = (self.start_at(level..level + 1)?, Vec::new());
        for event in events {
            up.extend(cascade.push(event.clone(), |_| ())?);
        }
        Ok(up)
    }

    /// What reaches the top, of a whole sequence of inputs, and how many events each level saw.
    pub fn transform(&self, inputs: &[Event<E>]) -> Result<(Vec<Event<E>>, Vec<usize>)> {
        let (mut cascade, mut top, mut counts) = (self.start()?, Vec::new(), vec![0; self.levels.len()]);
        for input in inputs {
            top.extend(cascade.push(input.clone(), |step| counts[step.level] += 1)?);
        }
        Ok((top, counts))
    }

    /// The inputs, from what reached the top and the number of events that each level saw.
    pub fn inverse(&self, top: &[Event<E>], counts: &[usize]) -> Result<Vec<Event<E>>> {
        if counts.len() != self.levels.len() {
            return Err(Error::value("counts", format!("one of each of {} levels", self.levels.len()), counts.len()));
        }
        let mut failures = top.to_vec();
        for level in (0..self.levels.len()).rev() {
            failures = self.expand(level, &failures, counts[level])?;
        }
        Ok(failures)
    }

    /// The `count` events of a level, from those that it handed up.
    fn expand(&self, level: usize, failures: &[Event<E>], count: usize) -> Result<Vec<Event<E>>> {
        let mut told = Vec::new();
        let mut last = 0usize;
        for event in failures {
            self.settings.check_event(level + 1, event)?;
            let gap = event.gaps[0];
            last += if gap == 0 { self.settings.max_gap } else { gap };
            if last > count {
                return Err(Error::Value(format!(
                    "events of level {}: expected times within the {count} events of level {level}, got one beyond",
                    level + 1
                )));
            }
            if gap > 0 {
                told.push((last - 1, Event { gaps: event.gaps[1..].to_vec(), content: event.content.clone() }));
            }
        }
        let mut running = Running::new(&self.levels[level])?;
        let mut told = told.into_iter().peekable();
        let mut events = Vec::new();
        for index in 0..count {
            let event = match told.next_if(|(place, _)| *place == index) {
                Some((_, event)) => event,
                None => self.settings.decode(level, &running.y),
            };
            running.read(&self.settings, level, &event)?;
            events.push(event);
        }
        Ok(events)
    }
}

impl<E: Element> Cascade<E> {
    /// An input comes to the lowest level. Returns what reaches the top, if anything does; `seen` is told of each level
    /// that had work.
    pub fn push(&mut self, input: Event<E>, mut seen: impl FnMut(Step<E>)) -> Result<Option<Event<E>>> {
        self.settings.check_event(self.base, &input)?;
        let mut coming = input;
        for (level, running) in (self.base..).zip(&mut self.running) {
            let predicted = self.settings.predicted(level, &coming, &running.y);
            let surprise = self.settings.surprise(level, &coming, &running.y);
            running.learn(&self.settings, level, &coming)?;
            // Where it is right to the tolerance, the net reads what it said, for that is all the way back knows.
            let event = if predicted { self.settings.decode(level, &running.y) } else { coming };
            running.read(&self.settings, level, &event)?;
            running.since += 1;
            seen(Step { level, event: event.clone(), predicted, surprise });
            let up = if !predicted {
                let mut gaps = vec![running.since];
                gaps.extend(&event.gaps);
                Event { gaps, content: event.content }
            } else if running.since == self.settings.max_gap {
                Event { gaps: vec![0], content: Content::None }
            } else {
                return Ok(None);
            };
            running.since = 0;
            coming = up;
        }
        Ok(Some(coming))
    }
}
