//! Clients that should not get in, and floods of those that never finish.

mod raw;

use _native::engine::endpoint::HANDSHAKE_MAX;
use _native::engine::event::CloseKind;
use _native::engine::{Event, Options};
use _native::tls::{self, raw_key};
use bytes::BytesMut;
use raw::{CLIENT_SEED, Raw, engine};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, ResolvesClientCert};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The client is told `alert`, the engine knows why, and nobody above it hears of a connection.
fn refused_with(client: rustls::ClientConfig, alert: u64) {
    let mut engine = engine(|_| {});
    let peer = Raw::dial(&mut engine, client);
    assert!(!peer.seen.iter().any(|event| matches!(event, Event::Connected { .. })), "{:?}", peer.seen);
    assert_eq!(peer.closed_by_engine().map(|(code, _)| code), Some(0x100 + alert), "{:?}", peer.events);
    let (kind, code, _) = peer.engine_saw_end().unwrap();
    assert_eq!((kind, code), (CloseKind::OurTransport, 0x100 + alert));
    assert_eq!(engine.admission().1, 0, "no handshake is left open");
}

#[test]
fn a_client_without_a_key_is_refused() {
    #[derive(Debug)]
    struct Nothing;
    impl ResolvesClientCert for Nothing {
        fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            None
        }
        fn only_raw_public_keys(&self) -> bool {
            true
        }
        fn has_certs(&self) -> bool {
            true // Offers the type that the server asks for, and then has none.
        }
    }
    for post_quantum in [true, false] {
        let mut client = raw_key::configs(&CLIENT_SEED, post_quantum, None).unwrap().client;
        client.client_auth_cert_resolver = Arc::new(Nothing);
        refused_with(client, 116);
    }
}

#[test]
fn a_client_that_knows_only_x509_is_refused() {
    #[derive(Debug)]
    struct X509(Arc<CertifiedKey>);
    impl ResolvesClientCert for X509 {
        fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            Some(self.0.clone())
        }
        fn has_certs(&self) -> bool {
            true
        }
    }
    let mut client = raw::tls(&CLIENT_SEED);
    let key = key_of(&CLIENT_SEED);
    // The certificate is never looked at: the types do not match.
    client.client_auth_cert_resolver =
        Arc::new(X509(Arc::new(CertifiedKey::new(vec![CertificateDer::from(vec![0x30, 0])], key))));
    refused_with(client, 40);
}

fn key_of(seed: &[u8; 32]) -> Arc<dyn SigningKey> {
    let pkcs8 =
        [&[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20][..], seed];
    let key = PrivateKeyDer::Pkcs8(pkcs8.concat().into());
    tls::provider(true).key_provider.load_private_key(key).unwrap()
}

/// Signs with one key and presents another: as somebody would who has no key, or a weak one.
#[derive(Debug)]
struct Impostor {
    honest: Arc<dyn SigningKey>,
    forged: Option<Vec<u8>>,
}

impl SigningKey for Impostor {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signer = self.honest.choose_scheme(offered)?;
        Some(match &self.forged {
            Some(signature) => Box::new(Forged(signature.clone())),
            None => signer,
        })
    }
    fn algorithm(&self) -> SignatureAlgorithm {
        self.honest.algorithm()
    }
}

#[derive(Debug)]
struct Forged(Vec<u8>);

impl Signer for Forged {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(self.0.clone())
    }
    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

fn client_presenting(spki: Vec<u8>, forged: Option<Vec<u8>>) -> rustls::ClientConfig {
    let mut client = raw::tls(&CLIENT_SEED);
    let key = Arc::new(Impostor { honest: key_of(&CLIENT_SEED), forged });
    let certified = CertifiedKey::new(vec![CertificateDer::from(spki)], key);
    client.client_auth_cert_resolver = Arc::new(AlwaysResolvesClientRawPublicKeys::new(Arc::new(certified)));
    client
}

#[test]
fn keys_of_small_order_and_second_spellings_are_refused_before_their_signature() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut minus_one = [0xff; 32]; // p - 1: the point of order 2
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    let mut unreduced = [0xff; 32]; // p + 1: the identity, spelt otherwise
    (unreduced[0], unreduced[31]) = (0xee, 0x7f);
    for key in [identity, minus_one, [0; 32], unreduced] {
        // With the neutral element as key, R = identity and S = 0 verify for every message in lenient verifiers.
        let mut universal = vec![0; 64];
        universal[0] = 1;
        refused_with(client_presenting([&SPKI_PREFIX[..], &key].concat(), Some(universal)), 49);
    }
}

#[test]
fn a_key_that_the_client_does_not_hold_is_refused() {
    let victim = raw_key::configs(&[77; 32], true, None).unwrap().public;
    refused_with(client_presenting([&SPKI_PREFIX[..], &victim].concat(), None), 51);
}

#[test]
fn other_documents_in_place_of_a_key_are_refused() {
    for spki in [vec![0x30; 44], vec![0x30, 0], [&SPKI_PREFIX[..], &[9; 33]].concat()] {
        refused_with(client_presenting(spki, None), 49);
    }
}

