//! Both halves joined by a wire that cuts at every place.

use super::super::wire::{self, FRAME_COST_MIN, Kind, MESSAGE_BYTES_MAX, STREAM_CREDIT};
use super::{Received, RecvHalf, SendHalf, Violation};
use bytes::Bytes;

/// Everything the sender is willing to send now.
fn drain(send: &mut SendHalf) -> Vec<u8> {
    let mut out = vec![];
    while let Some(front) = send.front() {
        let piece = front.split_to(front.len());
        out.extend_from_slice(&piece);
        send.took(piece.len());
    }
    out
}

fn inbound(kind: Kind) -> (SendHalf, RecvHalf) {
    let mut send = SendHalf::new(kind);
    let mut header = vec![];
    wire::write_stream_header(&mut header, kind, b"a/b");
    send.push_raw(header.into());
    (send, RecvHalf::inbound())
}

#[test]
fn messages_arrive_whole_however_the_stream_is_cut() {
    for cut in 1..40 {
        let (mut send, mut recv) = inbound(Kind::Messages);
        for message in [&b"one"[..], b"", b"three and more", &[7; 100]] {
            send.push(Bytes::copy_from_slice(message));
        }
        let mut got = vec![];
        for piece in drain(&mut send).chunks(cut) {
            recv.push(Bytes::copy_from_slice(piece), &mut got).unwrap();
        }
        let want: Vec<_> = [Received::Opened("a/b".into())]
            .into_iter()
            .chain(["one".into(), Bytes::new(), "three and more".into(), vec![7; 100].into()].map(Received::Message))
            .collect();
        assert_eq!(got, want, "cut every {cut} bytes");
    }
}

#[test]
fn bytes_arrive_in_order_however_the_stream_is_cut() {
    for cut in [1, 2, 3, 7, 1000] {
        let (mut send, mut recv) = inbound(Kind::Bytes);
        let text: Vec<u8> = (0..5000u32).map(|n| n as u8).collect();
        for write in text.chunks(97) {
            send.push(Bytes::copy_from_slice(write));
        }
        let mut events = vec![];
        for piece in drain(&mut send).chunks(cut) {
            recv.push(Bytes::copy_from_slice(piece), &mut events).unwrap();
        }
        let mut got = vec![0; recv.readable()];
        recv.read(&mut got);
        assert_eq!(got, text);
        assert_eq!(recv.held(), 0);
    }
}

#[test]
fn a_reader_that_stops_stops_the_sender_after_1024_small_writes() {
    let (mut send, mut recv) = inbound(Kind::Bytes);
    let mut wire_bytes = vec![];
    for _ in 0..100_000 {
        send.push(Bytes::from_static(b"x"));
        wire_bytes.extend(drain(&mut send));
    }
    let mut events = vec![];
    recv.push(wire_bytes.into(), &mut events).unwrap();
    assert_eq!(recv.readable() as u64, STREAM_CREDIT / FRAME_COST_MIN);
    assert_eq!(send.queued() as u64, 100_000 - STREAM_CREDIT / FRAME_COST_MIN);

    // Once the reader goes on, what waited comes in few large frames.
    let mut got = vec![0; recv.readable()];
    recv.read(&mut got);
    send.on_credit(recv.credit_due().unwrap());
    let more = drain(&mut send);
    assert!(more.len() < 100_000, "joined into frames with few prefixes");
    recv.push(more.into(), &mut events).unwrap();
    assert_eq!(recv.readable(), 100_000 - 1024);
}

#[test]
fn a_sender_that_ignores_its_credit_is_found_out() {
    let mut recv = RecvHalf::outbound(Kind::Messages);
    let mut events = vec![];
    let one = Bytes::from_static(&[1, b'x']);
    for _ in 0..STREAM_CREDIT / FRAME_COST_MIN {
        recv.push(one.clone(), &mut events).unwrap();
    }
    assert_eq!(recv.push(one, &mut events), Err(Violation::FlowControl));
}

#[test]
fn a_message_of_the_limit_passes_and_one_byte_more_does_not() {
    let mut recv = RecvHalf::outbound(Kind::Messages);
    let mut events = vec![];
    let mut frame = vec![];
    wire::write_varint(&mut frame, MESSAGE_BYTES_MAX as u64);
    frame.extend(vec![1; MESSAGE_BYTES_MAX]);
    recv.push(frame.into(), &mut events).unwrap();
    assert!(matches!(&events[..], [Received::Message(m)] if m.len() == MESSAGE_BYTES_MAX));

    let mut recv = RecvHalf::outbound(Kind::Messages);
    let mut prefix = vec![];
    wire::write_varint(&mut prefix, MESSAGE_BYTES_MAX as u64 + 1);
    assert_eq!(recv.push(prefix.into(), &mut events), Err(Violation::TooLarge));
    assert_eq!(recv.held(), 0, "refused before it was buffered");
}

