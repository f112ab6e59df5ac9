//! The paths (instruction sets), the choice between them, and a table of kernels for each.

use std::sync::OnceLock;
use std::time::Duration;

use pulp::{Scalar, Simd};

use super::accumulate::{Accumulate, accumulate, accumulate_rounded};
use super::bfloat;
use super::block::{Block, block};
use super::constants::Constants;
use super::element::Element;
use super::gemm::{Gemm, gemm};
use super::narrow::{NarrowGemm, narrow};
use super::pack::{Piece, Precision, pack, pack_pairs};
use super::probe;
use super::reduce::{Broadcast, Reduce, broadcast, reduce};
use super::simd::V;

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// One element at a time; runs everywhere, slowly where the processor has no fused multiply-add.
    Scalar,
    /// x86-64-v3: AVX2 and FMA.
    Avx2,
    /// x86-64-v4: AVX-512.
    Avx512,
    /// 64-bit ARM's NEON.
    Neon,
}

impl Isa {
    /// All of them, the best first.
    pub const ALL: [Isa; 4] = [Isa::Avx512, Isa::Avx2, Isa::Neon, Isa::Scalar];

    /// The name that `RNNRS_SIMD` takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Neon => "neon",
        }
    }

    /// Whether this processor has it.
    #[must_use]
    pub fn available(self) -> bool {
        match self {
            Isa::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => pulp::x86::V3::is_available(),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => pulp::x86::V4::is_available(),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => pulp::aarch64::Neon::is_available(),
            _ => false,
        }
    }
}

/// The path in use: the one that `RNNRS_SIMD` names, else the best that the processor has.
///
/// Read once in a process.
///
/// # Errors
/// A sentence, where `RNNRS_SIMD` names no path or one that the processor lacks.
pub fn isa_checked() -> Result<Isa, String> {
    static CHOICE: OnceLock<Result<Isa, String>> = OnceLock::new();
    CHOICE.get_or_init(|| choose(std::env::var("RNNRS_SIMD").ok().as_deref())).clone()
}

/// The path in use; where `RNNRS_SIMD` cannot be followed, the best that the processor has.
#[must_use]
pub fn isa() -> Isa {
    isa_checked().unwrap_or_else(|_| best())
}

fn best() -> Isa {
    Isa::ALL.into_iter().find(|isa| isa.available()).unwrap_or(Isa::Scalar)
}

fn choose(wanted: Option<&str>) -> Result<Isa, String> {
    let Some(wanted) = wanted.filter(|name| !name.is_empty()) else {
        return Ok(best());
    };
    let available: Vec<_> = Isa::ALL.into_iter().filter(|isa| isa.available()).map(Isa::name).collect();
    let available = available.join(", ");
    match Isa::ALL.into_iter().find(|isa| isa.name() == wanted) {
        None => Err(format!("RNNRS_SIMD: expected one of {available}, got {wanted:?}")),
        Some(isa) if isa.available() => Ok(isa),
        Some(_) => Err(format!("RNNRS_SIMD: expected one of {available}, got {wanted:?}, which this processor lacks")),
    }
}

