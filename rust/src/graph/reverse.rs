//! The reverse graph of a cell: its exact backward pass, itself a cell whose states are gradients.

use super::primitives::AccumulateSum;
use super::{Along, Builder, Evaluation, Graph, Kind, NodeId, Op, Primitive, RowOp, Type, Value};
use crate::error::Result;
use crate::kernels::Elementwise;
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

/// What a step input of a reverse graph is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReverseInput {
    /// A value of the forward graph.
    Saved(NodeId),
    /// The gradient of an output of the forward graph.
    OutputGradient(usize),
}

/// A part of a parameter's gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GradientOf {
    /// The parameter.
    pub param: usize,
    /// Where in its flat elements the part begins.
    pub offset: usize,
    /// The node of the reverse graph that holds the part.
    pub node: NodeId,
}

/// A reverse graph and how it is connected to the forward graph.
#[derive(Clone, Debug)]
pub struct Reverse {
    /// The backward pass: state i is the gradient of state i, output k the gradient of `inputs_of[k]`.
    pub graph: Graph,
    /// What its inputs are.
    pub inputs: Vec<ReverseInput>,
    /// For each output, the input of the forward graph whose gradient it is.
    pub inputs_of: Vec<usize>,
    /// Parts of gradients of parameters, to be added in this order.
    pub gradients: Vec<GradientOf>,
}

impl Reverse {
    /// The nodes of the forward graph whose values the backward pass reads.
    pub fn saved(&self) -> BTreeSet<NodeId> {
        let saved = |input: &ReverseInput| match input {
            ReverseInput::Saved(id) => Some(*id),
            ReverseInput::OutputGradient(_) => None,
        };
        self.inputs.iter().filter_map(saved).collect()
    }
}

/// Derives the backward pass of `forward`. With `input_gradients` it also yields the gradients of the float inputs.
///
/// The first pass notes which forward values the VJPs ask for; of these, the second pass recomputes the cheap ones
/// from the others instead of having them saved.
pub fn reverse(forward: &Graph, input_gradients: bool) -> Result<Reverse> {
    let first = pass(forward, input_gradients, &BTreeSet::new())?;
    let asked = first.saved();
    let mut recomputed = BTreeSet::new();
    for &id in &asked {
        let node = &forward.nodes[id];
        let known = |&a: &NodeId| !forward.nodes[a].varies || asked.contains(&a);
        if cheap(&node.op) && node.args.iter().all(known) {
            recomputed.insert(id);
        }
    }
    pass(forward, input_gradients, &recomputed)
}

/// Whether computing a value again costs less than moving it to memory and back.
fn cheap(op: &Op) -> bool {
    use Elementwise as E;
    let Op::Apply(primitive) = op else { return false };
    matches!(
        primitive.evaluation(),
        Evaluation::Elementwise(E::Add | E::Sub | E::Mul | E::Neg | E::Fma | E::Greater | E::Relu)
    )
}

