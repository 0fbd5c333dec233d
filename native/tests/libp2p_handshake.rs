//! Who gets in by a libp2p certificate, and what both sides learn when somebody does not.

mod raw;

use _native::engine::event::CloseKind;
use _native::engine::{Engine, Event, Options};
use _native::tls::libp2p::certificate::{Draft, extension, signed_key_extension};
use _native::tls::libp2p::host_key::encode_ed25519;
use _native::tls::libp2p::{certificate_key, configs, configs_with, serial, spki_of};
use _native::tls::raw_key::{Configs, name_of_key};
use _native::tls::{ALPN_KONTINUUM, ALPN_LIBP2P, der, provider};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use bytes::BytesMut;
use noq_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use noq_proto::{
    ClientConfig, Connection, ConnectionError, DatagramEvent, Endpoint, EndpointConfig, FourTuple, ServerConfig,
};
use raw::{CLIENT_SEED, Raw, SERVER_SEED};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

/// Our certificate after `change`, shown together with `others`.
fn showing(seed: &[u8; 32], others: usize, change: impl FnOnce(&mut Draft)) -> Configs {
    let provider = provider(true);
    let key = certificate_key(&provider).unwrap();
    let spki = spki_of(&*key).unwrap();
    let mut draft = Draft::new(seed, &spki);
    change(&mut draft);
    let certificate = CertificateDer::from(draft.sign(&*key, &spki, serial().unwrap()).unwrap());
    configs_with(seed, provider, vec![certificate; 1 + others], key, None).unwrap()
}

/// How a connection ended at one side: the code, and whether that side was the one that gave up.
type End = Option<(u64, bool, String)>;

fn end_of(connection: &mut Connection) -> End {
    while let Some(event) = connection.poll() {
        match event {
            noq_proto::Event::ConnectionLost { reason: ConnectionError::TransportError(error) } => {
                return Some((error.code.into(), true, error.reason));
            }
            noq_proto::Event::ConnectionLost { reason: ConnectionError::ConnectionClosed(close) } => {
                return Some((close.error_code.into(), false, String::from_utf8_lossy(&close.reason).into_owned()));
            }
            _ => {}
        }
    }
    None
}

fn datagrams(connection: &mut Connection, now: Instant) -> Vec<BytesMut> {
    let (mut all, mut buffer) = (vec![], vec![]);
    while let Some(transmit) = connection.poll_transmit(now, NonZeroUsize::new(3).unwrap(), &mut buffer) {
        all.extend(buffer.chunks(transmit.segment_size.unwrap_or(transmit.size)).map(BytesMut::from));
        buffer.clear();
    }
    all
}

/// Let `client` dial `server` and expect `expected` there; returns how it ended at both.
fn ends(client: rustls::ClientConfig, server: rustls::ServerConfig, expected: &[u8; 32]) -> (End, End) {
    let now = Instant::now();
    let (at, from): (SocketAddr, SocketAddr) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.2:1".parse().unwrap());
    let server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server).unwrap()));
    let mut server = Endpoint::new(Arc::new(EndpointConfig::default()), Some(Arc::new(server)), true);
    let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, true);
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(client).unwrap()));
    let (_, mut ours) = endpoint.connect(now, config, at, &name_of_key(expected)).unwrap();
    let mut theirs: Option<Connection> = None;
    let (mut our_end, mut their_end, mut buffer) = (None, None, vec![]);
    for _ in 0..20 {
        for datagram in datagrams(&mut ours, now) {
            match server.handle(now, FourTuple::new(from, None), None, datagram, &mut buffer) {
                Some(DatagramEvent::NewConnection(incoming)) => {
                    theirs = server.accept(incoming, now, &mut buffer, None).ok().map(|(_, connection)| connection);
                }
                Some(DatagramEvent::ConnectionEvent(_, event)) => theirs.as_mut().unwrap().handle_event(event),
                _ => {}
            }
        }
        let theirs = theirs.as_mut().expect("the first packets are right");
        for datagram in datagrams(theirs, now) {
            if let Some(DatagramEvent::ConnectionEvent(_, event)) =
                endpoint.handle(now, FourTuple::new(at, None), None, datagram, &mut buffer)
            {
                ours.handle_event(event);
            }
        }
        our_end = our_end.or_else(|| end_of(&mut ours));
        their_end = their_end.or_else(|| end_of(theirs));
    }
    (our_end, their_end)
}

