//! What one level of a history compressor sees: an input, or an input that was not predicted and when it came.

use crate::error::{Error, Result};
use crate::kernels::Element;
use std::ops::Range;

/// What the lowest level reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Alphabet {
    /// Symbols 0 to this - 1.
    Symbols(usize),
    /// Vectors; a prediction fails where an element is off by more than the tolerance.
    Vectors {
        /// Their width.
        features: usize,
        /// What an element may be off.
        tolerance: f64,
    },
}

/// What all levels have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// What the lowest level reads.
    pub alphabet: Alphabet,
    /// The longest time between two events; where a level predicts longer, it tells so every `max_gap` inputs.
    pub max_gap: usize,
    /// The probability that what comes must have had to count as predicted, besides being the most probable.
    pub threshold: Option<f64>,
}

/// The symbol or vector of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Content<E> {
    /// None: the event only says that time passed.
    None,
    /// A symbol.
    Symbol(usize),
    /// A vector.
    Vector(Vec<E>),
}

/// What comes to a level: at level 0 an input, at level l what level l - 1 failed to predict, behind the number of its
/// inputs since the last such failure. So an event of level l has l gaps, the outermost first; a gap of 0 says that
/// `max_gap` inputs passed without a failure, and nothing comes behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<E> {
    /// Times since the last event of each level below, the nearest level first.
    pub gaps: Vec<usize>,
    /// What was not predicted.
    pub content: Content<E>,
}

impl Settings {
    /// The settings, if they make sense.
    pub fn check(self) -> Result<Self> {
        match self.alphabet {
            Alphabet::Symbols(0) => return Err(Error::value("symbols", "at least 1", 0)),
            Alphabet::Vectors { features: 0, .. } => return Err(Error::value("features", "at least 1", 0)),
            Alphabet::Vectors { tolerance, .. } if !(tolerance > 0.0 && tolerance.is_finite()) => {
                return Err(Error::value("tolerance", "a positive number", tolerance));
            }
            _ => {}
        }
        if self.max_gap == 0 {
            return Err(Error::value("max_gap", "at least 1", 0));
        }
        match self.threshold {
            Some(p) if !(0.0..1.0).contains(&p) => Err(Error::value("threshold", "a probability in [0, 1)", p)),
            _ => Ok(self),
        }
    }

    /// Width of what a level's net reads and of what it says: a unit for each gap, then the content.
    pub fn width(&self, level: usize) -> usize {
        level * (self.max_gap + 1)
            + match self.alphabet {
                Alphabet::Symbols(count) => count,
                Alphabet::Vectors { features, .. } => features,
            }
    }

    /// An event of a level, if it is one.
    pub fn check_event<E: Element>(&self, level: usize, event: &Event<E>) -> Result<()> {
        let bad = |what: String| Err(Error::Value(format!("event of level {level}: {what}")));
        if let Some(gap) = event.gaps.iter().find(|&&gap| gap > self.max_gap) {
            return bad(format!("expected gaps of at most {}, got {gap}", self.max_gap));
        }
        let quiet = event.gaps.iter().position(|&gap| gap == 0);
        let length = quiet.map_or(level, |place| place + 1);
        if event.gaps.len() != length || length > level {
            return bad(format!("expected {length} gaps, got {}", event.gaps.len()));
        }
        match (&event.content, self.alphabet) {
            (Content::None, _) if quiet.is_some() => Ok(()),
            (Content::Symbol(symbol), Alphabet::Symbols(count)) if quiet.is_none() => match symbol < &count {
                true => Ok(()),
                false => bad(format!("expected a symbol below {count}, got {symbol}")),
            },
            (Content::Vector(values), Alphabet::Vectors { features, .. }) if quiet.is_none() => {
                if values.len() != features {
                    return bad(format!("expected {features} numbers, got {}", values.len()));
                }
                match values.iter().find(|v| !v.to_f64().is_finite()) {
                    Some(v) => bad(format!("expected finite numbers, got {}", v.to_f64())),
                    None => Ok(()),
                }
            }
            _ => bad("expected the content of its alphabet, or none behind a gap of 0, got another".into()),
        }
    }

    /// Writes an event as a net reads it: ones at its gaps and its symbol, or its vector.
    pub fn encode<E: Element>(&self, level: usize, event: &Event<E>, x: &mut [E]) {
        x.fill(E::default());
        for (place, &gap) in event.gaps.iter().enumerate() {
            x[place * (self.max_gap + 1) + gap] = E::from_f64(1.0);
        }
        let content = &mut x[level * (self.max_gap + 1)..];
        match &event.content {
            Content::None => {}
            Content::Symbol(symbol) => content[*symbol] = E::from_f64(1.0),
            Content::Vector(values) => content.copy_from_slice(values),
        }
    }

