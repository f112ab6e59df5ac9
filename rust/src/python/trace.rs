//! Graphs written from Python: a user's own cell, node by node, every node checked when it is written.

use super::work::quick;
use crate::error::{Error, Result};
use crate::graph::{self, Builder, Graph, Init, MAX_NODES, NodeId, Op, Type, Value};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use serde_json::{Map, Value as Json};
use std::sync::{Mutex, PoisonError};

/// A graph in the making. Nodes are known by their numbers; a call that fails leaves the graph as it was.
#[pyclass(frozen, module = "rnnrs._core")]
pub(super) struct GraphBuilder {
    /// None once the graph is finished.
    inner: Mutex<Option<Builder>>,
}

#[pymethods]
impl GraphBuilder {
    #[new]
    fn new(name: &str) -> Self {
        Self { inner: Mutex::new(Some(Builder::new(name))) }
    }

    /// A step input of numbers.
    fn input(&self, name: &str, shape: Vec<usize>) -> PyResult<NodeId> {
        self.write(|g| Ok(g.input(name, fits(&Type::float(&shape), 2)?).id))
    }

    /// A state, zero at first.
    fn state(&self, name: &str, shape: Vec<usize>) -> PyResult<NodeId> {
        self.write(|g| Ok(g.state(name, fits(&Type::float(&shape), 2)?).id))
    }

    /// A parameter, how it starts, as JSON, and what its elements may not exceed in magnitude after an update.
    #[pyo3(signature = (name, shape, init, bound=None))]
    fn param(&self, name: &str, shape: Vec<usize>, init: &str, bound: Option<f64>) -> PyResult<NodeId> {
        self.write(|g| {
            let init: Init =
                serde_json::from_str(init).map_err(|e| Error::value("init", "how a parameter starts", e))?;
            if let Some(bound) = bound.filter(|&bound| !(bound > 0.0 && bound.is_finite())) {
                return Err(Error::value("bound", "a positive number", bound));
            }
            let param = g.param(name, fits(&Type::float(&shape), 3)?, init);
            if let Some(bound) = bound {
                g.bound(param, bound);
            }
            Ok(param.id)
        })
    }

    /// The same number in every element.
    fn constant(&self, number: f64, shape: Vec<usize>) -> PyResult<NodeId> {
        self.write(|g| {
            finite(&[number])?;
            Ok(g.constant(number, fits(&Type::float(&shape), 3)?).id)
        })
    }

    /// Given numbers, row by row.
    fn tensor(&self, numbers: Vec<f64>, shape: Vec<usize>) -> PyResult<NodeId> {
        self.write(|g| {
            let ty = Type::float(&shape);
            fits(&ty, 3)?;
            finite(&numbers)?;
            if numbers.len() != ty.width() {
                return Err(Error::shape("constant", format!("{} numbers for {ty}", ty.width()), numbers.len()));
            }
            Ok(g.tensor(&numbers, &shape).id)
        })
    }

    /// A primitive of the table with attributes as JSON, applied to nodes.
    fn apply(&self, primitive: &str, attributes: &str, args: Vec<NodeId>) -> PyResult<NodeId> {
        self.write(|g| {
            let attributes: Map<String, Json> =
                serde_json::from_str(attributes).map_err(|e| Error::value("attributes", "a JSON object", e))?;
            let made =
                graph::make_primitive(primitive, &attributes).map_err(|e| Error::Value(format!("{primitive}: {e}")))?;
            let types = values(g, &args)?.into_iter().map(Value::ty).collect::<Vec<_>>();
            let ty =
                made.infer(&types.iter().collect::<Vec<_>>()).map_err(|e| Error::Shape(format!("{primitive}: {e}")))?;
            fits(&ty, 3)?;
            let value = g.apply_dyn(made, &args);
            g.check(value.id)?;
            Ok(value.id)
        })
    }

    /// ("float" or "int", shape, whether it depends on more than parameters and constants).
    fn type_of<'py>(&self, py: Python<'py>, node: NodeId) -> PyResult<(&'static str, Bound<'py, PyTuple>, bool)> {
        let (ty, varies) = self.write(|g| {
            let [value] = values(g, &[node])?[..] else { unreachable!("one node was asked for") };
            Ok((value.ty(), g.varies(node)))
        })?;
        Ok((ty.kind.name(), PyTuple::new(py, &ty.shape)?, varies))
    }

    /// Another cell's graph (JSON) on nodes of this one, which take the places of its parameters, inputs and states;
    /// `label` is put before those of its random draws. Returns its outputs and the next values of its states.
    fn inline(
        &self,
        graph: &str,
        params: Vec<NodeId>,
        inputs: Vec<NodeId>,
        states: Vec<NodeId>,
        label: &str,
    ) -> PyResult<(Vec<NodeId>, Vec<NodeId>)> {
        self.write(|g| {
            let inner = graph::from_json(&parse(graph)?)?;
            let leaves = leaves(g, &inner, [&params, &inputs, &states])?;
            if g.len() + inner.nodes.len() > MAX_NODES {
                return Err(Error::value("nodes of a cell", format!("at most {MAX_NODES}"), "more"));
            }
            let placed = place(g, &inner, leaves, label)?;
            let outputs = inner.outputs.iter().map(|&o| placed[o]).collect();
            Ok((outputs, inner.states.iter().map(|s| placed[s.next]).collect()))
        })
    }

    /// Declares the value of a state after the step.
    fn next(&self, state: NodeId, value: NodeId) -> PyResult<()> {
        self.write(|g| {
            let [state, value] = values(g, &[state, value])?[..] else { unreachable!("two nodes were asked for") };
            g.next(state, value);
            Ok(())
        })
    }

    /// Declares an output.
    fn output(&self, node: NodeId) -> PyResult<()> {
        self.write(|g| {
            values(g, &[node])?.into_iter().for_each(|value| g.output(value));
            Ok(())
        })
    }

    /// The graph as JSON. Nothing more can be written after.
    fn finish(&self) -> PyResult<String> {
        let builder = self.inner.lock().unwrap_or_else(PoisonError::into_inner).take();
        quick(|| Ok(graph::to_json(&builder.ok_or_else(finished)?.finish()?).to_string()))
    }
}

