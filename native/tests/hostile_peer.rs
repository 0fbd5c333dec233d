//! A verified peer that breaks every rule of the streams: it costs the stream, never the connection or the memory.

mod raw;

use _native::engine::event::code;
use _native::engine::wire::{self, Kind, MESSAGE_BYTES_MAX, STREAM_CREDIT};
use _native::engine::{Event, Options};
use noq_proto::{Dir, StreamId, VarInt};
use raw::{Raw, engine};

fn header(kind: Kind) -> Vec<u8> {
    let mut out = vec![];
    wire::write_stream_header(&mut out, kind, b"a/b");
    out
}

fn frame(length: u64, body: &[u8]) -> Vec<u8> {
    let mut out = vec![];
    wire::write_varint(&mut out, length);
    out.extend_from_slice(body);
    out
}

fn refused(bytes: &[u8], dir: Dir, finish: bool, code: u32) {
    let mut engine = engine(|_| {});
    let mut peer = Raw::connected(&mut engine);
    let id = peer.write(&mut engine, dir, bytes, finish);
    if finish {
        // What has ended cannot be stopped; a reset of the other half says it.
        if dir == Dir::Bi {
            assert_eq!(peer.read(id).1, Err(code.into()));
        }
    } else {
        assert_eq!(peer.stopped(id), Some(code.into()), "{:?}", &bytes[..bytes.len().min(20)]);
    }
    assert_eq!(engine.held(), 0);
    peer.honest_call_works(&mut engine);
    assert_eq!(peer.engine_saw_end(), None);
}

#[test]
fn every_violation_costs_its_stream_only() {
    let bad_name = |name: &[u8]| [&[Kind::Bytes as u8, name.len() as u8][..], name].concat();
    let long_name = [&[Kind::Bytes as u8, 0x40, 129][..], &[b'x'; 129]].concat();
    let oversize = [header(Kind::Messages), frame(MESSAGE_BYTES_MAX as u64 + 1, b"")].concat();
    let absurd = [header(Kind::Bytes), vec![0xff; 8]].concat();
    for dir in [Dir::Bi, Dir::Uni] {
        refused(&[4], dir, false, code::UNKNOWN_KIND);
        refused(&[0xff; 5000], dir, false, code::UNKNOWN_KIND);
        refused(&bad_name(b""), dir, false, code::MALFORMED);
        refused(&bad_name(b"\xff\xfe"), dir, false, code::MALFORMED);
        refused(&long_name, dir, false, code::MALFORMED);
        refused(&oversize, dir, false, code::TOO_LARGE);
        refused(&absurd, dir, false, code::TOO_LARGE);
        for kind in [Kind::Bytes, Kind::Messages] {
            refused(&[header(kind), frame(10, b"half")].concat(), dir, true, code::MALFORMED);
            refused(&header(kind)[..3], dir, true, code::MALFORMED);
        }
        refused(b"", dir, true, code::MALFORMED);
    }
    refused(&[Kind::Control as u8, 0, 0], Dir::Bi, false, code::MALFORMED);
    refused(&[Kind::Call as u8, 0, 1, b'x'], Dir::Uni, false, code::MALFORMED);
    refused(&[Kind::Call as u8], Dir::Bi, true, code::MALFORMED);
    refused(&[Kind::Call as u8, 0x80, 0], Dir::Bi, true, code::MALFORMED);
    refused(&[Kind::Call as u8, 0, 0], Dir::Bi, true, code::MALFORMED);
    refused(&[Kind::Call as u8, 0, 2, 0xc3, 0x28], Dir::Bi, true, code::MALFORMED);
}

#[test]
fn a_call_of_the_limit_passes_and_one_byte_more_is_refused() {
    let mut engine = engine(|_| {});
    let mut peer = Raw::connected(&mut engine);
    let mut request = vec![];
    wire::write_request_header(&mut request, 0, b"echo");
    let header = request.len();
    request.resize(header + MESSAGE_BYTES_MAX, 7);

    peer.write(&mut engine, Dir::Bi, &request, true);
    assert!(peer.seen.iter().any(|event| matches!(event, Event::Call { body, .. } if body.len() == MESSAGE_BYTES_MAX)));

    request.push(7);
    let mark = peer.seen.len();
    let id = peer.write(&mut engine, Dir::Bi, &request, true);
    assert!(!peer.seen[mark..].iter().any(|event| matches!(event, Event::Call { .. })));
    assert_eq!(peer.read(id).1, Err(code::TOO_LARGE.into()));

    // One without an end is refused while it comes.
    let id = peer.write(&mut engine, Dir::Bi, &vec![1; 3 << 20], false);
    assert_eq!(peer.stopped(id), Some(code::TOO_LARGE.into()));
    peer.honest_call_works(&mut engine);
    assert_eq!(engine.held(), 0);
}

