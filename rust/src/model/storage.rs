//! Models as files: parameters, specification and graphs in one container.

use super::Model;
use crate::error::{Error, Result};
use crate::file::{self, Container, Tensor};
use crate::graph::{self, Graph};
use crate::kernels::{self, Element, Precision};
use crate::layers::{Spec, build};
use std::collections::BTreeMap;
use std::sync::PoisonError;

/// The key of a precision other than the parameters' own.
const PRECISION: &str = "model.precision";
const BFLOAT16: &str = "bfloat16";

impl<E: Element> Model<E> {
    /// The model as the bytes of a file, with `extra` metadata of the caller's.
    pub fn to_bytes(&self, extra: &BTreeMap<String, String>) -> Result<Vec<u8>> {
        let params = self.params();
        let mut metadata = extra.clone();
        let graphs: Vec<_> = self.chain.graphs.iter().map(graph::to_json).collect();
        let frozen: Vec<String> = self
            .chain
            .layout
            .slots
            .iter()
            .zip(self.frozen())
            .filter(|(_, f)| *f)
            .map(|(s, _)| s.name.clone())
            .collect();
        metadata.insert("model.spec".into(), self.spec.text());
        metadata.insert("model.dtype".into(), E::NAME.into());
        metadata.insert("model.graphs".into(), serde_json::Value::from(graphs).to_string());
        metadata.insert("model.frozen".into(), serde_json::json!(frozen).to_string());
        if self.precision() == Precision::Bfloat16 {
            metadata.insert(PRECISION.into(), BFLOAT16.into());
        }
        let tensors = self.chain.layout.slots.iter().map(|slot| {
            let values = &params.memory.slice()[slot.range()];
            Ok((slot.name.clone(), Tensor::new(&slot.shape, values)?))
        });
        Container { metadata, tensors: tensors.collect::<Result<_>>()? }.to_bytes()
    }

    /// A model from the bytes of a file, and the caller's metadata. Runs no code; checks everything.
    pub fn from_container(container: Container<'_>, allow_nonfinite: bool) -> Result<(Self, BTreeMap<String, String>)> {
        let mut metadata = container.metadata;
        let precision = match metadata.remove(PRECISION) {
            None => Precision::Full,
            Some(name) if name == BFLOAT16 => Precision::Bfloat16,
            Some(name) => return Err(Error::file(PRECISION, BFLOAT16, name)),
        };
        let mut take = |key: &str| {
            metadata.remove(key).ok_or_else(|| Error::File(format!("expected metadata '{key}' of a model, got none")))
        };
        let spec = take("model.spec")?;
        let spec = Spec::parse(&spec).map_err(|e| Error::File(e.to_string()))?;
        let (_, graphs, frozen) = (take("model.dtype")?, take("model.graphs")?, take("model.frozen")?);
        let parse = |text: &str| {
            serde_json::from_str::<Vec<serde_json::Value>>(text).map_err(|e| Error::File(format!("stored graphs: {e}")))
        };
        let graphs: Vec<Graph> = parse(&graphs)?.iter().map(graph::from_json).collect::<Result<_>>()?;
        let as_file = |e: Error| match e {
            Error::Memory(_) | Error::Io(_) => e,
            e => Error::File(e.to_string()),
        };
        // The layers' own definitions must say what the stored graphs say: a file cannot pass one cell off as another.
        let expected = build::<E>(&spec, None).map_err(as_file)?;
        let same = expected.graphs.iter().map(graph::to_json).eq(graphs.iter().map(graph::to_json));
        if !same {
            return Err(Error::File("expected the graphs that the specification's layers define, got others".into()));
        }
        let chain = build(&spec, Some(graphs)).map_err(as_file)?;
        let names: Vec<(&str, &[usize])> = chain.layout.slots.iter().map(|s| (&s.name[..], &s.shape[..])).collect();
        let mut given: Vec<(&str, &[usize])> =
            container.tensors.iter().map(|(name, t)| (&name[..], t.shape())).collect();
        let mut expected = names.clone();
        expected.sort_unstable();
        given.sort_unstable();
        if expected != given {
            return Err(Error::File(format!("expected tensors {expected:?}, got {given:?}")));
        }
        let model = Self::with_chain(spec, chain, 0, kernels::isa_checked().map_err(Error::Value)?).map_err(as_file)?;
        model.set_precision(precision).map_err(as_file)?;
        {
            let mut params = model.params_mut();
            for slot in &model.chain.layout.slots {
                let tensor = &container.tensors[&slot.name];
                let values: Vec<E> = tensor.values()?;
                if let (false, Some(bad)) = (allow_nonfinite, values.iter().find(|v| !v.to_f64().is_finite())) {
                    return Err(Error::File(format!(
                        "'{}': expected finite numbers (allow_nonfinite=True accepts others), got {}",
                        slot.name,
                        bad.to_f64()
                    )));
                }
                params.memory.slice_mut()[slot.range()].copy_from_slice(&values);
            }
        }
        let frozen: Vec<String> =
            serde_json::from_str(&frozen).map_err(|e| Error::File(format!("stored names: {e}")))?;
        let mut flags = model.frozen.write().unwrap_or_else(PoisonError::into_inner);
        for (slot, flag) in model.chain.layout.slots.iter().zip(flags.iter_mut()) {
            *flag = frozen.contains(&slot.name);
        }
        drop(flags);
        Ok((model, metadata))
    }

    /// Writes the model to a file: all of it or nothing.
    pub fn save(&self, path: &std::path::Path, extra: &BTreeMap<String, String>) -> Result<()> {
        file::save(path, &self.to_bytes(extra)?)
    }
}
