//! The table of cells: one file of equations each, one line here each.

mod elman;
mod gru;
mod lstm;

use crate::error::{Error, Result};
use crate::graph::{Builder, Graph, Init, Value};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// Writes a cell's equations into the builder, given its options as JSON.
type Equations = fn(&Builder, &Json) -> Result<()>;

/// Every cell: its name and its equations.
pub const CELLS: &[(&str, Equations)] = &[("elman", elman::elman), ("lstm", lstm::lstm), ("gru", gru::gru)];

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
    let known: Vec<&str> = CELLS.iter().map(|(name, _)| *name).collect();
    let (_, equations) = CELLS
        .iter()
        .find(|(cell, _)| *cell == name)
        .ok_or_else(|| Error::Value(format!("expected a cell of {known:?}, got '{name}'")))?;
    let common: Common = parse(name, options)?;
    positive(name, "input_size", common.input_size)?;
    positive(name, "hidden_size", common.hidden_size)?;
    for (option, p) in [("recurrent_dropout", common.recurrent_dropout), ("zoneout", common.zoneout)] {
        if !(0.0..1.0).contains(&p) {
            return Err(Error::Value(format!("{name}: expected {option} in [0, 1), got {p}")));
        }
    }
    let builder = Builder::new(name);
    let mut own = options.clone();
    if let Some(map) = own.as_object_mut() {
        map.remove("recurrent_dropout");
        map.remove("zoneout");
    }
    equations(&builder, &own)?;
    let mut graph = builder.finish()?;
    if common.recurrent_dropout > 0.0 {
        graph = crate::graph::recurrent_dropout(&graph, common.recurrent_dropout)?;
    }
    if common.zoneout > 0.0 {
        graph = crate::graph::zoneout(&graph, common.zoneout)?;
    }
    Ok(graph)
}

/// Options from JSON.
fn parse<T: DeserializeOwned>(cell: &str, options: &Json) -> Result<T> {
    T::deserialize(options).map_err(|e| Error::Value(format!("options of {cell}: {e}")))
}

fn positive(cell: &str, name: &str, size: usize) -> Result<()> {
    const LIMIT: usize = 1 << 20;
    if size == 0 || size > LIMIT {
        return Err(Error::Value(format!("{cell}: expected {name} in 1..={LIMIT}, got {size}")));
    }
    Ok(())
}

/// U(−1/√hidden, 1/√hidden), with which PyTorch starts recurrent cells.
fn uniform(hidden_size: usize) -> Init {
    Init::Uniform(1.0 / (hidden_size as f64).sqrt())
}

/// Layer normalisation (Ba et al. 2016, eq. 4) with gain and bias: (x − mean) / √(variance + ε) · weight + bias.
pub(crate) fn layer_norm<'b>(x: Value<'b>, weight: Value<'b>, bias: Value<'b>, eps: f64) -> Value<'b> {
    let centred = x - x.mean();
    let variance = (centred * centred).mean();
    centred / (variance + eps).sqrt() * weight + bias
}

fn yes() -> bool {
    true
}
