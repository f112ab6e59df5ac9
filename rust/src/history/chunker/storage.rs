//! The file of both nets: models, optimizers, the place in the stream and the history in one container.

use super::net::Net;
use super::{ChunkerAutomatizer, Entry, Settings};
use crate::error::{Error, Result};
use crate::file::{Container, Tensor};
use crate::kernels::Element;
use crate::model::Model;
use crate::train::Optimizer;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The key of the settings, which says what kind of file it is.
pub(super) const SETTINGS: &str = "chunker_automatizer";
const STREAM: &str = "stream";
const HISTORY: &str = "history";
const NETS: [&str; 2] = ["automatizer", "chunker"];

/// The place in the stream: steps since the last failure, and for each net the steps it has read and whether its last one
/// drew at random.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream {
    elapsed: u64,
    steps: [u64; 2],
    drew: [bool; 2],
}

/// Puts a container into another one, its keys and names after `prefix` and a dot.
fn put(outer: &mut Container<'_>, prefix: &str, bytes: &[u8]) -> Result<()> {
    let inner = Container::from_bytes(bytes)?;
    outer.metadata.extend(inner.metadata.into_iter().map(|(key, text)| (format!("{prefix}.{key}"), text)));
    for (name, tensor) in inner.tensors {
        let tensor = match tensor.dtype() {
            "float32" => Tensor::new(tensor.shape(), &tensor.values::<f32>()?)?,
            _ => Tensor::new(tensor.shape(), &tensor.values::<f64>()?)?,
        };
        outer.tensors.insert(format!("{prefix}.{name}"), tensor);
    }
    Ok(())
}

/// Takes out what [`put`] put there.
fn take<'a>(outer: &mut Container<'a>, prefix: &str) -> Container<'a> {
    fn part<T>(all: &mut BTreeMap<String, T>, prefix: &str) -> BTreeMap<String, T> {
        let prefix = format!("{prefix}.");
        let (inner, rest): (BTreeMap<_, _>, _) =
            std::mem::take(all).into_iter().partition(|(key, _)| key.starts_with(&prefix));
        *all = rest;
        inner.into_iter().map(|(key, value)| (key[prefix.len()..].to_owned(), value)).collect()
    }
    Container { metadata: part(&mut outer.metadata, prefix), tensors: part(&mut outer.tensors, prefix) }
}

/// The text under a key.
fn text(container: &mut Container<'_>, key: &str) -> Result<String> {
    container
        .metadata
        .remove(key)
        .ok_or_else(|| Error::file("file", format!("a chunker and automatizer with {key:?}"), "none"))
}

/// The rows of a tensor of this width, its name and shape checked.
fn rows<E: Element>(container: &mut Container<'_>, name: &str, width: usize) -> Result<Vec<Vec<E>>> {
    let tensor = container.tensors.remove(name).ok_or_else(|| Error::file("tensor", format!("{name:?}"), "none"))?;
    match tensor.shape() {
        &[_, columns] if columns == width => {}
        shape => {
            return Err(Error::file(format!("shape of {name:?}"), format!("(rows, {width})"), format!("{shape:?}")));
        }
    }
    let values: Vec<E> = tensor.values()?;
    Ok(values.chunks_exact(width).map(<[E]>::to_vec).collect())
}

impl<E: Element> Net<E> {
    /// Total width of the states.
    fn width(&self) -> usize {
        self.model.chain.states.iter().map(|state| state.width).sum()
    }

    fn put(&self, outer: &mut Container<'_>, prefix: &str) -> Result<()> {
        put(outer, &format!("{prefix}.model"), &self.model.to_bytes(&BTreeMap::new())?)?;
        put(outer, &format!("{prefix}.optimizer"), &self.optimizer.to_bytes()?)?;
        let window: Vec<E> = self.window.iter().flatten().copied().collect();
        let states: Vec<E> = self.states.iter().flatten().flatten().copied().collect();
        outer.tensors.insert(format!("{prefix}.window"), Tensor::new(&[self.window.len(), self.input()], &window)?);
        outer.tensors.insert(format!("{prefix}.states"), Tensor::new(&[self.states.len(), self.width()], &states)?);
        Ok(())
    }