fn pass(forward: &Graph, input_gradients: bool, recomputed: &BTreeSet<NodeId>) -> Result<Reverse> {
    let builder = Builder::new(&format!("{} backward", forward.name));
    let params: Vec<NodeId> = forward.params.iter().map(|p| builder.param(&p.name, &p.shape, p.init).id).collect();
    let shared = Shared {
        forward,
        builder: &builder,
        recomputed,
        needs: needs_gradient(forward, input_gradients),
        params,
        values: RefCell::default(),
        adjoints: RefCell::new(vec![None; forward.nodes.len()]),
        inputs: RefCell::default(),
        gradients: RefCell::default(),
    };
    // An end that is made of parameters alone collects its gradient over all steps and samples.
    let collected = |end: NodeId, gradient: Value<'_>| match forward.nodes[end].varies {
        true => gradient.id,
        false => builder.apply(AccumulateSum, &[gradient]).id,
    };
    let mut incoming = Vec::new();
    for state in &forward.states {
        let gradient = builder.state(&format!("d{}", state.name), &forward.ty(state.node).shape);
        shared.add(state.next, builder.value(collected(state.next, gradient)));
        incoming.push(gradient);
    }
    for (index, &output) in forward.outputs.iter().enumerate() {
        let gradient = builder.input(&format!("dy{index}"), &forward.ty(output).shape);
        shared.inputs.borrow_mut().push(ReverseInput::OutputGradient(index));
        shared.add(output, builder.value(collected(output, gradient)));
    }
    for id in (0..forward.nodes.len()).rev() {
        let adjoint = shared.adjoints.borrow()[id];
        if let (Some(adjoint), Op::Apply(primitive)) = (adjoint, &forward.nodes[id].op)
            && shared.parameter_view(id).is_none()
        {
            primitive.vjp(&Vjp { shared: &shared, id, grad: builder.value(adjoint) });
        }
    }
    let adjoint = |id: NodeId| {
        let found = shared.adjoints.borrow()[id];
        found.map_or_else(|| builder.constant(0.0, &forward.ty(id).shape), |a| builder.value(a))
    };
    for (state, gradient) in forward.states.iter().zip(incoming) {
        builder.next(gradient, adjoint(state.node));
    }
    let mut inputs_of = Vec::new();
    for (index, input) in forward.inputs.iter().enumerate() {
        if input_gradients && forward.ty(input.node).kind == Kind::Float {
            builder.output(adjoint(input.node));
            inputs_of.push(index);
        }
    }
    let (inputs, gradients) = (shared.inputs.into_inner(), shared.gradients.into_inner());
    Ok(Reverse { graph: builder.finish()?, inputs, inputs_of, gradients })
}

/// For each node, whether a gradient that reaches it is of use.
fn needs_gradient(graph: &Graph, input_gradients: bool) -> Vec<bool> {
    let mut needs = vec![false; graph.nodes.len()];
    for (id, node) in graph.nodes.iter().enumerate() {
        needs[id] = node.ty.kind == Kind::Float
            && match node.op {
                Op::Param(_) | Op::State(_) => true,
                Op::Input(_) => input_gradients,
                Op::Constant(_) | Op::Tensor(_) => false,
                Op::Apply(_) => node.args.iter().any(|&a| needs[a]),
            };
    }
    needs
}

struct Shared<'a> {
    forward: &'a Graph,
    builder: &'a Builder,
    recomputed: &'a BTreeSet<NodeId>,
    needs: Vec<bool>,
    params: Vec<NodeId>,
    values: RefCell<HashMap<NodeId, NodeId>>,
    adjoints: RefCell<Vec<Option<NodeId>>>,
    inputs: RefCell<Vec<ReverseInput>>,
    gradients: RefCell<Vec<GradientOf>>,
}

impl<'a> Shared<'a> {
    /// A forward value in the reverse graph: made again, or saved.
    fn value(&self, id: NodeId) -> Value<'a> {
        if let Some(&known) = self.values.borrow().get(&id) {
            return self.builder.value(known);
        }
        let node = &self.forward.nodes[id];
        let made = match &node.op {
            Op::Param(index) => self.params[*index],
            _ if !node.varies || self.recomputed.contains(&id) => {
                let args: Vec<NodeId> = node.args.iter().map(|&a| self.value(a).id).collect();
                self.builder.copy(node, &args)
            }
            _ => {
                self.inputs.borrow_mut().push(ReverseInput::Saved(id));
                self.builder.add_input(&format!("f{id}"), node.ty.clone(), None).id
            }
        };
        self.values.borrow_mut().insert(id, made);
        self.builder.value(made)
    }

    /// The parameter of which a node is all or a range of rows, and where that begins.
    fn parameter_view(&self, id: NodeId) -> Option<(usize, usize)> {
        parameter_view(self.forward, id)
    }

    /// Adds to the gradient of a forward node.
    fn add(&self, id: NodeId, gradient: Value<'a>) {
        if !self.needs[id] {
            return;
        }
        if let Some((param, offset)) = self.parameter_view(id) {
            self.gradients.borrow_mut().push(GradientOf { param, offset, node: gradient.id });
            return;
        }
        let known = self.adjoints.borrow()[id];
        let sum = known.map_or(gradient, |k| self.builder.value(k) + gradient);
        self.adjoints.borrow_mut()[id] = Some(sum.id);
    }
}

