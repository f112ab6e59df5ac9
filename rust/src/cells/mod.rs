//! The table of cells: one file of equations each, one line here each.

mod define;
mod own;

pub use define::{Cell, CellOption};
pub use own::{OWN, own};

use crate::error::{Error, Result};
use crate::graph::{self, Builder, Graph, Init, Value};
use define::cell;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// Declares the modules of cells and the table.
macro_rules! cells {
    ($($cell:ident)*) => {
        $(mod $cell;)*

        /// Every cell.
        pub const CELLS: &[Cell] = &[$($cell::CELL),*];
    };
}

cells! {
    elman
    jordan
    elman_jordan
    fully_recurrent
    second_order
    recurrent_mlp
    lstm
    gru
    mgu
    simplified_gru
    gated_feedback
    ctrnn
    mtrnn
    indrnn
    min_gru
    min_lstm
    sru
    qrnn
    lru
    slstm
    mlstm
}

/// What any cell may be asked for besides its own options.
#[derive(Deserialize)]
struct Common {
    input_size: usize,
    hidden_size: usize,
    #[serde(default)]
    recurrent_dropout: f64,
    #[serde(default)]
    zoneout: f64,
}

/// The graph of the cell `name` with these options (JSON; see each cell).
///
/// Besides its own options every cell takes `recurrent_dropout` and `zoneout`, probabilities in [0, 1).
pub fn build(name: &str, options: &Json) -> Result<Graph> {
    let known: Vec<&str> = CELLS.iter().map(|cell| cell.name).collect();
    let cell = CELLS
        .iter()
        .find(|cell| cell.name == name)
        .ok_or_else(|| Error::Value(format!("expected a cell of {known:?}, got '{name}'")))?;
    let common = Common::deserialize(options).map_err(|e| Error::Value(format!("options of {name}: {e}")))?;
    positive(name, "input_size", common.input_size)?;
    positive(name, "hidden_size", common.hidden_size)?;
    let builder = Builder::new(name);
    let mut own = options.clone();
    if let Some(map) = own.as_object_mut() {
        map.remove("recurrent_dropout");
        map.remove("zoneout");
    }
    (cell.equations)(&builder, &own)?;
    regularised(builder.finish()?, common.recurrent_dropout, common.zoneout)
}

/// A cell with recurrent dropout and zoneout, probabilities in [0, 1); 0 leaves it as it is.
pub fn regularised(mut cell: Graph, recurrent_dropout: f64, zoneout: f64) -> Result<Graph> {
    for (option, p) in [("recurrent_dropout", recurrent_dropout), ("zoneout", zoneout)] {
        if !(0.0..1.0).contains(&p) {
            return Err(Error::Value(format!("{}: expected {option} in [0, 1), got {p}", cell.name)));
        }
    }
    if recurrent_dropout > 0.0 {
        cell = graph::recurrent_dropout(&cell, recurrent_dropout)?;
    }
    if zoneout > 0.0 {
        cell = graph::zoneout(&cell, zoneout)?;
    }
    Ok(cell)
}

/// A size within reason.
fn positive(cell: &str, name: &str, size: usize) -> Result<()> {
    count(cell, name, size, 1 << 20)
}

/// A count within what a graph can hold.
fn count(cell: &str, name: &str, count: usize, limit: usize) -> Result<()> {
    if !(1..=limit).contains(&count) {
        return Err(Error::Value(format!("{cell}: expected {name} in 1..={limit}, got {count}")));
    }
    Ok(())
}

/// A number at least 0 and below 1.
fn fraction(cell: &str, name: &str, number: f64) -> Result<()> {
    if !(0.0..1.0).contains(&number) {
        return Err(Error::Value(format!("{cell}: expected {name} at least 0 and below 1, got {number}")));
    }
    Ok(())
}

/// U(−1/√hidden, 1/√hidden), with which PyTorch starts recurrent cells.
fn uniform(hidden_size: usize) -> Init {
    Init::Uniform(1.0 / (hidden_size as f64).sqrt())
}

/// A positive number.
fn positive_number(cell: &str, name: &str, number: f64) -> Result<()> {
    if !(number > 0.0 && number.is_finite()) {
        return Err(Error::Value(format!("{cell}: expected {name} above 0 and finite, got {number}")));
    }
    Ok(())
}

/// A parameter, or zeros in its place.
fn param_if<'b>(present: bool, g: &'b Builder, name: &str, shape: &[usize], init: Init) -> Value<'b> {
    if present { g.param(name, shape, init) } else { g.constant(0.0, shape) }
}

/// What a unit makes of its pre-activation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Nonlinearity {
    Tanh,
    Relu,
    Sigmoid,
    Identity,
}

impl Nonlinearity {
    fn of(self, z: Value<'_>) -> Value<'_> {
        match self {
            Self::Tanh => z.tanh(),
            Self::Relu => z.relu(),
            Self::Sigmoid => z.sigmoid(),
            Self::Identity => z,
        }
    }
}

/// What an exponential forget gate makes of its pre-activation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Forget {
    Sigmoid,
    Exp,
}

impl Forget {
    /// The logarithm of the gate.
    fn log(self, z: Value<'_>) -> Value<'_> {
        match self {
            Self::Sigmoid => -(-z).softplus(),
            Self::Exp => z,
        }
    }
}

/// Units of a head.
fn head_size(cell: &str, heads: usize, hidden_size: usize) -> Result<usize> {
    count(cell, "heads", heads, hidden_size)?;
    if !hidden_size.is_multiple_of(heads) {
        return Err(Error::Value(format!("{cell}: expected heads that divide hidden_size {hidden_size}, got {heads}")));
    }
    Ok(hidden_size / heads)
}

/// Layer normalisation (Ba et al. 2016, eq. 4) with gain and bias: (x − mean) / √(variance + ε) · weight + bias.
pub(crate) fn layer_norm<'b>(x: Value<'b>, weight: Value<'b>, bias: Value<'b>, eps: f64) -> Value<'b> {
    let centred = x - x.mean();
    let variance = (centred * centred).mean();
    centred / (variance + eps).sqrt() * weight + bias
}
