//! Streams of a libp2p peer: each act has its own event, and whatever the peer does costs its stream at most.

mod raw;

use _native::engine::commands::{Readable, Refusal};
use _native::engine::event::code;
use _native::engine::raw::{KEEP_ALIVE, READ_AHEAD_BYTES, STREAMS_MAX};
use _native::engine::{Engine, Event};
use bytes::{Bytes, BytesMut};
use noq_proto::congestion::CubicConfig;
use noq_proto::{Dir, StreamId, TransportConfig, VarInt};
use raw::{Raw, client_address};
use std::sync::Arc;
use std::time::Duration;

fn engine() -> Engine {
    raw::engine(|options| options.libp2p = true)
}

/// An engine and a libp2p peer of it.
fn pair() -> (Engine, Raw) {
    let mut engine = engine();
    let peer = Raw::connected_by_libp2p(&mut engine, |_| ());
    (engine, peer)
}

/// A peer that may send as fast as it likes.
fn hasty(transport: &mut TransportConfig) {
    let mut congestion = CubicConfig::default();
    congestion.initial_window(64 << 20);
    transport.congestion_controller_factory(Arc::new(congestion)).initial_rtt(Duration::from_millis(1));
}

/// Everything that can be read on a stream, and whether it has ended; `None` when the stream is gone.
fn read_all(engine: &mut Engine, peer: &Raw, id: StreamId) -> Option<(Vec<u8>, bool)> {
    let (connection, events) = engine.connection(peer.connection()).unwrap();
    let mut got = vec![];
    loop {
        match connection.readable(id.into()) {
            Ok(Readable::Bytes(count)) => {
                let mut part = vec![0; count];
                connection.read(id.into(), &mut part, events);
                got.extend(part);
            }
            Ok(Readable::Nothing) => return Some((got, false)),
            Ok(Readable::End) => return Some((got, true)),
            Err(_) => return None,
        }
    }
}

/// Another stream of the same connection works in both directions.
fn another_stream_works(engine: &mut Engine, peer: &mut Raw) {
    let id = peer.write(engine, Dir::Bi, b"still here?", true);
    assert_eq!(read_all(engine, peer, id), Some((b"still here?".to_vec(), true)));
    let (connection, events) = engine.connection(peer.connection()).unwrap();
    connection.write(id.into(), Bytes::from_static(b"yes"), events).unwrap();
    connection.finish(id.into(), events);
    peer.settle(engine);
    assert_eq!(peer.read(id), (b"yes".to_vec(), Ok(true)));
    assert_eq!(peer.engine_saw_end(), None);
}

fn count(peer: &Raw, wanted: impl Fn(&Event) -> bool) -> usize {
    peer.seen.iter().filter(|event| wanted(event)).count()
}

#[test]
fn a_stream_of_the_peer_is_told_with_its_first_byte_or_its_end() {
    let (mut engine, mut peer) = pair();
    let empty = peer.write(&mut engine, Dir::Bi, b"", true);
    assert!(matches!(peer.seen[1], Event::AcceptedRaw { stream, .. } if stream == u64::from(empty)), "{:?}", peer.seen);
    assert_eq!(read_all(&mut engine, &peer, empty), Some((vec![], true)));

    let id = peer.write(&mut engine, Dir::Bi, b"one", false);
    assert_eq!(read_all(&mut engine, &peer, id), Some((b"one".to_vec(), false)));
    peer.write_on(&mut engine, id, b"two");
    peer.quic.send_stream(id).finish().unwrap();
    peer.settle(&mut engine);
    assert_eq!(read_all(&mut engine, &peer, id), Some((b"two".to_vec(), true)));
    assert_eq!(count(&peer, |event| matches!(event, Event::AcceptedRaw { .. })), 2);
    assert_eq!(engine.held(), 0);
}

