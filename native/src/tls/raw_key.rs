//! Mutual TLS with raw Ed25519 public keys: the key is the identity.
//!
//! Source: RFC 7250 (raw public keys), RFC 8410 (Ed25519 in SubjectPublicKeyInfo), RFC 8446.
//! Trust: each side proves possession of its key by the CertificateVerify signature. The dialler
//! pins whom it expects; the expectation travels in rustls' server name, which is never sent (no SNI).
//!
//! The alert tells both sides what was wrong (docs/protocols/handshake.md): 42 another key than
//! expected, 49 a key that is no identity, 116 no key at all, 120 no common ALPN.

use super::{ALPN_KONTINUUM, provider};
use crate::point;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, KeyLog, ServerConfig,
    SignatureScheme,
};
use std::sync::Arc;

/// An Ed25519 SubjectPublicKeyInfo up to the key (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// An Ed25519 PKCS#8 document up to the seed (RFC 8410, section 7).
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The key in an Ed25519 SubjectPublicKeyInfo.
pub fn key_of_spki(der: &[u8]) -> Option<[u8; 32]> {
    der.strip_prefix(&SPKI_PREFIX)?.try_into().ok()
}

/// The server name that stands for the expectation of `key`. A DNS label has at most 63 characters.
pub fn name_of_key(key: &[u8; 32]) -> String {
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}.{}.invalid", &hex[..32], &hex[32..])
}

pub(super) fn key_of_name(name: &ServerName<'_>) -> Option<[u8; 32]> {
    let ServerName::DnsName(name) = name else { return None };
    let hex = name.as_ref().strip_suffix(".invalid")?.replace('.', "");
    let mut key = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, digits) in key.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(key)
}

/// Both directions of one protocol for one identity.
pub struct Configs {
    /// For connections that we make.
    pub client: ClientConfig,
    /// For connections that we accept.
    pub server: ServerConfig,
    /// Our identity.
    pub public: [u8; 32],
}

/// Build both directions from a 32-byte Ed25519 seed.
pub fn configs(seed: &[u8; 32], post_quantum: bool, key_log: Option<Arc<dyn KeyLog>>) -> Result<Configs, Error> {
    let provider = provider(post_quantum);
    let pkcs8 = [&PKCS8_PREFIX[..], seed].concat();
    let key = provider.key_provider.load_private_key(PrivateKeyDer::Pkcs8(pkcs8.into()))?;
    let spki = key.public_key().ok_or_else(|| Error::General("the key has no public form".into()))?;
    let public = key_of_spki(&spki).ok_or_else(|| Error::General("the key is not Ed25519".into()))?;
    let certified = Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki.to_vec())], key));
    let verifier = Arc::new(Verifier(provider.clone()));

    let mut client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified.clone())));
    client.resumption = Resumption::disabled();
    client.enable_sni = false;
    client.alpn_protocols = vec![ALPN_KONTINUUM.to_vec()];

    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(certified)));
    server.alpn_protocols = vec![ALPN_KONTINUUM.to_vec()];
    server.send_tls13_tickets = 0;

    if let Some(log) = key_log {
        client.key_log = log.clone();
        server.key_log = log;
    }
    Ok(Configs { client, server, public })
}

#[derive(Debug)]
struct Verifier(Arc<CryptoProvider>);

impl Verifier {
    /// The identity in `certificate`, if it may be one.
    fn identity(certificate: &CertificateDer<'_>) -> Result<[u8; 32], Error> {
        let refused = || Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        let key = key_of_spki(certificate).ok_or_else(refused)?;
        point::check_public_key(&key).map_err(|_| refused())?;
        Ok(key)
    }

    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = SubjectPublicKeyInfoDer::from(certificate.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, signature, &self.0.signature_verification_algorithms)
    }
}

pub(super) fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("QUIC has TLS 1.3 only".into()))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = Self::identity(end_entity)?;
        if key_of_name(server_name) != Some(key) {
            return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Self::identity(end_entity).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_survives_the_server_name() {
        let key: [u8; 32] = std::array::from_fn(|n| n as u8 * 7);
        let name = ServerName::try_from(name_of_key(&key)).unwrap();
        assert_eq!(key_of_name(&name), Some(key));
        for other in ["example.com", "00.11.invalid", "invalid"] {
            assert_eq!(key_of_name(&ServerName::try_from(other).unwrap()), None);
        }
    }

    #[test]
    fn only_an_ed25519_spki_has_a_key() {
        let spki = [&SPKI_PREFIX[..], &[7; 32]].concat();
        assert_eq!(key_of_spki(&spki), Some([7; 32]));
        assert_eq!(key_of_spki(&spki[..43]), None);
        assert_eq!(key_of_spki(&[&spki[..], &[0]].concat()), None);
        assert_eq!(key_of_spki(&[0x30; 44]), None);
    }
}
