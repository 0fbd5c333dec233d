//! Choose the TLS configuration by ALPN, once the whole ClientHello is there.
//!
//! A post-quantum ClientHello spans two packets, so the choice cannot be made at the first one, and
//! rustls fixes raw keys or X.509 for a configuration as a whole. This buffers CRYPTO bytes until
//! the ClientHello is complete, picks the configuration and replays the bytes into it.
//!
//! Source: RFC 8446, section 4.1.2 (ClientHello); RFC 7301, section 3.1 (ALPN).
//! Bounds: [`HELLO_BYTES_MAX`] buffered for a connection.

use noq_proto::crypto::rustls::QuicServerConfig;
use noq_proto::crypto::{self, ExportKeyingMaterialError, HeaderKey, KeyPair, Keys, PacketKey, UnsupportedVersion};
use noq_proto::transport_parameters::TransportParameters;
use noq_proto::{ConnectionId, Side, TransportError};
use std::any::Any;
use std::sync::Arc;

/// Longest ClientHello that is waited for, in bytes: a post-quantum one has about 1,500. Our choice;
/// a longer one goes to TLS as far as it came, which refuses it.
pub const HELLO_BYTES_MAX: usize = 16 << 10;

/// One configuration for each ALPN, in our order of preference.
pub struct Demultiplexer(Arc<[(Vec<u8>, Arc<QuicServerConfig>)]>);

impl Demultiplexer {
    /// Serve `configurations`, at least one.
    pub fn new(configurations: Vec<(Vec<u8>, Arc<QuicServerConfig>)>) -> Self {
        assert!(!configurations.is_empty(), "an endpoint speaks something");
        Self(configurations.into())
    }
}

impl crypto::ServerConfig for Demultiplexer {
    fn initial_keys(&self, version: u32, id: ConnectionId) -> Result<Keys, UnsupportedVersion> {
        self.0[0].1.initial_keys(version, id)
    }

    fn retry_tag(&self, version: u32, original: ConnectionId, packet: &[u8]) -> [u8; 16] {
        self.0[0].1.retry_tag(version, original, packet)
    }

    fn start_session(&self, version: u32, parameters: &TransportParameters) -> Box<dyn crypto::Session> {
        Box::new(Undecided {
            choices: self.0.clone(),
            version,
            parameters: *parameters,
            hello: Vec::new(),
            chosen: None,
        })
    }
}

struct Undecided {
    choices: Arc<[(Vec<u8>, Arc<QuicServerConfig>)]>,
    version: u32,
    parameters: TransportParameters,
    hello: Vec<u8>,
    chosen: Option<Box<dyn crypto::Session>>,
}

impl Undecided {
    fn start(&self, choice: usize) -> Box<dyn crypto::Session> {
        crypto::ServerConfig::start_session(&*self.choices[choice].1, self.version, &self.parameters)
    }
}

impl crypto::Session for Undecided {
    fn initial_keys(&self, id: ConnectionId, side: Side) -> Keys {
        match &self.chosen {
            Some(session) => session.initial_keys(id, side),
            None => self.start(0).initial_keys(id, side),
        }
    }

    fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.chosen.as_ref()?.handshake_data()
    }

    fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.chosen.as_ref()?.peer_identity()
    }

    fn early_crypto(&self) -> Option<(Box<dyn HeaderKey>, Box<dyn PacketKey>)> {
        self.chosen.as_ref()?.early_crypto()
    }

    fn early_data_accepted(&self) -> Option<bool> {
        self.chosen.as_ref()?.early_data_accepted()
    }

    fn is_handshaking(&self) -> bool {
        self.chosen.as_ref().is_none_or(|session| session.is_handshaking())
    }

    fn read_handshake(&mut self, bytes: &[u8]) -> Result<bool, TransportError> {
        if let Some(session) = &mut self.chosen {
            return session.read_handshake(bytes);
        }
        self.hello.extend_from_slice(bytes);
        if !is_whole(&self.hello) {
            return Ok(false);
        }
        let offered = offered_alpns(&self.hello).unwrap_or_default();
        // Without a match the first configuration says so, with the alert that RFC 7301 asks for.
        let choice = self.choices.iter().position(|(alpn, _)| offered.contains(&&alpn[..])).unwrap_or(0);
        let mut session = self.start(choice);
        let result = session.read_handshake(&std::mem::take(&mut self.hello));
        self.chosen = Some(session);
        result
    }

    fn transport_parameters(&self) -> Result<Option<TransportParameters>, TransportError> {
        self.chosen.as_ref().map_or(Ok(None), |session| session.transport_parameters())
    }

    fn write_handshake(&mut self, out: &mut Vec<u8>) -> Option<Keys> {
        self.chosen.as_mut()?.write_handshake(out)
    }

    fn next_1rtt_keys(&mut self) -> Option<KeyPair<Box<dyn PacketKey>>> {
        self.chosen.as_mut()?.next_1rtt_keys()
    }

    fn is_valid_retry(&self, _: ConnectionId, _: &[u8], _: &[u8]) -> bool {
        false // Only clients receive Retry.
    }

    fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        match &self.chosen {
            Some(session) => session.export_keying_material(output, label, context),
            None => Err(ExportKeyingMaterialError),
        }
    }
}

/// Nothing more needs to come before TLS can judge: the hello is complete, absurd, or no hello at all.
pub fn is_whole(hello: &[u8]) -> bool {
    let [kind, a, b, c, ..] = hello else { return false };
    let length = 4 + (usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c));
    *kind != 1 || hello.len() >= length || length > HELLO_BYTES_MAX
}

/// The protocols that a ClientHello offers, or `None` when it is malformed or has no such extension.
pub fn offered_alpns(hello: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = hello.get(4 + 2 + 32..)?; // header, legacy version, random
    take_vector(&mut rest, 1)?; // session id
    take_vector(&mut rest, 2)?; // cipher suites
    take_vector(&mut rest, 1)?; // compression methods
    let mut extensions = take_vector(&mut rest, 2)?;
    while !extensions.is_empty() {
        let (kind, after) = extensions.split_first_chunk::<2>()?;
        extensions = after;
        let mut data = take_vector(&mut extensions, 2)?;
        if *kind == [0, 16] {
            let mut list = take_vector(&mut data, 2)?;
            let mut names = Vec::new();
            while !list.is_empty() {
                names.push(take_vector(&mut list, 1)?);
            }
            return Some(names);
        }
    }
    None
}

/// A vector whose length is in its first `width` bytes (RFC 8446, section 3.4).
fn take_vector<'a>(bytes: &mut &'a [u8], width: usize) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_at_checked(width)?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    let (data, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(alpns: &[&str]) -> Vec<u8> {
        let list: Vec<u8> = alpns.iter().flat_map(|alpn| [&[alpn.len() as u8], alpn.as_bytes()].concat()).collect();
        let mut extensions = vec![0, 43, 0, 3, 2, 3, 4]; // supported_versions: TLS 1.3
        extensions.extend([0, 16, 0, list.len() as u8 + 2, 0, list.len() as u8]);
        extensions.extend(list);
        let mut body = vec![3, 3];
        body.extend([0; 32]);
        body.push(0);
        body.extend([0, 2, 0x13, 0x01, 1, 0]);
        body.extend([0, extensions.len() as u8]);
        body.extend(extensions);
        [&[1, 0, 0, body.len() as u8], &body[..]].concat()
    }

    #[test]
    fn every_offer_is_seen_and_every_cut_is_survived() {
        let hello = hello(&["libp2p", "kontinuum/1"]);
        assert!(is_whole(&hello));
        assert_eq!(offered_alpns(&hello).unwrap(), [&b"libp2p"[..], b"kontinuum/1"]);
        for cut in 0..hello.len() {
            assert!(!is_whole(&hello[..cut]), "cut at {cut}");
            offered_alpns(&hello[..cut]);
        }
    }

    #[test]
    fn an_absurd_length_is_not_waited_for() {
        assert!(is_whole(&[1, 0xff, 0xff, 0xff]));
        assert!(is_whole(&[2, 0, 0, 9]), "no ClientHello: let TLS refuse it");
        assert!(!is_whole(&[1, 0, 0x3f, 0]));
    }
}
