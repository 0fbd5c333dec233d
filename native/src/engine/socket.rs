//! One UDP socket, read and written in batches (recvmmsg with GRO, sendmsg with GSO).

use bytes::BytesMut;
use noq_proto::EcnCodepoint;
use noq_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};

/// Kernel buffer to ask for, in bytes and each direction; the kernel may grant less (`kontinuum doctor`).
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// Batches that wait because the kernel's buffer is full; beyond it the oldest is dropped, as a network would.
pub const BLOCKED_BATCHES_MAX: usize = 1024;

/// Largest GSO batch, in bytes: a larger one fails in sendmsg and would be lost silently.
pub const GSO_BYTES_MAX: usize = 65_507;

/// Receive buffers of one batch, in bytes.
const RECEIVE_BYTES_MAX: usize = 4 << 20;

struct Blocked {
    destination: SocketAddr,
    ecn: Option<EcnCodepoint>,
    segment_size: Option<usize>,
    source: Option<IpAddr>,
    contents: Vec<u8>,
}

/// A bound, non-blocking UDP socket.
pub struct Socket {
    io: socket2::Socket,
    state: UdpSocketState,
    buffer: Vec<u8>,
    blocked: VecDeque<Blocked>,
    dual_stack: bool,
    /// Bytes received and sent since somebody last took this.
    pub traffic_bytes: usize,
    /// Datagrams and calls to the kernel: received, receive calls, sent batches, dropped.
    pub counters: [u64; 4],
}

/// One received datagram.
pub struct Datagram {
    /// Who sent it; an IPv4 peer of a dual-stack socket appears as IPv4.
    pub from: SocketAddr,
    /// Our address that it was sent to.
    pub to: Option<IpAddr>,
    /// Congestion mark.
    pub ecn: Option<EcnCodepoint>,
    /// The payload.
    pub data: BytesMut,
}

