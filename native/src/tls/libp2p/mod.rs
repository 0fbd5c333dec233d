//! Mutual TLS as libp2p speaks it: an X.509 certificate whose key the host key has signed.
//!
//! Both sides show one certificate; the dialler expects the identity that it dials, as in [`super::raw_key`].
//! Reading order: [`host_key`] (four kinds of identity), [`certificate`] (made and judged), and here the two directions.
//!
//! Source: libp2p specifications, `tls/tls.md`. Differs: identities are Ed25519 keys, as everywhere in the fabric; peers with
//! other host keys prove themselves and are refused with an alert of its own.
//!
//! The alert tells both sides what was wrong (docs/protocols/handshake.md): 42 another identity than expected, 43 one that is
//! not an Ed25519 key, 45 outside of its dates, 46 no such certificate or several, 48 the host key did not sign it, 49 a key
//! that is no identity, 51 a wrong signature, 116 no certificate.

pub mod certificate;
pub mod host_key;
#[cfg(test)]
mod tests;

use super::raw_key::{Configs, key_of_name, no_tls12};
use super::{ALPN_LIBP2P, provider};
use aws_lc_rs::rand;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use certificate::{Certificate, Draft, Fault};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, KeyLog, OtherError, ServerConfig,
    SignatureScheme,
};
use std::sync::Arc;

/// A fresh key for certificates: ECDSA on P-256, which every libp2p implementation verifies.
pub fn certificate_key(provider: &CryptoProvider) -> Result<Arc<dyn SigningKey>, Error> {
    let failed = |_| Error::General("no key for a certificate could be made".into());
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(failed)?;
    let pkcs8 = pair.to_pkcs8v1().map_err(failed)?;
    provider.key_provider.load_private_key(PrivateKeyDer::Pkcs8(pkcs8.as_ref().to_vec().into()))
}

/// The SubjectPublicKeyInfo of a key for certificates.
pub fn spki_of(key: &dyn SigningKey) -> Result<Vec<u8>, Error> {
    key.public_key().map(|spki| spki.to_vec()).ok_or_else(|| Error::General("the key has no public form".into()))
}

/// Fresh positive digits for a serial number.
pub fn serial() -> Result<[u8; 8], Error> {
    let mut serial = [0; 8];
    rand::fill(&mut serial).map_err(|_| Error::FailedToGetRandomBytes)?;
    serial[0] = serial[0] & 0x3f | 0x40; // Positive, and no byte could be left out.
    Ok(serial)
}

/// Build both directions from the 32-byte Ed25519 seed of an identity, with a certificate made now.
pub fn configs(seed: &[u8; 32], post_quantum: bool, key_log: Option<Arc<dyn KeyLog>>) -> Result<Configs, Error> {
    let provider = provider(post_quantum);
    let key = certificate_key(&provider)?;
    let spki = spki_of(&*key)?;
    let certificate = Draft::new(seed, &spki).sign(&*key, &spki, serial()?)?;
    configs_with(seed, provider, vec![CertificateDer::from(certificate)], key, key_log)
}

/// Build both directions around certificates that were made elsewhere.
pub fn configs_with(
    seed: &[u8; 32],
    provider: Arc<CryptoProvider>,
    certificates: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
    key_log: Option<Arc<dyn KeyLog>>,
) -> Result<Configs, Error> {
    let shown = Arc::new(SingleCertAndKey::from(CertifiedKey::new(certificates, key)));
    let verifier = Arc::new(Verifier(provider.clone()));

    let mut client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_client_cert_resolver(shown.clone());
    client.resumption = Resumption::disabled();
    client.enable_sni = false;
    client.alpn_protocols = vec![ALPN_LIBP2P.to_vec()];

    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(shown);
    server.alpn_protocols = vec![ALPN_LIBP2P.to_vec()];
    server.send_tls13_tickets = 0;

    if let Some(log) = key_log {
        client.key_log = log.clone();
        server.key_log = log;
    }
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| Error::General("unusable seed".into()))?;
    let public = pair.public_key().as_ref().try_into().expect("an Ed25519 key has 32 bytes");
    Ok(Configs { client, server, public })
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::InvalidCertificate(match fault {
            Fault::KeyType => CertificateError::InvalidPurpose,  // alert 43
            Fault::NotYetValid => CertificateError::NotValidYet, // alert 45
            Fault::Expired => CertificateError::Expired,         // alert 45
            Fault::Extension | Fault::HostSignature => CertificateError::UnknownIssuer, // alert 48
            Fault::UnfitKey => CertificateError::ApplicationVerificationFailure, // alert 49
            Fault::SelfSignature => CertificateError::BadSignature, // alert 51
            other => CertificateError::Other(OtherError(Arc::new(other))), // alert 46
        })
    }
}

#[derive(Debug)]
struct Verifier(Arc<CryptoProvider>);

impl Verifier {
    /// The identity that the peer proves, if its certificate may be believed.
    fn identity(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<[u8; 32], Error> {
        if !others.is_empty() {
            return Err(Fault::Several.into());
        }
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let certificate = Certificate::parse(certificate)?;
        Ok(certificate.verify(now, &self.0.signature_verification_algorithms)?)
    }

    fn signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let certificate = Certificate::parse(certificate)?;
        let spki = SubjectPublicKeyInfoDer::from(certificate.spki.whole);
        verify_tls13_signature_with_raw_key(message, &spki, signature, &self.0.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = self.identity(end_entity, intermediates, now)?;
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
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.identity(end_entity, intermediates, now).map(|_| ClientCertVerified::assertion())
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
        self.0.signature_verification_algorithms.supported_schemes()
    }

    fn client_auth_mandatory(&self) -> bool {
        true
    }
}
