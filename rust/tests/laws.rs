//! The laws that hold to the bit, over random cells, options, shapes and lengths.

mod cells;

use cells::{Configuration, configurations};
use proptest::prelude::*;
use rnnrs::kernels::{Element, Isa};
use rnnrs::layers::Spec;
use rnnrs::{Gradients, Input, Model, Options, Stream, Values};
use std::sync::Arc;

/// A configuration of a model and a batch.
#[derive(Clone, Debug)]
struct Case {
    configuration: Configuration,
    inputs: usize,
    layers: usize,
    bidirectional: bool,
    steps: usize,
    lengths: Vec<i64>,
    seed: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (any::<usize>(), 1usize..40, 2usize..40, 1usize..3, any::<bool>(), 1usize..40, 1usize..7, any::<u64>());
    sizes.prop_flat_map(|(which, inputs, hidden, layers, bidirectional, steps, rows, seed)| {
        let pick = |inputs| {
            let mut all = configurations(inputs, hidden);
            all.swap_remove(which % all.len())
        };
        // Time is one of the inputs, beside another at least, and reaches the first layer alone.
        let (inputs, layers) =
            if pick(inputs).options["timestamps"] == true { (inputs.max(2), 1) } else { (inputs, layers) };
        let configuration = pick(inputs);
        proptest::collection::vec(0..=steps as i64, rows).prop_map(move |lengths| Case {
            configuration: configuration.clone(),
            inputs,
            layers,
            bidirectional,
            steps,
            lengths,
            seed,
        })
    })
}

impl Case {
    fn model<E: Element>(&self, isa: Isa) -> Model<E> {
        let Self { layers, bidirectional, .. } = self;
        let extra = format!(r#","num_layers":{layers},"bidirectional":{bidirectional},"dropout":0.1"#);
        let spec = self.configuration.spec(&extra);
        Model::with_isa(Spec::parse(&spec).unwrap(), self.seed, isa).unwrap()
    }

    fn numbers<E: Element>(&self, count: usize, salt: u64) -> Vec<E> {
        let mut numbers = vec![E::default(); count];
        rnnrs::random::fill_uniform(rnnrs::random::key(self.seed, "test", salt), -1.0, 1.0, &mut numbers);
        numbers
    }
}

/// Everything a training pass yields.
struct Results<E: Element> {
    y: Vec<E>,
    states: Vec<Vec<E>>,
    gradients: Gradients<E>,
}

fn train<E: Element>(
    model: &Model<E>,
    case: &Case,
    x: &[E],
    lengths: Option<&[i64]>,
    rows: usize,
    training: bool,
    checkpoint: Option<usize>,
) -> Results<E> {
    let input = Input { values: Values::Float(x), steps: case.steps, rows, batch_first: false };
    let tape = model.record(input, None, Options { lengths, training, ..Options::default() }, checkpoint).unwrap();
    let dy = case.numbers(tape.y.len(), 1);
    let gradients = model.backward(&tape, &dy, None, true, None).unwrap();
    Results { y: tape.y, states: tape.states, gradients }
}

fn bits<E: Element>(values: &[E]) -> Vec<u64> {
    values.iter().map(|v| v.to_f64().to_bits()).collect()
}

fn same<E: Element>(a: &Results<E>, b: &Results<E>) -> Result<(), TestCaseError> {
    prop_assert_eq!(bits(&a.y), bits(&b.y), "y");
    for (a, b) in a.states.iter().zip(&b.states).chain(a.gradients.states.iter().zip(&b.gradients.states)) {
        prop_assert_eq!(bits(a), bits(b), "states");
    }
    prop_assert_eq!(bits(a.gradients.x.as_ref().unwrap()), bits(b.gradients.x.as_ref().unwrap()), "dx");
    prop_assert_eq!(bits(a.gradients.params.slice()), bits(b.gradients.params.slice()), "gradients");
    Ok(())
}

fn paths() -> Vec<Isa> {
    [Isa::Scalar, Isa::Avx2, Isa::Avx512, Isa::Neon].into_iter().filter(|&isa| f32::kernels(isa).is_some()).collect()
}

fn paths_agree<E: Element>(case: &Case) -> Result<(), TestCaseError> {
    let rows = case.lengths.len();
    let x: Vec<E> = case.numbers(case.steps * rows * case.inputs, 0);
    let run = |isa| train(&case.model::<E>(isa), case, &x, Some(&case.lengths), rows, true, None);
    let scalar = run(Isa::Scalar);
    for isa in paths() {
        same(&scalar, &run(isa))?;
    }
    Ok(())
}

/// Rows `row` of a (steps, rows, width) array.
fn row_of<E: Copy>(values: &[E], rows: usize, width: usize, row: usize, steps: usize) -> Vec<E> {
    (0..steps).flat_map(|t| values[(t * rows + row) * width..][..width].to_vec()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(std::env::var("PROPTEST_CASES").ok().and_then(|v| v.parse().ok()).unwrap_or(24)))]

    #[test]
    fn simd_paths(case in cases()) {
        paths_agree::<f32>(&case)?;
        paths_agree::<f64>(&case)?;
    }