#[test]
fn who_exceeds_the_credit_is_stopped_and_what_came_before_is_delivered() {
    for kind in [Kind::Bytes, Kind::Messages] {
        let mut engine = engine(|_| {});
        let mut peer = Raw::connected(&mut engine);
        let mut bytes = header(kind);
        for _ in 0..=STREAM_CREDIT / wire::FRAME_COST_MIN {
            bytes.extend(frame(1, b"x"));
        }
        let id = peer.write(&mut engine, Dir::Uni, &bytes, false);
        assert_eq!(peer.stopped(id), Some(code::FLOW_CONTROL.into()));
        if kind == Kind::Messages {
            let messages = |peer: &Raw| peer.seen.iter().filter(|event| matches!(event, Event::Message { .. })).count();
            let resets = |peer: &Raw| peer.seen.iter().filter(|event| matches!(event, Event::WasReset { .. })).count();
            assert_eq!((messages(&peer), resets(&peer)), (1024, 0));
            let (connection, events) = engine.connection(peer.connection()).unwrap();
            for _ in 0..1024 {
                connection.consume(id.into(), 1, events);
            }
            peer.settle(&mut engine);
            assert_eq!(resets(&peer), 1, "the end is told after the messages");
        }
        assert_eq!(engine.held(), 0);
        peer.honest_call_works(&mut engine);
    }
}

#[test]
fn a_hundred_thousand_credit_updates_for_streams_that_are_not_there_change_nothing() {
    let mut engine = engine(|_| {});
    let mut peer = Raw::connected(&mut engine);
    let mut bytes = vec![Kind::Control as u8];
    for n in 0..100_000u64 {
        wire::write_credit(&mut bytes, n * 40_503 % (1 << 30), u64::MAX >> 2);
    }
    let id = peer.quic.streams().open(Dir::Uni).unwrap();
    assert!(peer.write_on(&mut engine, id, &bytes));
    peer.settle(&mut engine);
    peer.honest_call_works(&mut engine);
    assert_eq!(engine.held(), 0);
}

#[test]
fn control_streams_may_be_several_and_may_end() {
    let mut engine = engine(|_| {});
    let mut peer = Raw::connected(&mut engine);
    let first = peer.write(&mut engine, Dir::Uni, &[Kind::Control as u8, 0x40], false);
    for _ in 0..50 {
        peer.write(&mut engine, Dir::Uni, &[Kind::Control as u8, 1, 1], true);
    }
    peer.quic.send_stream(first).reset(VarInt::from_u32(3)).unwrap();
    peer.settle(&mut engine);
    peer.honest_call_works(&mut engine);
    assert_eq!(engine.held(), 0);
}

#[test]
fn a_peer_that_refuses_our_control_stream_loses_nothing_but_its_credit() {
    let mut engine = engine(|_| {});
    let mut peer = Raw::connected(&mut engine);
    let id = peer.write(&mut engine, Dir::Uni, &header(Kind::Messages), false);
    for round in 0..3 {
        for _ in 0..400 {
            peer.write_on(&mut engine, id, &frame(1, b"x"));
        }
        peer.settle(&mut engine);
        let (connection, events) = engine.connection(peer.connection()).unwrap();
        for _ in 0..400 {
            connection.consume(id.into(), 1, events);
        }
        peer.settle(&mut engine);
        if round == 0 {
            let control = peer.quic.streams().accept(Dir::Uni).expect("credit was due");
            assert_eq!(peer.read(control).0[0], Kind::Control as u8);
            peer.quic.recv_stream(control).stop(VarInt::from_u32(9)).unwrap();
            peer.settle(&mut engine);
        }
    }
    assert_eq!(engine.held(), 0);
    peer.honest_call_works(&mut engine);
}

#[test]
fn reset_and_stop_at_every_point_leave_nothing_behind() {
    let mut request = vec![];
    wire::write_request_header(&mut request, 0, b"echo");
    request.extend_from_slice(b"body");
    let bytes = [header(Kind::Bytes), frame(3, b"abc")].concat();
    let messages = [header(Kind::Messages), frame(3, b"abc"), frame(3, b"de")].concat();
    let mut engine = engine(|options| options.streams_max = 4);
    let mut peer = Raw::connected(&mut engine);
    let mut last = None;
    for script in [&request, &bytes, &messages] {
        for cut in 0..=script.len() {
            for way in 0..4 {
                let id = peer.write(&mut engine, Dir::Bi, &script[..cut], way == 3);
                match way {
                    0 => peer.quic.send_stream(id).reset(VarInt::from_u32(7)).unwrap(),
                    1 => peer.quic.recv_stream(id).stop(VarInt::from_u32(7)).unwrap(),
                    _ => {}
                }
                peer.settle(&mut engine);
                // Whatever is left is ended by both sides, as an application would.
                let _ = peer.quic.send_stream(id).reset(VarInt::from_u32(8));
                let _ = peer.quic.recv_stream(id).stop(VarInt::from_u32(8));
                let (connection, events) = engine.connection(peer.connection()).unwrap();
                connection.consume(id.into(), 3, events);
                connection.reset(id.into(), 9);
                connection.stop(id.into(), 9);
                peer.settle(&mut engine);
                assert_eq!(engine.held(), 0, "cut {cut}, way {way}");
                last = Some(id);
            }
        }
    }
    assert!(u64::from(last.unwrap()) / 4 > 100, "with four streams at a time");
    peer.honest_call_works(&mut engine);
}

