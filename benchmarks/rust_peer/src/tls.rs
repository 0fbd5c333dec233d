//! Mutual TLS 1.3 with raw Ed25519 public keys (RFC 7250), as the engine of Kontinuum speaks it.
//!
//! Each side knows the other by its 32-byte key alone. The server accepts whoever proves a key, the client
//! only the key it was told to expect.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

/// DER of an Ed25519 SubjectPublicKeyInfo up to the key (RFC 8410, section 4).
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// DER of an Ed25519 PKCS#8 key up to the seed (RFC 8410, section 7).
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The application protocol both ends must name.
const ALPN: &[u8] = b"kontinuum-benchmark/1";

/// An Ed25519 public key.
pub type PublicKey = [u8; 32];

/// A key pair in the forms rustls takes.
pub struct Identity {
    provider: Arc<CryptoProvider>,
    certified: Arc<CertifiedKey>,
    /// Our half that others may know.
    pub public: PublicKey,
}

impl Identity {
    /// Make the identity of `seed`; `hybrid` prefers X25519MLKEM768 and still accepts X25519.
    pub fn from_seed(seed: &[u8; 32], hybrid: bool) -> Result<Self, Error> {
        let mut provider = default_provider();
        provider.kx_groups =
            if hybrid { vec![kx_group::X25519MLKEM768, kx_group::X25519] } else { vec![kx_group::X25519] };
        let pkcs8 = [&PKCS8_HEAD[..], seed].concat();
        let key = provider.key_provider.load_private_key(PrivateKeyDer::Pkcs8(pkcs8.into()))?;
        let spki = key.public_key().ok_or_else(|| Error::General("the key has no public half".into()))?;
        let public = public_key_of(&spki)?;
        let certified = CertifiedKey::new(vec![CertificateDer::from(spki.to_vec())], key);
        Ok(Self { provider: Arc::new(provider), certified: Arc::new(certified), public })
    }

    /// TLS settings of the accepting side: a client without a key is refused, nothing can be resumed.
    pub fn server(&self) -> Result<rustls::ServerConfig, Error> {
        let resolver = rustls::server::AlwaysResolvesServerRawPublicKeys::new(self.certified.clone());
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(RawKeyVerifier {
                expected: None,
                provider: self.provider.clone(),
            }))
            .with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// TLS settings of the dialling side, which accepts nobody but `expected`.
    pub fn client(&self, expected: PublicKey) -> Result<rustls::ClientConfig, Error> {
        let resolver = rustls::client::AlwaysResolvesClientRawPublicKeys::new(self.certified.clone());
        let verifier = RawKeyVerifier { expected: Some(expected), provider: self.provider.clone() };
        let mut config = rustls::ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(resolver));
        config.resumption = rustls::client::Resumption::disabled();
        config.enable_sni = false;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }
}

fn public_key_of(spki: &[u8]) -> Result<PublicKey, Error> {
    spki.strip_prefix(&SPKI_HEAD)
        .and_then(|key| key.try_into().ok())
        .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

/// Accepts one raw key, or any where `expected` is none.
#[derive(Debug)]
struct RawKeyVerifier {
    expected: Option<PublicKey>,
    provider: Arc<CryptoProvider>,
}

impl RawKeyVerifier {
    fn verify_key(&self, spki: &[u8]) -> Result<(), Error> {
        let key = public_key_of(spki)?;
        match self.expected {
            Some(expected) if expected != key => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            _ => Ok(()),
        }
    }

    fn verify_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = SubjectPublicKeyInfoDer::from(spki.as_ref());
        verify_tls13_signature_with_raw_key(
            message,
            &spki,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }
}

fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("TLS 1.2 was never offered".into()))
}

impl ServerCertVerifier for RawKeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify_key(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _spki: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, spki, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for RawKeyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify_key(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _spki: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, spki, signed)
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
