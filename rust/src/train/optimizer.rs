//! Optimizers: an update rule, what it remembers of a model's parameters, and the bytes of both.

use std::any::Any;
use std::collections::BTreeMap;

use super::Parameter;
use super::rules::Rule;
use crate::error::{Error, Result};
use crate::file::{Container, Tensor};
use crate::kernels::Element;

/// An update rule and what it remembers of a model's parameters.
///
/// Made from JSON, one of
///
/// - `{"optimizer":"sgd","momentum":0.0,"nesterov":false,"weight_decay":0.0}`
/// - `{"optimizer":"rmsprop","alpha":0.99,"eps":1e-8,"momentum":0.0,"weight_decay":0.0}`
/// - `{"optimizer":"adagrad","eps":1e-10,"weight_decay":0.0}`
/// - `{"optimizer":"adam","beta1":0.9,"beta2":0.999,"eps":1e-8,"weight_decay":0.0}`
/// - `{"optimizer":"adamw","beta1":0.9,"beta2":0.999,"eps":1e-8,"weight_decay":0.0}`
///
/// where what is left out has the value above. Rules and settings mean what they mean in PyTorch. The first
/// [`Optimizer::step`] ties the state to the names, shapes and element type of the parameters.
#[derive(Clone, Debug)]
pub struct Optimizer {
    rule: Rule,
    updates: u64,
    state: Option<State>,
}

/// What is remembered of each parameter, in the model's order.
#[derive(Clone, Debug)]
struct State {
    /// Name and shape.
    parameters: Vec<(String, Vec<usize>)>,
    /// β₁ᵗ and β₂ᵗ of each parameter's updates so far; used by Adam alone.
    powers: Vec<[f64; 2]>,
    moments: Moments,
}

/// For each of the rule's moments, those of all parameters, one after the other.
#[derive(Clone, Debug)]
enum Moments {
    Float32(Vec<Vec<f32>>),
    Float64(Vec<Vec<f64>>),
}

impl Moments {
    fn dtype(&self) -> &'static str {
        match self {
            Self::Float32(_) => f32::NAME,
            Self::Float64(_) => f64::NAME,
        }
    }

    /// The values, where their type is `E`.
    fn values<E: Element>(&mut self) -> Option<&mut Vec<Vec<E>>> {
        let values: &mut dyn Any = match self {
            Self::Float32(values) => values,
            Self::Float64(values) => values,
        };
        values.downcast_mut()
    }
}

/// `count` vectors of `length` zeros.
fn zeros<T: Clone + Default>(count: usize, length: usize) -> Result<Vec<Vec<T>>> {
    let vector = |_| {
        let mut vector = Vec::new();
        vector
            .try_reserve_exact(length)
            .map_err(|_| Error::memory("moments of the optimizer", length.saturating_mul(size_of::<T>())))?;
        vector.resize(length, T::default());
        Ok(vector)
    };
    (0..count).map(vector).collect()
}

