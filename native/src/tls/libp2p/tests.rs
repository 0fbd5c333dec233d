//! Certificates of other implementations, of our own, and all that must be refused.

use super::super::{der, provider};
use super::certificate::{Certificate, Draft, Fault, extension, identity_of, signed_key_extension};
use super::host_key::{KeyType, encode_ed25519};
use super::{certificate_key, configs, serial, spki_of};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, Ed25519KeyPair, KeyPair};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::sign::SigningKey;
use std::sync::Arc;

const SEED: [u8; 32] = [7; 32];

/// 2026-08-01, in seconds since 1970.
const NOW: i64 = 1_785_542_400;

const EXTENSION: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xa2, 0x5a, 0x01, 0x01];

fn algorithms() -> WebPkiSupportedAlgorithms {
    provider(false).signature_verification_algorithms
}

fn judge(certificate: &[u8]) -> Result<[u8; 32], Fault> {
    Certificate::parse(certificate)?.verify(NOW, &algorithms())
}

fn public() -> [u8; 32] {
    Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap().public_key().as_ref().try_into().unwrap()
}

/// A key for certificates and its public form.
fn key() -> (Arc<dyn SigningKey>, Vec<u8>) {
    let key = certificate_key(&provider(false)).unwrap();
    let spki = spki_of(&*key).unwrap();
    (key, spki)
}

/// A certificate of `SEED` after `change`.
fn changed(change: impl FnOnce(&mut Draft)) -> Vec<u8> {
    let (key, spki) = key();
    let mut draft = Draft::new(&SEED, &spki);
    change(&mut draft);
    draft.sign(&*key, &spki, serial().unwrap()).unwrap()
}

