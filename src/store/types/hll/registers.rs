//! The registers themselves: packed six bits each, or a byte each; and what they say about the number of elements.

use super::sparse::{self, Run};
use super::wide;
use super::{Corrupt, Encoding, Hll, Mark, REGISTERS, VALUE_MAX};

/// How many values six bits have. A hash gives none above 51, but a client may have written them.
pub const VALUES: usize = 64;

/// Packed registers are handled eight at a time: they fill six bytes.
const GROUP: usize = 8;
const GROUP_BYTES: usize = 6;

/// One packed register. O(1).
pub fn get(packed: &[u8], register: usize) -> u8 {
    (pair(packed, register) >> (register * 6 % 8)) as u8 & (VALUES as u8 - 1)
}

/// Writes one packed register. O(1).
pub fn set(packed: &mut [u8], register: usize, value: u8) {
    let (at, shift) = (register * 6 / 8, register * 6 % 8);
    let mask = (VALUES as u16 - 1) << shift;
    let [low, high] = (pair(packed, register) & !mask | u16::from(value) << shift & mask).to_le_bytes();
    packed[at] = low;
    if let Some(next) = packed.get_mut(at + 1) {
        *next = high;
    }
}

/// The two bytes that a register may lie in; the last one ends with the bytes.
fn pair(packed: &[u8], register: usize) -> u16 {
    let at = register * 6 / 8;
    u16::from_le_bytes([packed[at], packed.get(at + 1).copied().unwrap_or(0)])
}

/// Eight registers, a byte each, from the lowest 48 bits: halves are moved apart until each has its byte.
#[inline]
fn unpack_group(packed: &[u8; GROUP_BYTES]) -> u64 {
    let [a, b, c, d, e, f] = *packed;
    let x = u64::from_le_bytes([a, b, c, 0, d, e, f, 0]);
    let x = x & 0x0000_0fff_0000_0fff | (x & 0x00ff_f000_00ff_f000) << 4;
    x & 0x003f_003f_003f_003f | (x & 0x0fc0_0fc0_0fc0_0fc0) << 2
}

/// The way back.
#[inline]
fn pack_group(unpacked: &[u8; GROUP]) -> [u8; GROUP_BYTES] {
    let x = u64::from_le_bytes(*unpacked) & 0x3f3f_3f3f_3f3f_3f3f;
    let x = x & 0x003f_003f_003f_003f | (x & 0x3f00_3f00_3f00_3f00) >> 2;
    let x = x & 0x0000_0fff_0000_0fff | (x & 0x0fff_0000_0fff_0000) >> 4;
    let [a, b, c, _, d, e, f, _] = x.to_le_bytes();
    [a, b, c, d, e, f]
}

/// The higher of each byte, all of which are below 128: a byte's highest bit tells whether its difference borrowed.
#[inline]
fn higher(a: u64, b: u64) -> u64 {
    const HIGHEST: u64 = 0x8080_8080_8080_8080;
    let not_less = (a | HIGHEST).wrapping_sub(b) & HIGHEST;
    let mask = not_less | not_less.wrapping_sub(not_less >> 7);
    a & mask | b & !mask
}

/// Counts how many packed registers have each value.
pub fn dense_histogram(packed: &[u8], histogram: &mut [u32; VALUES]) {
    let (groups, _) = packed.as_chunks::<GROUP_BYTES>();
    add_up(groups.iter().map(|group| unpack_group(group).to_le_bytes()), histogram);
}

/// Neighbours count in tables of their own, so that equal ones do not wait for each other's sum.
fn add_up(groups: impl Iterator<Item = [u8; GROUP]>, histogram: &mut [u32; VALUES]) {
    let mut tables = [[0_u32; VALUES]; 4];
    for group in groups {
        for (index, value) in group.into_iter().enumerate() {
            tables[index % 4][value as usize % VALUES] += 1;
        }
    }
    for (value, total) in histogram.iter_mut().enumerate() {
        *total += tables.iter().map(|table| table[value]).sum::<u32>();
    }
}

/// All registers, a byte each: the union of any number of HyperLogLogs.
#[derive(Clone, Debug)]
pub struct Registers(Box<[[u8; GROUP]]>);

impl Default for Registers {
    fn default() -> Registers {
        Registers(vec![[0; GROUP]; REGISTERS / GROUP].into_boxed_slice())
    }
}

