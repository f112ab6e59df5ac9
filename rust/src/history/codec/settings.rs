//! How bytes are compressed: the presets, and the settings as an archive's header has them.

use super::direct::{Direct, History};
use super::mixer::Mixer;
use super::net::BYTES;
use super::recall::Recall;
use crate::error::{Error, Result};
use std::ops::RangeInclusive;

/// What an archive's header says of how its blocks were made. Nothing is allocated that goes beyond
/// [`Settings::MEMORY`], whatever a header claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of a block: 2 to this power.
    pub log_block: u32,
    /// Parts of a block that are coded side by side, rows of the net's batch.
    pub streams: usize,
    /// Units of a layer of the net; 0: no net of its own.
    pub hidden: usize,
    /// Layers of the net; each sees the outputs of all below it, and the output layer those of all.
    pub layers: usize,
    /// Steps of truncated backpropagation through time, and from update to update.
    pub steps: usize,
    /// Adam's learning rate, in 10⁻⁴.
    pub rate: u32,
    /// Which set of histories has direct connections, 0 to 3.
    pub histories: usize,
    /// Buckets of direct connections: 2 to this power.
    pub log_buckets: u32,
}

/// What each field may be, in the order of the header.
const RANGES: [(&str, RangeInclusive<usize>); 8] = [
    ("log_block", 4..=23),
    ("streams", 1..=64),
    ("hidden", 0..=2048),
    ("layers", 1..=4),
    ("steps", 1..=64),
    ("rate", 0..=255),
    ("histories", 0..=3),
    ("log_buckets", 1..=22),
];

impl Settings {
    /// Bytes in the header.
    pub(super) const BYTES: usize = 9;
    /// Bytes of memory that compressing and decompressing may take, apart from a model that the caller gives.
    pub const MEMORY: u64 = 1 << 30;

    /// 50 kB/s or so.
    pub const FAST: Self =
        Self { log_block: 18, streams: 16, hidden: 32, layers: 1, steps: 16, rate: 50, histories: 1, log_buckets: 21 };
    /// What is used unless another is asked for.
    pub const DEFAULT: Self =
        Self { log_block: 20, streams: 8, hidden: 128, layers: 1, steps: 16, rate: 30, histories: 3, log_buckets: 22 };
    /// The smallest archives.
    pub const BEST: Self =
        Self { log_block: 20, streams: 2, hidden: 200, layers: 1, steps: 16, rate: 30, histories: 3, log_buckets: 22 };

    /// The preset of this name: "fast", "default" or "best".
    pub fn preset(name: &str) -> Result<Self> {
        match name {
            "fast" => Ok(Self::FAST),
            "default" => Ok(Self::DEFAULT),
            "best" => Ok(Self::BEST),
            _ => Err(Error::value("preset", "fast, default or best", format!("{name:?}"))),
        }
    }

    /// The same with no more streams than so many bytes are worth: each learns what the others know only as they go.
    #[must_use]
    pub fn for_length(self, length: usize) -> Self {
        Self { streams: self.streams.min(length >> 14).max(1), ..self }
    }

    fn fields(&self) -> [usize; 8] {
        [
            self.log_block as usize,
            self.streams,
            self.hidden,
            self.layers,
            self.steps,
            self.rate as usize,
            self.histories,
            self.log_buckets as usize,
        ]
    }

    /// That the settings are in their ranges and within the bound of memory.
    pub fn check(&self) -> Result<()> {
        for ((name, range), value) in RANGES.iter().zip(self.fields()) {
            if !range.contains(&value) {
                return Err(Error::value(*name, format!("{} to {}", range.start(), range.end()), value));
            }
        }
        let memory = self.memory();
        if memory > Self::MEMORY {
            return Err(Error::value("settings", format!("at most {} bytes of memory", Self::MEMORY), memory));
        }
        Ok(())
    }

