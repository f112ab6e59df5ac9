//! The predictor of a block: streams side by side, whose bits are coded with what the net, the direct connections and
//! the matches say, joined by the mixing network; everything learns from each bit or chunk, on both sides alike.

use super::coder::{Coder, frequency};
use super::direct::{self, Direct, Past};
use super::logistic::Logistic;
use super::mixer::{Context, Mixer};
use super::net::Net;
use super::recall::{self, Recall};
use super::settings::Settings;
use crate::Model;
use crate::error::Result;

/// Numbers that the net gives the mixing network, and the constant.
const OTHERS: usize = 2;

/// Everything that learns.
pub(super) struct Predictor {
    settings: Settings,
    table: &'static Logistic,
    net: Option<Net>,
    direct: Direct,
    recall: Recall,
    mixer: Mixer,
    pasts: Vec<Past>,
    inputs: Vec<f32>,
}

/// Where the parts of a block lie: as even as can be, the longer ones first.
fn parts(length: usize, streams: usize) -> Vec<std::ops::Range<usize>> {
    let (short, more) = (length / streams, length % streams);
    let start = |stream: usize| stream * short + stream.min(more);
    (0..streams).map(|stream| start(stream)..start(stream + 1)).collect()
}

impl Predictor {
    /// An untrained predictor, or one with a net that was trained before.
    pub(super) fn new(settings: &Settings, model: Option<Model<f32>>) -> Result<Self> {
        let net = if settings.hidden > 0 || model.is_some() { Some(Net::new(settings, model)?) } else { None };
        let histories = settings.direct();
        let inputs = histories.len() * direct::INPUTS + recall::INPUTS + OTHERS;
        let mixer = Mixer::new(inputs, settings.log_buckets);
        Ok(Self {
            settings: *settings,
            table: Logistic::get(),
            net,
            direct: Direct::new(histories, settings.log_buckets),
            recall: Recall::new(settings.streams, settings.log_ring(), Settings::LOG_PLACES),
            inputs: vec![0.0; mixer.width()],
            mixer,
            pasts: vec![Past::default(); settings.streams],
        })
    }

    /// Codes a block: with an encoder `block` is read, with a decoder it is written. `known`: whether it is read.
    pub(super) fn code<C: Coder>(
        &mut self,
        block: &mut [u8],
        coder: &mut C,
        known: bool,
        mut tick: impl FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        let streams = self.settings.streams;
        let parts = parts(block.len(), streams);
        let longest = parts[0].len();
        let mut tokens: Vec<i64> = Vec::new();
        let mut targets: Vec<Option<u8>> = Vec::new();
        for first in (0..longest).step_by(self.settings.steps) {
            let steps = self.settings.steps.min(longest - first);
            if let Some(net) = &mut self.net {
                if known {
                    tokens.clear();
                    for step in first..first + steps {
                        for (part, past) in parts.iter().zip(&self.pasts) {
                            // Before the chunk's first byte came what the past has; within it, the block.
                            tokens.push(if step == first {
                                i64::from(past.bytes as u8)
                            } else {
                                block[part.clone()].get(step - 1).map_or(0, |&byte| i64::from(byte))
                            });
                        }
                    }
                    net.run(&tokens)?;
                } else {
                    net.begin()?;
                }
            }
            targets.clear();
            for step in 0..steps {
                if let (Some(net), false) = (&mut self.net, known) {
                    tokens.clear();
                    tokens.extend(self.pasts.iter().map(|past| i64::from(past.bytes as u8)));
                    net.step(&tokens)?;
                }
                for (stream, part) in parts.iter().enumerate() {
                    let Some(byte) = block[part.clone()].get(first + step).copied() else {
                        targets.push(None);
                        continue;
                    };
                    let byte = self.code_byte(stream, step, byte, coder);
                    block[part.start + first + step] = byte;
                    targets.push(Some(byte));
                }
            }
            if let Some(net) = &mut self.net {
                net.learn(&targets)?;
            }
            tick(targets.iter().flatten().count())?;
        }
        Ok(())
    }

    #[inline(always)]
    fn code_byte<C: Coder>(&mut self, stream: usize, step: usize, byte: u8, coder: &mut C) -> u8 {
        let past = &mut self.pasts[stream];
        let last = [past.bytes as u8, (past.bytes >> 8) as u8];
        let width = self.direct_inputs();
        let mut node = 1;
        for place in 0..8 {
            if place == 0 {
                self.direct.enter(&self.pasts[stream], None);
            } else if place == 4 {
                self.direct.enter(&self.pasts[stream], Some(node as u8));
            }
            let quarter = if place < 4 { node } else { 1 << (place - 4) | node & ((1 << (place - 4)) - 1) };
            let known = self.direct.predict(quarter, self.table, &mut self.inputs);
            let length = self.recall.predict(stream, node, self.table, &mut self.inputs[width..]);
            let rest = &mut self.inputs[width + recall::INPUTS..];
            rest[0] = self.net.as_ref().map_or(0.0, |net| net.decisions(step, stream)[node]);
            rest[1] = 0.5;
            let context = Context { node, last, known, length };
            let p = self.mixer.mix(&self.inputs, &context, self.table);
            let bit = coder.code(byte >> (7 - place) & 1 == 1, frequency(p));
            self.mixer.learn(&self.inputs, bit);
            self.direct.learn(bit);
            self.recall.learn(bit);
            node = node << 1 | usize::from(bit);
        }
        let past = &mut self.pasts[stream];
        past.push(node as u8);
        self.recall.push(stream, past.bytes);
        node as u8
    }

    fn direct_inputs(&self) -> usize {
        self.settings.direct().len() * direct::INPUTS
    }
}
