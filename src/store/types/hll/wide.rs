//! Packed registers by vector instructions: 32 at a time where the processor has AVX2, which is asked at run time, since the
//! program is built for any x86-64. Elsewhere these functions do nothing, and say so.
//!
//! Four registers fill three bytes. A shuffle puts such triples into lanes of four bytes, where shifts and masks move each
//! register to its own byte:
//! ```text
//! | ddddddcc | ccccbbbb | bbaaaaaa |   ->   | 00dddddd | 00cccccc | 00bbbbbb | 00aaaaaa |
//! ```
//!
//! `registers` does the same eight at a time, and is the twin that the tests compare with. `unsafe` is the loading and storing
//! of vectors, and the calls into what is compiled for AVX2.
#![allow(unsafe_code)]

/// Raises unpacked registers to packed ones. False, and nothing is done, without AVX2.
pub fn merge(all: &mut [u8], packed: &[u8]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { avx2::merge(all, packed) };
        return true;
    }
    let _ = (all, packed);
    false
}

/// Writes unpacked registers packed. False, and nothing is done, without AVX2.
pub fn pack(all: &[u8], packed: &mut [u8]) -> bool {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        unsafe { avx2::pack(all, packed) };
        return true;
    }
    let _ = (all, packed);
    false
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    /// Registers handled at a time, and the bytes they are packed in.
    const WIDE: usize = 32;
    const WIDE_BYTES: usize = 24;
    /// Bytes of either half.
    const HALF_BYTES: usize = 12;

    /// The masks of the four registers of a lane: unpacked, and the bits they come from.
    const UNPACKED: [i32; 4] = [0x3f, 0x3f << 8, 0x3f << 16, 0x3f << 24];
    const PACKED: [i32; 4] = [0x3f, 0x3f << 6, 0x3f << 12, 0x3f << 18];

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load(bytes: &[u8; 16]) -> __m128i {
        // SAFETY: sixteen bytes are readable, and the load asks for no alignment.
        unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load_wide(bytes: &[u8; WIDE]) -> __m256i {
        // SAFETY: 32 bytes are readable, and the load asks for no alignment.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn store_wide(bytes: &mut [u8; WIDE], vector: __m256i) {
        // SAFETY: 32 bytes are writable, and the store asks for no alignment.
        unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), vector) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn unpack(packed: &[u8; WIDE_BYTES]) -> __m256i {
        // Each half is loaded with four bytes of the other: the first with those behind it, the second with those before.
        let (Some(first), Some(second)) = (packed.first_chunk(), packed.last_chunk()) else { unreachable!("24 > 16") };
        let halves = _mm256_set_m128i(load(second), load(first));
        let triples = _mm256_shuffle_epi8(
            halves,
            _mm256_setr_epi8(
                0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1, //
                4, 5, 6, -1, 7, 8, 9, -1, 10, 11, 12, -1, 13, 14, 15, -1,
            ),
        );
        let a = _mm256_and_si256(triples, _mm256_set1_epi32(PACKED[0]));
        let b = _mm256_slli_epi32::<2>(_mm256_and_si256(triples, _mm256_set1_epi32(PACKED[1])));
        let c = _mm256_slli_epi32::<4>(_mm256_and_si256(triples, _mm256_set1_epi32(PACKED[2])));
        let d = _mm256_slli_epi32::<6>(_mm256_and_si256(triples, _mm256_set1_epi32(PACKED[3])));
        _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d))
    }

    #[target_feature(enable = "avx2")]
    pub fn merge(all: &mut [u8], packed: &[u8]) {
        let ((all, rest), (packed, packed_rest)) = (all.as_chunks_mut::<WIDE>(), packed.as_chunks::<WIDE_BYTES>());
        debug_assert!(rest.is_empty() && packed_rest.is_empty() && all.len() == packed.len());
        for (ours, theirs) in all.iter_mut().zip(packed) {
            store_wide(ours, _mm256_max_epu8(load_wide(ours), unpack(theirs)));
        }
    }

    #[target_feature(enable = "avx2")]
    pub fn pack(all: &[u8], packed: &mut [u8]) {
        let ((all, rest), (packed, packed_rest)) = (all.as_chunks::<WIDE>(), packed.as_chunks_mut::<WIDE_BYTES>());
        debug_assert!(rest.is_empty() && packed_rest.is_empty() && all.len() == packed.len());
        for (ours, theirs) in all.iter().zip(packed) {
            let all = load_wide(ours);
            let a = _mm256_and_si256(all, _mm256_set1_epi32(UNPACKED[0]));
            let b = _mm256_srli_epi32::<2>(_mm256_and_si256(all, _mm256_set1_epi32(UNPACKED[1])));
            let c = _mm256_srli_epi32::<4>(_mm256_and_si256(all, _mm256_set1_epi32(UNPACKED[2])));
            let d = _mm256_srli_epi32::<6>(_mm256_and_si256(all, _mm256_set1_epi32(UNPACKED[3])));
            let triples = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
            let halves = _mm256_shuffle_epi8(
                triples,
                _mm256_setr_epi8(
                    0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1, //
                    0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1,
                ),
            );
            let mut bytes = [0; WIDE];
            store_wide(&mut bytes, halves);
            theirs[..HALF_BYTES].copy_from_slice(&bytes[..HALF_BYTES]);
            theirs[HALF_BYTES..].copy_from_slice(&bytes[WIDE / 2..][..HALF_BYTES]);
        }
    }
}
