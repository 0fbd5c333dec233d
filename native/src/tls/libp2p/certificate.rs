//! The certificate by which a libp2p peer shows its identity: made, read and judged.
//!
//! It is an X.509 certificate of a key that is made for this process, signed by that key itself. What counts is one
//! extension: the host key, and its signature of the certificate's key.
//!
//! Source: libp2p specifications, `tls/tls.md` at commit 7740c076; RFC 5280, section 4.1.
//! Bounds: [`CERTIFICATE_BYTES_MAX`]; reading takes one pass and no memory.
//! Trust: hostile; [`Fault`] says what is wrong, and everything that is not understood is wrong.

use super::super::der::{self, Malformed, Reader};
use super::host_key::{HostKey, Spki, encode_ed25519};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::alg_id;
use rustls::sign::SigningKey;
use std::fmt;

/// Longest certificate, in bytes. Our choice: those of go, js and rust have some 400, with the largest RSA keys 4,000; a
/// longer one is malformed.
pub const CERTIFICATE_BYTES_MAX: usize = 16 << 10;

/// The extension with the host key: 1.3.6.1.4.1.53594.1.1.
const EXTENSION: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xa2, 0x5a, 0x01, 0x01];

/// What the host key signs begins with this.
const SIGNED_PREFIX: &[u8] = b"libp2p-tls-handshake:";

/// Why a certificate is not accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There is another certificate beside it.
    Several,
    /// It is no X.509 certificate in the form that libp2p asks for.
    Malformed,
    /// It must not be used by somebody who does not know one of its extensions, and we do not.
    CriticalExtension,
    /// Its time has not come.
    NotYetValid,
    /// Its time is over.
    Expired,
    /// It is not signed by its own key.
    SelfSignature,
    /// The extension with the host key is missing, twice there, or not in its form.
    Extension,
    /// The host key did not sign the certificate's key.
    HostSignature,
    /// The identity is a key of another kind than Ed25519: right for libp2p, but no identity of ours.
    KeyType,
    /// The key is no identity: of small order, or not in canonical form.
    UnfitKey,
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Several => "more than one certificate",
            Self::Malformed => "no certificate in the form of libp2p",
            Self::CriticalExtension => "an unknown critical extension",
            Self::NotYetValid => "a certificate that is not valid yet",
            Self::Expired => "a certificate that has expired",
            Self::SelfSignature => "a certificate that its own key did not sign",
            Self::Extension => "a certificate without a host key",
            Self::HostSignature => "a certificate that the host key did not sign",
            Self::KeyType => "an identity that is not an Ed25519 key",
            Self::UnfitKey => "a key that is no identity",
        })
    }
}

impl std::error::Error for Fault {}

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// A certificate as it came. That it could be read says nothing about whether it is true.
#[derive(Debug)]
pub struct Certificate<'a> {
    tbs: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
    not_before: i64,
    not_after: i64,
    /// The certificate's own key.
    pub spki: Spki<'a>,
    host_key: HostKey<'a>,
    host_signature: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Read a certificate with the extension.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        if bytes.len() > CERTIFICATE_BYTES_MAX {
            return Err(Fault::Malformed);
        }
        let mut certificate = der::only(bytes, der::SEQUENCE)?;
        let tbs = certificate.expect(der::SEQUENCE)?;
        let algorithm = certificate.expect(der::SEQUENCE)?;
        let signature = certificate.bits()?;
        certificate.end()?;

        let mut fields = Reader::new(tbs.content);
        let version = fields.expect(der::context(0))?.content;
        fields.expect(der::INTEGER)?; // serial number
        let inner_algorithm = fields.expect(der::SEQUENCE)?;
        if version != [der::INTEGER, 1, 2] || inner_algorithm != algorithm {
            return Err(Fault::Malformed); // Only version 3 has extensions; the algorithm is the one that was signed.
        }
        fields.expect(der::SEQUENCE)?; // issuer
        let mut validity = fields.enter(der::SEQUENCE)?;
        let not_before = der::read_time(validity.element()?)?;
        let not_after = der::read_time(validity.element()?)?;
        validity.end()?;
        fields.expect(der::SEQUENCE)?; // subject
        let spki = Spki::read(&mut fields)?;
        // The unique ids that may stand here elsewhere are forbidden: what is next are the extensions, or nothing.
        if fields.is_empty() {
            return Err(Fault::Extension);
        }
        let mut wrapper = fields.enter(der::context(3))?;
        fields.end()?;
        let extensions = wrapper.enter(der::SEQUENCE)?;
        wrapper.end()?;
        let signed_key = signed_key_of(extensions)?;
        let (host_key, host_signature) = read_signed_key(signed_key).map_err(|Malformed| Fault::Extension)?;
        let (tbs, algorithm) = (tbs.whole, algorithm.content);
        Ok(Self { tbs, algorithm, signature, not_before, not_after, spki, host_key, host_signature })
    }

    /// Judge it at `now`, in seconds since 1970: the identity of whoever holds its key.
    pub fn verify(&self, now: i64, algorithms: &WebPkiSupportedAlgorithms) -> Result<[u8; 32], Fault> {
        if now < self.not_before {
            return Err(Fault::NotYetValid);
        }
        if now > self.not_after {
            return Err(Fault::Expired);
        }
        if !self.host_key.is_fit() {
            return Err(Fault::UnfitKey);
        }
        let known = algorithms.all.iter().find(|known| known.signature_alg_id().as_ref() == self.algorithm);
        let algorithm = known.ok_or(Fault::SelfSignature)?.signature_alg_id();
        if !self.spki.has_signed(&algorithm, self.tbs, self.signature, algorithms) {
            return Err(Fault::SelfSignature);
        }
        let signed = [SIGNED_PREFIX, self.spki.whole].concat();
        if !self.host_key.has_signed(&signed, self.host_signature, algorithms) {
            return Err(Fault::HostSignature);
        }
        self.host_key.ed25519().ok_or(Fault::KeyType)
    }
}

