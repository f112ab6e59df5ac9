//! Entropy coding of bits: the range coder of the crate `constriction`, fed with integer frequencies of a 0 and a 1.

use constriction::stream::model::{DecoderModel, EncoderModel, EntropyModel};
use constriction::stream::queue::{DefaultRangeDecoder, DefaultRangeEncoder};
use constriction::stream::{Decode, Encode};
use std::num::NonZeroU32;

/// Bits of a frequency: those of 0 and 1 add up to 2^PRECISION.
pub(super) const PRECISION: usize = 20;

/// A probability as the frequency of a 1: at least 1, and so that 0 has at least 1 too.
#[inline(always)]
pub(super) fn frequency(p: f32) -> u32 {
    // A conversion of a NaN gives 0.
    ((p * (1 << PRECISION) as f32) as u32).clamp(1, (1 << PRECISION) - 1)
}

/// A bit whose frequency of 1 is known; 1 lies below 0.
#[derive(Clone, Copy)]
struct Bit(NonZeroU32);

impl Bit {
    fn new(one: u32) -> Self {
        Self(NonZeroU32::new(one.min((1 << PRECISION) - 1)).unwrap_or(NonZeroU32::MIN))
    }

    fn zero(self) -> NonZeroU32 {
        NonZeroU32::new((1 << PRECISION) - self.0.get()).unwrap_or(NonZeroU32::MIN)
    }
}

impl EntropyModel<PRECISION> for Bit {
    type Symbol = bool;
    type Probability = u32;
}

impl EncoderModel<PRECISION> for Bit {
    #[inline(always)]
    fn left_cumulative_and_probability(&self, bit: impl std::borrow::Borrow<bool>) -> Option<(u32, NonZeroU32)> {
        Some(if *bit.borrow() { (0, self.0) } else { (self.0.get(), self.zero()) })
    }
}

impl DecoderModel<PRECISION> for Bit {
    #[inline(always)]
    fn quantile_function(&self, quantile: u32) -> (bool, u32, NonZeroU32) {
        if quantile < self.0.get() { (true, 0, self.0) } else { (false, self.0.get(), self.zero()) }
    }
}

/// What codes bits, one way or the other: an encoder is given the bit, a decoder finds it.
pub(super) trait Coder {
    /// Codes a bit, of which a 1 has this frequency, and returns it.
    fn code(&mut self, bit: bool, one: u32) -> bool;
}

/// Bits to bytes.
#[derive(Default)]
pub(super) struct Encoder {
    inner: DefaultRangeEncoder,
}

impl Encoder {
    /// The bytes so far, as if nothing came after.
    pub(super) fn finish(self) -> Vec<u8> {
        let Ok(words) = self.inner.into_compressed();
        let mut bytes: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_be_bytes()).collect();
        // The decoder takes zeros for what is not there.
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        bytes
    }
}

impl Coder for Encoder {
    #[inline(always)]
    fn code(&mut self, bit: bool, one: u32) -> bool {
        // A model that knows both symbols cannot be impossible.
        let coded = self.inner.encode_symbol(bit, Bit::new(one));
        debug_assert!(coded.is_ok());
        bit
    }
}

/// Bytes to bits; any bytes give some bits.
pub(super) struct Decoder {
    inner: DefaultRangeDecoder,
    /// Whether the bytes are no encoder's.
    pub(super) invalid: bool,
}

impl Decoder {
    /// The bits that an encoder made these bytes of.
    pub(super) fn new(bytes: &[u8]) -> Self {
        let word = |chunk: &[u8]| {
            let mut word = [0; 4];
            word[..chunk.len()].copy_from_slice(chunk);
            u32::from_be_bytes(word)
        };
        let words: Vec<u32> = bytes.chunks(4).map(word).collect();
        let Ok(inner) = DefaultRangeDecoder::from_compressed(words);
        Self { inner, invalid: false }
    }
}

impl Coder for Decoder {
    #[inline(always)]
    fn code(&mut self, _: bool, one: u32) -> bool {
        match self.inner.decode_symbol(Bit::new(one)) {
            Ok(bit) => bit,
            Err(_) => {
                self.invalid = true;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_come_back(bits in prop::collection::vec((any::<bool>(), 0u32..=1 << 20), 0..2000)) {
            let mut encoder = Encoder::default();
            for &(bit, one) in &bits {
                encoder.code(bit, one);
            }
            let bytes = encoder.finish();
            let mut decoder = Decoder::new(&bytes);
            for &(bit, one) in &bits {
                prop_assert_eq!(decoder.code(false, one), bit);
            }
            prop_assert!(!decoder.invalid);
        }

        #[test]
        fn any_bytes_give_bits(bytes in prop::collection::vec(any::<u8>(), 0..40), ones in prop::collection::vec(any::<u32>(), 0..2000)) {
            let mut decoder = Decoder::new(&bytes);
            for one in ones {
                decoder.code(false, one);
            }
        }
    }

    #[test]
    fn the_length_is_the_information() {
        let mut encoder = Encoder::default();
        // 100,000 bits, one in 16 of them set: H = 0.337 bits each.
        (0..100_000u32).for_each(|i| {
            encoder.code(i % 16 == 0, frequency(1.0 / 16.0));
        });
        let bytes = encoder.finish().len();
        assert!((4216..4226).contains(&bytes), "{bytes}");
    }

    #[test]
    fn frequencies_leave_both_bits_possible() {
        assert_eq!(
            [0.0, 0.5, 1.0, 2.0, -1.0, f32::NAN].map(frequency),
            [1, 1 << 19, (1 << 20) - 1, (1 << 20) - 1, 1, 1]
        );
    }
}