/// The kernels of one path for one element type.
///
/// The functions are `unsafe`: each trusts the pointers, strides and extents of its argument, as that type states.
#[derive(Debug)]
pub struct Kernels<E: 'static> {
    /// The path.
    pub isa: Isa,
    /// Columns of a panel of packed weights: two vectors.
    pub panel: usize,
    /// What products make of their operands, and so how weights are packed.
    pub precision: Precision,
    /// See [`Gemm`].
    pub gemm: unsafe fn(&Gemm<'_, E>),
    /// See [`NarrowGemm`]; in float32 whatever the table's type.
    pub narrow: unsafe fn(&NarrowGemm<'_>),
    /// See [`Accumulate`].
    pub accumulate: unsafe fn(&Accumulate<'_, E>),
    /// See [`Block`].
    pub block: unsafe fn(&Block<'_, E>),
    /// See [`Reduce`].
    pub reduce: unsafe fn(&Reduce<E>),
    /// See [`Broadcast`].
    pub broadcast: unsafe fn(&Broadcast<E>),
    /// The most float32 multiply-adds a second of one thread, measured in about this time.
    pub multiply_adds: fn(Duration) -> f64,
    /// The most bytes a second that one thread reads of memory of so many bytes, measured in about this time.
    pub reads: fn(usize, Duration) -> f64,
}

impl<E: Element> Kernels<E> {
    /// Writes packed weights for [`Kernels::gemm`]; `terms` holds the depth of each term, and each piece one of them.
    ///
    /// # Safety
    /// As [`pack()`] and [`pack_pairs`], whichever it is.
    pub unsafe fn pack(&self, columns: usize, terms: &[usize], pieces: &[Piece<E>], out: *mut E) {
        // SAFETY: passed on; only float32 has tables of another precision, whose elements are of 32 bits.
        unsafe {
            match self.precision {
                Precision::Full => pack(self.panel, columns, terms.iter().sum(), pieces, out),
                Precision::Bfloat16 => pack_pairs(self.panel, columns, terms, pieces, out.cast()),
            }
        }
    }
}

/// A path as a type: its `Simd` and how to get hold of it.
pub(super) trait Path {
    type Simd: Simd;
    const ISA: Isa;

    /// The instruction set's token.
    ///
    /// # Safety
    /// The processor must have it.
    unsafe fn token() -> Self::Simd;
}

struct ScalarPath;

impl Path for ScalarPath {
    type Simd = Scalar;
    const ISA: Isa = Isa::Scalar;

    #[inline(always)]
    unsafe fn token() -> Scalar {
        Scalar::new()
    }
}

macro_rules! path {
    ($name:ident, $simd:ty, $isa:expr) => {
        pub(super) struct $name;

        impl Path for $name {
            type Simd = $simd;
            const ISA: Isa = $isa;

            #[inline(always)]
            unsafe fn token() -> $simd {
                // SAFETY: the caller's promise.
                unsafe { <$simd>::new_unchecked() }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
path!(Avx2Path, pulp::x86::V3, Isa::Avx2);
#[cfg(target_arch = "x86_64")]
path!(Avx512Path, pulp::x86::V4, Isa::Avx512);
#[cfg(target_arch = "aarch64")]
path!(NeonPath, pulp::aarch64::Neon, Isa::Neon);

const fn table<P: Path, E: Constants>() -> Kernels<E> {
    Kernels {
        isa: P::ISA,
        panel: 2 * V::<P::Simd, E>::LANES,
        precision: Precision::Full,
        gemm: gemm::<P, E>,
        narrow: narrow::<P>,
        accumulate: accumulate::<P, E>,
        block: block::<P, E>,
        reduce: reduce::<P, E>,
        broadcast: broadcast::<P, E>,
        multiply_adds: probe::multiply_adds::<P>,
        reads: probe::reads::<P>,
    }
}

/// The table of a path with operands of products in bfloat16.
const fn rounding<P: Path>() -> Kernels<f32> {
    Kernels {
        precision: Precision::Bfloat16,
        gemm: bfloat::gemm::<P>,
        accumulate: accumulate_rounded::<P>,
        ..table::<P, f32>()
    }
}

macro_rules! tables {
    ($name:ident, $type:ty, $table:ident $(, $second:ty)?) => {
        /// The table of a path, where this architecture has it. To be given out only where the processor has it too.
        pub(super) fn $name(isa: Isa) -> Option<&'static Kernels<$type>> {
            static SCALAR: Kernels<$type> = $table::<ScalarPath $(, $second)?>();
            #[cfg(target_arch = "x86_64")]
            static AVX2: Kernels<$type> = $table::<Avx2Path $(, $second)?>();
            #[cfg(target_arch = "x86_64")]
            static AVX512: Kernels<$type> = $table::<Avx512Path $(, $second)?>();
            #[cfg(target_arch = "aarch64")]
            static NEON: Kernels<$type> = $table::<NeonPath $(, $second)?>();
            match isa {
                Isa::Scalar => Some(&SCALAR),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => Some(&AVX2),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => Some(&AVX512),
                #[cfg(target_arch = "aarch64")]
                Isa::Neon => Some(&NEON),
                _ => None,
            }
        }
    };
}

tables!(float32, f32, table, f32);
tables!(float64, f64, table, f64);
tables!(rounded, f32, rounding);

/// The table of a path with operands of products in bfloat16. AVX-512 has two, with and without instructions of its own,
/// of which the quicker one is given; they have the same bits.
pub(super) fn bfloat16(isa: Isa) -> Option<&'static Kernels<f32>> {
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512 {
        static NATIVE: Kernels<f32> = Kernels { gemm: bfloat::native::gemm, ..rounding::<Avx512Path>() };
        static CHOICE: OnceLock<Option<&'static Kernels<f32>>> = OnceLock::new();
        let quicker = |portable: &'static Kernels<f32>| {
            if is_x86_feature_detected!("avx512bf16") { probe::quicker(&NATIVE, portable) } else { portable }
        };
        return *CHOICE.get_or_init(|| rounded(isa).map(quicker));
    }
    rounded(isa)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_follows_the_variable() {
        assert_eq!(choose(None), Ok(best()));
        assert_eq!(choose(Some("")), Ok(best()));
        for isa in Isa::ALL {
            let choice = choose(Some(isa.name()));
            if isa.available() {
                assert_eq!(choice, Ok(isa));
                assert_eq!(float32(isa).map(|kernels| kernels.isa), Some(isa));
            } else {
                assert!(choice.is_err_and(|text| text.contains("lacks")));
            }
        }
        let text = choose(Some("mmx")).expect_err("there is no such path");
        assert!(text.contains("expected one of") && text.contains("scalar") && text.contains("\"mmx\""), "{text}");
    }
}