impl Registers {
    /// Raises each register to that of a HyperLogLog. O(registers).
    ///
    /// # Errors
    ///
    /// [`Corrupt`] if its runs do not add up; some registers may have been raised then.
    pub fn merge(&mut self, hll: Hll<'_>) -> Result<(), Corrupt> {
        match hll.encoding {
            Encoding::Dense => {
                if !wide::merge(self.0.as_flattened_mut(), hll.body()) {
                    self.merge_dense(hll.body());
                }
                Ok(())
            }
            Encoding::Sparse => {
                let all = self.0.as_flattened_mut();
                sparse::each_run(hll.body(), |first, run| {
                    if let Run::Values { value, count } = run {
                        all[first..first + count].iter_mut().for_each(|register| *register = value.max(*register));
                    }
                })
            }
        }
    }

    fn merge_dense(&mut self, packed: &[u8]) {
        let (groups, _) = packed.as_chunks::<GROUP_BYTES>();
        for (ours, theirs) in self.0.iter_mut().zip(groups) {
            *ours = higher(u64::from_le_bytes(*ours), unpack_group(theirs)).to_le_bytes();
        }
    }

    /// Raises a register as an element does. O(1).
    #[inline]
    pub fn raise(&mut self, mark: Mark) {
        let register = &mut self.0.as_flattened_mut()[mark.register];
        *register = mark.value.max(*register);
    }

    /// Writes them packed. O(registers).
    pub fn pack(&self, packed: &mut [u8]) {
        if !wide::pack(self.0.as_flattened(), packed) {
            self.pack_dense(packed);
        }
    }

    fn pack_dense(&self, packed: &mut [u8]) {
        let (groups, _) = packed.as_chunks_mut::<GROUP_BYTES>();
        for (packed, unpacked) in groups.iter_mut().zip(&self.0) {
            *packed = pack_group(unpacked);
        }
    }

    /// The values, in order.
    pub fn iter(&self) -> impl Iterator<Item = u8> {
        self.0.as_flattened().iter().copied()
    }

    /// Estimates the number of elements. O(registers).
    pub fn count(&self) -> u64 {
        let mut histogram = [0; VALUES];
        add_up(self.0.iter().copied(), &mut histogram);
        estimate(&histogram)
    }
}

/// 1 / (2 ln 2).
const ALPHA: f64 = 0.721_347_520_444_481_7;

/// The number of elements that most likely left these counts of register values: Ertl's improved estimator ("New
/// cardinality estimation algorithms for HyperLogLog sketches", 2017), in the order of operations of Redis, as the last digit
/// depends on it.
pub fn estimate(histogram: &[u32; VALUES]) -> u64 {
    let m = REGISTERS as f64;
    let mut z = m * tau((m - f64::from(histogram[VALUE_MAX as usize])) / m);
    for &count in histogram[1..VALUE_MAX as usize].iter().rev() {
        z += f64::from(count);
        z *= 0.5;
    }
    z += m * sigma(f64::from(histogram[0]) / m);
    // Values that no hash gives make the estimate meaningless; a float becomes the nearest integer then.
    ((ALPHA * m * m / z).round() as u64).min(i64::MAX as u64)
}

/// Corrects for registers that are still zero.
fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// Corrects for registers that can go no higher.
fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn wide_registers_are_those_of_the_narrow_twin() {
        let mut prng = Prng::seeded(3);
        for round in 0..20 {
            let mut packed = vec![0_u8; REGISTERS / GROUP * GROUP_BYTES];
            packed.iter_mut().for_each(|byte| *byte = if round == 0 { 0xff } else { prng.below(256) as u8 });
            let [mut wide, mut narrow] = [Registers::default(), Registers::default()];
            for registers in [&mut wide, &mut narrow] {
                for (register, value) in registers.0.as_flattened_mut().iter_mut().enumerate() {
                    *value = (register * (round + 1) % VALUES) as u8;
                }
            }
            let expected: Vec<u8> =
                narrow.iter().enumerate().map(|(register, value)| value.max(get(&packed, register))).collect();
            narrow.merge_dense(&packed);
            assert_eq!(narrow.0.as_flattened(), expected);
            if !wide::merge(wide.0.as_flattened_mut(), &packed) {
                return;
            }
            assert_eq!(wide.0, narrow.0);
            let [mut by_wide, mut by_narrow] = [packed.clone(), packed];
            assert!(wide::pack(wide.0.as_flattened(), &mut by_wide));
            narrow.pack_dense(&mut by_narrow);
            assert_eq!(by_wide, by_narrow);
        }
    }
}