    /// Bytes of memory that a block's predictor takes, from above.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let [hidden, layers, embedding] = [self.hidden, self.layers, self.embedding()].map(|n| n as u64);
        let weights = (0..layers).map(|below| 4 * hidden * (embedding + (below + 1) * hidden + 2)).sum::<u64>()
            + BYTES as u64 * (2 * embedding + layers * hidden + 1);
        // Parameters, gradients, two moments, and the engine's packed copies for the step and both directions.
        let copies = 8;
        let kept = (self.steps * self.streams) as u64 * (layers * hidden * 32 + BYTES as u64 * 8);
        let block = 4u64 << self.log_block;
        Direct::memory(self.log_buckets)
            + Recall::memory(self.streams, self.log_ring(), Self::LOG_PLACES)
            + Mixer::memory(self.direct().len() * super::direct::INPUTS + 8, self.log_buckets)
            + (weights * copies + kept) * 4
            + block
            + (32 << 20)
    }

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let [block, streams, hidden, layers, steps, rate, histories, buckets] = self.fields();
        let [low, high] = (hidden as u16).to_le_bytes();
        let rest = [layers, steps, rate, histories, buckets].map(|n| n as u8);
        [block as u8, streams as u8, low, high, rest[0], rest[1], rest[2], rest[3], rest[4]]
    }

    pub(super) fn from_bytes(bytes: [u8; Self::BYTES]) -> Result<Self> {
        let byte = |index: usize| usize::from(bytes[index]);
        let settings = Self {
            log_block: u32::from(bytes[0]),
            streams: byte(1),
            hidden: byte(2) | byte(3) << 8,
            layers: byte(4),
            steps: byte(5),
            rate: u32::from(bytes[6]),
            histories: byte(7),
            log_buckets: u32::from(bytes[8]),
        };
        settings.check()?;
        Ok(settings)
    }

    /// Width of the net's embedding of bytes.
    pub(super) fn embedding(&self) -> usize {
        self.hidden.min(64)
    }

    /// Places that matches begin at: 2 to this power.
    pub(super) const LOG_PLACES: u32 = 20;

    /// Bytes of a stream that matches may reach back: 2 to this power.
    pub(super) fn log_ring(&self) -> u32 {
        22 - self.streams.next_power_of_two().ilog2()
    }

    /// The histories that have direct connections.
    pub(super) fn direct(&self) -> &'static [History] {
        use History::{Column, Order, Sparse, Words};
        match self.histories {
            0 => &[Order(1)],
            1 => &[Order(1), Order(2), Order(3), Order(4), Order(6), Words(0)],
            2 => &[Order(0), Order(1), Order(2), Order(3), Order(4), Order(5), Order(6), Words(0), Words(1)],
            _ => &[
                Order(0),
                Order(1),
                Order(2),
                Order(3),
                Order(4),
                Order(5),
                Order(6),
                Order(8),
                Words(0),
                Words(1),
                Words(2),
                Sparse(0x0000_ff00),
                Sparse(0x00ff_ff00),
                Sparse(0x00ff_00ff),
                Sparse(0xff00_ff00),
                Column,
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_within_bounds_and_come_back() {
        for name in ["fast", "default", "best"] {
            let settings = Settings::preset(name).unwrap();
            settings.check().unwrap();
            for length in [0, 1, 100_000, 1 << 30] {
                let settings = settings.for_length(length);
                assert_eq!(Settings::from_bytes(settings.to_bytes()).unwrap(), settings);
            }
        }
        assert!(matches!(Settings::preset("slow"), Err(Error::Value(_))));
    }

    #[test]
    fn any_bytes_are_settings_within_bounds_or_refused() {
        for byte in 0..Settings::BYTES {
            for value in 0..=255 {
                let mut bytes = Settings::DEFAULT.to_bytes();
                bytes[byte] = value;
                if let Ok(settings) = Settings::from_bytes(bytes) {
                    assert!(settings.memory() <= Settings::MEMORY);
                }
            }
        }
        assert!(Settings::from_bytes([255; Settings::BYTES]).is_err());
        assert!(Settings { hidden: 2048, layers: 4, ..Settings::DEFAULT }.check().is_err());
    }
}