#[test]
fn a_call_of_any_length_is_bounded() {
    let mut recv = RecvHalf::inbound();
    let mut events = vec![];
    recv.push(Bytes::from_static(&[Kind::Call as u8]), &mut events).unwrap();
    let block = Bytes::from(vec![0; 64 << 10]);
    let mut result = Ok(());
    for _ in 0..20 {
        result = recv.push(block.clone(), &mut events);
        if result.is_err() {
            break;
        }
    }
    assert_eq!(result, Err(Violation::TooLarge));
    assert!(recv.held() <= MESSAGE_BYTES_MAX + wire::HEADER_BYTES_MAX);
}

#[test]
fn an_unknown_kind_is_refused_by_name() {
    assert_eq!(RecvHalf::inbound().push(Bytes::from_static(&[9, 1, 2]), &mut vec![]), Err(Violation::UnknownKind));
}

#[test]
fn credit_that_was_never_sent_changes_nothing() {
    let (mut send, _) = inbound(Kind::Messages);
    send.push(Bytes::from_static(b"x"));
    drain(&mut send);
    send.on_credit(u64::MAX >> 2);
    for _ in 0..5000 {
        send.push(Bytes::from_static(b"x"));
    }
    drain(&mut send);
    assert_eq!(send.queued(), 5001 - 1024);
}

#[test]
fn a_message_of_the_limit_is_sent_after_small_ones_were_consumed() {
    for small in [0, 1, 255] {
        let (mut send, mut recv) = inbound(Kind::Messages);
        let mut events = vec![];
        for _ in 0..small {
            send.push(Bytes::from_static(b"x"));
        }
        recv.push(drain(&mut send).into(), &mut events).unwrap();
        for _ in 0..small {
            recv.consume(1);
        }
        assert_eq!(recv.credit_due(), None, "too little to announce");

        send.push(vec![1; MESSAGE_BYTES_MAX].into());
        recv.push(drain(&mut send).into(), &mut events).unwrap();
        assert!(matches!(events.last(), Some(Received::Message(m)) if m.len() == MESSAGE_BYTES_MAX));
        assert!(recv.held() <= STREAM_CREDIT as usize + small);

        // The next one waits until this one was consumed.
        send.push(Bytes::from_static(b"next"));
        assert!(drain(&mut send).is_empty());
        recv.consume(MESSAGE_BYTES_MAX);
        send.on_credit(recv.credit_due().unwrap());
        recv.push(drain(&mut send).into(), &mut events).unwrap();
        assert_eq!(events.last(), Some(&Received::Message("next".into())));
    }
}

#[test]
fn empty_writes_use_up_no_credit() {
    let (mut send, mut recv) = inbound(Kind::Bytes);
    let mut events = vec![];
    for _ in 0..5000 {
        send.push(Bytes::new());
        recv.push(drain(&mut send).into(), &mut events).unwrap();
    }
    assert!(send.is_empty());
    send.push(Bytes::from_static(b"hello"));
    recv.push(drain(&mut send).into(), &mut events).unwrap();
    assert_eq!(recv.readable(), 5);
}

#[test]
fn bytes_keep_their_order_whether_or_not_they_were_copied_meanwhile() {
    let text: Vec<u8> = (0..20_000u32).map(|n| (n / 7) as u8).collect();
    for (settle_every, read_every) in [(1, 3), (3, 1), (2, 5), (1000, 2)] {
        let (mut send, mut recv) = inbound(Kind::Bytes);
        for write in text.chunks(997) {
            send.push(Bytes::copy_from_slice(write));
        }
        let (mut events, mut got) = (vec![], vec![]);
        for (n, piece) in drain(&mut send).chunks(311).enumerate() {
            recv.push(Bytes::copy_from_slice(piece), &mut events).unwrap();
            if n % settle_every == 0 {
                let before = recv.readable();
                recv.settle();
                assert_eq!(recv.readable(), before);
            }
            if n % read_every == 0 {
                let mut some = vec![0; recv.readable().min(450)];
                recv.read(&mut some);
                got.extend(some);
            }
        }
        let mut rest = vec![0; recv.readable()];
        recv.read(&mut rest);
        got.extend(rest);
        assert_eq!(got, text);
        assert_eq!(recv.held(), 0);
    }
}
