//! Every cell of the table with its options, for the laws: a new cell is tested by being in the table.

use rnnrs::cells::{CELLS, Cell, build};
use serde_json::{Map, Value as Json, json};

/// A cell with options, sizes included.
#[derive(Clone, Debug)]
pub struct Configuration {
    pub cell: &'static str,
    pub options: Json,
}

impl Configuration {
    /// A model of this cell alone; `extra` are options of the layer, as JSON behind a comma.
    pub fn spec(&self, extra: &str) -> String {
        let Self { cell, options } = self;
        format!(r#"{{"prefix":false,"layers":[{{"layer":"recurrent","cell":"{cell}","options":{options}{extra}}}]}}"#)
    }
}

/// Options worth a test besides booleans, which are all tried.
const MORE: &[(&str, &str)] = &[
    ("elman", r#"{"nonlinearity":"relu"}"#),
    ("lstm", r#"{"coupled":true,"peephole":true}"#),
    ("lstm", r#"{"proj_size":1}"#),
    ("lstm", r#"{"zoneout":0.3,"recurrent_dropout":0.2}"#),
    ("gru", r#"{"zoneout":0.1}"#),
    ("jordan", r#"{"decay":0.5}"#),
    ("elman_jordan", r#"{"decay":0.5,"zoneout":0.2,"recurrent_dropout":0.2}"#),
    ("fully_recurrent", r#"{"input_units":1,"output_units":2}"#),
    ("recurrent_mlp", r#"{"num_hidden":3}"#),
    ("second_order", r#"{"first_order":true,"recurrent_dropout":0.2}"#),
    ("mtrnn", r#"{"connections":[[true,true],[false,true]],"input_groups":[1],"recurrent_dropout":0.2}"#),
    ("simplified_gru", r#"{"kind":2}"#),
    ("simplified_gru", r#"{"kind":3}"#),
    ("gated_feedback", r#"{"unit":"tanh","num_hidden":3}"#),
    ("gated_feedback", r#"{"unit":"gru"}"#),
    ("gated_feedback", r#"{"unit":"gru","zoneout":0.1,"recurrent_dropout":0.3}"#),
    ("ctrnn", r#"{"substeps":2,"dt":0.5,"timestamps":true,"learn_time_constants":true,"time_constant":2.0}"#),
    ("ctrnn", r#"{"method":"rk4","nonlinearity":"sigmoid","recurrent_dropout":0.2}"#),
    ("ctrnn", r#"{"method":"rk4","substeps":2,"learn_time_constants":true}"#),
    ("indrnn", r#"{"steps":20}"#),
    ("indrnn", r#"{"steps":20,"remember":true,"nonlinearity":"tanh","zoneout":0.1}"#),
    ("sru", r#"{"nonlinearity":"tanh","zoneout":0.1}"#),
    ("qrnn", r#"{"kernel_size":1,"pooling":"f"}"#),
    ("qrnn", r#"{"kernel_size":3,"pooling":"ifo","zoneout":0.1}"#),
    ("lru", r#"{"output_size":2,"r_min":0.4,"r_max":0.9,"max_phase":3.0}"#),
    ("slstm", r#"{"forget":"exp","recurrent_dropout":0.2}"#),
    ("mlstm", r#"{"forget":"exp","zoneout":0.1}"#),
];

/// Every cell of the table: as it is, with each boolean option the other way where that is allowed, and with [`MORE`].
pub fn configurations(input_size: usize, hidden_size: usize) -> Vec<Configuration> {
    let mut all = Vec::new();
    for cell in CELLS {
        let base = required(cell, input_size, hidden_size);
        let with = |more: Map<String, Json>| {
            let mut options = base.clone();
            options.extend(more);
            Configuration { cell: cell.name, options: Json::Object(options) }
        };
        all.push(with(Map::new()));
        for option in (cell.options)() {
            if let Some(Json::Bool(default)) = option.default {
                let other = with(Map::from_iter([(option.name.to_string(), json!(!default))]));
                all.extend(build(cell.name, &other.options).is_ok().then_some(other));
            }
        }
        // Heads of one unit each.
        if (cell.options)().iter().any(|option| option.name == "heads") {
            all.push(with(Map::from_iter([("heads".to_string(), json!(hidden_size))])));
        }
        let more = MORE.iter().filter(|(name, _)| *name == cell.name);
        all.extend(more.map(|(_, options)| with(serde_json::from_str(options).unwrap())));
    }
    for (name, _) in MORE {
        assert!(CELLS.iter().any(|cell| cell.name == *name), "expected a cell of the table, got {name}");
    }
    all
}

/// What must be given to a cell.
fn required(cell: &Cell, input_size: usize, hidden_size: usize) -> Map<String, Json> {
    let value = |name: &str| match name {
        "input_size" => json!(input_size),
        "hidden_size" => json!(hidden_size),
        "output_size" => json!(3),
        "groups" => json!([1, hidden_size - 1]),
        "time_constants" => json!([2.0, 5.0]),
        _ => panic!("{}: expected a value to test '{name}' with", cell.name),
    };
    let options = (cell.options)();
    let required = options.iter().filter(|option| option.default.is_none());
    required.map(|option| (option.name.to_string(), value(option.name))).collect()
}