/// First packets of many clients, each from an address of its own.
fn first_packets(count: u32) -> Vec<(SocketAddr, BytesMut)> {
    let mut packets = vec![];
    for n in 0..count {
        let options = Options { post_quantum: false, ..Options::default() };
        let mut client = _native::engine::Engine::new(&CLIENT_SEED, None, options).unwrap();
        let server = raw_key::configs(&raw::SERVER_SEED, false, None).unwrap().public;
        client.connect(Instant::now(), 1, "192.0.2.1:1".parse().unwrap(), &server, tls::ALPN_KONTINUUM);
        client.drive(Instant::now());
        let from = SocketAddr::new(Ipv4Addr::from(0x0a00_0000 + n).into(), 1024);
        packets.push((from, BytesMut::from(&client.outgoing[0].datagrams[0][..])));
    }
    packets
}

#[test]
fn a_flood_from_forged_addresses_meets_retry_and_real_clients_get_in() {
    let mut engine = engine(|options| options.half_open_max = 32);
    let now = Instant::now();
    for (n, (from, packet)) in first_packets(2000).into_iter().enumerate() {
        let size = packet.len();
        engine.input(now, from, None, None, packet);
        engine.drive(now);
        let answered: usize = engine.outgoing.drain(..).flat_map(|batch| batch.datagrams).map(|d| d.len()).sum();
        assert!(answered <= 3 * size, "{n}: {answered} bytes for {size}");
    }
    let (counters, half_open) = engine.admission();
    assert_eq!((counters.accepted, counters.retried, counters.ignored), (32, 1968, 0));
    assert_eq!((half_open, engine.open_connections()), (32, 32));

    let mut client = Raw::connected(&mut engine);
    client.honest_call_works(&mut engine);

    // The flood leaves nothing behind.
    client.pass(&mut engine, HANDSHAKE_MAX + Duration::from_secs(5));
    assert_eq!(engine.admission().1, 0);
    assert_eq!(engine.open_connections(), 1);
    client.honest_call_works(&mut engine);
}

/// One address that proves itself and then stays silent may not use up the places of everybody.
#[test]
fn handshakes_that_begin_and_never_end_are_given_up() {
    let mut engine = engine(|options| options.idle_timeout = Duration::from_secs(600));
    let now = Instant::now();
    for (from, packet) in first_packets(20) {
        engine.input(now, from, None, None, packet);
    }
    engine.drive(now);
    assert_eq!(engine.admission().1, 20);
    let mut at = now;
    while at < now + HANDSHAKE_MAX + Duration::from_secs(3) {
        at += Duration::from_millis(100);
        engine.drive(at);
    }
    assert_eq!(engine.admission().1, 0);
    assert_eq!(engine.open_connections(), 0);
    let ends = engine.events.iter().filter(|event| matches!(event, Event::Closed { token: None, .. })).count();
    assert_eq!(ends, 20);
}

#[test]
fn connections_beyond_the_cap_are_refused_at_once() {
    let mut engine = engine(|options| options.connections_max = 2);
    let _first = Raw::connected(&mut engine);
    let mut second = Raw::connected(&mut engine);
    let third = Raw::dial(&mut engine, raw::tls(&CLIENT_SEED));
    assert_eq!(third.closed_by_engine().map(|(code, _)| code), Some(2), "CONNECTION_REFUSED");
    second.honest_call_works(&mut engine);
}

/// noq-proto repeats the end of a handshake for ever when it may send one datagram at a time.
#[test]
fn a_failed_handshake_ends_with_few_packets_also_without_gso() {
    for segments in [1, 10] {
        let mut server = engine(|_| {});
        let options = Options { gso_segments_max: segments, rng_seed: Some([3; 32]), ..Options::default() };
        let mut client = _native::engine::Engine::new(&CLIENT_SEED, None, options).unwrap();
        let (us, them) = (raw::client_address(), "192.0.2.1:1".parse().unwrap());
        let somebody = raw_key::configs(&[9; 32], true, None).unwrap().public;
        let now = Instant::now();
        client.connect(now, 1, them, &somebody, tls::ALPN_KONTINUUM);
        let mut sent = 0;
        for _ in 0..50 {
            client.drive(now);
            for datagram in client.outgoing.drain(..).flat_map(|batch| batch.datagrams) {
                sent += 1;
                server.input(now, us, None, None, BytesMut::from(&datagram[..]));
            }
            server.drive(now);
            for datagram in server.outgoing.drain(..).flat_map(|batch| batch.datagrams) {
                client.input(now, them, None, None, BytesMut::from(&datagram[..]));
            }
        }
        assert!(client.events.iter().any(|event| matches!(event, Event::Closed { code: 0x12a, .. })));
        assert!(sent < 20, "{sent} datagrams with {segments} in a batch");
        assert!(!client.drive(now), "and then it rests");
    }
}
