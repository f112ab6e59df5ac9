//! Gradients equal central differences in float64, for every cell and layer.

mod cells;
mod differences;

use cells::configurations;
use differences::check;

fn recurrent(cell: &str, options: &str, extra: &str) -> String {
    let comma = if extra.is_empty() { "" } else { "," };
    format!(
        r#"{{"prefix":false,"layers":[{{"layer":"recurrent","cell":"{cell}","options":{{"input_size":3,"hidden_size":5{options}}}{comma}{extra}}}]}}"#
    )
}

#[test]
fn cells() {
    for configuration in configurations(3, 5) {
        check(&configuration.spec(""), 3, None, None);
        check(&configuration.spec(""), 3, Some(&[2, 0, 19]), None);
    }
}

#[test]
fn stacks_and_directions() {
    for cell in ["elman", "lstm", "gru"] {
        check(&recurrent(cell, "", r#""num_layers":2"#), 3, Some(&[19, 4, 18]), None);
        check(&recurrent(cell, "", r#""num_layers":2,"bidirectional":true"#), 3, Some(&[7, 0, 19]), Some(16));
        check(&recurrent(cell, "", r#""num_layers":3,"residual":true"#), 3, None, Some(16));
        check(&recurrent(cell, "", r#""num_layers":3,"dense":true"#), 3, None, None);
        check(
            &recurrent(cell, "", r#""num_layers":2,"dense":true,"bidirectional":true"#),
            3,
            Some(&[7, 0, 19]),
            Some(16),
        );
    }
}

#[test]
fn layers() {
    let spec = r#"{"prefix":true,"layers":[{"layer":"linear","in_features":4,"out_features":3},{"layer":"layer_norm","features":3},
        {"layer":"recurrent","cell":"gru","options":{"input_size":3,"hidden_size":5}},{"layer":"last"},{"layer":"linear","in_features":5,"out_features":2}]}"#;
    check(spec, 4, None, None);
    check(spec, 4, Some(&[19, 0, 3]), Some(16));
}