#[test]
fn half_open_streams_hold_no_more_than_the_bound_of_a_connection() {
    let mut engine = engine(|options: &mut Options| options.connection_buffer_max = 1 << 20);
    let mut peer = Raw::connected(&mut engine);
    let mut half_call = vec![];
    wire::write_request_header(&mut half_call, 0, b"echo");
    half_call.resize(200 << 10, 1);
    let half_message = [header(Kind::Messages), frame(1 << 20, &[1; 200 << 10])].concat();
    let unread = [header(Kind::Bytes), frame(200 << 10, &[1; 200 << 10])].concat();
    let mut ids = vec![];
    for n in 0..60 {
        let script = [&half_call, &half_message, &unread][n % 3];
        ids.push(peer.write(&mut engine, Dir::Bi, script, false));
        assert!(engine.held() <= (1 << 20) + (200 << 10), "{n}: {}", engine.held());
    }
    let busy = ids.iter().filter(|id| peer.stopped(**id) == Some(code::BUSY.into())).count();
    assert!(busy >= 50, "{busy}");
    // What was accepted is still there, and ends with the connection.
    peer.quic.close(peer.now, VarInt::from_u32(0), bytes::Bytes::new());
    peer.settle(&mut engine);
    assert_eq!(engine.held(), 0);
}

/// A peer that opens and ends streams gets its stream credit back from QUIC at once, whoever consumes them.
#[test]
fn finished_streams_that_nobody_consumes_are_counted_as_open() {
    for (kind, ending) in [(Kind::Bytes, 0), (Kind::Messages, 0), (Kind::Messages, 1), (Kind::Messages, 2)] {
        let mut engine = engine(|options| options.streams_max = 8);
        let mut peer = Raw::connected(&mut engine);
        let mut opened: Vec<StreamId> = vec![];
        for _ in 0..100 {
            let mut script = [header(kind), frame(1000, &[5; 1000])].concat();
            if ending == 2 {
                script.extend(frame(u64::MAX >> 2, b"")); // a violation after a good message
            }
            let Some(id) = peer.quic.streams().open(Dir::Uni) else { break };
            opened.push(id);
            peer.write_on(&mut engine, id, &script);
            peer.settle(&mut engine);
            match ending {
                0 => drop(peer.quic.send_stream(id).finish()),
                1 => drop(peer.quic.send_stream(id).reset(VarInt::from_u32(1))),
                _ => {}
            }
            peer.settle(&mut engine);
        }
        let accepted = |peer: &Raw| peer.seen.iter().filter(|event| matches!(event, Event::Accepted { .. })).count();
        assert!(accepted(&peer) <= 9, "{kind:?}: {} streams", accepted(&peer));
        assert!(engine.held() <= 9 * 1001, "{}", engine.held());
        peer.honest_call_works(&mut engine);

        // As they are consumed, the rest comes in.
        for _ in 0..opened.len() {
            for id in &opened {
                let (connection, events) = engine.connection(peer.connection()).unwrap();
                if kind == Kind::Messages {
                    connection.consume((*id).into(), 1000, events);
                } else if connection.readable((*id).into()).is_ok() {
                    connection.read((*id).into(), &mut [0; 1000], events);
                    let _ = connection.readable((*id).into());
                }
            }
            peer.settle(&mut engine);
        }
        let arrived = if ending == 1 { 9 } else { opened.len() }; // A reset may overtake what nobody took.
        assert!(
            accepted(&peer) >= arrived.min(opened.len()),
            "{kind:?}/{ending}: {} of {}",
            accepted(&peer),
            opened.len()
        );
        assert_eq!(engine.held(), 0);
        peer.honest_call_works(&mut engine);
    }
}

#[test]
fn a_writer_on_a_stream_whose_other_half_is_refused_hears_of_it() {
    let mut engine = engine(|_| {});
    let mut peer = Raw::connected(&mut engine);
    let id = peer.write(&mut engine, Dir::Bi, &header(Kind::Bytes), false);
    let (connection, events) = engine.connection(peer.connection()).unwrap();
    connection.write(id.into(), vec![0; 4 << 20].into(), events).unwrap();
    assert!(connection.want_writable(id.into()));
    peer.write_on(&mut engine, id, &frame(u64::MAX >> 2, b""));
    peer.settle(&mut engine);
    assert!(peer.seen.iter().any(|event| matches!(event, Event::WasReset { .. })));
    assert!(peer.seen.iter().any(|event| matches!(event, Event::Stopped { .. })));
}
