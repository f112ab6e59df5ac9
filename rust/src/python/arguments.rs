//! The arguments that every call over a sequence has: x, state and lengths, checked against the model.

use super::arrays::{Array, tuple};
use super::typed::Float;
use super::work::Interrupt;
use crate::engine::Draw;
use crate::error::Error;
use crate::layers::{Chain, InputKind};
use crate::model::{Input, Options, Values};
use pyo3::prelude::*;

/// A sequence, the states it begins with, and the lengths of its rows.
pub(super) struct Arguments<'py, E: Float> {
    x: Elements<'py, E>,
    state: Option<Vec<Array<'py, E>>>,
    lengths: Option<Array<'py, i64>>,
    /// Steps of x.
    pub(super) steps: usize,
    /// Rows of x.
    pub(super) rows: usize,
    /// Whether rows come before steps.
    pub(super) batch_first: bool,
}

/// Numbers, or tokens.
pub(super) enum Elements<'py, E: Float> {
    Float(Array<'py, E>),
    Tokens(Array<'py, i64>),
}

impl<E: Float> Elements<'_, E> {
    /// The elements, as the core takes them.
    pub(super) fn values(&self) -> Values<'_, E> {
        match self {
            Self::Float(array) => Values::Float(array.data()),
            Self::Tokens(array) => Values::Tokens(array.data()),
        }
    }

    /// The dimensions.
    pub(super) fn shape(&self) -> &[usize] {
        match self {
            Self::Float(array) => array.shape(),
            Self::Tokens(array) => array.shape(),
        }
    }
}

/// [`Arguments`] as the core takes them: plain slices, which may leave the GIL.
pub(super) struct Borrowed<'a, E> {
    /// x.
    pub(super) input: Input<'a, E>,
    /// Steps of each row.
    pub(super) lengths: Option<&'a [i64]>,
    state: Option<Vec<&'a [E]>>,
}

impl<E> Borrowed<'_, E> {
    /// The initial states.
    pub(super) fn state(&self) -> Option<&[&[E]]> {
        self.state.as_deref()
    }

    /// The options of a call.
    pub(super) fn options<'b>(&'b self, training: bool, draw: Draw, interrupt: Interrupt<'b>) -> Options<'b> {
        Options { lengths: self.lengths, training, draw, interrupt: Some(interrupt) }
    }
}

impl<'py, E: Float> Arguments<'py, E> {
    /// Checks element types and shapes.
    pub(super) fn read(
        chain: &Chain<E>,
        x: &Bound<'py, PyAny>,
        state: Option<Vec<Bound<'py, PyAny>>>,
        lengths: Option<&Bound<'py, PyAny>>,
        batch_first: bool,
    ) -> PyResult<Self> {
        let (x, expected) = match chain.input {
            InputKind::Float(width) => (Elements::Float(Array::read("x", x)?), format!(", {width})")),
            InputKind::Tokens(_) => (Elements::Tokens(Array::read("x", x)?), ")".into()),
        };
        let (steps, rows) = match (chain.input, x.shape()) {
            (InputKind::Float(width), &[a, b, c]) if c == width => (a, b),
            (InputKind::Tokens(_), &[a, b]) => (a, b),
            (_, shape) => {
                let axes = if batch_first { "(B, T" } else { "(T, B" };
                return Err(Error::shape("x", format!("{axes}{expected}"), tuple(shape)).into());
            }
        };
        let (steps, rows) = if batch_first { (rows, steps) } else { (steps, rows) };
        Ok(Self {
            x,
            state: state.map(|state| read_states(chain, "state", &state, rows)).transpose()?,
            lengths: lengths.map(|lengths| Array::read_shaped("lengths", lengths, &[rows])).transpose()?,
            steps,
            rows,
            batch_first,
        })
    }

    /// The arguments as the core takes them.
    pub(super) fn borrow(&self) -> Borrowed<'_, E> {
        Borrowed {
            input: Input { values: self.x.values(), steps: self.steps, rows: self.rows, batch_first: self.batch_first },
            state: self.state.as_ref().map(|state| state.iter().map(Array::data).collect()),
            lengths: self.lengths.as_ref().map(Array::data),
        }
    }

    /// The shape of x.
    pub(super) fn shape(&self) -> &[usize] {
        self.x.shape()
    }

    /// The shape of what has one value for each step of the output: (T, B), (B, T), or (B,) behind a layer `Last`.
    pub(super) fn output_steps(&self, chain: &Chain<E>) -> Vec<usize> {
        match (chain.output_steps, self.batch_first) {
            (false, _) => vec![self.rows],
            (true, false) => vec![self.steps, self.rows],
            (true, true) => vec![self.rows, self.steps],
        }
    }

    /// The shape of the output.
    pub(super) fn output(&self, chain: &Chain<E>) -> Vec<usize> {
        [self.output_steps(chain), vec![chain.output]].concat()
    }
}

/// One array (rows, width) for each state of the model.
pub(super) fn read_states<'py, E: Float>(
    chain: &Chain<E>,
    what: &str,
    arrays: &[Bound<'py, PyAny>],
    rows: usize,
) -> PyResult<Vec<Array<'py, E>>> {
    count_states(chain, what, arrays.len())?;
    let read = |(info, array): (&crate::layers::StateInfo, _)| {
        Array::read_shaped(format!("{what} {}", info.name), array, &[rows, info.width])
    };
    chain.states.iter().zip(arrays).map(read).collect()
}

/// That there are as many arrays as states.
pub(super) fn count_states<E>(chain: &Chain<E>, what: &str, count: usize) -> PyResult<()> {
    if count == chain.states.len() {
        return Ok(());
    }
    let names: Vec<&str> = chain.states.iter().map(|state| &state.name[..]).collect();
    Err(Error::shape(what, format!("{} arrays, for {names:?}", names.len()), count).into())
}

/// The states (rows, width) as arrays.
pub(super) fn state_arrays<E: Float>(
    py: Python<'_>,
    chain: &Chain<E>,
    states: Vec<Vec<E>>,
    rows: usize,
) -> PyResult<Vec<Py<PyAny>>> {
    let shapes = chain.states.iter().map(|info| [rows, info.width]);
    states.into_iter().zip(shapes).map(|(values, shape)| super::arrays::array(py, values, &shape)).collect()
}

/// Whole numbers: what lies outside the range is an [`Error::Value`] with the argument's name.
pub(super) mod whole {
    use crate::error::Error;
    use pyo3::exceptions::PyOverflowError;
    use pyo3::prelude::*;

    macro_rules! arguments {
        ($($function:ident $name:literal $type:ty,)*) => {$(
            pub(in crate::python) fn $function(argument: &Bound<'_, PyAny>) -> PyResult<$type> {
                argument.extract().map_err(|error| out_of_range(error, $name, argument))
            }
        )*};
    }

    arguments! {
        batch_size "batch_size" usize,
        checkpoint "checkpoint" Option<usize>,
        position "position" u64,
        seed "seed" u64,
        seed_or_none "seed" Option<u64>,
        threads "number of threads" usize,
        update "update" u64,
    }

    fn out_of_range(error: PyErr, name: &str, argument: &Bound<'_, PyAny>) -> PyErr {
        if error.is_instance_of::<PyOverflowError>(argument.py()) {
            return Error::value(name, format!("0 to {}", u64::MAX), argument).into();
        }
        error
    }
}
