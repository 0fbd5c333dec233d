//! The two halves of a stream: what waits to be sent, and what arrived and was not yet taken.
//!
//! A receiver takes everything out of the QUIC stream at once, so that the engine below never holds
//! unread chunks (it gives up a connection at 2,048 of them). What bounds memory instead is credit of
//! our own: a sender may be ahead of the consumer by [`STREAM_CREDIT`], in bytes and, since small
//! frames cost [`FRAME_COST_MIN`](super::wire::FRAME_COST_MIN), in frames. ADR 0003 has the argument.
//!
//! Pure: no engine types here; [`super::connection`] moves the bytes.

mod recv;
mod send;

#[cfg(test)]
mod tests;

pub use recv::{Received, RecvHalf, Violation};
pub use send::{SEND_HIGH_WATER_BYTES, SEND_LOW_WATER_BYTES, SendHalf};

use super::wire::STREAM_CREDIT;

/// Credit is announced after this much was consumed, in cost units.
const CREDIT_STEP: u64 = STREAM_CREDIT / 4;

/// So little is unconsumed that one more message may exceed the credit, however large it is: consumption
/// below [`CREDIT_STEP`] is not announced, so a sender cannot wait for it.
fn may_exceed(unconsumed_cost: u64) -> bool {
    unconsumed_cost < CREDIT_STEP
}
