//! Every primitive within a cell: its gradient equals central differences in float64.

mod differences;

use differences::check;
use rnnrs::graph::primitives::{
    Argmax, Argsort, Cumprod, Cumsum, Equal, Gather, Pick, Place, Roll, ScatterAdd, Solve, TABLE, Take,
};
use rnnrs::graph::{Builder, Init, Value, to_json};
use serde_json::json;

/// Six numbers that the input, the state and parameters make, to the vector that a primitive made of them.
type Body = for<'b> fn(&'b Builder, Value<'b>) -> Value<'b>;

/// A cell around a primitive: h' = tanh(U body(z)) with z = W x + R h + b of width 6.
fn cell(name: &str, body: Body) -> String {
    let g = Builder::new(name);
    let (x, h) = (g.input("x", &[3]), g.state("h", &[5]));
    let init = Init::Uniform(0.6);
    let z = x.linear(g.param("w", &[6, 3], init)) + h.linear(g.param("r", &[6, 5], init)) + g.param("b", &[6], init);
    let made = body(&g, z);
    let flat = made.reshape(&[made.width()]);
    let next = flat.linear(g.param("u", &[5, flat.width()], init)).tanh();
    g.next(h, next);
    g.output(next);
    let graph = g.finish().unwrap_or_else(|e| panic!("{name}: {e}"));
    json!({"prefix": false, "layers": [{"layer": "recurrent", "cell": "own", "graphs": [to_json(&graph)],
        "options": {}}]})
    .to_string()
}

fn matrix<'b>(z: Value<'b>) -> Value<'b> {
    z.reshape(&[2, 3])
}

