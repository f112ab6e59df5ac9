//! From layers to stages: stacking, direction, names of parameters, widths that must agree.

use super::block::{BatchNorm, Block, Skip};
use super::spec::{self, Layer, Scan, Spec};
use super::stateless;
use crate::cells;
use crate::engine::{Layout, Stage, Wire};
use crate::error::{Error, Result};
use crate::graph::{self, Graph, Kind};
use crate::kernels::Element;
use serde_json::json;
use std::collections::VecDeque;

/// What a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// Numbers, so many a step.
    Float(usize),
    /// One integer a step, below this.
    Tokens(usize),
}

/// A state of a model.
#[derive(Clone, Debug)]
pub struct StateInfo {
    /// The layer's index in the chain.
    pub layer: usize,
    /// The layer within the stack.
    pub sublayer: usize,
    /// 0 forward, 1 reverse.
    pub direction: usize,
    /// The state's name.
    pub name: String,
    /// Its width.
    pub width: usize,
}

/// A chain of blocks.
#[derive(Debug)]
pub struct Chain<E> {
    /// The blocks.
    pub blocks: Vec<Block<E>>,
    /// For each stage in order, its graph as it is stored in files.
    pub graphs: Vec<Graph>,
    /// The parameters.
    pub layout: Layout,
    /// What it takes.
    pub input: InputKind,
    /// Width of its output.
    pub output: usize,
    /// Width of the output of each layer.
    pub widths: Vec<usize>,
    /// Whether it has an output at each step.
    pub output_steps: bool,
    /// Its states, in order.
    pub states: Vec<StateInfo>,
}

struct Builder<E> {
    chain: Chain<E>,
    /// Graphs from a file, used instead of the table of cells.
    stored: Option<VecDeque<Graph>>,
    prefix: String,
    width: Option<usize>,
    /// How the time of the layer in hand runs.
    scan: Scan,
}

/// Lowers a specification to stages. `stored` graphs (of a file), if given, are used in order of the stages.
pub fn build<E: Element>(spec: &Spec, stored: Option<Vec<Graph>>) -> Result<Chain<E>> {
    if spec.layers.is_empty() {
        return Err(Error::value("layers", "at least one", 0));
    }
    let chain = Chain {
        blocks: Vec::new(),
        graphs: Vec::new(),
        layout: Layout::default(),
        input: InputKind::Float(0),
        output: 0,
        widths: Vec::new(),
        output_steps: true,
        states: Vec::new(),
    };
    let mut builder =
        Builder { chain, stored: stored.map(VecDeque::from), prefix: String::new(), width: None, scan: Scan::Loop };
    for (index, layer) in spec.layers.iter().enumerate() {
        builder.prefix = if spec.prefix { format!("{index}.") } else { String::new() };
        builder.layer(index, layer).map_err(|e| at_layer(e, index, layer, spec.prefix))?;
        builder.chain.widths.extend(builder.width);
    }
    if builder.stored.is_some_and(|s| !s.is_empty()) {
        return Err(Error::File("expected a stored graph for each stage, got more".into()));
    }
    let mut chain = builder.chain;
    chain.output = builder.width.ok_or_else(|| Error::value("layers", "a layer before Last", "none"))?;
    Ok(chain)
}

fn at_layer(error: Error, index: usize, layer: &Layer, named: bool) -> Error {
    if !named {
        return error;
    }
    let name =
        serde_json::to_value(layer).ok().and_then(|v| v["layer"].as_str().map(str::to_string)).unwrap_or_default();
    let text = |m: String| format!("layer {index} ({name}): {m}");
    match error {
        Error::Shape(m) => Error::Shape(text(m)),
        Error::Value(m) => Error::Value(text(m)),
        Error::Unsupported(m) => Error::Unsupported(text(m)),
        other => other,
    }
}

