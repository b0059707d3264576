//! Pseudorandom numbers, different for each seed (xorshift).

pub(super) struct Random(u64);

impl Random {
    /// Seeds a generator with the number of a client or a connection.
    pub(super) fn of(number: usize) -> Self {
        Self((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
