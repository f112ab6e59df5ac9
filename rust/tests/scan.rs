//! Time in parallel: equal to the plain loop within a bound, to itself to the bit.

use rnnrs::graph::{Builder, Init, to_json};
use rnnrs::kernels::{Element, Isa};
use rnnrs::layers::Spec;
use rnnrs::{Gradients, Input, Model, Options, Values};
use serde_json::json;

const INIT: Init = Init::Uniform(0.7);

/// h' = σ(A x) h + B x.
fn gated(g: &Builder) {
    let (x, h) = (g.input("x", &[3]), g.state("h", &[5]));
    let next = x.linear(g.param("a", &[5, 3], INIT)).sigmoid() * h + x.linear(g.param("b", &[5, 3], INIT));
    g.next(h, next);
    g.output(next.tanh() * next);
}

/// Two states that turn into one another, at a rate that the input sets.
fn turning(g: &Builder) {
    let (x, re, im) = (g.input("x", &[3]), g.state("re", &[5]), g.state("im", &[5]));
    let angle = x.linear(g.param("a", &[5, 3], INIT));
    let (c, s) = (angle.cos() * 0.99, angle.sin() * 0.99);
    let u = x.linear(g.param("b", &[5, 3], INIT));
    let (next_re, next_im) = (c * re - s * im + u, s * re + c * im);
    g.next(re, next_re);
    g.next(im, next_im);
    g.output(next_re * 2.0 - next_im);
}

/// A forget gate that sees the inputs of three steps.
fn delayed(g: &Builder) {
    let x = g.input("x", &[3]);
    let (c, p, q) = (g.state("c", &[5]), g.state("p", &[5]), g.state("q", &[5]));
    let z = x.linear(g.param("w0", &[5, 3], INIT)) + p;
    let next = z.sigmoid() * c + z.tanh();
    g.next(c, next);
    g.next(p, x.linear(g.param("w1", &[5, 3], INIT)) + q);
    g.next(q, x.linear(g.param("w2", &[5, 3], INIT)));
    g.output(next);
}

fn spec(body: Body, scan: &str, bidirectional: bool) -> String {
    let g = Builder::new("cell");
    body(&g);
    let graph = to_json(&g.finish().unwrap());
    json!({"prefix": false, "layers": [{"layer": "recurrent", "cell": "own", "graphs": [graph], "options": {},
        "scan": scan, "bidirectional": bidirectional}]})
    .to_string()
}

fn numbers(count: usize, seed: usize) -> Vec<f64> {
    let number = |i: usize| {
        let x = ((seed * 7919 + i) as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        ((x ^ (x >> 29)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..count).map(number).collect()
}

const STEPS: usize = 700;
const ROWS: usize = 3;

type Run<E> = (Vec<E>, Vec<Vec<E>>, Gradients<E>);

fn run<E: Element>(spec: &str, isa: Isa, lengths: Option<&[i64]>, checkpoint: Option<usize>) -> Run<E> {
    let model = Model::<E>::with_isa(Spec::parse(spec).unwrap(), 7, isa).unwrap();
    let of = |count, seed| numbers(count, seed).into_iter().map(E::from_f64).collect::<Vec<E>>();
    let x = of(STEPS * ROWS * 3, 0);
    let states: Vec<Vec<E>> = (0..model.chain.states.len()).map(|i| of(ROWS * 5, i + 1)).collect();
    let state: Vec<&[E]> = states.iter().map(|s| &s[..]).collect();
    let input = Input { values: Values::Float(&x), steps: STEPS, rows: ROWS, batch_first: false };
    let options = Options { lengths, ..Options::default() };
    let tape = model.record(input, Some(&state), options, checkpoint).unwrap();
    let plain = model.forward(input, Some(&state), options).unwrap();
    assert!(plain.y == tape.y && plain.states == tape.states, "a call is a recording without a tape");
    let dstate: Vec<Vec<E>> = (0..states.len()).map(|i| of(ROWS * 5, i + 11)).collect();
    let dstate: Vec<Option<&[E]>> = dstate.iter().map(|s| Some(&s[..])).collect();
    let gradients = model.backward(&tape, &of(tape.y.len(), 5), Some(&dstate), true, None).unwrap();
    (tape.y.clone(), tape.states.clone(), gradients)
}

fn close(what: &str, a: &[f64], b: &[f64]) {
    let scale = b.iter().fold(1.0, |most: f64, b| most.max(b.abs()));
    for (k, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= 1e-12 * scale, "{what}[{k}]: parallel {a}, loop {b}");
    }
}

type Body = fn(&Builder);

const CELLS: [(&str, Body); 3] = [("gated", gated), ("turning", turning), ("delayed", delayed)];
const LENGTHS: [Option<&[i64]>; 3] = [None, Some(&[700, 256, 300]), Some(&[0, 1, 513])];

#[test]
fn equal_to_the_loop_within_a_bound() {
    for (name, body) in CELLS {
        for bidirectional in [false, true] {
            for lengths in LENGTHS {
                let both = ["parallel", "loop"]
                    .map(|scan| run::<f64>(&spec(body, scan, bidirectional), Isa::Scalar, lengths, None));
                let [a, b] = &both;
                close(&format!("{name}: y"), &a.0, &b.0);
                a.1.iter().zip(&b.1).for_each(|(a, b)| close(&format!("{name}: state"), a, b));
                close(&format!("{name}: dx"), a.2.x.as_ref().unwrap(), b.2.x.as_ref().unwrap());
                a.2.states.iter().zip(&b.2.states).for_each(|(a, b)| close(&format!("{name}: dstate"), a, b));
                close(&format!("{name}: gradients"), a.2.params.slice(), b.2.params.slice());
            }
        }
    }
}

fn bits<E: Element>(run: &Run<E>) -> Vec<u64> {
    let flat = run.0.iter().chain(run.1.iter().flatten()).chain(run.2.x.iter().flatten());
    let flat = flat.chain(run.2.states.iter().flatten()).chain(run.2.params.slice());
    flat.map(|x| x.to_f64().to_bits()).collect()
}

#[test]
fn the_same_bits_on_every_path_with_any_threads_and_checkpoints() {
    for (name, body) in CELLS {
        let spec = spec(body, "parallel", true);
        let all: Vec<(String, Vec<u64>)> = Isa::ALL
            .into_iter()
            .filter(|isa| isa.available())
            .flat_map(|isa| [1, 2, 5].map(|threads| (isa, threads)))
            .flat_map(|(isa, threads)| [None, Some(64)].map(|checkpoint| (isa, threads, checkpoint)))
            .map(|(isa, threads, checkpoint)| {
                rnnrs::engine::set_num_threads(threads).unwrap();
                let run = run::<f32>(&spec, isa, LENGTHS[1], checkpoint);
                (format!("{name}: {isa:?}, {threads} threads, checkpoint {checkpoint:?}"), bits(&run))
            })
            .collect();
        for (what, bits) in &all {
            assert!(*bits == all[0].1, "{what}: expected the bits of {}", all[0].0);
        }
    }
}

#[test]
fn a_recurrence_that_is_not_linear_is_refused() {
    for (cell, what) in [("elman", "linear"), ("lstm", "linear")] {
        let text = json!({"prefix": false, "layers": [{"layer": "recurrent", "cell": cell,
            "options": {"input_size": 3, "hidden_size": 5}, "scan": "parallel"}]});
        let error = Model::<f32>::new(Spec::parse(&text.to_string()).unwrap(), 1).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains(cell), "{error}");
    }
}
