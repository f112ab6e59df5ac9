//! The history compressor: level by level equals step by step, the way back is exact, and what is no event is refused.

use proptest::prelude::*;
use rnnrs::Model;
use rnnrs::history::{Alphabet, Compressor, Content, Event, Settings};
use rnnrs::layers::Spec;
use std::sync::Arc;

/// A stack of untrained GRUs whose weights are large enough to say various things.
fn stack(levels: usize, symbols: usize, max_gap: usize, seed: u64) -> Compressor<f32> {
    let settings = Settings { alphabet: Alphabet::Symbols(symbols), max_gap, threshold: None };
    let net = |level: usize| {
        let width = settings.width(level);
        let spec = format!(
            r#"{{"prefix": true, "layers": [
                {{"layer": "recurrent", "cell": "gru", "options": {{"input_size": {width}, "hidden_size": 5}}}},
                {{"layer": "linear", "in_features": 5, "out_features": {width}}}]}}"#
        );
        let model = Model::<f32>::new(Spec::parse(&spec).unwrap(), seed + level as u64).unwrap();
        let mut params = model.params_mut();
        params.memory.slice_mut().iter_mut().for_each(|weight| *weight *= 4.0);
        params.version += 1;
        drop(params);
        Arc::new(model)
    };
    Compressor::new(settings, (0..levels).map(net).collect()).unwrap()
}

fn inputs(symbols: &[usize]) -> Vec<Event<f32>> {
    symbols.iter().map(|&s| Event { gaps: Vec::new(), content: Content::Symbol(s) }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_way_back_is_exact(
        text in prop::collection::vec(0usize..3, 0..80),
        levels in 1usize..4,
        max_gap in 1usize..5,
        seed in 0u64..1000,
    ) {
        let stack = stack(levels, 3, max_gap, seed);
        let text = inputs(&text);
        let (top, counts) = stack.transform(&text).unwrap();
        prop_assert_eq!(counts[0], text.len());
        prop_assert_eq!(stack.inverse(&top, &counts).unwrap(), text);
    }

    #[test]
    fn level_by_level_equals_step_by_step(text in prop::collection::vec(0usize..3, 0..80), seed in 0u64..1000) {
        let stack = stack(3, 3, 4, seed);
        let text = inputs(&text);
        let (top, counts) = stack.transform(&text).unwrap();
        let mut events = text;
        for (level, &count) in counts.iter().enumerate() {
            prop_assert_eq!(events.len(), count);
            events = stack.hand_up(level, &events).unwrap();
        }
        prop_assert_eq!(events, top);
    }

    #[test]
    fn what_is_no_event_is_refused_or_read(
        gaps in prop::collection::vec(0usize..9, 0..4),
        symbol in 0usize..6,
        counts in prop::collection::vec(0usize..40, 2),
    ) {
        // Whatever is given: an error or a sequence of the length that was told, and no panic.
        let stack = stack(2, 3, 4, 1);
        let event = Event { gaps, content: Content::Symbol(symbol) };
        if let Ok(made) = stack.inverse(&[event], &counts) {
            prop_assert_eq!(made.len(), counts[0]);
        }
    }
}

#[test]
fn nets_must_fit_their_levels() {
    let stack = stack(2, 3, 4, 0);
    let levels = vec![stack.levels[1].clone(), stack.levels[0].clone()];
    let error = Compressor::new(stack.settings, levels).unwrap_err().to_string();
    assert!(error.contains("net of level 0") && error.contains("3 numbers in and 3 out"), "{error}");
}
