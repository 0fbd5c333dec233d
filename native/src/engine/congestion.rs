//! BBR with a floor under its window, for paths that are shorter than a turn of an event loop, and without pacing
//! of the first packets in flight.
//!
//! BBR lets twice (bandwidth x least round trip) be under way. Over loopback or a local network the least round
//! trip is tens of microseconds, that of a moment in which both processes happened to be awake. A process that
//! sleeps and is woken for each turn cannot keep so short a pipe full: bulk after such a moment fell by a third.
//!
//! A connection that has carried little is estimated to be slow, and its burst then is a single packet: a reply of
//! four packets came 30 to 165 ms late. What an initial window would send at once may go at once at any time.

use noq_proto::RttEstimator;
use noq_proto::congestion::{Bbr3Config, Controller, ControllerFactory, ControllerMetrics};
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is paced within this time may always be under way. It matters below half of this as round trip, and
/// adds at most as much delay in a queue.
const TURN: Duration = Duration::from_millis(1);

/// Packets in flight up to which nothing is paced: the initial window, a burst that RFC 9002, section 7.7, allows.
const BURST_PACKETS: u64 = 10;

/// Bytes per second that are no pacing: the pacer's burst of 10 ms is then more than [`BURST_PACKETS`].
const UNPACED: u64 = 100_000_000;

/// Makes [`Floored`] controllers.
#[derive(Debug)]
pub struct FlooredBbr;

impl ControllerFactory for FlooredBbr {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Floored {
            bbr: Arc::new(Bbr3Config::default()).build(now, current_mtu),
            in_flight: 0,
            mtu: current_mtu.into(),
        })
    }
}

#[derive(Debug)]
struct Floored {
    bbr: Box<dyn Controller>,
    /// Bytes, as of the last packet sent and the last acknowledgements; too many while all is lost.
    in_flight: u64,
    mtu: u64,
}

impl Controller for Floored {
    fn window(&self) -> u64 {
        let metrics = self.bbr.metrics();
        let floor = metrics.pacing_rate.unwrap_or(0) as f64 * TURN.as_secs_f64();
        self.bbr.window().max(floor as u64)
    }

    fn metrics(&self) -> ControllerMetrics {
        let mut metrics = self.bbr.metrics();
        metrics.congestion_window = self.window();
        if self.in_flight < BURST_PACKETS * self.mtu {
            metrics.pacing_rate = metrics.pacing_rate.map(|rate| rate.max(UNPACED));
        }
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self { bbr: self.bbr.clone_box(), in_flight: self.in_flight, mtu: self.mtu })
    }

    // All else is BBR's.

    fn on_sent(&mut self, now: Instant, bytes: u64, largest_pn: u64) {
        self.bbr.on_sent(now, bytes, largest_pn);
    }

    fn on_packet_sent(&mut self, now: Instant, bytes: u16, pn: u64) {
        self.in_flight += u64::from(bytes);
        self.bbr.on_packet_sent(now, bytes, pn);
    }

    fn on_cwnd_limited(&mut self) {
        self.bbr.on_cwnd_limited();
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, pn: u64, app_limited: bool, rtt: &RttEstimator) {
        self.bbr.on_ack(now, sent, bytes, pn, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest_packet_num_acked: Option<u64>) {
        self.in_flight = in_flight;
        self.bbr.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        is_ecn: bool,
        lost_bytes: u64,
        largest_lost_pn: u64,
    ) {
        self.bbr.on_congestion_event(now, sent, is_persistent_congestion, is_ecn, lost_bytes, largest_lost_pn);
    }

    fn on_packet_lost(&mut self, lost_bytes: u16, pn: u64, now: Instant) {
        self.bbr.on_packet_lost(lost_bytes, pn, now);
    }

    fn on_spurious_congestion_event(&mut self) {
        self.bbr.on_spurious_congestion_event();
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.mtu = new_mtu.into();
        self.bbr.on_mtu_update(new_mtu);
    }

    fn on_ack_frequency_update(&mut self, ack_eliciting_threshold: u64, requested_max_ack_delay: Duration) {
        self.bbr.on_ack_frequency_update(ack_eliciting_threshold, requested_max_ack_delay);
    }

    fn initial_window(&self) -> u64 {
        self.bbr.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self.bbr.into_any()
    }
}