const BODIES: &[(&str, Body)] = &[
    ("add sub mul div neg", |_, z| (z + 1.0) * (z - 2.0) / (z * z + 1.5) + -z),
    ("sigmoid tanh exp softplus", |_, z| z.sigmoid() * z.tanh() + (z * 0.5).exp() - z.softplus()),
    ("log sqrt", |_, z| (z * z + 1.0).log() + (z * z + 0.5).sqrt()),
    ("relu greater select", |g, z| z.greater(g.constant(0.1, &[6])).select(z.relu(), z * 3.0)),
    ("equal", |g, z| g.apply(Equal, &[z, z]) * z),
    ("sin cos", |_, z| z.sin() * 2.0 - (z * 1.5).cos()),
    ("abs sign floor", |_, z| z.abs() * z.sign() * 2.0 + (z * 3.0).floor() * 0.1 + z.abs()),
    ("minimum maximum", |_, z| z.minimum(z * z) + (z * 0.7).maximum(z.tanh() * 2.0)),
    ("sum max broadcast", |_, z| z * z.sum() + z.max() * 0.5 + z.mean()),
    ("sum along axes", |g, z| {
        g.concat(&[matrix(z * z).sum_axis(0), matrix(z).sum_axis(1), z.sum_axis(0).broadcast(&[1])], 0)
    }),
    ("max along axes", |g, z| g.concat(&[matrix(z).max_axis(0), matrix(z).max_axis(1)], 0)),
    ("broadcast along axes", |_, z| {
        z.slice(0, 3).broadcast_axis(&[2, 3], 0) * z.slice(3, 5).broadcast_axis(&[2, 3], 1)
    }),
    ("slice pad", |_, z| z.slice(1, 4).pad(2, 6) * z + matrix(z).slice_axis(1, 1, 3).reshape(&[4]).pad(0, 6)),
    ("concat", |g, z| g.concat(&[matrix(z), matrix(z * z), matrix(z).slice_axis(1, 0, 1)], 1)),
    ("concat of rows", |g, z| g.concat(&[matrix(z), matrix(z.sin()).slice(0, 1)], 0)),
    ("reshape transpose", |_, z| matrix(z).transpose() * (z * z).reshape(&[3, 2])),
    ("matmul", |_, z| {
        let (a, b) = (matrix(z), matrix(z.tanh()));
        a.matmul(b.transpose()).matmul(b)
    }),
    ("matmul transposed", |g, z| {
        let (a, b) = (matrix(z), matrix(z.tanh()));
        let product = |transposed, l: Value<'_>, r: Value<'_>| {
            g.apply(rnnrs::graph::primitives::MatMul { transposed }, &[g.value(l.id), g.value(r.id)])
        };
        let parts =
            [product([false, true], a, b), product([true, false], a, b), product([true, true], a, b.reshape(&[3, 2]))];
        g.concat(&parts.map(|p| p.reshape(&[p.width()])), 0)
    }),
    ("outer and matvec", |_, z| z.slice(0, 3).outer(z.slice(2, 6)).matvec(z.slice(1, 5))),
    ("bilinear", |g, z| z.slice(0, 4).bilinear(z.slice(3, 6), g.param("t", &[3, 4, 3], Init::Uniform(0.5)))),
    ("solve", |g, z| {
        let a = z.slice(0, 4).reshape(&[2, 2]) * 0.3 + g.tensor(&[1.0, 0.5, -0.5, 2.0], &[2, 2]);
        let solve = |transposed| g.apply(Solve { transposed }, &[a, z.slice(4, 6)]);
        g.concat(&[solve(false), solve(true)], 0)
    }),
    ("cumsum", |g, z| {
        let sums = |axis, reverse| g.apply(Cumsum { axis, reverse }, &[matrix(z)]);
        g.concat(&[sums(0, false), sums(1, true), sums(1, false)], 1)
    }),
    ("cumprod", |g, z| {
        // A zero among the factors: the gradient does not divide by it.
        let factors = z * g.tensor(&[1.0, 1.0, 0.0, 1.0, 1.0, 1.0], &[6]);
        g.apply(Cumprod { axis: 0 }, &[factors]) + g.apply(Cumprod { axis: 1 }, &[matrix(factors)]).reshape(&[6])
    }),
    ("roll", |g, z| {
        g.apply(Roll { axis: 0, shift: -8 }, &[z]) * g.apply(Roll { axis: 1, shift: 1 }, &[matrix(z)]).reshape(&[6])
    }),
    ("argsort take", |g, z| {
        let order = g.apply(Argsort { axis: 0 }, &[z]);
        g.apply(Take, &[z, order]) * g.tensor(&[1.0, -2.0, 3.0, 0.5, 2.0, -1.0], &[6])
    }),
    ("scatter_add", |g, z| {
        let order = g.apply(Argsort { axis: 0 }, &[z.slice(0, 3)]);
        g.apply(ScatterAdd { count: 4 }, &[z.slice(3, 6), order])
    }),
    ("argmax pick place gather", |g, z| {
        let largest = g.apply(Argmax { axis: 0 }, &[z]);
        let table = g.param("table", &[6, 4], Init::Uniform(1.0));
        let placed = g.apply(Place { width: 7 }, &[g.apply(Pick, &[z, largest]), largest]);
        g.concat(&[placed, g.apply(Gather, &[table, largest])], 0)
    }),
    ("a masked weight", |g, z| {
        let mask = g.tensor(&[1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.5, 1.0], &[2, 6]);
        z.linear(g.param("masked", &[2, 6], Init::Uniform(1.0)) * mask)
    }),
    ("a normalised weight", |g, z| {
        let v = g.param("v", &[4, 6], Init::Uniform(1.0));
        let norm = (v * v).sum_axis(1).sqrt();
        z.linear(v * (g.param("gain", &[4], Init::Uniform(1.0)) / norm).broadcast_axis(&[4, 6], 1))
    }),
    ("a weight of low rank", |g, z| {
        let (a, b) = (g.param("a", &[4, 2], Init::Uniform(1.0)), g.param("c", &[2, 6], Init::Uniform(1.0)));
        z.linear(a.matmul(b))
    }),
    ("a product of parameters", |g, z| {
        let code = g.param("code", &[3], Init::Uniform(1.0));
        z * code.linear(g.param("decode", &[6, 3], Init::Uniform(1.0))).tanh()
            + g.param("bias", &[1], Init::Uniform(1.0)).broadcast(&[6])
    }),
    ("given numbers as a weight", |g, z| {
        z.linear(g.tensor(&[0.5, 1.0, -1.0, 0.25, 2.0, -0.5, 1.0, 0.0, 0.0, 1.0, 1.0, -1.0], &[2, 6]))
    }),
];

#[test]
fn gradients() {
    for (name, body) in BODIES {
        let spec = cell(name, *body);
        check(&spec, 3, None, None);
        check(&spec, 3, Some(&[2, 0, 19]), Some(16));
    }
}

/// What has no place in a cell's own equations, or no gradient to compare.
const ELSEWHERE: &[&str] = &[
    "fma",
    "flush",
    "affine",
    "linear_transposed", // made by the planner and the reverse graph
    "accumulate_sum",
    "accumulate_outer",
    "accumulate_rows",
    "cumprod_gradient", // made by the reverse graph
    "stop",             // no gradient, where differences see one: tests/test_ops.py
    "step",             // a surrogate: tests/test_ops.py
    "bernoulli",
    "uniform",
    "normal", // no gradient: tests/test_random.py, tests/test_ops.py
];

#[test]
fn every_primitive_is_here() {
    let used: String = BODIES.iter().map(|(name, body)| cell(name, *body)).collect();
    for (name, ..) in TABLE {
        let found = used.contains(&format!(r#""primitive":"{name}""#));
        assert!(
            found != ELSEWHERE.contains(name),
            "{name}: expected in the cells above or in the list of others, once"
        );
    }
}