    /// What a net's output says comes next: the most probable of each, the lower one of equals.
    pub fn decode<E: Element>(&self, level: usize, y: &[E]) -> Event<E> {
        let mut gaps = Vec::with_capacity(level);
        for head in y[..level * (self.max_gap + 1)].chunks_exact(self.max_gap + 1) {
            gaps.push(largest(head));
            if gaps.last() == Some(&0) {
                return Event { gaps, content: Content::None };
            }
        }
        let content = &y[level * (self.max_gap + 1)..];
        let content = match self.alphabet {
            Alphabet::Symbols(_) => Content::Symbol(largest(content)),
            Alphabet::Vectors { .. } => Content::Vector(content.to_vec()),
        };
        Event { gaps, content }
    }

    /// Whether an event is what a net's output says, to the tolerance and with at least the probability asked for.
    pub fn predicted<E: Element>(&self, level: usize, event: &Event<E>, y: &[E]) -> bool {
        let said = self.decode(level, y);
        let same = match (&said.content, &event.content, self.alphabet) {
            (Content::Vector(a), Content::Vector(b), Alphabet::Vectors { tolerance, .. }) => {
                a.iter().zip(b).all(|(a, b)| (a.to_f64() - b.to_f64()).abs() <= tolerance)
            }
            (a, b, _) => a == b,
        };
        let sure = |p: f64| self.heads(level, event).all(|(head, place)| share(&y[head], place) >= p);
        said.gaps == event.gaps && same && self.threshold.is_none_or(sure)
    }

    /// The parts of a net's output that say one of several, and which it is in an event.
    pub fn heads<E>(&self, level: usize, event: &Event<E>) -> impl Iterator<Item = (Range<usize>, usize)> {
        let size = self.max_gap + 1;
        let gaps = event.gaps.iter().enumerate().map(move |(k, &gap)| (k * size..(k + 1) * size, gap));
        let symbol = match (&event.content, self.alphabet) {
            (Content::Symbol(symbol), Alphabet::Symbols(count)) => Some((level * size..level * size + count, *symbol)),
            _ => None,
        };
        gaps.chain(symbol)
    }

    /// How surprising an event is: -ln of the probability of its gaps, and of its symbol.
    pub fn surprise<E: Element>(&self, level: usize, event: &Event<E>, y: &[E]) -> [f64; 2] {
        let mut nats = [0.0; 2];
        for (k, (head, place)) in self.heads(level, event).enumerate() {
            nats[usize::from(k >= event.gaps.len())] -= log_share(&y[head], place);
        }
        nats
    }

    /// The loss of an event, in nats, and its gradient in `dy`: cross-entropy of each head, half the squared error of a
    /// vector. What an event does not say has none.
    pub fn loss<E: Element>(&self, level: usize, event: &Event<E>, y: &[E], dy: &mut [E]) -> f64 {
        dy.fill(E::default());
        let mut total = 0.0;
        for (head, place) in self.heads(level, event) {
            total -= log_share(&y[head.clone()], place);
            for (k, d) in dy[head.clone()].iter_mut().enumerate() {
                *d = E::from_f64(share(&y[head.clone()], k) - f64::from(u8::from(k == place)));
            }
        }
        if let Content::Vector(values) = &event.content {
            let start = level * (self.max_gap + 1);
            for ((d, y), value) in dy[start..].iter_mut().zip(&y[start..]).zip(values) {
                let error = y.to_f64() - value.to_f64();
                total += 0.5 * error * error;
                *d = E::from_f64(error);
            }
        }
        total
    }
}

/// The place of the largest element, the first of several.
fn largest<E: Element>(values: &[E]) -> usize {
    let mut best = 0;
    for (k, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = k;
        }
    }
    best
}

/// ln of the share that softmax gives to element `place`.
fn log_share<E: Element>(logits: &[E], place: usize) -> f64 {
    let top = logits[largest(logits)].to_f64();
    let sum: f64 = logits.iter().map(|y| Element::exp(y.to_f64() - top)).sum();
    logits[place].to_f64() - top - Element::ln(sum)
}

fn share<E: Element>(logits: &[E], place: usize) -> f64 {
    Element::exp(log_share(logits, place))
}