fn extension_of_stranger(draft: &mut Draft) {
    let signature = [7; 64];
    let host_key = encode_ed25519(&configs(&CLIENT_SEED, true, None).unwrap().public);
    draft.extensions = vec![signed_key_extension(&host_key, &signature, false)];
}

fn of_last_year(draft: &mut Draft) {
    draft.validity = [b"240101000000Z", b"250101000000Z"].map(|text| der::write(der::UTC_TIME, &[text]));
}

fn of_next_century(draft: &mut Draft) {
    draft.validity = [b"21260101000000Z", b"22260101000000Z"].map(|text| der::write(der::GENERALIZED_TIME, &[text]));
}

fn with_unknown_demand(draft: &mut Draft) {
    draft.extensions.push(extension(&[0x55, 0x1d, 0x0f], true, b"x"));
}

/// What is changed before a certificate is signed.
type Change = fn(&mut Draft);

/// What can be wrong with a certificate, the alert that says so, and what our words for it contain.
const FAULTS: [(&str, usize, Change, u64, &str); 7] = [
    ("no extension", 0, |draft| draft.extensions.clear(), 48, "UnknownIssuer"),
    ("signed by nobody", 0, extension_of_stranger, 48, "UnknownIssuer"),
    ("the extension twice", 0, |draft| draft.extensions.push(draft.extensions[0].clone()), 48, "UnknownIssuer"),
    ("expired", 0, of_last_year, 45, "Expired"),
    ("not yet valid", 0, of_next_century, 45, "NotValidYet"),
    ("two of them", 1, |_| (), 46, "more than one certificate"),
    ("an unknown demand", 0, with_unknown_demand, 46, "unknown critical extension"),
];

#[test]
fn both_directions_work_with_certificates_that_are_right() {
    let (client, server) = (configs(&CLIENT_SEED, true, None).unwrap(), configs(&SERVER_SEED, true, None).unwrap());
    assert_eq!(ends(client.client, server.server, &server.public), (None, None));
}

#[test]
fn what_is_wrong_with_the_certificate_of_the_dialled_is_told_to_both() {
    for (name, others, change, alert, words) in FAULTS {
        let client = configs(&CLIENT_SEED, true, None).unwrap();
        let server = showing(&SERVER_SEED, others, change);
        let (ours, theirs) = ends(client.client, server.server, &server.public);
        let ((our_code, we_gave_up, reason), theirs) = (ours.expect(name), theirs.expect(name));
        assert_eq!((our_code, we_gave_up), (0x100 + alert, true), "{name}");
        assert_eq!((theirs.0, theirs.1), (0x100 + alert, false), "{name}");
        assert!(reason.contains(words), "{name}: {reason}");
    }
}

#[test]
fn what_is_wrong_with_the_certificate_of_the_dialler_is_told_to_both() {
    for (name, others, change, alert, words) in FAULTS {
        let client = showing(&CLIENT_SEED, others, change);
        let server = configs(&SERVER_SEED, true, None).unwrap();
        let (ours, theirs) = ends(client.client, server.server, &server.public);
        let (ours, (their_code, they_gave_up, reason)) = (ours.expect(name), theirs.expect(name));
        assert_eq!((ours.0, ours.1), (0x100 + alert, false), "{name}");
        assert_eq!((their_code, they_gave_up), (0x100 + alert, true), "{name}");
        assert!(reason.contains(words), "{name}: {reason}");
    }
}