impl State {
    fn new<E: Element>(rule: &Rule, layout: &[Parameter<'_>]) -> Result<Self> {
        let length = layout.iter().map(|parameter| parameter.range().len()).sum();
        let count = rule.moments().len();
        Ok(Self {
            parameters: layout.iter().map(|p| (p.name.to_owned(), p.shape.to_owned())).collect(),
            powers: vec![[1.0; 2]; layout.len()],
            moments: match size_of::<E>() {
                4 => Moments::Float32(zeros(count, length)?),
                _ => Moments::Float64(zeros(count, length)?),
            },
        })
    }

    /// That this is the state of these parameters.
    fn check<E: Element>(&self, layout: &[Parameter<'_>]) -> Result<()> {
        if self.moments.dtype() != E::NAME {
            return Err(Error::dtype("parameters of the optimizer's model", self.moments.dtype(), E::NAME));
        }
        if self.parameters.len() != layout.len() {
            return Err(Error::shape(
                "number of parameters of the optimizer's model",
                self.parameters.len(),
                layout.len(),
            ));
        }
        for ((name, shape), parameter) in self.parameters.iter().zip(layout) {
            if name != parameter.name || shape != parameter.shape {
                return Err(Error::shape(
                    "parameter of the optimizer's model",
                    format!("{name} {shape:?}"),
                    format!("{} {:?}", parameter.name, parameter.shape),
                ));
            }
        }
        Ok(())
    }
}

/// Brings every value back to at most `bound` in magnitude; NaN stays.
fn keep_within<E: Element>(bound: E, values: &mut [E]) {
    for value in values {
        if *value > bound {
            *value = bound;
        } else if *value < -bound {
            *value = -bound;
        }
    }
}

impl Optimizer {
    /// The optimizer that JSON describes, without a state; [`Error::Value`] where it describes none.
    pub fn from_json(json: &str) -> Result<Self> {
        let rule: Rule =
            serde_json::from_str(json).map_err(|error| Error::value("optimizer", "an optimizer as JSON", error))?;
        rule.check()?;
        Ok(Self { rule, updates: 0, state: None })
    }

    /// The JSON form with every setting.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.rule).expect("finite numbers always have a JSON form")
    }

    /// Updates made so far.
    #[must_use]
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// One update of all parameters that are not frozen, with learning rate `lr`.
    ///
    /// `layout` says where each parameter lies in `parameters` and in `gradients`; the rest of these is not touched. A
    /// frozen parameter keeps its value and its moments. An element beyond its parameter's bound becomes the bound, rounded
    /// to the element type; its moments stay. On an error nothing has changed: [`Error::Value`] for a
    /// learning rate that is negative or not finite, [`Error::Shape`] for a layout beyond the buffers or other names or
    /// shapes than those of the state, [`Error::Dtype`] for another element type, [`Error::Memory`].
    pub fn step<E: Element>(
        &mut self,
        lr: f64,
        layout: &[Parameter<'_>],
        parameters: &mut [E],
        gradients: &[E],
    ) -> Result<()> {
        if !(lr >= 0.0 && lr.is_finite()) {
            return Err(Error::value("learning rate", "a finite number, at least 0", lr));
        }
        let size = parameters.len().min(gradients.len());
        if let Some(parameter) = layout.iter().find(|parameter| parameter.range().end > size) {
            let (name, range) = (parameter.name, parameter.range());
            return Err(Error::shape("buffers of parameters and gradients", format!("{name} at {range:?}"), size));
        }
        match &self.state {
            Some(state) => state.check::<E>(layout)?,
            None => self.state = Some(State::new::<E>(&self.rule, layout)?),
        }
        let Some((powers, moments)) = self.state.as_mut().and_then(|s| Some((&mut s.powers, s.moments.values::<E>()?)))
        else {
            unreachable!("the state has just been made or checked")
        };
        let mut start = 0;
        for (parameter, powers) in layout.iter().zip(powers) {
            let range = parameter.range();
            let end = start + range.len();
            if !parameter.frozen {
                let mut moments = moments.iter_mut().map(|moment| &mut moment[start..end]);
                let moments = [moments.next().unwrap_or_default(), moments.next().unwrap_or_default()];
                let values = &mut parameters[range.clone()];
                self.rule.apply(lr, powers, values, &gradients[range], moments);
                if let Some(bound) = parameter.bound {
                    keep_within(E::from_f64(bound), values);
                }
            }
            start = end;
        }
        self.updates += 1;
        Ok(())
    }

    /// Rule and state as the bytes of a [`Container`]; an optimizer read from them goes on with the same bits.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut file = Container::default();
        file.metadata.insert(RULE.into(), self.to_json());
        file.metadata.insert(UPDATES.into(), self.updates.to_string());
        if let Some(state) = &self.state {
            let parameters = serde_json::to_string(&state.parameters).expect("text and numbers have a JSON form");
            file.metadata.insert(PARAMETERS.into(), parameters);
            file.metadata.insert(DTYPE.into(), state.moments.dtype().into());
            file.tensors.insert(POWERS.into(), Tensor::new(&[state.powers.len(), 2], state.powers.as_flattened())?);
            let names = self.rule.moments();
            match &state.moments {
                Moments::Float32(moments) => put(&mut file, names, &state.parameters, moments)?,
                Moments::Float64(moments) => put(&mut file, names, &state.parameters, moments)?,
            }
        }
        file.to_bytes()
    }

    /// The optimizer that [`Optimizer::to_bytes`] wrote; [`Error::File`] where the bytes are not its.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let Container { metadata, mut tensors } = Container::from_bytes(bytes)?;
        let text = |key: &str| match metadata.get(key) {
            Some(text) => Ok(text.as_str()),
            None => Err(Error::file("file", format!("an optimizer's state with {key:?}"), "none")),
        };
        let mut optimizer = Self::from_json(text(RULE)?).map_err(|error| Error::File(error.to_string()))?;
        optimizer.updates = text(UPDATES)?
            .parse()
            .map_err(|_| Error::file("updates", "a number", format!("{:?}", metadata[UPDATES])))?;
        if metadata.contains_key(PARAMETERS) {
            let parameters: Vec<(String, Vec<usize>)> = serde_json::from_str(text(PARAMETERS)?)
                .map_err(|error| Error::file("parameters", "names and shapes as JSON", error))?;
            let names = optimizer.rule.moments();
            let powers = get::<f64>(&mut tensors, POWERS, &[parameters.len(), 2])?;
            if let Some(power) = powers.iter().find(|power| !(0.0..=1.0).contains(*power)) {
                return Err(Error::file("power of beta", "a number from 0 to 1", power));
            }
            let moments = match text(DTYPE)? {
                "float32" => Moments::Float32(take(&mut tensors, names, &parameters)?),
                "float64" => Moments::Float64(take(&mut tensors, names, &parameters)?),
                other => return Err(Error::file("element type", "float32 or float64", other)),
            };
            optimizer.state = Some(State { parameters, powers: powers.as_chunks().0.to_vec(), moments });
        }
        if let Some(name) = tensors.keys().next() {
            return Err(Error::file("tensors", "those of the optimizer's state", format!("{name:?} too")));
        }
        Ok(optimizer)
    }
}

