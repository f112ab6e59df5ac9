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

/// The rows of a tensor of this width, at most so many; its name and shape are checked.
fn rows<E: Element>(container: &mut Container<'_>, name: &str, width: usize, most: usize) -> Result<Vec<Vec<E>>> {
    let tensor = container.tensors.remove(name).ok_or_else(|| Error::file("tensor", format!("{name:?}"), "none"))?;
    let count = match tensor.shape() {
        &[count, columns] if columns == width && count <= most => count,
        shape => {
            let expected = format!("(rows, {width}), at most {most} rows");
            return Err(Error::file(format!("shape of {name:?}"), expected, format!("{shape:?}")));
        }
    };
    let values: Vec<E> = tensor.values()?;
    Ok((0..count).map(|row| values[row * width..(row + 1) * width].to_vec()).collect())
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
        let errors: Vec<E> = self.errors.iter().flatten().copied().collect();
        let width = self.y.len();
        outer.tensors.insert(format!("{prefix}.errors"), Tensor::new(&[self.errors.len(), width], &errors)?);
        outer.tensors.insert(format!("{prefix}.output"), Tensor::new(&[1, width], &self.y)?);
        Ok(())
    }

    /// Takes the place in the stream from a file.
    fn take(&mut self, outer: &mut Container<'_>, prefix: &str) -> Result<()> {
        let limit = self.reach.limit();
        let window: Vec<Vec<E>> = rows(outer, &format!("{prefix}.window"), self.input(), limit)?;
        let states: Vec<Vec<E>> = rows(outer, &format!("{prefix}.states"), self.width(), limit.saturating_add(1))?;
        if states.len() != window.len() + 1 || self.position < window.len() as u64 {
            let expected = format!("at most {limit} steps and one state more");
            return Err(Error::file(prefix, expected, format!("{} and {}", window.len(), states.len())));
        }
        let split = |mut row: Vec<E>| {
            let widths = self.model.chain.states.iter().map(|state| state.width);
            widths.map(|width| row.drain(..width).collect()).collect()
        };
        self.states = states.into_iter().map(split).collect();
        self.window = VecDeque::from(window);
        let most = (self.reach.every - 1).min(self.window.len());
        self.errors = rows(outer, &format!("{prefix}.errors"), self.y.len(), most)?;
        self.y = rows(outer, &format!("{prefix}.output"), self.y.len(), 1)?.concat();
        if self.y.len() != self.model.chain.output {
            return Err(Error::file(format!("{prefix}.output"), "one row", "none"));
        }
        // The tape is made again where every step needs it.
        if self.has_begun() && self.reach.every > 1 {
            self.version = Some(self.model.params().version);
        }
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
        let mut both = Self::new(models[0].clone(), models[1].clone(), settings).map_err(as_file)?;
        let nets = [&mut both.automatizer, &mut both.chunker];
        for (index, (net, optimizer)) in nets.into_iter().zip(optimizers).enumerate() {
            if optimizer.to_json() != net.optimizer.to_json() {
                return Err(Error::file("optimizer", net.optimizer.to_json(), optimizer.to_json()));
            }
            net.optimizer = optimizer;
            (net.position, net.drew) = (stream.steps[index], stream.drew[index]);
            net.take(&mut file, NETS[index]).map_err(as_file)?;
        }
        both.elapsed = stream.elapsed;
        both.set_goal();
        for row in rows::<f64>(&mut file, HISTORY, 5, usize::MAX)? {
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

#[cfg(test)]
mod tests {
    use super::super::{Account, Learning};
    use super::*;
    use crate::layers::Spec;

    fn model(inputs: usize, outputs: usize, seed: u64) -> Arc<Model<f32>> {
        let spec = format!(
            r#"{{"prefix": true, "layers": [
                {{"layer": "recurrent", "cell": "gru", "options": {{"input_size": {inputs}, "hidden_size": 6}}}},
                {{"layer": "linear", "in_features": 6, "out_features": {outputs}}}]}}"#
        );
        Arc::new(Model::new(Spec::parse(&spec).unwrap(), seed).unwrap())
    }

    fn both(every: usize) -> ChunkerAutomatizer<f32> {
        let learning = Learning {
            optimizer: r#"{"optimizer":"adam"}"#.into(),
            lr: 0.02,
            schedule: r#"{"schedule":"constant"}"#.into(),
        };
        let settings = Settings {
            symbols: 3,
            targets: 0,
            account: Account::Time,
            threshold: None,
            balance: 1.0,
            bptt: 3,
            every,
            clip_norm: Some(1.0),
            seed: 0,
            automatizer: learning.clone(),
            chunker: learning,
        };
        let [a, c] = settings.widths(6, 6);
        ChunkerAutomatizer::new(model(a.0, a.1, 0), model(c.0, c.1, 1), settings).unwrap()
    }

    #[test]
    fn it_learns_a_cycle_and_goes_on_from_its_file() {
        for every in [1, 4] {
            goes_on(every);
        }
    }

    fn goes_on(every: usize) {
        let cycle: Vec<i64> = (0..602).map(|t| t % 3).collect();
        let mut nets = both(every);
        let work = nets.run(&cycle, None, (true, false), &|| false).unwrap();
        assert!(work.failures[0] && !work.failures[500..].contains(&true));
        let bytes = nets.to_bytes(&BTreeMap::from([("note".into(), "kept".into())])).unwrap();
        let file = Container::from_bytes(&bytes).unwrap();
        assert_eq!(dtype_of(&file), Some("float32"));
        let (mut read, extra) = ChunkerAutomatizer::<f32>::from_container(file, false).unwrap();
        assert_eq!(extra["note"], "kept");
        let mixed: Vec<i64> = (0..100).map(|t| t * t % 3).collect();
        let [a, b] = [&mut nets, &mut read].map(|nets| nets.run(&mixed, None, (true, true), &|| false).unwrap());
        assert_eq!(a, b);
        assert_eq!(nets.to_bytes(&BTreeMap::new()).unwrap(), read.to_bytes(&BTreeMap::new()).unwrap());
    }

    #[test]
    fn other_files_are_refused() {
        let mut nets = both(2);
        nets.run(&[0, 1, 2, 0], None, (true, false), &|| false).unwrap();
        let bytes = nets.to_bytes(&BTreeMap::new()).unwrap();
        let refused = |change: &dyn Fn(&mut Container<'_>)| {
            let mut file = Container::from_bytes(&bytes).unwrap();
            change(&mut file);
            assert!(matches!(ChunkerAutomatizer::<f32>::from_container(file, false), Err(Error::File(_))));
        };
        refused(&|file| drop(file.metadata.remove(SETTINGS)));
        refused(&|file| drop(file.metadata.insert(STREAM.into(), "{}".into())));
        refused(&|file| drop(file.tensors.remove("chunker.window")));
        refused(&|file| drop(file.tensors.remove("chunker.model.1.bias")));
        refused(&|file| drop(file.tensors.insert("more".into(), Tensor::new(&[1], &[0.0f32]).unwrap())));
        let states = |count: usize| Tensor::new(&[count, 6], &vec![0.0f32; 6 * count]).unwrap();
        refused(&|file| drop(file.tensors.insert("automatizer.states".into(), states(3))));
        refused(&|file| drop(file.tensors.insert("automatizer.states".into(), states(9))));
        refused(&|file| drop(file.tensors.remove("automatizer.errors")));
        refused(&|file| drop(file.tensors.insert("automatizer.output".into(), states(1))));
        let settings = bytes_of_settings(&nets).replace("\"bptt\":3", "\"bptt\":0");
        refused(&|file| drop(file.metadata.insert(SETTINGS.into(), settings.clone())));
    }

    fn bytes_of_settings(nets: &ChunkerAutomatizer<f32>) -> String {
        serde_json::to_string(nets.settings()).unwrap()
    }
}