#[test]
fn a_stream_of_ours_reaches_the_peer_without_a_byte_that_nobody_wrote() {
    let (mut engine, mut peer) = pair();
    let (connection, events) = engine.connection(peer.connection()).unwrap();
    let id = connection.open_raw(9, events).unwrap().unwrap();
    peer.settle(&mut engine);
    assert!(peer.quic.streams().accept(Dir::Bi).is_none(), "an empty stream is not there yet");
    assert!(peer.quic.streams().accept(Dir::Uni).is_none(), "nor is a control stream");
    let (connection, events) = engine.connection(peer.connection()).unwrap();
    connection.write(id, Bytes::from_static(b"\x13/multistream/1.0.0\n"), events).unwrap();
    peer.settle(&mut engine);
    let theirs = peer.quic.streams().accept(Dir::Bi).unwrap();
    assert_eq!((u64::from(theirs), peer.read(theirs)), (id, (b"\x13/multistream/1.0.0\n".to_vec(), Ok(false))));
    peer.write_on(&mut engine, theirs, b"answer");
    peer.settle(&mut engine);
    assert_eq!(read_all(&mut engine, &peer, theirs), Some((b"answer".to_vec(), false)));
}

#[test]
fn reset_and_stop_are_acts_of_their_own_with_their_codes() {
    let (mut engine, mut peer) = pair();
    // The peer gives up its half; ours goes on.
    let id = peer.write(&mut engine, Dir::Bi, b"x", false);
    peer.quic.send_stream(id).reset(VarInt::from_u32(0x1001)).unwrap();
    peer.settle(&mut engine);
    assert_eq!(count(&peer, |event| matches!(event, Event::WasReset { code: 0x1001, .. })), 1);
    let (connection, events) = engine.connection(peer.connection()).unwrap();
    connection.write(id.into(), Bytes::from_static(b"alive"), events).unwrap();
    peer.settle(&mut engine);
    assert_eq!(peer.read(id), (b"alive".to_vec(), Ok(false)));

    // The peer refuses our half: it is answered by a reset, and the peer's half goes on.
    let id = peer.write(&mut engine, Dir::Bi, b"x", false);
    peer.quic.recv_stream(id).stop(VarInt::from_u32(0x1008)).unwrap();
    peer.settle(&mut engine);
    assert_eq!(count(&peer, |event| matches!(event, Event::Stopped { code: 0x1008, .. })), 1);
    peer.write_on(&mut engine, id, b"y");
    peer.settle(&mut engine);
    assert_eq!(read_all(&mut engine, &peer, id), Some((b"xy".to_vec(), false)));

    // We give up our half.
    let id = peer.write(&mut engine, Dir::Bi, b"x", false);
    let (connection, _) = engine.connection(peer.connection()).unwrap();
    connection.reset(id.into(), 0x1001);
    peer.settle(&mut engine);
    assert_eq!(peer.read(id), (vec![], Err(0x1001)));
    assert_eq!(peer.stopped(id), None, "that is another act");
    peer.write_on(&mut engine, id, b"z");
    peer.settle(&mut engine);
    assert_eq!(read_all(&mut engine, &peer, id), Some((b"xz".to_vec(), false)));

    // We refuse the peer's half.
    let id = peer.write(&mut engine, Dir::Bi, b"x", false);
    let (connection, events) = engine.connection(peer.connection()).unwrap();
    connection.stop(id.into(), 0x1002);
    connection.write(id.into(), Bytes::from_static(b"but listen"), events).unwrap();
    peer.settle(&mut engine);
    assert_eq!(peer.stopped(id), Some(0x1002));
    assert_eq!(peer.read(id), (b"but listen".to_vec(), Ok(false)));
    another_stream_works(&mut engine, &mut peer);
}

