//! The native floor of Kontinuum: QUIC engine, TLS, proof of work. Mechanism only; policy is Python.

pub mod engine;
pub mod point;
pub mod pow;
pub mod tls;

#[cfg(feature = "python")]
mod bindings;
