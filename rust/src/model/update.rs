//! An optimizer's update of a model's parameters.

use super::Model;
use crate::error::Result;
use crate::kernels::Element;
use crate::train::{Optimizer, Parameter};

impl<E: Element> Model<E> {
    /// One update of all parameters that are not frozen, once no call uses them any more. `gradients` lie as the
    /// parameters do.
    pub fn update(&self, optimizer: &mut Optimizer, gradients: &[E], lr: f64) -> Result<()> {
        let layout: Vec<Parameter<'_>> = self
            .chain
            .layout
            .slots
            .iter()
            .zip(self.frozen())
            .map(|(slot, frozen)| Parameter {
                name: &slot.name,
                shape: &slot.shape,
                offset: slot.offset,
                frozen,
                bound: slot.bound,
            })
            .collect();
        let mut params = self.params_mut();
        optimizer.step(lr, &layout, params.memory.slice_mut(), gradients)?;
        params.version += 1;
        Ok(())
    }
}