impl<E: Element> Builder<E> {
    fn layer(&mut self, index: usize, layer: &Layer) -> Result<()> {
        if !self.chain.output_steps && matches!(layer, Layer::Recurrent { .. } | Layer::Last | Layer::Embedding { .. })
        {
            return Err(Error::Value("expected layers without time after Last, got one over time".into()));
        }
        let path = format!("{index}");
        match layer {
            Layer::Embedding { num_embeddings, embedding_dim } => {
                if self.width.is_some() {
                    return Err(Error::Value("expected an embedding to come first, got one after other layers".into()));
                }
                positive("num_embeddings", *num_embeddings)?;
                positive("embedding_dim", *embedding_dim)?;
                self.stateless(path, || stateless::embedding(*num_embeddings, *embedding_dim))
            }
            Layer::Linear { in_features, out_features, bias } => {
                positive("in_features", *in_features)?;
                positive("out_features", *out_features)?;
                self.stateless(path, || stateless::linear(*in_features, *out_features, *bias))
            }
            Layer::LayerNorm { features, eps } => {
                positive("features", *features)?;
                if !(eps.is_finite() && *eps > 0.0) {
                    return Err(Error::value("eps", "a positive number", eps));
                }
                self.stateless(path, || stateless::layer_norm(*features, *eps))
            }
            Layer::BatchNorm { features, eps, momentum } => {
                positive("features", *features)?;
                self.batch_norm(path, "", "", *features, *eps, *momentum)
            }
            Layer::Dropout { p } => self.dropout(path, *p),
            Layer::Recurrent {
                cell,
                options,
                graphs,
                num_layers,
                bidirectional,
                dropout,
                residual,
                dense,
                batch_norm,
                scan,
                suffix,
            } => {
                self.scan = *scan;
                let skip = match (*residual, *dense) {
                    (false, false) => Skip::None,
                    (true, false) => Skip::Residual,
                    (false, true) => Skip::Dense,
                    (true, true) => return Err(Error::value("residual and dense", "one of them at most", "both")),
                };
                const MOST: usize = 1024;
                if !(1..=MOST).contains(num_layers) || (!*suffix && (*num_layers != 1 || *bidirectional)) {
                    return Err(Error::value(
                        "num_layers",
                        format!("1 to {MOST} (a single cell: exactly 1)"),
                        num_layers,
                    ));
                }
                let wanted = if cell == cells::OWN { *num_layers } else { 0 };
                if graphs.len() != wanted {
                    return Err(Error::value(format!("graphs of cell '{cell}'"), wanted, graphs.len()));
                }
                probability("dropout", *dropout)?;
                for sublayer in 0..*num_layers {
                    let ends = if *suffix {
                        [format!("_l{sublayer}"), format!("_l{sublayer}_reverse")]
                    } else {
                        Default::default()
                    };
                    let width = self.width;
                    let make = || match graphs.get(sublayer) {
                        Some(graph) => cells::own(graph, options),
                        None if sublayer == 0 => cells::build(cell, options),
                        None => {
                            if options["timestamps"] == json!(true) {
                                // The width below holds no time.
                                return Err(Error::Unsupported(format!(
                                    "'{cell}': expected timestamps in the first layer alone, got a stack of {num_layers}"
                                )));
                            }
                            let mut options = options.clone();
                            options["input_size"] = json!(width);
                            cells::build(cell, &options)
                        }
                    };
                    self.recurrent(index, sublayer, make, *bidirectional, skip, *num_layers, &ends)?;
                    if let (true, Some(width)) = (*batch_norm && sublayer + 1 < *num_layers, self.width) {
                        let path = format!("{index}.{sublayer}.batch_norm");
                        self.batch_norm(path, "bn_", &ends[0], width, spec::eps(), spec::momentum())?;
                    }
                    if *dropout > 0.0 && sublayer + 1 < *num_layers {
                        self.dropout(format!("{index}.{sublayer}.dropout"), *dropout)?;
                    }
                }
                Ok(())
            }
            Layer::Last => {
                self.chain.output_steps = false;
                self.chain.blocks.push(Block::Last);
                Ok(())
            }
        }
    }

    /// The next stage's graph: stored in a file, or made from its definition.
    fn graph(&mut self, make: impl FnOnce() -> Result<Graph>) -> Result<Graph> {
        let graph = match &mut self.stored {
            Some(stored) => stored
                .pop_front()
                .ok_or_else(|| Error::File("expected a stored graph for each stage, got fewer".into()))?,
            None => make()?,
        };
        let [input] = &graph.inputs[..] else { return Err(Error::value("inputs of a layer", 1, graph.inputs.len())) };
        let ty = graph.ty(input.node);
        if ty.shape.len() > 1
            || graph.outputs.len() != 1
            || graph.ty(graph.outputs[0]).shape.len() != 1
            || graph.ty(graph.outputs[0]).kind != Kind::Float
        {
            return Err(Error::Shape(format!(
                "layer '{}': expected one vector in and one vector of numbers out, got input {ty}",
                graph.name
            )));
        }
        let width = ty.width();
        match (self.width, ty.kind) {
            (None, Kind::Float) => self.chain.input = InputKind::Float(width),
            (None, Kind::Int) => self.chain.input = InputKind::Tokens(input.limit.unwrap_or(1)),
            (Some(given), Kind::Float) if given == width => {}
            (Some(given), _) => {
                return Err(Error::Shape(format!(
                    "expected input of width {given} (the layer before), got a layer for width {width}"
                )));
            }
        }
        self.chain.graphs.push(graph.clone());
        Ok(graph)
    }

    fn parameters(&mut self, graph: &Graph, end: &str) -> Result<Vec<usize>> {
        let mut indices = Vec::new();
        for param in &graph.params {
            let name = format!("{}{}{end}", self.prefix, param.name);
            if self.chain.layout.slots.iter().any(|s| s.name == name) {
                return Err(Error::Value(format!("expected different names of parameters, got '{name}' twice")));
            }
            indices.push(self.chain.layout.push(name, param));
        }
        Ok(indices)
    }

    fn stage(&self, path: String, graph: Graph, params: Vec<usize>) -> Result<Stage<E>> {
        let parallel = self.scan == Scan::Parallel && !graph.states.is_empty();
        let stage = Stage::new(path, graph, vec![Wire::Previous], params)?;
        if parallel { stage.scanned() } else { Ok(stage) }
    }