#[test]
fn another_identity_than_the_dialled_is_refused() {
    let client = configs(&CLIENT_SEED, true, None).unwrap();
    let server = configs(&SERVER_SEED, true, None).unwrap();
    let (ours, theirs) = ends(client.client, server.server, &client.public);
    assert_eq!(ours.map(|end| (end.0, end.1)), Some((0x12a, true)));
    assert_eq!(theirs.map(|end| (end.0, end.1)), Some((0x12a, false)));
}

#[test]
fn a_dialler_without_a_certificate_is_refused() {
    #[derive(Debug)]
    struct Nothing;
    impl ResolvesClientCert for Nothing {
        fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
            None
        }
        fn has_certs(&self) -> bool {
            false
        }
    }
    let mut client = configs(&CLIENT_SEED, true, None).unwrap();
    client.client.client_auth_cert_resolver = Arc::new(Nothing);
    let server = configs(&SERVER_SEED, true, None).unwrap();
    let (ours, theirs) = ends(client.client, server.server, &server.public);
    assert_eq!(ours.map(|end| (end.0, end.1)), Some((0x174, false)));
    assert_eq!(theirs.map(|end| (end.0, end.1)), Some((0x174, true)));
}

/// libp2p has identities of other kinds. Ours are Ed25519 keys: who has another proves it, and is told why that is not enough.
#[test]
fn an_identity_of_another_kind_is_refused_with_an_alert_of_its_own() {
    let host = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let host_spki = AsDer::<PublicKeyX509Der<'_>>::as_der(host.public_key()).unwrap();
    let host_key = [&[0x08, 3, 0x12, host_spki.as_ref().len() as u8][..], host_spki.as_ref()].concat();
    for honest in [true, false] {
        let key = certificate_key(&provider(true)).unwrap();
        let spki = spki_of(&*key).unwrap();
        let message = [if honest { &b"libp2p-tls-handshake:"[..] } else { b"something else" }, &spki].concat();
        let signature = host.sign(&SystemRandom::new(), &message).unwrap();
        let mut draft = Draft::new(&CLIENT_SEED, &spki);
        draft.extensions = vec![signed_key_extension(&host_key, signature.as_ref(), true)];
        let certificate = CertificateDer::from(draft.sign(&*key, &spki, serial().unwrap()).unwrap());
        let client = configs_with(&CLIENT_SEED, provider(true), vec![certificate], key, None).unwrap();
        let server = configs(&SERVER_SEED, true, None).unwrap();
        let (ours, theirs) = ends(client.client, server.server, &server.public);
        let alert = if honest { 43 } else { 48 };
        assert_eq!(ours.map(|end| (end.0, end.1)), Some((0x100 + alert, false)));
        assert_eq!(theirs.map(|end| (end.0, end.1)), Some((0x100 + alert, true)));
    }
}

/// A certificate alone proves nothing: its key must sign the handshake.
#[test]
fn a_certificate_whose_key_the_dialler_does_not_hold_is_refused() {
    let honest = certificate_key(&provider(true)).unwrap();
    let spki = spki_of(&*honest).unwrap();
    let stolen = Draft::new(&CLIENT_SEED, &spki).sign(&*honest, &spki, serial().unwrap()).unwrap();
    let thief = certificate_key(&provider(true)).unwrap();
    let certificates = vec![CertificateDer::from(stolen)];
    let client = configs_with(&CLIENT_SEED, provider(true), certificates, thief, None).unwrap();
    let server = configs(&SERVER_SEED, true, None).unwrap();
    let (ours, theirs) = ends(client.client, server.server, &server.public);
    assert_eq!(ours.map(|end| (end.0, end.1)), Some((0x133, false)));
    assert_eq!(theirs.map(|end| (end.0, end.1)), Some((0x133, true)));
}

