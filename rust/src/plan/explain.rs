//! A plan in a form that a person can read.

use super::{Class, GradientFrom, Instruction, Place, Plan, Start};
use crate::graph::{Accumulation, Graph, NodeId, Op, RowOp};
use std::fmt::Write;

impl Plan {
    /// The plan as text: what runs in which phase, and what memory a step of one sample takes. v12 is node 12; in a
    /// backward plan f12 is node 12 of the forward plan, kept, and dy0 the gradient of the output. A program's nodes may be
    /// more than its operations, some of which are made as one.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        let when = if self.has_loop() { "each step" } else { "never: no state" };
        for (phase, when, list) in [
            ("prologue", "once a call", &self.prologue),
            ("before", "a chunk of steps at once", &self.before),
            ("step", when, &self.step),
            ("after", "a chunk of steps at once", &self.after),
        ] {
            self.write_phase(&mut text, phase, when, list);
        }
        let _ = writeln!(text, "  accumulate (all steps and samples)");
        if self.accumulate.is_empty() {
            let _ = writeln!(text, "    -");
        }
        for sum in &self.accumulate {
            let b = self.place(&sum.b.0);
            let names: Vec<String> = sum.nodes.iter().map(|(node, _)| format!("v{node}")).collect();
            let names = names.join(", ");
            let _ = match (sum.kind, &sum.a) {
                (Accumulation::Outer, Some(a)) => writeln!(
                    text,
                    "    {names} = Σ {}ᵀ · {b}   ({} x {}){}",
                    self.place(&a.0),
                    sum.rows,
                    sum.b.1,
                    if sum.swapped { ", transposed" } else { "" }
                ),
                (Accumulation::Rows, Some(a)) => {
                    writeln!(text, "    {names} = Σ {b} at row {}   ({} x {})", self.place(&a.0), sum.rows, sum.b.1)
                }
                _ => writeln!(text, "    {names} = Σ {b}   ({})", sum.b.1),
            };
        }
        self.write_phase(&mut text, "epilogue", "once a call", &self.epilogue);
        let per_step = |class: fn(&Class) -> bool| -> usize {
            self.buffers.iter().filter(|b| class(&b.class)).map(|b| b.stride).sum()
        };
        let _ = writeln!(
            text,
            "  memory in elements: kept {} a sample and step, chunk {} a sample and step, step {} a sample",
            per_step(|c| matches!(c, Class::Segment)),
            per_step(|c| matches!(c, Class::Chunk | Class::Track(_))),
            per_step(|c| matches!(c, Class::Temp)),
        );
        for part in &self.gradients {
            let from = match part.from {
                GradientFrom::Total { sum, column, .. } => {
                    let mut nodes = self.accumulate[sum].nodes.iter();
                    nodes.find(|node| node.1 == column).map_or(String::new(), |(node, _)| format!("v{node}"))
                }
                GradientFrom::Row(place, _) => self.place(&place),
            };
            let _ = writeln!(text, "  gradient of {}[{}..] += {from}", self.graph.params[part.param].name, part.offset);
        }
        text
    }

    fn write_phase(&self, text: &mut String, phase: &str, when: &str, list: &[Instruction]) {
        let _ = writeln!(text, "  {phase} ({when})");
        if list.is_empty() {
            let _ = writeln!(text, "    -");
        }
        for instruction in list {
            match instruction {
                Instruction::Gemm { terms, start, out, pack, nodes } => {
                    let start = match start {
                        Start::Zero => "0".to_string(),
                        Start::At(place) => self.place(place),
                    };
                    let products: Vec<String> =
                        terms.iter().map(|t| format!("{}[{}] · W", self.place(&t.place), t.k)).collect();
                    let columns = self.packs[*pack].columns;
                    let _ = writeln!(
                        text,
                        "    gemm   {} = {start} + {}   ({columns} columns, nodes {nodes:?})",
                        self.place(out),
                        products.join(" + ")
                    );
                }
                Instruction::Block { width, ops, temporaries, nodes, .. } => {
                    let _ = writeln!(
                        text,
                        "    block  {} operations on width {width}, {temporaries} temporaries",
                        ops.len()
                    );
                    for &id in nodes {
                        let _ = writeln!(text, "             {}", describe(&self.graph, id));
                    }
                }
                Instruction::Row { op: RowOp::Copy, args, out, width, .. } => {
                    let _ = writeln!(text, "    copy   {}[{width}] = {}", self.place(out), self.place(&args[0].0));
                }
                Instruction::Row { node, .. } => {
                    let _ = writeln!(text, "    row    {}", describe(&self.graph, *node));
                }
            }
        }
    }

    fn place(&self, place: &Place) -> String {
        let offset = if place.offset == 0 { String::new() } else { format!("+{}", place.offset) };
        match self.buffers[place.buffer].class {
            Class::Constant(number) => format!("{number}"),
            Class::Tensor(node) => format!("v{node}"),
            Class::Param(index) => format!("{}{offset}", self.graph.params[index].name),
            Class::Once | Class::Final => format!("once{}{offset}", place.buffer),
            Class::Temp => format!("step{}{offset}", place.buffer),
            Class::Chunk => format!("chunk{}{offset}", place.buffer),
            Class::Segment => format!("kept{}{offset}", place.buffer),
            Class::Track(index) => {
                format!("{}{}{offset}", self.graph.states[index].name, if place.later { "(t)" } else { "(t-1)" })
            }
            Class::External(index) => format!("{}{offset}", self.graph.inputs[index].name),
            Class::Total(index) => format!("total{index}"),
        }
    }
}

fn describe(graph: &Graph, id: NodeId) -> String {
    let name = |id: NodeId| match &graph.nodes[id].op {
        Op::Param(i) => graph.params[*i].name.clone(),
        Op::Input(i) => graph.inputs[*i].name.clone(),
        Op::State(i) => format!("{}(t-1)", graph.states[*i].name),
        Op::Constant(number) => format!("{number}"),
        Op::Apply(_) | Op::Tensor(_) => format!("v{id}"),
    };
    let node = &graph.nodes[id];
    let Op::Apply(primitive) = &node.op else { return name(id) };
    let args: Vec<String> = node.args.iter().map(|&a| name(a)).collect();
    format!("v{id} = {}({})", primitive.name(), args.join(", "))
}