impl GraphBuilder {
    /// Writes to the graph, if there is room and it is not finished.
    fn write<T>(&self, body: impl FnOnce(&Builder) -> Result<T>) -> PyResult<T> {
        let guard = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        quick(|| {
            let builder = guard.as_ref().ok_or_else(finished)?;
            if builder.len() >= MAX_NODES {
                return Err(Error::value("nodes of a cell", format!("at most {MAX_NODES}"), "more"));
            }
            body(builder)
        })
    }
}

fn finished() -> Error {
    Error::value("graph", "one that is being written", "one that is finished")
}

fn parse(text: &str) -> Result<Json> {
    serde_json::from_str(text).map_err(|e| Error::value("graph", "JSON", e))
}

/// The shape, if its rank and size are within limits.
fn fits(ty: &Type, rank: usize) -> Result<&[usize]> {
    const LIMIT: usize = 1 << 32;
    let elements = ty.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if ty.shape.len() > rank || !elements.is_some_and(|n| (1..=LIMIT).contains(&n)) {
        return Err(Error::shape("value", format!("rank 0 to {rank} and 1 to 2^32 elements"), ty));
    }
    Ok(&ty.shape)
}

fn finite(numbers: &[f64]) -> Result<()> {
    match numbers.iter().find(|number| !number.is_finite()) {
        Some(bad) => Err(Error::value("constant", "finite numbers", bad)),
        None => Ok(()),
    }
}

/// Handles on nodes, if there are such nodes.
fn values<'b>(g: &'b Builder, nodes: &[NodeId]) -> Result<Vec<Value<'b>>> {
    if let Some(bad) = nodes.iter().find(|&&node| node >= g.len()) {
        return Err(Error::value("node", format!("one of {}", g.len()), bad));
    }
    Ok(nodes.iter().map(|&node| g.value(node)).collect())
}

/// For each node of `inner`, the node of `g` that takes its place, if it is a leaf.
fn leaves(g: &Builder, inner: &Graph, given: [&[NodeId]; 3]) -> Result<Vec<Option<NodeId>>> {
    let own: [Vec<NodeId>; 3] = [
        inner.params.iter().map(|p| p.node).collect(),
        inner.inputs.iter().map(|i| i.node).collect(),
        inner.states.iter().map(|s| s.node).collect(),
    ];
    let mut places = vec![None; inner.nodes.len()];
    for (what, (own, given)) in ["parameters", "inputs", "states"].into_iter().zip(own.iter().zip(given)) {
        if own.len() != given.len() {
            return Err(Error::value(format!("{what} of '{}'", inner.name), own.len(), given.len()));
        }
        for (&leaf, value) in own.iter().zip(values(g, given)?) {
            if value.ty() != *inner.ty(leaf) {
                return Err(Error::shape(format!("{what} of '{}'", inner.name), inner.ty(leaf), value.ty()));
            }
            places[leaf] = Some(value.id);
        }
    }
    Ok(places)
}

/// Writes the nodes of `inner` into `g`; returns where each went.
fn place(g: &Builder, inner: &Graph, leaves: Vec<Option<NodeId>>, label: &str) -> Result<Vec<NodeId>> {
    let mut placed = Vec::new();
    for (node, leaf) in inner.nodes.iter().zip(leaves) {
        let at = match (leaf, &node.op) {
            (Some(leaf), _) => leaf,
            (None, Op::Constant(_) | Op::Tensor(_)) => g.copy(node, &[]),
            (None, Op::Apply(primitive)) => {
                let args: Vec<NodeId> = node.args.iter().map(|&arg| placed[arg]).collect();
                let mut attributes = primitive.attributes();
                if let Some(Json::String(own)) = attributes.get_mut("label") {
                    own.insert_str(0, label);
                }
                let made = graph::make_primitive(primitive.name(), &attributes).map_err(Error::Value)?;
                g.apply_dyn(made, &args).id
            }
            (None, _) => unreachable!("a leaf has its place"),
        };
        placed.push(at);
    }
    Ok(placed)
}