/// What one engine's dial of another ends in: the peer and protocol at both sides, or code and kind of the end.
fn dial(client: Options, server: Options, alpn: &[u8]) -> (Vec<Event>, Vec<Event>, usize) {
    let now = Instant::now();
    let (us, them): (SocketAddr, SocketAddr) = ("192.0.2.2:1".parse().unwrap(), "192.0.2.1:1".parse().unwrap());
    let mut client = Engine::new(&CLIENT_SEED, None, client).unwrap();
    let mut server = Engine::new(&SERVER_SEED, None, server).unwrap();
    let expected = *server.public_key();
    client.connect(now, 1, them, &expected, alpn);
    let mut first_flight = 0;
    for round in 0..20 {
        client.drive(now);
        for datagram in client.outgoing.drain(..).flat_map(|batch| batch.datagrams) {
            first_flight += usize::from(round == 0);
            server.input(now, us, None, None, BytesMut::from(&datagram[..]));
        }
        server.drive(now);
        for datagram in server.outgoing.drain(..).flat_map(|batch| batch.datagrams) {
            client.input(now, them, None, None, BytesMut::from(&datagram[..]));
        }
    }
    (client.events, server.events, first_flight)
}

fn speaking(libp2p: bool, post_quantum: bool) -> Options {
    Options { libp2p, post_quantum, ..Options::default() }
}

#[test]
fn one_socket_serves_both_protocols_however_long_the_hello() {
    for alpn in [ALPN_KONTINUUM, ALPN_LIBP2P] {
        for (post_quantum, packets, group) in [(true, 2, "X25519MLKEM768"), (false, 1, "X25519")] {
            let (ours, theirs, first_flight) = dial(speaking(true, post_quantum), speaking(true, true), alpn);
            assert_eq!(first_flight, packets, "both leave at once: the pacer does not keep the second one back");
            for (events, peer) in [(ours, SERVER_SEED), (theirs, CLIENT_SEED)] {
                let [Event::Connected { peer: found, alpn: agreed, key_exchange, .. }] = &events[..] else {
                    panic!("{events:?}")
                };
                let expected = configs(&peer, false, None).unwrap().public;
                assert_eq!((*found, &agreed[..], *key_exchange), (expected, alpn, group));
            }
        }
    }
}

#[test]
fn a_protocol_that_nobody_serves_is_told_at_once() {
    for (client, server, alpn) in
        [(true, false, ALPN_LIBP2P), (true, true, b"other/9"), (false, true, b"other/9"), (true, false, b"other/9")]
    {
        for post_quantum in [true, false] {
            let (ours, theirs, _) = dial(speaking(client, post_quantum), speaking(server, true), alpn);
            let [Event::Closed { kind: CloseKind::PeerTransport, code: 0x178, .. }] = ours[..] else {
                panic!("{ours:?}")
            };
            let [Event::Closed { kind: CloseKind::OurTransport, code: 0x178, .. }] = theirs[..] else {
                panic!("{theirs:?}")
            };
        }
    }
}

#[test]
fn an_engine_that_was_not_told_to_speak_libp2p_does_not_dial_by_it() {
    let (ours, theirs, first_flight) = dial(speaking(false, true), speaking(true, true), ALPN_LIBP2P);
    let [Event::Closed { kind: CloseKind::Failed, connection: 0, token: Some(1), reason, .. }] = &ours[..] else {
        panic!("{ours:?}")
    };
    assert!(reason.contains("switched off"), "{reason}");
    assert!(theirs.is_empty());
    assert_eq!(first_flight, 0);
}

#[test]
fn a_refused_dialler_leaves_no_place_taken() {
    let mut engine = raw::engine(|options| options.libp2p = true);
    let peer = Raw::dial(&mut engine, showing(&CLIENT_SEED, 1, |_| ()).client);
    assert!(!peer.seen.iter().any(|event| matches!(event, Event::Connected { .. })), "{:?}", peer.seen);
    assert_eq!(peer.closed_by_engine().map(|(code, _)| code), Some(0x12e), "{:?}", peer.events);
    assert_eq!(engine.admission().1, 0, "no handshake is left open");
    let other = Raw::dial(&mut engine, configs(&CLIENT_SEED, true, None).unwrap().client);
    assert_eq!(other.engine_saw_end(), None);
    assert!(other.connection() > 0);
}
