//! The QUIC engine of the fabric: a state machine without I/O, and the socket that feeds it.
//!
//! Bytes and the time go in, bytes and events come out; nothing here opens, waits or decides. Whom
//! to accept, dial or evict is Python's business, and reaches this floor as numbers in [`Options`].
//!
//! Reading order: [`wire`] (the bytes of a stream), [`stream`] (credit, framing, buffers),
//! [`connection`] (one peer), [`streams`] (what is on it) and [`raw`] (the same where libp2p is spoken), [`endpoint`] (all peers) and [`drive`] (what
//! makes them go), [`socket`] (UDP in batches).

pub mod active_wait;
pub mod admission;
pub mod commands;
mod congestion;
pub mod connection;
mod drive;
pub mod endpoint;
pub mod event;
pub mod initial_close;
pub mod options;
mod protocols;
pub mod random;
pub mod raw;
pub mod socket;
pub mod statistics;
pub mod stream;
mod streams;
mod transport;
pub mod wire;

pub use endpoint::Engine;
pub use event::Event;
pub use options::Options;
