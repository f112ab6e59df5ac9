//! How a cell is declared: its class in Python, its options with their defaults, its documentation, its equations; all
//! that anyone asks about a cell is derived from this one declaration.

use crate::error::{Error, Result};
use crate::graph::Builder;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

/// A cell of the table.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    /// Its name in specifications and files.
    pub name: &'static str,
    /// Its class in Python's `rnnrs.cells`.
    pub class: &'static str,
    /// Equations, parameters, states and source.
    pub doc: &'static str,
    /// Its own options.
    pub options: fn() -> Vec<CellOption>,
    /// Writes its equations into a builder, given all its options.
    pub equations: fn(&Builder, &Json) -> Result<()>,
}

/// An option of a cell.
#[derive(Clone, Debug)]
pub struct CellOption {
    /// Its name.
    pub name: &'static str,
    /// Its value where none is given; absent for what must be given.
    pub default: Option<Json>,
    /// What it does; empty where the equations say it.
    pub doc: &'static str,
}

/// Options from JSON, defaults filled in.
pub(super) fn parse<T: DeserializeOwned>(cell: &str, options: Vec<CellOption>, given: &Json) -> Result<T> {
    let mut all: Map<String, Json> = given.as_object().cloned().unwrap_or_default();
    for option in options {
        if let Some(default) = option.default {
            all.entry(option.name).or_insert(default);
        }
    }
    T::deserialize(Json::Object(all)).map_err(|e| Error::Value(format!("options of {cell}: {e}")))
}

/// Declares a cell: documentation, class, name, and options as `name: type = default` (no default: it must be given).
/// The module's `fn equations(g: &Builder, o: &Options) -> Result<()>` writes the equations.
macro_rules! cell {
    (
        $(#[doc = $doc:literal])*
        $class:ident $name:literal {
            $($(#[doc = $about:literal])* $option:ident: $type:ty $(= $default:expr)?,)*
        }
    ) => {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Options {
            $($option: $type,)*
        }

        fn options() -> Vec<$crate::cells::CellOption> {
            vec![$($crate::cells::CellOption {
                name: stringify!($option),
                default: None::<serde_json::Value>$(.or(Some(serde_json::json!($default))))?,
                doc: concat!($($about, "\n",)* ""),
            },)*]
        }

        /// The declaration, for the table.
        pub(super) const CELL: $crate::cells::Cell = $crate::cells::Cell {
            name: $name,
            class: stringify!($class),
            doc: concat!($($doc, "\n",)* ""),
            options,
            equations: |g, given| equations(g, &$crate::cells::define::parse($name, options(), given)?),
        };
    };
}
pub(super) use cell;
