//! The settings of QUIC that follow from ours.

use super::congestion::FlooredBbr;
use super::options::Options;
use noq_proto::{MtuDiscoveryConfig, TransportConfig, VarInt};
use std::error::Error;
use std::sync::Arc;

/// What an unread stream may keep in QUIC, in bytes: the credit and the frame headers within it (ADR 0003).
const STREAM_WINDOW_BYTES: u32 = 1_310_720;

/// What all streams of a connection may keep in QUIC, in bytes. They are emptied at every wake-up.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Sent and not yet acknowledged, in bytes, for one connection.
const SEND_WINDOW_BYTES: u64 = 8 << 20;

/// Datagrams that wait for packets, in bytes, each direction of a connection.
const DATAGRAM_BUFFER_BYTES: usize = 1 << 20;

/// The transport of every connection of an engine with `options`.
pub(super) fn transport_config(options: &Options) -> Result<TransportConfig, Box<dyn Error + Send + Sync>> {
    let mut config = TransportConfig::default();
    let streams = VarInt::from_u32(options.streams_max);
    config
        .max_concurrent_bidi_streams(streams)
        .max_concurrent_uni_streams(VarInt::from_u32(options.streams_max.saturating_add(1))) // and the control stream
        .max_idle_timeout(Some(options.idle_timeout.try_into()?))
        .keep_alive_interval(Some(options.keep_alive))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER_BYTES))
        .datagram_send_buffer_size(DATAGRAM_BUFFER_BYTES)
        .initial_rtt(options.initial_rtt);
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(options.mtu_max);
    config.mtu_discovery_config(Some(mtu));
    // BBR draws its probing times from the operating system and offers no seed: it would end every replay.
    if options.bbr && options.rng_seed.is_none() {
        config.congestion_controller_factory(Arc::new(FlooredBbr));
    }
    if options.paths_max > 1 {
        config.max_concurrent_multipath_paths(options.paths_max);
    }
    if let Some(dir) = &options.qlog_dir {
        config.qlog_from_path(dir, "kontinuum");
    }
    Ok(config)
}