    #[test]
    fn threads_and_checkpoints(case in cases()) {
        let rows = case.lengths.len();
        let x: Vec<f32> = case.numbers(case.steps * rows * case.inputs, 0);
        let model = case.model::<f32>(paths()[paths().len() - 1]);
        let whole = train(&model, &case, &x, Some(&case.lengths), rows, true, None);
        for threads in 2..=4 {
            rnnrs::engine::set_num_threads(threads).unwrap();
            same(&whole, &train(&model, &case, &x, Some(&case.lengths), rows, true, None))?;
            same(&whole, &train(&model, &case, &x, Some(&case.lengths), rows, true, Some(threads * 8)))?;
        }
    }

    #[test]
    fn a_row_alone(case in cases()) {
        let rows = case.lengths.len();
        let mut x: Vec<f32> = case.numbers(case.steps * rows * case.inputs, 0);
        for (row, &length) in case.lengths.iter().enumerate() {
            for t in length as usize..case.steps {
                x[(t * rows + row) * case.inputs..][..case.inputs].fill(f32::NAN);
            }
        }
        let model = case.model::<f32>(paths()[paths().len() - 1]);
        let input = Input { values: Values::Float(&x), steps: case.steps, rows, batch_first: false };
        let options = Options { lengths: Some(&case.lengths), ..Options::default() };
        let batch = model.forward(input, None, options).unwrap();
        for (row, &length) in case.lengths.iter().enumerate() {
            let length = length as usize;
            let alone = row_of(&x, rows, case.inputs, row, length);
            let input = Input { values: Values::Float(&alone), steps: length, rows: 1, batch_first: false };
            let single = model.forward(input, None, Options::default()).unwrap();
            let width = model.chain.output;
            let mut expected = single.y.clone();
            expected.resize(case.steps * width, 0.0);
            prop_assert_eq!(bits(&row_of(&batch.y, rows, width, row, case.steps)), bits(&expected));
            for (all, one) in batch.states.iter().zip(&single.states) {
                prop_assert_eq!(bits(&all[row * one.len()..][..one.len()]), bits(one));
            }
        }
    }

    #[test]
    fn chunks_and_steps(case in cases(), cut in 0usize..40) {
        let mut case = case;
        case.bidirectional = false;
        let rows = case.lengths.len();
        let cut = cut.min(case.steps);
        let x: Vec<f32> = case.numbers(case.steps * rows * case.inputs, 0);
        let model = Arc::new(case.model::<f32>(paths()[paths().len() - 1]));
        let run = |x: &[f32], steps: usize, state: Option<&[&[f32]]>| {
            model.forward(Input { values: Values::Float(x), steps, rows, batch_first: false }, state, Options::default()).unwrap()
        };
        let whole = run(&x, case.steps, None);
        let first = run(&x[..cut * rows * case.inputs], cut, None);
        let states: Vec<&[f32]> = first.states.iter().map(|s| &s[..]).collect();
        let second = run(&x[cut * rows * case.inputs..], case.steps - cut, Some(&states));
        let joined: Vec<f32> = first.y.iter().chain(&second.y).copied().collect();
        prop_assert_eq!(bits(&whole.y), bits(&joined));
        let mut stream = Stream::new(model.clone(), rows).unwrap();
        let mut y = vec![0.0; rows * model.chain.output];
        for t in 0..case.steps {
            stream.step_float(&x[t * rows * case.inputs..][..rows * case.inputs], &mut y).unwrap();
            prop_assert_eq!(bits(&y), bits(&whole.y[t * y.len()..][..y.len()]), "step {}", t);
        }
        for ((whole, second), stream) in whole.states.iter().zip(&second.states).zip(stream.states()) {
            prop_assert_eq!(bits(whole), bits(second));
            prop_assert_eq!(bits(whole), bits(&stream));
        }
    }

    #[test]
    fn save_and_load(case in cases()) {
        let model = case.model::<f64>(Isa::Scalar);
        let bytes = model.to_bytes(&Default::default()).unwrap();
        let container = rnnrs::file::Container::from_bytes(&bytes).unwrap();
        let (loaded, _) = Model::<f64>::from_container(container, false).unwrap();
        prop_assert_eq!(&loaded.to_bytes(&Default::default()).unwrap(), &bytes);
        let x: Vec<f64> = case.numbers(case.steps * case.inputs, 0);
        let run = |model: &Model<f64>| {
            model.forward(Input { values: Values::Float(&x), steps: case.steps, rows: 1, batch_first: true }, None, Options::default()).unwrap().y
        };
        prop_assert_eq!(bits(&run(&model)), bits(&run(&loaded)));
    }
}

#[test]
fn a_bound_is_in_the_file() {
    let configuration = configurations(2, 3).into_iter().find(|c| c.options["steps"] == 20).unwrap();
    let model = Model::<f32>::new(Spec::parse(&configuration.spec("")).unwrap(), 0).unwrap();
    let bytes = model.to_bytes(&Default::default()).unwrap();
    let (loaded, _) = Model::<f32>::from_container(rnnrs::file::Container::from_bytes(&bytes).unwrap(), false).unwrap();
    let bounds = |model: &Model<f32>| -> Vec<_> {
        model.chain.layout.slots.iter().map(|slot| (slot.name.clone(), slot.bound)).collect()
    };
    // 2^(1/20)
    let bound = bounds(&loaded).into_iter().find(|b| b.0 == "weight_hh_l0").unwrap().1.unwrap();
    assert!((bound - 1.035_264_923_841_377_6).abs() < 1e-15);
    assert_eq!(bounds(&loaded), bounds(&model));
    assert_eq!(bounds(&model).iter().filter(|b| b.1.is_some()).count(), 1);
}
