//! Any bytes are a certificate or are refused; of a real one no changed byte is believed; what is read is written back.

#![no_main]

use _native::tls::der::{Element, GENERALIZED_TIME, Reader, UTC_TIME, read_time, write};
use _native::tls::libp2p::certificate::{CERTIFICATE_BYTES_MAX, Certificate, identity_of};
use _native::tls::libp2p::host_key::{HostKey, encode_ed25519};
use _native::tls::provider;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

/// 2026-08-01, in seconds since 1970.
const NOW: i64 = 1_785_542_400;

/// The certificates of the specification.
static REAL: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let lines = include_str!("../../../tests/vectors/libp2p_certificates.txt").lines();
    let hex = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split(' ').nth(2));
    let bytes =
        |hex: &str| (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    hex.map(bytes).collect()
});

fn is_believed(certificate: &[u8]) -> bool {
    let algorithms = provider(false).signature_verification_algorithms;
    Certificate::parse(certificate).is_ok_and(|certificate| certificate.verify(NOW, &algorithms).is_ok())
}

/// Every element in `bytes`, and in those within, has one spelling only.
fn is_written_back(bytes: &[u8], depth: usize) {
    let mut reader = Reader::new(bytes);
    while let Ok(element) = reader.element() {
        if element.content.len() < 1 << 16 {
            assert_eq!(write(element.tag, &[element.content]), element.whole);
        }
        if depth > 0 {
            is_written_back(element.content, depth - 1);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    is_written_back(data, 3);
    if let Some(key) = HostKey::parse(data).ok().and_then(|key| key.ed25519()) {
        assert_eq!(encode_ed25519(&key), data);
    }
    for tag in [UTC_TIME, GENERALIZED_TIME] {
        if let Ok(seconds) = read_time(Element { tag, content: data, whole: data }) {
            assert!((-62_167_219_200..253_402_300_800).contains(&seconds), "the years 0 to 9999");
        }
    }
    if Certificate::parse(data).is_ok() {
        assert!(data.len() <= CERTIFICATE_BYTES_MAX);
        assert!(!is_believed(data) || REAL.iter().any(|real| real == data));
    }
    let _ = identity_of(data);

    // The first byte chooses a real certificate; each three that follow change one byte of it.
    let Some((which, changes)) = data.split_first() else { return };
    let real = &REAL[usize::from(which % 4)];
    let mut changed = real.clone();
    for change in changes.chunks_exact(3).take(16) {
        let at = (usize::from(change[0]) << 8 | usize::from(change[1])) % changed.len();
        changed[at] = change[2];
    }
    assert_eq!(is_believed(&changed), changed == REAL[0], "of the four the first one names an identity of ours");
});