/// The parameter of which a node is all or a range of rows, and at which element that begins.
pub(crate) fn parameter_view(graph: &Graph, id: NodeId) -> Option<(usize, usize)> {
    let node = &graph.nodes[id];
    match &node.op {
        Op::Param(index) => Some((*index, 0)),
        Op::Apply(primitive) => {
            let start = match primitive.evaluation() {
                Evaluation::Row(RowOp::Along { what: Along::Part { from }, axis: 0 }) => {
                    from * node.ty.shape[1..].iter().product::<usize>()
                }
                Evaluation::Row(RowOp::Copy) => 0,
                _ => return None,
            };
            let (param, offset) = parameter_view(graph, node.args[0])?;
            Some((param, offset + start))
        }
        _ => None,
    }
}

/// What a VJP sees: the values of its node, the gradient of its result, and where to give the gradients of arguments.
pub struct Vjp<'a> {
    shared: &'a Shared<'a>,
    id: NodeId,
    grad: Value<'a>,
}

impl<'a> Vjp<'a> {
    fn arg_id(&self, i: usize) -> NodeId {
        self.shared.forward.nodes[self.id].args[i]
    }

    /// The number of arguments.
    pub fn count(&self) -> usize {
        self.shared.forward.nodes[self.id].args.len()
    }

    /// The value of argument `i`.
    pub fn arg(&self, i: usize) -> Value<'a> {
        self.shared.value(self.arg_id(i))
    }

    /// The type of argument `i`.
    pub fn ty(&self, i: usize) -> Type {
        self.shared.forward.ty(self.arg_id(i)).clone()
    }

    /// The value of the node itself.
    pub fn out(&self) -> Value<'a> {
        self.shared.value(self.id)
    }

    /// The gradient of the node's value.
    pub fn grad(&self) -> Value<'a> {
        self.grad
    }

    /// Zeros in the shape of argument `i`.
    pub fn zero(&self, i: usize) -> Value<'a> {
        self.shared.builder.constant(0.0, &self.ty(i).shape)
    }

    /// The graph that is being written.
    pub fn builder(&self) -> &'a Builder {
        self.shared.builder
    }

    /// No argument has a gradient.
    pub fn nothing(&self) {}

    /// Adds `gradient` to that of argument `i`.
    pub fn give(&self, i: usize, gradient: Value<'a>) {
        self.give_with(i, |_| gradient);
    }

    /// As [`Vjp::give`], computing the gradient only where it is of use.
    pub fn give_with(&self, i: usize, gradient: impl FnOnce(&Self) -> Value<'a>) {
        let arg = self.arg_id(i);
        if self.shared.needs[arg] {
            let gradient = gradient(self);
            // A parameter that meets varying values collects its gradient over all steps and samples.
            let collected = self.shared.forward.nodes[self.id].varies && !self.shared.forward.nodes[arg].varies;
            let gradient = if collected { self.builder().apply(AccumulateSum, &[gradient]) } else { gradient };
            self.shared.add(arg, gradient);
        }
    }

    /// Gives a parameter a gradient that is summed over steps and samples by `accumulate`.
    pub fn give_parameter(
        &self,
        i: usize,
        accumulate: impl Primitive + 'static,
        args: impl FnOnce(&Self) -> Vec<Value<'a>>,
    ) {
        let arg = self.arg_id(i);
        if self.shared.needs[arg] {
            let gradient = self.builder().apply(accumulate, &args(self));
            self.shared.add(arg, gradient);
        }
    }
}