impl Socket {
    /// Bind `address`. An unspecified IPv6 address serves IPv4 as well.
    pub fn bind(address: SocketAddr, mtu_max: u16) -> io::Result<Self> {
        let io = socket2::Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::DGRAM,
            Some(socket2::Protocol::UDP),
        )?;
        let dual_stack = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        if dual_stack {
            io.set_only_v6(false)?;
        }
        // A kernel that grants less still works, only slower.
        let _ = io.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = io.set_send_buffer_size(SOCKET_BUFFER_BYTES);
        io.set_nonblocking(true)?;
        io.bind(&address.into())?;
        let state = UdpSocketState::new((&io).into())?;
        let batch = state.gro_segments().get() * usize::from(mtu_max.max(1500)) * BATCH_SIZE;
        Ok(Self {
            io,
            state,
            buffer: vec![0; batch.min(RECEIVE_BYTES_MAX)],
            blocked: VecDeque::new(),
            dual_stack,
            traffic_bytes: 0,
            counters: [0; 4],
        })
    }

    /// The descriptor, for the event loop.
    pub fn fd(&self) -> RawFd {
        self.io.as_raw_fd()
    }

    /// The bound address.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()?.as_socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Whether packets may be fragmented on the way, so that MTU discovery is useless.
    pub fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    /// Segments that one batch may have.
    pub fn gso_segments(&self) -> usize {
        self.state.max_gso_segments().get()
    }

    /// Something waits for the kernel's buffer.
    pub fn wants_write(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// Something can be received.
    pub fn is_readable(&self) -> bool {
        let mut poll = libc::pollfd { fd: self.fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, which outlives the call.
        unsafe { libc::poll(&raw mut poll, 1, 0) > 0 }
    }

    /// Receive one batch. Returns whether the kernel may have more.
    pub fn receive(&mut self, mut each: impl FnMut(Datagram)) -> bool {
        let mut meta = [RecvMeta::default(); BATCH_SIZE];
        let chunk = self.buffer.len() / BATCH_SIZE;
        let received = {
            let mut rest = self.buffer.chunks_mut(chunk).map(IoSliceMut::new);
            let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| rest.next().expect("one slice for each message"));
            self.state.recv((&self.io).into(), &mut slices, &mut meta)
        };
        self.counters[1] += 1;
        // An error here is either "nothing there" or a report about an earlier send; both are no news.
        let Ok(received) = received else { return false };
        for (meta, buffer) in meta.iter().zip(self.buffer.chunks(chunk)).take(received) {
            self.traffic_bytes += meta.len;
            let mut batch = BytesMut::from(&buffer[..meta.len]);
            let from = SocketAddr::new(meta.addr.ip().to_canonical(), meta.addr.port());
            while !batch.is_empty() {
                let length = meta.stride.clamp(1, batch.len());
                self.counters[0] += 1;
                each(Datagram {
                    from,
                    to: meta.dst_ip.map(|ip| ip.to_canonical()),
                    ecn: meta.ecn.and_then(|ecn| EcnCodepoint::from_bits(ecn as u8)),
                    data: batch.split_to(length),
                });
            }
        }
        received == BATCH_SIZE
    }

    /// Send one batch, or keep it until the kernel has room.
    pub fn send(&mut self, transmit: &noq_proto::Transmit, contents: &[u8]) {
        match transmit.segment_size {
            Some(size) if self.gso_segments() == 1 => {
                // A kernel without GSO takes one datagram at a time.
                contents.chunks(size.max(1)).for_each(|datagram| self.send_batch(transmit, None, datagram));
            }
            size => self.send_batch(transmit, size, contents),
        }
    }

    fn send_batch(&mut self, transmit: &noq_proto::Transmit, segment_size: Option<usize>, contents: &[u8]) {
        let destination = self.mapped(transmit.destination);
        let source = transmit.src_ip.map(|ip| self.mapped(SocketAddr::new(ip, 0)).ip());
        let blocked = Blocked { destination, ecn: transmit.ecn, segment_size, source, contents: Vec::new() };
        if !self.blocked.is_empty() || !self.try_send(&blocked, contents) {
            if self.blocked.len() >= BLOCKED_BATCHES_MAX {
                self.blocked.pop_front();
                self.counters[3] += 1;
            }
            self.blocked.push_back(Blocked { contents: contents.to_vec(), ..blocked });
        }
    }

    /// Send what waited, as far as the kernel takes it.
    pub fn flush(&mut self) {
        while let Some(blocked) = self.blocked.pop_front() {
            if !self.try_send(&blocked, &blocked.contents) {
                self.blocked.push_front(blocked);
                return;
            }
        }
    }

    /// Returns false only if the kernel has no room; a datagram that cannot be sent is lost, as on any network.
    fn try_send(&mut self, to: &Blocked, contents: &[u8]) -> bool {
        let transmit = Transmit {
            destination: to.destination,
            ecn: to.ecn.and_then(|ecn| noq_udp::EcnCodepoint::from_bits(ecn as u8)),
            contents,
            segment_size: to.segment_size,
            src_ip: to.source,
        };
        match self.state.try_send((&self.io).into(), &transmit) {
            Ok(()) => {
                self.traffic_bytes += contents.len();
                self.counters[2] += 1;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(_) => self.counters[3] += 1,
        }
        true
    }

    fn mapped(&self, address: SocketAddr) -> SocketAddr {
        match address {
            SocketAddr::V4(v4) if self.dual_stack => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket() -> Socket {
        Socket::bind("127.0.0.1:0".parse().unwrap(), 1452).unwrap()
    }

    fn batch(to: &Socket, contents: &[u8]) -> noq_proto::Transmit {
        let destination = to.local_address().unwrap();
        noq_proto::Transmit { destination, ecn: None, size: contents.len(), segment_size: None, src_ip: None }
    }

    fn received(socket: &mut Socket) -> Vec<Vec<u8>> {
        let mut all = vec![];
        let deadline = std::time::Instant::now() + std::time::Duration::from_millis(200);
        while std::time::Instant::now() < deadline {
            socket.receive(|datagram| all.push(datagram.data.to_vec()));
        }
        all
    }

    /// Loopback never fills a send buffer, so the first batch is put behind it by hand.
    #[test]
    fn what_waits_for_the_kernel_is_sent_in_order_before_anything_newer() {
        let (mut from, mut to) = (socket(), socket());
        let destination = to.local_address().unwrap();
        let first = Blocked { destination, ecn: None, segment_size: None, source: None, contents: b"first".to_vec() };
        from.blocked.push_back(first);
        assert!(from.wants_write());
        for contents in [&b"second"[..], b"third"] {
            from.send(&batch(&to, contents), contents);
        }
        assert_eq!((from.blocked.len(), received(&mut to).len()), (3, 0));
        from.flush();
        assert!(!from.wants_write());
        assert_eq!(received(&mut to), [&b"first"[..], b"second", b"third"]);
        assert_eq!(from.counters[3], 0);
    }

    #[test]
    fn what_waits_for_the_kernel_is_bounded_and_the_oldest_goes() {
        let (mut from, to) = (socket(), socket());
        let destination = to.local_address().unwrap();
        let first = Blocked { destination, ecn: None, segment_size: None, source: None, contents: vec![0] };
        from.blocked.push_back(first);
        for _ in 0..BLOCKED_BATCHES_MAX + 9 {
            from.send(&batch(&to, &[1]), &[1]);
        }
        assert_eq!((from.blocked.len(), from.counters[3]), (BLOCKED_BATCHES_MAX, 10));
        assert_eq!(from.blocked[0].contents, [1]);
    }

    #[test]
    fn a_batch_that_no_datagram_holds_is_dropped_and_counted() {
        let (mut from, to) = (socket(), socket());
        let contents = vec![0; GSO_BYTES_MAX + 1];
        from.send(&batch(&to, &contents), &contents);
        assert_eq!((from.wants_write(), from.counters[3]), (false, 1));
    }
}