/// The identity in a certificate that was verified before.
pub fn identity_of(certificate: &[u8]) -> Option<[u8; 32]> {
    Certificate::parse(certificate).ok()?.host_key.ed25519()
}

fn signed_key_of(mut extensions: Reader<'_>) -> Result<&[u8], Fault> {
    let mut signed_key = None;
    while !extensions.is_empty() {
        let mut extension = extensions.enter(der::SEQUENCE)?;
        let id = extension.expect(der::OID)?.content;
        let critical = extension.is_next(der::BOOLEAN);
        if critical && extension.element()?.content != [0xff] {
            return Err(Fault::Malformed); // DER leaves FALSE out, it being the default.
        }
        let value = extension.expect(der::OCTET_STRING)?.content;
        extension.end()?;
        if id == EXTENSION {
            if signed_key.replace(value).is_some() {
                return Err(Fault::Extension);
            }
        } else if critical {
            return Err(Fault::CriticalExtension);
        }
    }
    signed_key.ok_or(Fault::Extension)
}

/// `SignedKey ::= SEQUENCE { publicKey OCTET STRING, signature OCTET STRING }`
fn read_signed_key(bytes: &[u8]) -> Result<(HostKey<'_>, &[u8]), Malformed> {
    let mut fields = der::only(bytes, der::SEQUENCE)?;
    let host_key = HostKey::parse(fields.expect(der::OCTET_STRING)?.content)?;
    let signature = fields.expect(der::OCTET_STRING)?.content;
    fields.end()?;
    Ok((host_key, signature))
}

/// What a certificate of ours says. The tests change single fields to see them refused.
pub struct Draft {
    /// When it begins and ends, each as a whole DER element.
    pub validity: [Vec<u8>; 2],
    /// Each extension as a whole DER element, in order.
    pub extensions: Vec<Vec<u8>>,
}

impl Draft {
    /// What the host key of `host_seed` says of the key with `spki`.
    pub fn new(host_seed: &[u8; 32], spki: &[u8]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(host_seed).expect("every 32 bytes are a seed");
        let public_key = pair.public_key().as_ref().try_into().expect("an Ed25519 key has 32 bytes");
        let signature = pair.sign(&[SIGNED_PREFIX, spki].concat());
        // All of a program's life and more: an identity has no end, and the dates shall not tell when we started.
        let validity =
            [der::write(der::UTC_TIME, &[b"750101000000Z"]), der::write(der::GENERALIZED_TIME, &[b"40960101000000Z"])];
        let extensions = vec![signed_key_extension(&encode_ed25519(&public_key), signature.as_ref(), false)];
        Self { validity, extensions }
    }

    /// The certificate, signed by `key`, an ECDSA key on P-256 whose public form is `spki`.
    pub fn sign(&self, key: &dyn SigningKey, spki: &[u8], serial: [u8; 8]) -> Result<Vec<u8>, rustls::Error> {
        let algorithm = der::write(der::SEQUENCE, &[alg_id::ECDSA_SHA256.as_ref()]);
        let extensions: Vec<&[u8]> = self.extensions.iter().map(Vec::as_slice).collect();
        let extensions = der::write(der::context(3), &[&der::write(der::SEQUENCE, &extensions)]);
        let [not_before, not_after] = &self.validity;
        let tbs = der::write(
            der::SEQUENCE,
            &[
                &der::write(der::context(0), &[&[der::INTEGER, 1, 2]]),
                &der::write(der::INTEGER, &[&serial]),
                &algorithm,
                &name(),
                &der::write(der::SEQUENCE, &[not_before, not_after]),
                &name(),
                spki,
                if self.extensions.is_empty() { &[] } else { &extensions },
            ],
        );
        let signer = key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]);
        let signer = signer.ok_or_else(|| rustls::Error::General("the certificate's key is not on P-256".into()))?;
        let signature = der::write(der::BIT_STRING, &[&[0], &signer.sign(&tbs)?]);
        Ok(der::write(der::SEQUENCE, &[&tbs, &algorithm, &signature]))
    }
}

/// The extension that carries a host key.
pub fn signed_key_extension(host_key: &[u8], signature: &[u8], critical: bool) -> Vec<u8> {
    let host_key = der::write(der::OCTET_STRING, &[host_key]);
    let signature = der::write(der::OCTET_STRING, &[signature]);
    extension(EXTENSION, critical, &der::write(der::SEQUENCE, &[&host_key, &signature]))
}

/// Any extension.
pub fn extension(id: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[der::BOOLEAN, 1, 0xff] } else { &[] };
    der::write(der::SEQUENCE, &[&der::write(der::OID, &[id]), flag, &der::write(der::OCTET_STRING, &[value])])
}

/// Issuer and subject: nobody reads them, but RFC 5280 wants an issuer to have a name.
fn name() -> Vec<u8> {
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    let attribute = [der::write(der::OID, &[COMMON_NAME]), der::write(der::UTF8_STRING, &[b"libp2p"])].concat();
    der::write(der::SEQUENCE, &[&der::write(der::SET, &[&der::write(der::SEQUENCE, &[&attribute])])])
}
