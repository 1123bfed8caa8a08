//! Many texts one after the other, kept in blocks that do not move as more come: adding one never takes long.

/// Bytes of a block; a longer text has one of its own.
const BLOCK_BYTES: usize = 64 << 10;

/// Texts by their index, some of which may be missing.
#[derive(Debug, Default)]
pub(super) struct Texts {
    blocks: Vec<Vec<u8>>,
    places: Vec<Place>,
}

/// Where a text is. A block of no number stands for none.
#[derive(Clone, Copy, Debug)]
struct Place {
    block: u32,
    /// Below [`BLOCK_BYTES`]: behind a longer text there is no room in its block.
    start: u32,
    len: usize,
}

const NONE: Place = Place { block: u32::MAX, start: 0, len: 0 };

impl Texts {
    /// Room for so many, which is not moved as they come. O(1).
    pub fn with_capacity(count: usize) -> Texts {
        Texts { blocks: Vec::new(), places: Vec::with_capacity(count) }
    }

    /// Adds a text. O(bytes).
    pub fn push(&mut self, text: &[u8]) {
        let room = self.blocks.last().map_or(0, |block| block.capacity() - block.len());
        if room < text.len() {
            // A few small ones take little memory.
            let grown = self.blocks.last().map_or(256, |block| 2 * block.capacity());
            self.blocks.push(Vec::with_capacity(text.len().max(grown.min(BLOCK_BYTES))));
        }
        let index = self.blocks.len().saturating_sub(1);
        let Some(block) = self.blocks.last_mut() else { return self.places.push(Place { block: 0, ..NONE }) };
        debug_assert!(index < NONE.block as usize && block.len() <= BLOCK_BYTES);
        self.places.push(Place { block: index as u32, start: block.len() as u32, len: text.len() });
        block.extend_from_slice(text);
    }

    /// Adds one that is missing. O(1).
    pub fn push_none(&mut self) {
        self.places.push(NONE);
    }

    /// How many there are, the missing ones included. O(1).
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// A text, unless it is missing. O(1).
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let Place { block, start, len } = self.places[index];
        if block == NONE.block {
            return None;
        }
        let bytes = self.blocks.get(block as usize).map_or(&[][..], |block| block);
        Some(&bytes[start as usize..][..len])
    }

    /// A text; empty if it is missing. O(1).
    pub fn at(&self, index: usize) -> &[u8] {
        self.get(index).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn texts_are_found_by_their_index() {
        let mut prng = Prng::seeded(3);
        for count in [0, 1, 5, 3000] {
            let (mut texts, mut twin) = (Texts::with_capacity(count), Vec::new());
            for n in 0..count {
                let bytes = match n % 100 {
                    99 => BLOCK_BYTES + prng.below(10) as usize,
                    _ => prng.below(300) as usize,
                };
                let text: Option<Vec<u8>> = (!prng.chance(1, 5)).then(|| vec![n as u8; bytes]);
                match &text {
                    Some(text) => texts.push(text),
                    None => texts.push_none(),
                }
                twin.push(text);
            }
            assert_eq!(texts.len(), twin.len());
            for (index, text) in twin.iter().enumerate() {
                assert_eq!(texts.get(index), text.as_deref());
            }
        }
        let mut texts = Texts::default();
        texts.push(b"");
        texts.push_none();
        assert_eq!((texts.get(0), texts.get(1), texts.at(1)), (Some(&b""[..]), None, &b""[..]));
    }
}