    /// Takes the place in the stream from a file.
    fn take(&mut self, outer: &mut Container<'_>, prefix: &str, limit: usize) -> Result<()> {
        let window: Vec<Vec<E>> = rows(outer, &format!("{prefix}.window"), self.input())?;
        let states: Vec<Vec<E>> = rows(outer, &format!("{prefix}.states"), self.width())?;
        if window.len() > limit || states.len() != window.len() + 1 || self.position < window.len() as u64 {
            let expected = format!("at most {limit} steps and one state more");
            return Err(Error::file(prefix, expected, format!("{} and {}", window.len(), states.len())));
        }
        let split = |mut row: Vec<E>| {
            let widths = self.model.chain.states.iter().map(|state| state.width);
            widths.map(|width| row.drain(..width).collect()).collect()
        };
        self.states = states.into_iter().map(split).collect();
        self.window = VecDeque::from(window);
        self.refresh()
    }
}

/// The element type of a chunker and automatizer in a file; none where the file is of another kind.
pub fn dtype_of<'a>(file: &'a Container<'_>) -> Option<&'a str> {
    file.metadata.get(SETTINGS).and(file.metadata.get("automatizer.model.model.dtype")).map(String::as_str)
}

impl<E: Element> ChunkerAutomatizer<E> {
    /// Everything as the bytes of a file, with `extra` metadata of the caller's: what is read from it goes on with the
    /// same bits.
    pub fn to_bytes(&self, extra: &BTreeMap<String, String>) -> Result<Vec<u8>> {
        let mut file = Container::default();
        for (key, text) in extra {
            file.metadata.insert(format!("extra.{key}"), text.clone());
        }
        let settings = serde_json::to_string(&self.settings).expect("settings have a JSON form");
        file.metadata.insert(SETTINGS.into(), settings);
        let (a, c) = (&self.automatizer, &self.chunker);
        let stream = Stream { elapsed: self.elapsed, steps: [a.position, c.position], drew: [a.drew, c.drew] };
        file.metadata.insert(STREAM.into(), serde_json::json!(stream).to_string());
        for (net, prefix) in [&self.automatizer, &self.chunker].into_iter().zip(NETS) {
            net.put(&mut file, prefix)?;
        }
        let history: Vec<f64> =
            self.history.iter().flat_map(|e| [e.steps, e.failures, e.prediction, e.imitation, e.chunker]).collect();
        file.tensors.insert(HISTORY.into(), Tensor::new(&[self.history.len(), 5], &history)?);
        file.to_bytes()
    }

    /// What [`ChunkerAutomatizer::to_bytes`] wrote, and the caller's metadata. Runs no code; checks everything.
    pub fn from_container(mut file: Container<'_>, allow_nonfinite: bool) -> Result<(Self, BTreeMap<String, String>)> {
        let as_file = |error: Error| match error {
            Error::Memory(_) | Error::Io(_) => error,
            error => Error::File(error.to_string()),
        };
        let json = |error: serde_json::Error| Error::file("metadata", "settings and stream as JSON", error);
        let settings: Settings = serde_json::from_str(&text(&mut file, SETTINGS)?).map_err(json)?;
        let stream: Stream = serde_json::from_str(&text(&mut file, STREAM)?).map_err(json)?;
        let mut models = Vec::new();
        let mut optimizers = Vec::new();
        for prefix in NETS {
            let model = take(&mut file, &format!("{prefix}.model"));
            models.push(Arc::new(Model::<E>::from_container(model, allow_nonfinite)?.0));
            let optimizer = take(&mut file, &format!("{prefix}.optimizer"));
            optimizers.push(Optimizer::from_bytes(&optimizer.to_bytes()?)?);
        }
        let limit = settings.bptt;
        let mut both = Self::new(models[0].clone(), models[1].clone(), settings).map_err(as_file)?;
        let nets = [&mut both.automatizer, &mut both.chunker];
        for (index, (net, optimizer)) in nets.into_iter().zip(optimizers).enumerate() {
            if optimizer.to_json() != net.optimizer.to_json() {
                return Err(Error::file("optimizer", net.optimizer.to_json(), optimizer.to_json()));
            }
            net.optimizer = optimizer;
            (net.position, net.drew) = (stream.steps[index], stream.drew[index]);
            net.take(&mut file, NETS[index], limit).map_err(as_file)?;
        }
        both.elapsed = stream.elapsed;
        both.set_goal();
        for row in rows::<f64>(&mut file, HISTORY, 5)? {
            both.history.push(Entry {
                steps: row[0],
                failures: row[1],
                prediction: row[2],
                imitation: row[3],
                chunker: row[4],
            });
        }
        let extra = take(&mut file, "extra").metadata;
        if let Some(name) = file.tensors.keys().chain(file.metadata.keys()).next() {
            return Err(Error::file("content", "that of a chunker and automatizer", format!("{name:?} too")));
        }
        Ok((both, extra))
    }
}
