//! What can be known about a connection and its paths. Figures of the engine, never claims of a peer.

use super::commands::number_of;
use super::connection::Connection;
use noq_proto::PathStatus;
use std::net::SocketAddr;

/// One path of a connection.
#[derive(Clone, Debug)]
pub struct PathFigures {
    /// Its number.
    pub path: u32,
    /// Where it leads.
    pub address: Option<SocketAddr>,
    /// We keep it in reserve.
    pub backup: bool,
    /// Smoothed round-trip time in seconds.
    pub rtt_s: f64,
    /// Congestion window in bytes.
    pub cwnd: u64,
    /// Packets sent and lost, bytes sent and received.
    pub counts: [u64; 4],
    /// Largest datagram.
    pub mtu: u16,
}

/// A whole connection.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Its paths, the first one first.
    pub paths: Vec<PathFigures>,
    /// Packets sent and lost, bytes sent and received, over all paths.
    pub counts: [u64; 4],
    /// Bytes held for the peer.
    pub held: usize,
}

impl Connection {
    /// The figures of now.
    pub fn figures(&mut self) -> Figures {
        let stats = self.quic.stats();
        let paths = self.quic.paths().into_iter().filter_map(|path| {
            let stats = self.quic.path_stats(path)?;
            Some(PathFigures {
                path: number_of(path),
                address: self.quic.network_path(path).ok().map(|tuple| tuple.remote()),
                backup: matches!(self.quic.path_status(path), Ok(PathStatus::Backup)),
                rtt_s: stats.rtt.as_secs_f64(),
                cwnd: stats.cwnd,
                counts: [stats.sent_packets, stats.lost_packets, stats.udp_tx.bytes, stats.udp_rx.bytes],
                mtu: stats.current_mtu,
            })
        });
        let paths = paths.collect();
        Figures {
            paths,
            counts: [stats.sent_packets, stats.lost_packets, stats.udp_tx.bytes, stats.udp_rx.bytes],
            held: self.held(),
        }
    }
}
