//! Lossless compression of any bytes by recurrent nets that learn as they go, in encoder and decoder alike, so that no
//! model is sent.
//!
//! A block is cut into parts, which are coded side by side: the rows of an LSTM's batch. Its softmax over the next byte
//! becomes eight decisions of a binary tree; with what hashed direct connections (Mikolov et al. 2011) and the longest
//! match say of each they go through a small gated network into a range coder. All of it learns from every byte. What
//! was learned goes on from block to block. Since the engine gives the same bits on every instruction set and number of
//! threads, another machine decodes what one wrote.
//!
//! ```
//! use rnnrs::history::codec::{Settings, compress, decompress};
//!
//! let text = b"Tarry a little; there is something else. ".repeat(20);
//! let (mut archive, mut back) = (Vec::new(), Vec::new());
//! compress(&Settings::FAST, None, &mut &text[..], &mut archive, &mut |_| Ok(()))?;
//! decompress(None, &mut &archive[..], &mut back, &mut |_| Ok(()))?;
//! assert!(back == text && archive.len() < text.len() / 2);
//! # Ok::<(), rnnrs::Error>(())
//! ```

mod coder;
mod direct;
mod format;
mod logistic;
mod mixer;
mod net;
mod predictor;
mod recall;
mod settings;
mod stream;

pub use settings::Settings;
pub use stream::{Given, Progress, Watch, compress, decompress};

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