#[test]
fn a_reader_that_stops_stops_the_sender_and_loses_nothing() {
    for write in [20_000, 1160] {
        let (mut engine, mut peer) = pair();
        let id = peer.quic.streams().open(Dir::Bi).unwrap();
        let text: Vec<u8> = (0..6_000_000u32).map(|n| (n / 7) as u8).collect();
        let mut sent = 0;
        while let Ok(count) = peer.quic.send_stream(id).write(&text[sent..text.len().min(sent + write)]) {
            sent += count;
            if sent == text.len() {
                break;
            }
            peer.exchange(&mut engine);
        }
        // Later, much later: still nobody reads, and the connection lives.
        peer.pass(&mut engine, Duration::from_secs(120));
        assert!((1_000_000..2_000_000).contains(&sent), "{sent} bytes were taken");
        assert!(engine.held() <= READ_AHEAD_BYTES + 1500, "{} held", engine.held());
        assert_eq!(count(&peer, |event| matches!(event, Event::Overflowed { .. })), 0);
        another_stream_works(&mut engine, &mut peer);

        let mut got = vec![];
        for _ in 0..1000 {
            let (part, _) = read_all(&mut engine, &peer, id).expect("the stream is there");
            got.extend(part);
            if sent < text.len() {
                sent += peer.quic.send_stream(id).write(&text[sent..]).unwrap_or(0);
            }
            peer.settle(&mut engine);
            if got.len() == text.len() {
                break;
            }
        }
        assert!(got == text, "{} bytes of {}", got.len(), text.len());
        assert_eq!(engine.held(), 0);
    }
}

/// noq-proto 1.4.0 gives up a connection with 2,048 small packets of one stream unread.
#[test]
fn small_packets_to_a_reader_that_stops_cost_their_stream_at_most() {
    for size in [1, 64, 300, 900] {
        let (mut engine, mut peer) = pair();
        let id = peer.quic.streams().open(Dir::Bi).unwrap();
        let (mut packets, mut waits) = (0, 0);
        while peer.stopped(id).is_none() && packets < 20_000 && waits < 1000 {
            match peer.quic.send_stream(id).write(&vec![7; size]) {
                Ok(count) => packets += usize::from(count > 0),
                Err(noq_proto::WriteError::Blocked) => {
                    waits += 1;
                    peer.settle(&mut engine);
                }
                Err(_) => break,
            }
            peer.exchange(&mut engine);
        }
        assert_eq!(peer.engine_saw_end(), None, "{size} bytes, {packets} packets");
        assert!(packets > 2500 || packets * size > 1 << 20, "{size}: {packets}");
        let overflows = count(&peer, |event| matches!(event, Event::Overflowed { .. }));
        assert_eq!(overflows, usize::from(size * packets > 1 << 20), "{size} bytes, {packets} packets");
        if overflows > 0 {
            assert_eq!(peer.stopped(id), Some(code::LIBP2P_RESOURCE_LIMIT.into()));
            assert_eq!(engine.held(), 0);
            // What we send on the same stream still arrives.
            let (connection, events) = engine.connection(peer.connection()).unwrap();
            connection.write(id.into(), Bytes::from_static(b"slowly!"), events).unwrap();
            peer.settle(&mut engine);
            assert_eq!(peer.read(id), (b"slowly!".to_vec(), Ok(false)));
        } else {
            let (got, _) = read_all(&mut engine, &peer, id).unwrap();
            assert_eq!(got.len(), size * packets, "nothing is lost");
        }
        another_stream_works(&mut engine, &mut peer);
    }
}

/// A loop that was busy finds thousands of packets in its socket: all of them come before it looks at the streams.
#[test]
fn small_packets_that_come_all_at_once_cost_nothing() {
    for size in [1usize, 64, 300] {
        let mut engine = engine();
        let mut peer = Raw::connected_by_libp2p(&mut engine, hasty);
        let id = peer.write(&mut engine, Dir::Bi, b"!", false);
        let mut packets = vec![];
        for n in 0..3000 {
            assert_eq!(peer.quic.send_stream(id).write(&vec![n as u8; size]), Ok(size));
            peer.now += Duration::from_micros(100);
            peer.transmit_into(&mut packets);
        }
        assert!(packets.len() >= 3000, "{} packets", packets.len());
        for packet in packets {
            engine.input(peer.now, client_address(), None, None, BytesMut::from(&packet[..]));
        }
        peer.settle(&mut engine);
        assert_eq!(peer.engine_saw_end(), None, "{size}");
        let (mut got, mut part) = (vec![], read_all(&mut engine, &peer, id).unwrap().0);
        while !part.is_empty() {
            got.append(&mut part);
            peer.settle(&mut engine);
            part = read_all(&mut engine, &peer, id).unwrap().0;
        }
        assert_eq!(got.len(), 1 + 3000 * size);
        another_stream_works(&mut engine, &mut peer);
    }
}

