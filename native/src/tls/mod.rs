//! TLS 1.3 for the fabric: one provider, two forms of identity, chosen by ALPN.
//!
//! `kontinuum/1` presents RFC 7250 raw Ed25519 keys ([`raw_key`]), `libp2p` a certificate that such a key has signed
//! ([`libp2p`], written in [`der`]); a further form is one more entry in [`alpn::Demultiplexer`].

pub mod alpn;
pub mod der;
pub mod key_log;
pub mod libp2p;
pub mod raw_key;

use rustls::NamedGroup;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use std::sync::Arc;

/// The protocol of connections between Kontinuum nodes.
pub const ALPN_KONTINUUM: &[u8] = b"kontinuum/1";

/// The protocol of connections with nodes of other make (libp2p specifications, `quic/README.md`).
pub const ALPN_LIBP2P: &[u8] = b"libp2p";

/// The identity that a peer has proven by `certificate` in a connection of `alpn`.
pub fn identity_of(alpn: &[u8], certificate: &[u8]) -> Option<[u8; 32]> {
    if alpn == ALPN_LIBP2P { libp2p::certificate::identity_of(certificate) } else { raw_key::key_of_spki(certificate) }
}

/// The cryptography in use: aws-lc-rs, with the post-quantum hybrid first if asked.
///
/// AES-128-GCM comes first, as in browsers: its SHA-256 key schedule takes a fifth off a handshake, and
/// against it no attack is known that AES-256 would stop (docs/adr/0006).
pub fn provider(post_quantum: bool) -> Arc<CryptoProvider> {
    use aws_lc_rs::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256};
    use aws_lc_rs::kx_group::{X25519, X25519MLKEM768};
    let cipher_suites = vec![TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256, TLS13_AES_256_GCM_SHA384];
    let kx_groups = if post_quantum { vec![X25519MLKEM768, X25519] } else { vec![X25519] };
    Arc::new(CryptoProvider { cipher_suites, kx_groups, ..aws_lc_rs::default_provider() })
}

/// The name of a key exchange, as it is shown to people.
pub fn group_name(group: Option<NamedGroup>) -> &'static str {
    match group {
        Some(NamedGroup::X25519MLKEM768) => "X25519MLKEM768",
        Some(NamedGroup::X25519) => "X25519",
        _ => "other",
    }
}
