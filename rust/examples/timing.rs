//! How long training steps and streaming steps take: `cargo run --release --example timing`.

use rnnrs::layers::Spec;
use rnnrs::{Input, Model, Options, Stream, Values};
use std::sync::Arc;
use std::time::Instant;

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn train(cell: &str, options: &str, inputs: usize, hidden: usize, rows: usize, steps: usize) {
    let spec = format!(
        r#"{{"prefix":false,"layers":[{{"layer":"recurrent","cell":"{cell}","options":{{"input_size":{inputs},"hidden_size":{hidden}{options}}}}}]}}"#
    );
    let model = Model::<f32>::new(Spec::parse(&spec).unwrap(), 1).unwrap();
    let x = vec![0.1f32; steps * rows * inputs];
    let dy = vec![0.1f32; steps * rows * hidden];
    let (mut forward, mut backward) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        let start = Instant::now();
        let input = Input { values: Values::Float(&x), steps, rows, batch_first: false };
        let tape = model.record(input, None, Options::default(), None).unwrap();
        let middle = Instant::now();
        let gradients = model.backward(&tape, &dy, None, true, None).unwrap();
        backward.push(middle.elapsed().as_secs_f64() * 1e3);
        forward.push((middle - start).as_secs_f64() * 1e3);
        assert!(gradients.params.slice()[0].is_finite());
        model.recycle(tape);
    }
    println!(
        "train {cell}{options} I{inputs} H{hidden} B{rows} T{steps}: forward {:.2} ms, backward {:.2} ms",
        median(forward),
        median(backward)
    );
}

fn stream(hidden: usize) {
    let spec = format!(
        r#"{{"prefix":false,"layers":[{{"layer":"recurrent","cell":"lstm","options":{{"input_size":{hidden},"hidden_size":{hidden}}}}}]}}"#
    );
    let model = Arc::new(Model::<f32>::new(Spec::parse(&spec).unwrap(), 1).unwrap());
    let mut stream = Stream::new(model, 1).unwrap();
    let (x, mut y) = (vec![0.1f32; hidden], vec![0.0f32; hidden]);
    let mut times = Vec::new();
    for _ in 0..9 {
        let start = Instant::now();
        for _ in 0..10_000 {
            stream.step_float(&x, &mut y).unwrap();
        }
        times.push(start.elapsed().as_secs_f64() * 1e2);
    }
    println!("stream lstm H{hidden}: {:.3} µs a step", median(times));
}

fn main() {
    train("lstm", "", 128, 128, 32, 100);
    train("lstm", r#","peephole":true"#, 128, 128, 32, 100);
    train("gru", "", 128, 128, 32, 100);
    train("elman", "", 128, 128, 32, 100);
    train("lstm", "", 1, 64, 64, 1000);
    train("lstm", "", 4, 32, 1, 1000);
    train("lstm", "", 512, 512, 64, 100);
    [16, 32, 64, 128].into_iter().for_each(stream);
}
