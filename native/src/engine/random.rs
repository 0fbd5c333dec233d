//! Connection ids from a seed, so that a simulated run can be replayed packet for packet.
//!
//! Real endpoints use the engine's own generator, which draws from the operating system. Nothing
//! here ever makes a key.

use noq_proto::{ConnectionId, ConnectionIdGenerator};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

/// Length of a connection id, in bytes: the engine's default.
const CID_BYTES: usize = 8;

/// Draws connection ids from a seeded generator.
pub struct SeededCids(StdRng);

impl SeededCids {
    /// A generator whose ids are a function of `seed`.
    pub fn new(seed: [u8; 32]) -> Self {
        Self(StdRng::from_seed(seed))
    }

    /// The next id of `length` bytes, at most 20.
    pub fn draw(&mut self, length: usize) -> ConnectionId {
        let mut bytes = [0; 20];
        self.0.fill_bytes(&mut bytes[..length]);
        ConnectionId::new(&bytes[..length])
    }
}

impl ConnectionIdGenerator for SeededCids {
    fn generate_cid(&mut self) -> ConnectionId {
        self.draw(CID_BYTES)
    }

    fn cid_len(&self) -> usize {
        CID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
