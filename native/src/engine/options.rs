//! Everything that can be set about an engine, with the defaults of docs/limits.md.

use std::path::PathBuf;
use std::time::Duration;

/// Settings of one [`Engine`](super::Engine). Numbers come from Python's configuration.
#[derive(Clone, Debug)]
pub struct Options {
    /// Accept connections, not only make them.
    pub accept: bool,
    /// Offer X25519MLKEM768 before X25519.
    pub post_quantum: bool,
    /// `Bbr3`, or CUBIC when false.
    pub bbr: bool,
    /// Speak libp2p as well.
    pub libp2p: bool,
    /// Bytes that may wait unread on a raw stream before it is refused; see [`super::raw`].
    pub raw_buffer_max: usize,
    /// Concurrent streams of each kind that a peer may open.
    pub streams_max: u32,
    /// A connection without a sign of life for this long is lost.
    pub idle_timeout: Duration,
    /// An idle connection says something this often.
    pub keep_alive: Duration,
    /// Connections at once, dialled ones included. Beyond it handshakes are refused.
    pub connections_max: usize,
    /// Handshakes in progress beyond which a client must prove its address (Retry, RFC 9000, section 8.1).
    pub half_open_max: usize,
    /// Handshakes per second from one address (IPv4 /32, IPv6 /64).
    pub handshakes_per_ip_per_s: f64,
    /// Handshakes at once from one address before the rate counts.
    pub handshakes_per_ip_burst: f64,
    /// Bytes that one connection may make us hold.
    pub connection_buffer_max: usize,
    /// Paths of one connection; 1 switches multipath off.
    pub paths_max: u32,
    /// A path without a sign of life for this long is given up while others remain.
    pub path_idle: Duration,
    /// Each path is probed this often while there is more than one.
    pub path_keep_alive: Duration,
    /// Round-trip time assumed before the first measurement.
    pub initial_rtt: Duration,
    /// Look at the socket for this long before the loop sleeps, while answers come that fast; zero never does.
    pub active_wait: Duration,
    /// Segments in one GSO batch.
    pub gso_segments_max: usize,
    /// Largest UDP payload to probe for.
    pub mtu_max: u16,
    /// Write qlog files (draft-ietf-quic-qlog) here.
    pub qlog_dir: Option<PathBuf>,
    /// Append TLS secrets here. Whoever reads them reads the traffic.
    pub keylog_path: Option<PathBuf>,
    /// Derive connection ids and all else that shows outside of packets from this, so that a run can be
    /// replayed; for simulation only. Congestion control is then CUBIC, whatever `bbr` says.
    pub rng_seed: Option<[u8; 32]>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            accept: true,
            post_quantum: true,
            bbr: true,
            libp2p: false,
            raw_buffer_max: 1 << 20,
            streams_max: 64,
            idle_timeout: Duration::from_secs(45),
            keep_alive: Duration::from_secs(15),
            connections_max: 4096,
            half_open_max: 256,
            handshakes_per_ip_per_s: 100.0,
            handshakes_per_ip_burst: 500.0,
            connection_buffer_max: 16 << 20,
            paths_max: 1,
            path_idle: Duration::from_millis(1000),
            path_keep_alive: Duration::from_millis(300),
            // The pacer would hold back the second packet of a post-quantum ClientHello for 27 ms
            // at the 333 ms of RFC 9002 (docs/adr/0001).
            initial_rtt: Duration::from_millis(20),
            active_wait: Duration::from_micros(50),
            gso_segments_max: 44,
            mtu_max: 1452,
            qlog_dir: None,
            keylog_path: None,
            rng_seed: None,
        }
    }
}