    fn push(&mut self, path: String, graph: Graph, end: &str) -> Result<()> {
        let params = self.parameters(&graph, end)?;
        self.width = Some(graph.width(graph.outputs[0]));
        let stage = self.stage(path, graph, params)?;
        match self.chain.blocks.last_mut() {
            // A scan over time in parallel has a block of its own.
            Some(Block::Causal(stages)) if stage.scan.is_none() && stages.iter().all(|s| s.scan.is_none()) => {
                stages.push(stage);
            }
            _ => self.chain.blocks.push(Block::Causal(vec![stage])),
        }
        Ok(())
    }

    fn stateless(&mut self, path: String, make: impl FnOnce() -> Result<Graph>) -> Result<()> {
        let graph = self.graph(make)?;
        self.push(path, graph, "")
    }

    fn dropout(&mut self, path: String, p: f64) -> Result<()> {
        probability("p", p)?;
        let width = self.width.ok_or_else(|| Error::Value("expected a layer before dropout, got none".into()))?;
        self.stateless(path, || stateless::dropout(width, p))
    }

    /// Batch normalisation, its parameters named between `label` and `end`.
    fn batch_norm(
        &mut self,
        path: String,
        label: &str,
        end: &str,
        width: usize,
        eps: f64,
        momentum: f64,
    ) -> Result<()> {
        if !(eps.is_finite() && eps > 0.0) {
            return Err(Error::value("eps", "a positive number", eps));
        }
        if !(0.0 < momentum && momentum <= 1.0) {
            return Err(Error::value("momentum", "a number above 0 and at most 1", momentum));
        }
        let graph = self.graph(|| stateless::batch_norm(label, width, eps))?;
        let params = self.parameters(&graph, end)?;
        for &running in &params[2..] {
            self.chain.layout.slots[running].measured = true;
        }
        self.width = Some(width);
        let stage = self.stage(path, graph, params)?;
        self.chain.blocks.push(Block::BatchNorm(Box::new(BatchNorm { stage, eps, momentum })));
        Ok(())
    }

    #[allow(clippy::too_many_arguments, reason = "the options of a recurrent layer")]
    fn recurrent(
        &mut self,
        layer: usize,
        sublayer: usize,
        cell: impl Fn() -> Result<Graph>,
        bidirectional: bool,
        skip: Skip,
        num_layers: usize,
        ends: &[String; 2],
    ) -> Result<()> {
        let around = |graph: Graph, directions: usize| -> Result<(Graph, Skip)> {
            let (input, output) = (graph.width(graph.inputs[0].node), graph.width(graph.outputs[0]) * directions);
            if skip == Skip::Residual && input != output {
                if sublayer == 0 && num_layers > 1 {
                    return Ok((graph, Skip::None));
                }
                return Err(Error::shape("residual=True", format!("an output of the input's width {input}"), output));
            }
            // Two directions share one connection, made where their outputs are joined.
            let graph = match skip {
                Skip::Residual if directions == 1 => graph::residual(&graph)?,
                Skip::Dense if directions == 1 => graph::dense(&graph)?,
                _ => graph,
            };
            Ok((graph, skip))
        };
        let directions = if bidirectional { 2 } else { 1 };
        let make = || around(cell()?, directions).map(|g| g.0);
        let states = |chain: &mut Chain<E>, graph: &Graph, direction: usize| {
            for state in &graph.states {
                chain.states.push(StateInfo {
                    layer,
                    sublayer,
                    direction,
                    name: state.name.clone(),
                    width: graph.width(state.node),
                });
            }
        };
        if !bidirectional {
            let graph = self.graph(make)?;
            states(&mut self.chain, &graph, 0);
            return self.push(format!("{layer}.{sublayer}.0"), graph, &ends[0]);
        }
        let graphs = [self.graph(make)?, self.graph(&cell)?];
        let output = graphs[0].width(graphs[0].outputs[0]);
        if output != graphs[1].width(graphs[1].outputs[0]) {
            return Err(Error::Shape(format!("expected two directions of one width, got {output} and another")));
        }
        let (input, skip) = (graphs[0].width(graphs[0].inputs[0].node), around(graphs[0].clone(), 2)?.1);
        let mut stages = Vec::new();
        for (direction, graph) in graphs.into_iter().enumerate() {
            states(&mut self.chain, &graph, direction);
            let params = self.parameters(&graph, &ends[direction])?;
            stages.push(self.stage(format!("{layer}.{sublayer}.{direction}"), graph, params)?);
        }
        let block = Block::Bidirectional { directions: stages, skip };
        self.width = Some(block.width(input));
        self.chain.blocks.push(block);
        Ok(())
    }
}

fn positive(name: &str, size: usize) -> Result<()> {
    const LIMIT: usize = 1 << 32;
    if (1..=LIMIT).contains(&size) { Ok(()) } else { Err(Error::value(name, format!("1 to {LIMIT}"), size)) }
}

fn probability(name: &str, p: f64) -> Result<()> {
    if (0.0..1.0).contains(&p) { Ok(()) } else { Err(Error::value(name, "a probability in [0, 1)", p)) }
}
