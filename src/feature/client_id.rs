//! What names a client: for sessions, connections and whatever remembers a client while it is there.

/// Names a client for as long as it lives, and nobody afterwards: the slot of its session, which is used again, and a serial
/// number, which is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId {
    slot: u32,
    /// The lower half of the number that CLIENT ID answers.
    serial: u32,
}

impl ClientId {
    /// The client of a slot, with the number that CLIENT ID answers.
    pub fn new(slot: usize, number: u64) -> ClientId {
        ClientId { slot: slot as u32, serial: number as u32 }
    }

    /// Where its session, and its connection if it has one, are to be found.
    #[inline]
    pub fn slot(self) -> usize {
        self.slot as usize
    }

    /// Tells it from others that have, had or will have its slot.
    #[inline]
    pub fn serial(self) -> u32 {
        self.serial
    }
}