#[test]
fn the_vectors_of_the_specification() {
    let vectors = include_str!("../../../../tests/vectors/libp2p_certificates.txt");
    let mut seen = 0;
    for line in vectors.lines().filter(|line| !line.starts_with('#')) {
        let [name, expected, hex] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let bytes = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let certificate: Vec<u8> = (0..hex.len()).step_by(2).map(bytes).collect();
        let judged = judge(&certificate);
        match expected {
            "ok" => assert_eq!(judged.map(Some), Ok(identity_of(&certificate)), "{name}"),
            // Its host signature was found right before its kind of key was refused.
            "other-key-type" => assert_eq!(judged, Err(Fault::KeyType), "{name}"),
            "host-signature" => assert_eq!(judged, Err(Fault::HostSignature), "{name}"),
            _ => panic!("{line}"),
        }
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn our_own_certificate_shows_our_identity() {
    let certificate = changed(|_| ());
    assert_eq!(judge(&certificate), Ok(public()));
    assert_eq!(identity_of(&certificate), Some(public()));
    assert!((380..=420).contains(&certificate.len()), "{} bytes, as those of others", certificate.len());
    assert_eq!(configs(&SEED, true, None).unwrap().public, public());
}

#[test]
fn two_certificates_of_one_identity_have_nothing_in_common_but_it() {
    let (one, other) = (changed(|_| ()), changed(|_| ()));
    assert_ne!(one, other);
    assert_eq!(judge(&one), judge(&other));
}

#[test]
fn the_extension_may_be_critical_and_other_ones_may_be_there() {
    let critical = changed(|draft| {
        let mut fields = der::only(&draft.extensions[0], der::SEQUENCE).unwrap();
        fields.expect(der::OID).unwrap();
        let value = fields.expect(der::OCTET_STRING).unwrap().content.to_vec();
        draft.extensions = vec![extension(EXTENSION, true, &value)];
    });
    assert_eq!(judge(&critical), Ok(public()), "as rust-libp2p marks it");

    let more = changed(|draft| {
        draft.extensions.insert(0, extension(&[0x55, 0x1d, 0x0e], false, b"x"));
        draft.extensions.push(extension(&[0x2a, 3], false, b""));
    });
    assert_eq!(judge(&more), Ok(public()));
}

#[test]
fn extensions_that_are_not_right_are_refused() {
    let unknown = changed(|draft| draft.extensions.push(extension(&[0x55, 0x1d, 0x0f], true, b"x")));
    assert_eq!(judge(&unknown), Err(Fault::CriticalExtension));
    assert_eq!(judge(&changed(|draft| draft.extensions.clear())), Err(Fault::Extension));
    let only_others = changed(|draft| draft.extensions = vec![extension(&[0x55, 0x1d, 0x0e], false, b"x")]);
    assert_eq!(judge(&only_others), Err(Fault::Extension));
    let twice = changed(|draft| draft.extensions.push(draft.extensions[0].clone()));
    assert_eq!(judge(&twice), Err(Fault::Extension));
    for value in [&b""[..], &[0x30, 0], &[0x30, 4, 4, 0, 4, 0], &[0x30, 2, 4, 0, 0]] {
        let empty = changed(|draft| draft.extensions = vec![extension(EXTENSION, false, value)]);
        assert_eq!(judge(&empty), Err(Fault::Extension), "{value:02x?}");
    }
    let false_flag = changed(|draft| {
        let flag = [der::BOOLEAN, 1, 0];
        let fields = [&der::write(der::OID, &[&[0x2a, 3]])[..], &flag, &der::write(der::OCTET_STRING, &[b""])].concat();
        draft.extensions.push(der::write(der::SEQUENCE, &[&fields]));
    });
    assert_eq!(judge(&false_flag), Err(Fault::Malformed), "DER does not write a default");
}

#[test]
fn a_host_key_that_did_not_sign_this_certificate_is_refused() {
    let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
    let host = encode_ed25519(&public());
    let wrong = other.sign(b"libp2p-tls-handshake:");
    let foreign = changed(|draft| draft.extensions = vec![signed_key_extension(&host, wrong.as_ref(), false)]);
    assert_eq!(judge(&foreign), Err(Fault::HostSignature));

    // The host key's own signature, of another certificate's key: what a thief of a certificate would have.
    let (_, stolen_spki) = key();
    let stolen = Draft::new(&SEED, &stolen_spki).extensions;
    assert_eq!(judge(&changed(|draft| draft.extensions = stolen)), Err(Fault::HostSignature));

    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut universal = [0; 64];
    universal[0] = 1;
    let small = signed_key_extension(&encode_ed25519(&neutral), &universal, false);
    assert_eq!(judge(&changed(|draft| draft.extensions = vec![small])), Err(Fault::UnfitKey));
}

#[test]
fn a_certificate_counts_within_its_dates_only() {
    let dated = |from: &[u8], to: &[u8]| {
        judge(&changed(|draft| {
            draft.validity = [from, to].map(|text| der::write(der::GENERALIZED_TIME, &[text]));
        }))
    };
    assert_eq!(dated(b"20260801000000Z", b"20260801000000Z"), Ok(public()), "both ends are inside");
    assert_eq!(dated(b"20260801000001Z", b"20300101000000Z"), Err(Fault::NotYetValid));
    assert_eq!(dated(b"20200101000000Z", b"20260731235959Z"), Err(Fault::Expired));
    assert_eq!(dated(b"20200101000000Z", b"20260732000000Z"), Err(Fault::Malformed));
    assert_eq!(dated(b"20200101000000+0100", b"20300101000000Z"), Err(Fault::Malformed));
}

#[test]
fn every_changed_bit_and_every_cut_is_refused() {
    let certificate = changed(|_| ());
    for at in 0..certificate.len() {
        assert!(judge(&certificate[..at]).is_err(), "cut at {at}");
        for bit in 0..8 {
            let mut other = certificate.clone();
            other[at] ^= 1 << bit;
            assert!(judge(&other).is_err(), "bit {bit} of byte {at}");
        }
    }
    assert_eq!(judge(&[&certificate[..], &[0]].concat()), Err(Fault::Malformed));
    let long = changed(|draft| draft.extensions.push(extension(&[0x2a, 3], false, &[0; 17 << 10])));
    assert_eq!(judge(&long), Err(Fault::Malformed));
}

/// A certificate on which `tbs` was changed and the signature made again: only the form can be at fault.
fn reshaped(change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Result<[u8; 32], Fault> {
    let (key, spki) = key();
    let certificate = Draft::new(&SEED, &spki).sign(&*key, &spki, serial().unwrap()).unwrap();
    let mut outer = der::only(&certificate, der::SEQUENCE).unwrap();
    let mut inside = outer.enter(der::SEQUENCE).unwrap();
    let algorithm = outer.expect(der::SEQUENCE).unwrap().whole;
    let mut fields = vec![];
    while !inside.is_empty() {
        fields.push(inside.element().unwrap().whole.to_vec());
    }
    change(&mut fields);
    let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
    let tbs = der::write(der::SEQUENCE, &fields);
    let signer = key.choose_scheme(&[rustls::SignatureScheme::ECDSA_NISTP256_SHA256]).unwrap();
    let signature = der::write(der::BIT_STRING, &[&[0], &signer.sign(&tbs).unwrap()]);
    judge(&der::write(der::SEQUENCE, &[&tbs, algorithm, &signature]))
}

#[test]
fn other_forms_of_certificates_are_refused() {
    const VERSION: usize = 0;
    const ALGORITHM: usize = 2;
    const SPKI: usize = 6;
    assert_eq!(reshaped(|_| ()), Ok(public()));
    let version_1 = der::write(der::context(0), &[&[der::INTEGER, 1, 0]]);
    assert_eq!(reshaped(|fields| fields[VERSION] = version_1), Err(Fault::Malformed));
    assert_eq!(reshaped(|fields| drop(fields.remove(VERSION))), Err(Fault::Malformed));
    for unique_id in [1, 2] {
        let unique_id = der::write(0x80 | unique_id, &[&[0, 7]]);
        assert_eq!(reshaped(|fields| fields.insert(SPKI + 1, unique_id)), Err(Fault::Malformed));
    }
    let rsa = der::write(der::SEQUENCE, &[rustls::pki_types::alg_id::RSA_PKCS1_SHA256.as_ref()]);
    assert_eq!(reshaped(|fields| fields[ALGORITHM] = rsa), Err(Fault::Malformed), "not the algorithm of the signature");
    assert_eq!(reshaped(|fields| fields.push(vec![5, 0])), Err(Fault::Malformed));
    let (_, other_spki) = key();
    assert_eq!(reshaped(|fields| fields[SPKI] = other_spki), Err(Fault::SelfSignature));
}

#[test]
fn host_keys_of_other_kinds_are_understood_before_they_are_refused() {
    let (key, spki) = key();
    let message = [&b"libp2p-tls-handshake:"[..], &spki].concat();
    let with = |key_type: KeyType, data: &[u8], signature: &[u8]| {
        let length = [data.len() as u8 | 0x80, (data.len() >> 7) as u8];
        let length = if data.len() < 0x80 { &[data.len() as u8][..] } else { &length };
        let host_key = [&[0x08, key_type as u8, 0x12], length, data].concat();
        let mut draft = Draft::new(&SEED, &spki);
        draft.extensions = vec![signed_key_extension(&host_key, signature, false)];
        judge(&draft.sign(&*key, &spki, serial().unwrap()).unwrap())
    };
    let rsa = signature::RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let rsa_spki = AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(rsa.public_key()).unwrap();
    let mut signed = vec![0; rsa.public_modulus_len()];
    rsa.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), &message, &mut signed).unwrap();
    assert_eq!(with(KeyType::Rsa, rsa_spki.as_ref(), &signed), Err(Fault::KeyType));
    signed[9] ^= 1;
    assert_eq!(with(KeyType::Rsa, rsa_spki.as_ref(), &signed), Err(Fault::HostSignature));
    assert_eq!(with(KeyType::Ecdsa, rsa_spki.as_ref(), &signed), Err(Fault::HostSignature));
    assert_eq!(with(KeyType::Secp256k1, &[2; 33], &signed), Err(Fault::HostSignature));
    assert_eq!(with(KeyType::Ed25519, &[2; 31], &signed), Err(Fault::UnfitKey));
}