// The keys of an optimizer's file: metadata, then the tensor of the powers. That of a moment is "moment.parameter".
const RULE: &str = "optimizer";
const UPDATES: &str = "updates";
const PARAMETERS: &str = "parameters";
const DTYPE: &str = "dtype";
const POWERS: &str = "powers";

/// Adds the moments to a file, a tensor for each moment of each parameter.
fn put<E: Element>(
    file: &mut Container<'_>,
    names: &[&str],
    parameters: &[(String, Vec<usize>)],
    moments: &[Vec<E>],
) -> Result<()> {
    for (moment, values) in names.iter().zip(moments) {
        let mut rest = &values[..];
        for (name, shape) in parameters {
            let (head, tail) = rest.split_at(shape.iter().product());
            file.tensors.insert(format!("{moment}.{name}"), Tensor::new(shape, head)?);
            rest = tail;
        }
    }
    Ok(())
}

/// Takes back what [`put`] added.
fn take<E: Element>(
    tensors: &mut BTreeMap<String, Tensor<'_>>,
    names: &[&str],
    parameters: &[(String, Vec<usize>)],
) -> Result<Vec<Vec<E>>> {
    let values = |moment: &&str| {
        let parts = parameters.iter().map(|(name, shape)| get(tensors, &format!("{moment}.{name}"), shape));
        Ok(parts.collect::<Result<Vec<_>>>()?.concat())
    };
    names.iter().map(values).collect()
}

