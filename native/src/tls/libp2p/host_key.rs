//! The host key inside a libp2p certificate: a protobuf with one of four kinds of key, and what it has signed.
//!
//! Source: libp2p specifications, `peer-ids/peer-ids.md` and `tls/tls.md`, section "libp2p Public Key Extension".
//! Trust: hostile. Only the canonical encoding is read: a peer id is a hash of these bytes, so another spelling of the same
//! key would be another peer.

use super::super::der::{self, Malformed, Reader};
use crate::point;
use aws_lc_rs::signature::{ECDSA_P256K1_SHA256_ASN1, ED25519, UnparsedPublicKey};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{AlgorithmIdentifier, alg_id};

/// The kinds of host keys, by their number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are what their names say")]
pub enum KeyType {
    Rsa = 0,
    Ed25519 = 1,
    Secp256k1 = 2,
    Ecdsa = 3,
}

/// A host key as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostKey<'a> {
    /// What kind of key.
    pub key_type: KeyType,
    /// Its bytes, whose form depends on the kind.
    pub data: &'a [u8],
}

/// An Ed25519 host key up to the key.
const ED25519_PREFIX: [u8; 4] = [0x08, KeyType::Ed25519 as u8, 0x12, 32];

/// The protobuf of an Ed25519 key, which is always 36 bytes.
pub fn encode_ed25519(public_key: &[u8; 32]) -> Vec<u8> {
    [&ED25519_PREFIX[..], public_key].concat()
}

impl<'a> HostKey<'a> {
    /// Read the protobuf.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let [0x08, key_type, 0x12, first, rest @ ..] = bytes else { return Err(Malformed) };
        let key_type = match key_type {
            0 => KeyType::Rsa,
            1 => KeyType::Ed25519,
            2 => KeyType::Secp256k1,
            3 => KeyType::Ecdsa,
            _ => return Err(Malformed),
        };
        // A length of one byte, or two in their shortest form: 16 KiB are more than any key has.
        let (length, data) = match (first, rest) {
            (0..0x80, data) => (usize::from(*first), data),
            (_, [second @ 1..0x80, data @ ..]) => (usize::from(first & 0x7f) | usize::from(*second) << 7, data),
            _ => return Err(Malformed),
        };
        if data.len() != length {
            return Err(Malformed);
        }
        Ok(Self { key_type, data })
    }

    /// Is this the key's signature of `message`?
    pub fn has_signed(&self, message: &[u8], signature: &[u8], algorithms: &WebPkiSupportedAlgorithms) -> bool {
        match self.key_type {
            KeyType::Ed25519 => UnparsedPublicKey::new(&ED25519, self.data).verify(message, signature).is_ok(),
            KeyType::Secp256k1 => {
                self.data.len() == 33
                    && UnparsedPublicKey::new(&ECDSA_P256K1_SHA256_ASN1, self.data).verify(message, signature).is_ok()
            }
            KeyType::Ecdsa => Spki::parse(self.data)
                .is_ok_and(|key| key.has_signed(&alg_id::ECDSA_SHA256, message, signature, algorithms)),
            KeyType::Rsa => Spki::parse(self.data)
                .is_ok_and(|key| key.has_signed(&alg_id::RSA_PKCS1_SHA256, message, signature, algorithms)),
        }
    }

    /// The identity, if this is an Ed25519 key.
    pub fn ed25519(&self) -> Option<[u8; 32]> {
        if self.key_type == KeyType::Ed25519 { self.data.try_into().ok() } else { None }
    }

    /// The key is fit to be somebody's identity, as far as we can tell for its kind.
    pub fn is_fit(&self) -> bool {
        self.key_type != KeyType::Ed25519 || point::check_public_key(self.data).is_ok()
    }
}

/// A SubjectPublicKeyInfo (RFC 5280, section 4.1).
#[derive(Clone, Copy, Debug)]
pub struct Spki<'a> {
    /// All of it.
    pub whole: &'a [u8],
    algorithm: &'a [u8],
    key: &'a [u8],
}

impl<'a> Spki<'a> {
    /// Read one that is all there is.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let spki = Self::read(&mut reader)?;
        reader.end().map(|()| spki)
    }

    /// Read the next element.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let element = reader.expect(der::SEQUENCE)?;
        let mut inside = Reader::new(element.content);
        let algorithm = inside.expect(der::SEQUENCE)?.content;
        let key = inside.bits()?;
        inside.end()?;
        Ok(Self { whole: element.whole, algorithm, key })
    }

    /// Is this the key's signature of `message` in the way of `algorithm`? Ways that TLS here does not know are wrong ones.
    pub fn has_signed(
        &self,
        algorithm: &AlgorithmIdentifier,
        message: &[u8],
        signature: &[u8],
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> bool {
        let fits = |known: &&&dyn rustls::pki_types::SignatureVerificationAlgorithm| {
            known.public_key_alg_id().as_ref() == self.algorithm
                && known.signature_alg_id().as_ref() == algorithm.as_ref()
        };
        let known = algorithms.all.iter().find(fits);
        known.is_some_and(|known| known.verify_signature(self.key, message, signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_encoding_is_read() {
        let encoded = encode_ed25519(&[7; 32]);
        let key = HostKey::parse(&encoded).unwrap();
        assert_eq!((key.key_type, key.ed25519()), (KeyType::Ed25519, Some([7; 32])));

        let long = [&[0x08, 0, 0x12, 0x80, 0x02][..], &[1; 256]].concat();
        assert_eq!(HostKey::parse(&long).unwrap().data.len(), 256);
        assert_eq!(HostKey::parse(&long).unwrap().ed25519(), None);

        let refused = [
            encoded[..35].to_vec(),
            [&encoded[..], &[0]].concat(),
            [&[0x12, 32][..], &[7; 32], &[0x08, 1]].concat(), // the other order
            [&[0x08, 4, 0x12, 32][..], &[7; 32]].concat(),    // a kind that is not there
            [&[0x08, 1, 0x12, 0xa0, 0x00][..], &[7; 32]].concat(), // a longer spelling of the length
            [&[0x08, 0x81, 0x00, 0x12, 32][..], &[7; 32]].concat(), // of the kind
            [&[0x08, 0, 0x12, 0x80, 0x80, 0x01][..], &[1; 16384]].concat(),
            vec![0x08, 1],
            vec![],
        ];
        for bytes in refused {
            assert_eq!(HostKey::parse(&bytes), Err(Malformed), "{:02x?}", &bytes[..bytes.len().min(8)]);
        }
    }
}