#[test]
fn a_peer_may_open_as_many_streams_as_other_implementations_allow_and_not_one_more() {
    let (mut engine, mut peer) = pair();
    peer.settle(&mut engine);
    let ids: Vec<StreamId> = std::iter::from_fn(|| {
        let id = peer.quic.streams().open(Dir::Bi)?;
        peer.quic.send_stream(id).write(b"x").unwrap();
        peer.quic.send_stream(id).finish().unwrap();
        peer.settle(&mut engine);
        Some(id)
    })
    .take(1000)
    .collect();
    let accepted = count(&peer, |event| matches!(event, Event::AcceptedRaw { .. }));
    assert_eq!(
        (ids.len(), accepted),
        (STREAMS_MAX as usize, STREAMS_MAX as usize),
        "they have ended, but nobody read them"
    );

    // As they are done with, as many others may come; QUIC says so in steps.
    let (connection, events) = engine.connection(peer.connection()).unwrap();
    for id in &ids[..64] {
        connection.read((*id).into(), &mut [0], events);
        assert_eq!(connection.readable((*id).into()), Ok(Readable::End));
        connection.finish((*id).into(), events);
    }
    peer.settle(&mut engine);
    let more = std::iter::from_fn(|| peer.quic.streams().open(Dir::Bi)).count();
    assert!((32..=64).contains(&more), "{more}");
}

#[test]
fn what_libp2p_does_not_have_is_refused_or_ignored() {
    let (mut engine, mut peer) = pair();
    let id = peer.write(&mut engine, Dir::Uni, b"\x00\x01\x02", false);
    assert_eq!(peer.stopped(id), Some(code::LIBP2P_PROTOCOL_VIOLATION.into()));
    peer.quic.datagrams().send(Bytes::from_static(b"hello?"), true).unwrap();
    peer.settle(&mut engine);
    assert_eq!(count(&peer, |event| !matches!(event, Event::Connected { .. })), 0, "{:?}", peer.seen);

    let (connection, events) = engine.connection(peer.connection()).unwrap();
    let call = connection.call(1, b"echo", 0, Bytes::new(), events);
    assert_eq!(call, Err(Refusal::OtherProtocol));
    assert_eq!(connection.open(2, true, true, b"a/b", events), Err(Refusal::OtherProtocol));
    another_stream_works(&mut engine, &mut peer);

    let mut kontinuum = Raw::connected(&mut engine);
    let (connection, events) = engine.connection(kontinuum.connection()).unwrap();
    assert_eq!(connection.open_raw(3, events), Err(Refusal::OtherProtocol));
    kontinuum.honest_call_works(&mut engine);
}

/// rust-libp2p gives up a connection after ten silent seconds, and sends nothing itself meanwhile.
#[test]
fn an_idle_connection_outlives_ten_seconds() {
    assert!(KEEP_ALIVE < Duration::from_secs(5));
    let mut engine = engine();
    let mut peer = Raw::connected_by_libp2p(&mut engine, |transport| {
        transport.max_idle_timeout(Some(Duration::from_secs(10).try_into().unwrap()));
    });
    peer.pass(&mut engine, Duration::from_secs(90));
    assert_eq!(peer.engine_saw_end(), None);
    another_stream_works(&mut engine, &mut peer);
}

#[test]
fn unread_streams_hold_no_more_than_the_bound_of_a_connection() {
    let mut engine = raw::engine(|options| {
        options.libp2p = true;
        options.connection_buffer_max = 1 << 20;
    });
    let mut peer = Raw::connected_by_libp2p(&mut engine, |_| ());
    let mut stopped = 0;
    for _ in 0..20 {
        let id = peer.write(&mut engine, Dir::Bi, &vec![5; 100_000], false);
        stopped += usize::from(peer.stopped(id).is_some());
        assert!(engine.held() <= (1 << 20) + 100_000, "{}", engine.held());
    }
    assert!(stopped >= 9, "{stopped}");
    peer.quic.close(peer.now, VarInt::from_u32(0), Bytes::new());
    peer.settle(&mut engine);
    assert_eq!(engine.held(), 0);
}