/// Takes out the values of a tensor that must be there with this shape.
fn get<E: Element>(tensors: &mut BTreeMap<String, Tensor<'_>>, name: &str, shape: &[usize]) -> Result<Vec<E>> {
    match tensors.remove(name) {
        Some(tensor) if tensor.shape() == shape => tensor.values(),
        Some(tensor) => {
            Err(Error::file(format!("shape of {name:?}"), format!("{shape:?}"), format!("{:?}", tensor.shape())))
        }
        None => Err(Error::file("tensor", format!("{name:?}"), "none")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::rules::tests::RULES;

    /// Three parameters with padding between them, the second frozen, and their buffers.
    fn model<E: Element>() -> ([Parameter<'static>; 3], Vec<E>, Vec<E>) {
        let at = |name, shape, offset, frozen| Parameter { name, shape, offset, frozen, bound: None };
        let layout = [at("a", &[2, 3][..], 0, false), at("b", &[4], 8, true), at("c", &[5], 16, false)];
        let values = (0..24).map(|i| E::from_f64(f64::from(i * 7 % 11) / 8.0 - 0.5)).collect();
        let gradients = (0..24).map(|i| E::from_f64(f64::from(i * 5 % 13) / 8.0 - 0.7)).collect();
        (layout, values, gradients)
    }

    #[test]
    fn padding_and_frozen_parameters_are_left() {
        for json in RULES {
            let (mut layout, mut values, mut gradients) = model::<f32>();
            let before = values.clone();
            gradients[6..8].fill(f32::NAN);
            let mut optimizer = Optimizer::from_json(json).unwrap();
            optimizer.step(0.1, &layout, &mut values, &gradients).unwrap();
            for i in 0..24 {
                let updated = layout.iter().any(|p| !p.frozen && p.range().contains(&i)) && gradients[i] != 0.0;
                assert!(values[i] == before[i] || updated, "{json} {i}");
            }
            assert_ne!(values[..6], before[..6]);
            assert_ne!(values[16..21], before[16..21]);
            // thawed, a parameter goes as one that has never been updated
            layout[1].frozen = false;
            optimizer.step(0.1, &layout, &mut values, &gradients).unwrap();
            let (mut fresh, mut expected) = (Optimizer::from_json(json).unwrap(), before);
            fresh.step(0.1, &layout, &mut expected, &gradients).unwrap();
            assert_eq!(values[8..12], expected[8..12], "{json}");
        }
    }

    #[test]
    fn a_bound_is_kept_by_every_rule() {
        fn check<E: Element>() {
            for json in RULES {
                let (mut layout, mut values, gradients) = model::<E>();
                let mut free = values.clone();
                layout[0].bound = Some(0.1);
                let (mut bounded, mut other) =
                    (Optimizer::from_json(json).unwrap(), Optimizer::from_json(json).unwrap());
                bounded.step(0.25, &layout, &mut values, &gradients).unwrap();
                layout[0].bound = None;
                other.step(0.25, &layout, &mut free, &gradients).unwrap();
                let (limit, outside) = (E::from_f64(0.1), |v: &E| *v > E::from_f64(0.1) || *v < E::from_f64(-0.1));
                assert!(free[..6].iter().any(outside), "{json}");
                for (kept, free) in values[..6].iter().zip(&free[..6]) {
                    let expected = if !outside(free) {
                        *free
                    } else if *free > limit {
                        limit
                    } else {
                        -limit
                    };
                    assert_eq!(*kept, expected, "{json}");
                }
                assert_eq!(values[6..], free[6..], "{json}");
            }
        }
        check::<f32>();
        check::<f64>();
        let mut odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
        keep_within(2.0, &mut odd);
        assert!(odd[0].is_nan() && odd[1..] == [2.0, -2.0]);
    }

    fn a_cut_run_goes_on_with_the_same_bits<E: Element>() {
        for json in RULES {
            let (mut layout, mut whole, gradients) = model::<E>();
            let mut cut = whole.clone();
            let mut one = Optimizer::from_json(json).unwrap();
            let mut two = Optimizer::from_bytes(&one.to_bytes().unwrap()).unwrap();
            for update in 0..7 {
                layout[1].frozen = update < 3;
                one.step(0.01, &layout, &mut whole, &gradients).unwrap();
                two.step(0.01, &layout, &mut cut, &gradients).unwrap();
                let bytes = two.to_bytes().unwrap();
                assert_eq!(bytes, one.to_bytes().unwrap());
                two = Optimizer::from_bytes(&bytes).unwrap();
            }
            assert_eq!(whole, cut, "{json}");
            assert_eq!((two.updates(), two.to_json().as_str()), (7, one.to_json().as_str()));
        }
    }

    #[test]
    fn a_cut_run_goes_on_with_the_same_bits_in_both_types() {
        a_cut_run_goes_on_with_the_same_bits::<f32>();
        a_cut_run_goes_on_with_the_same_bits::<f64>();
    }

    #[test]
    fn errors_leave_everything_as_it_was() {
        let (layout, mut values, gradients) = model::<f32>();
        let mut optimizer = Optimizer::from_json(RULES[6]).unwrap();
        optimizer.step(0.1, &layout, &mut values, &gradients).unwrap();
        let (before, bytes) = (values.clone(), optimizer.to_bytes().unwrap());
        for lr in [-0.1, f64::NAN, f64::INFINITY] {
            assert!(matches!(optimizer.step(lr, &layout, &mut values, &gradients), Err(Error::Value(_))));
        }
        assert!(matches!(optimizer.step(0.1, &layout, &mut values, &gradients[..20]), Err(Error::Shape(_))));
        assert!(matches!(optimizer.step(0.1, &layout[..2], &mut values, &gradients), Err(Error::Shape(_))));
        let mut other = layout;
        other[2].name = "d";
        assert!(matches!(optimizer.step(0.1, &other, &mut values, &gradients), Err(Error::Shape(_))));
        other = layout;
        other[0].shape = &[3, 2];
        assert!(matches!(optimizer.step(0.1, &other, &mut values, &gradients), Err(Error::Shape(_))));
        other[0].shape = &[usize::MAX, usize::MAX];
        assert!(matches!(optimizer.step(0.1, &other, &mut values, &gradients), Err(Error::Shape(_))));
        assert!(matches!(optimizer.step(0.1, &layout, &mut [0.0f64; 24], &[0.0; 24]), Err(Error::Dtype(_))));
        assert_eq!((values, optimizer.to_bytes().unwrap(), optimizer.updates()), (before, bytes, 1));
    }

    #[test]
    fn settings_are_checked() {
        for json in [
            r#"{"optimizer":"sgd","momentum":1.0}"#,
            r#"{"optimizer":"sgd","momentum":-0.5}"#,
            r#"{"optimizer":"sgd","nesterov":true}"#,
            r#"{"optimizer":"sgd","beta1":0.9}"#,
            r#"{"optimizer":"sgd","optimizer":"adam"}"#,
            r#"{"optimizer":"lion"}"#,
            r#"{"momentum":0.9}"#,
            r#"{"optimizer":"rmsprop","alpha":1.5}"#,
            r#"{"optimizer":"rmsprop","momentum":1e9}"#,
            r#"{"optimizer":"adagrad","eps":-1e-10}"#,
            r#"{"optimizer":"adagrad","eps":1e999}"#,
            r#"{"optimizer":"adam","beta1":1.0}"#,
            r#"{"optimizer":"adam","beta2":-1}"#,
            r#"{"optimizer":"adamw","weight_decay":-1}"#,
            r#"{"optimizer":"adamw","weight_decay":null}"#,
            "",
        ] {
            assert!(matches!(Optimizer::from_json(json), Err(Error::Value(_))), "{json}");
        }
        for json in RULES {
            assert_eq!(Optimizer::from_json(json).unwrap().to_json(), json);
        }
        let defaults = Optimizer::from_json(r#"{"optimizer":"adamw"}"#).unwrap().to_json();
        assert_eq!(defaults, RULES[6].replace("adam", "adamw"));
    }

    #[test]
    fn other_files_are_refused() {
        let refused = |change: &dyn Fn(&mut Container<'_>)| {
            let (layout, mut values, gradients) = model::<f32>();
            let mut optimizer = Optimizer::from_json(RULES[6]).unwrap();
            optimizer.step(0.1, &layout, &mut values, &gradients).unwrap();
            let bytes = optimizer.to_bytes().unwrap();
            let mut file = Container::from_bytes(&bytes).unwrap();
            change(&mut file);
            assert!(matches!(Optimizer::from_bytes(&file.to_bytes().unwrap()), Err(Error::File(_))));
        };
        let set = |key: &'static str, value: &'static str| {
            move |file: &mut Container<'_>| drop(file.metadata.insert(key.into(), value.into()))
        };
        refused(&|file| *file = Container::default());
        refused(&set(RULE, RULES[3]));
        refused(&set(RULE, "{}"));
        refused(&set(UPDATES, "-1"));
        refused(&set(DTYPE, "float64"));
        refused(&set(DTYPE, "int8"));
        refused(&set(PARAMETERS, "[[\"a\",[2,3]],[\"b\",[4]]]"));
        refused(&set(PARAMETERS, "[[\"a\",[2,3]],[\"b\",[4]],[\"b\",[4]]]"));
        refused(&set(PARAMETERS, "[[\"a\",[3,2]],[\"b\",[4]],[\"c\",[5]]]"));
        refused(&|file| drop(file.tensors.remove("exp_avg.c")));
        refused(&|file| drop(file.tensors.insert(POWERS.into(), Tensor::new(&[3, 2], &[2.0; 6]).unwrap())));
        refused(&|file| drop(file.tensors.insert("more".into(), Tensor::new(&[1], &[0.0]).unwrap())));
    }
}
