//! Exact gradients against central differences in float64.

use rnnrs::layers::Spec;
use rnnrs::{Input, Model, Options, Values};

/// A number in [-1, 1) that depends on its index alone.
fn number(index: usize) -> f64 {
    let x = (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((x ^ (x >> 29)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

fn numbers(count: usize, from: usize) -> Vec<f64> {
    (0..count).map(|i| number(from + i)).collect()
}

/// Checks the gradients of a model (its specification) with respect to inputs, states and parameters.
pub fn check(spec: &str, width: usize, lengths: Option<&[i64]>, checkpoint: Option<usize>) {
    let model = Model::<f64>::new(Spec::parse(spec).unwrap(), 7).unwrap();
    let (steps, rows) = (19, 3);
    let mut x = numbers(steps * rows * width, 0);
    let states = model.chain.states.iter().enumerate();
    let mut state: Vec<Vec<f64>> = states.map(|(i, s)| numbers(rows * s.width, 500 + 100 * i)).collect();
    for (values, info) in state.iter_mut().zip(&model.chain.states) {
        // A normaliser is a sum of exponentials.
        if info.name == "n" {
            values.iter_mut().for_each(|value| *value = 0.5 + value.abs());
        }
    }
    let options = Options { lengths, ..Options::default() };
    let run = |x: &[f64], state: &[Vec<f64>]| {
        let input = Input { values: Values::Float(x), steps, rows, batch_first: false };
        let state: Vec<&[f64]> = state.iter().map(|s| &s[..]).collect();
        model.record(input, Some(&state), options, checkpoint).unwrap()
    };
    let tape = run(&x, &state);
    let dy = numbers(tape.y.len(), 1000);
    let dstate: Vec<Vec<f64>> = tape.states.iter().enumerate().map(|(i, s)| numbers(s.len(), 2000 + 100 * i)).collect();
    let given: Vec<Option<&[f64]>> = dstate.iter().map(|s| Some(&s[..])).collect();
    let gradients = model.backward(&tape, &dy, Some(&given), true, None).unwrap();
    let loss = |x: &[f64], state: &[Vec<f64>]| -> f64 {
        let tape = run(x, state);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        dot(&tape.y, &dy) + tape.states.iter().zip(&dstate).map(|(a, b)| dot(a, b)).sum::<f64>()
    };
    let h = 1e-6;
    let close = |what: &str, index: usize, analytic: f64, numeric: f64| {
        assert!(
            (analytic - numeric).abs() <= 1e-7 + 1e-6 * numeric.abs(),
            "{spec}: {what}[{index}]: analytic {analytic}, numeric {numeric}"
        );
    };
    for k in 0..x.len() {
        let old = x[k];
        x[k] = old + h;
        let up = loss(&x, &state);
        x[k] = old - h;
        let down = loss(&x, &state);
        x[k] = old;
        close("x", k, gradients.x.as_ref().unwrap()[k], (up - down) / (2.0 * h));
    }
    for s in 0..state.len() {
        for k in 0..state[s].len() {
            let old = state[s][k];
            state[s][k] = old + h;
            let up = loss(&x, &state);
            state[s][k] = old - h;
            let down = loss(&x, &state);
            state[s][k] = old;
            close(&format!("state {s}"), k, gradients.states[s][k], (up - down) / (2.0 * h));
        }
    }
    for slot in &model.chain.layout.slots {
        for k in slot.offset..slot.offset + slot.len {
            let shift = |by: f64| {
                let mut params = model.params_mut();
                params.memory.slice_mut()[k] += by;
                params.version += 1;
            };
            shift(h);
            let up = loss(&x, &state);
            shift(-2.0 * h);
            let down = loss(&x, &state);
            shift(h);
            close(&slot.name, k - slot.offset, gradients.params.slice()[k], (up - down) / (2.0 * h));
        }
    }
}
