//! Who may begin a handshake: numbers from Python, applied before any cryptography is spent.
//!
//! Trust: source addresses are forged until a Retry proves them, so a flood from forged addresses
//! can only make others prove theirs, never lock them out: proven and unproven handshakes have
//! separate budgets.
//! Bounds: [`ADDRESSES_MAX`] remembered addresses.

use super::Options;
use rustc_hash::FxHashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// Addresses whose handshake rate is remembered; beyond it the idle ones are forgotten, then all.
pub const ADDRESSES_MAX: usize = 10_000;

/// Handshakes in progress, as a multiple of `half_open_max`, beyond which new ones are dropped unheard.
const HALF_OPEN_HARD: usize = 8;

/// What to do with the first packet of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Accept,
    /// Ask for proof of the address.
    Retry,
    /// Say no.
    Refuse,
    /// Say nothing.
    Ignore,
}

/// How often each verdict fell; shown as metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Handshakes that went on.
    pub accepted: u64,
    /// Retry packets sent.
    pub retried: u64,
    /// Refusals sent.
    pub refused: u64,
    /// Dropped unheard.
    pub ignored: u64,
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

/// The handshake budget of each address.
pub struct Admission {
    half_open_max: usize,
    connections_max: usize,
    rate: f64,
    burst: f64,
    buckets: FxHashMap<(IpAddr, bool), Bucket>,
    /// How often each verdict fell.
    pub counters: Counters,
}

impl Admission {
    /// A budget with the numbers of `options`.
    pub fn new(options: &Options) -> Self {
        Self {
            half_open_max: options.half_open_max,
            connections_max: options.connections_max,
            rate: options.handshakes_per_ip_per_s,
            burst: options.handshakes_per_ip_burst,
            buckets: FxHashMap::default(),
            counters: Counters::default(),
        }
    }

    /// Judge one first packet. `proven`: it carries a token that proves its address.
    pub fn judge(&mut self, now: Instant, from: SocketAddr, proven: bool, half_open: usize, open: usize) -> Verdict {
        let verdict = if half_open >= self.half_open_max.saturating_mul(HALF_OPEN_HARD) {
            Verdict::Ignore
        } else if !proven && half_open >= self.half_open_max {
            Verdict::Retry
        } else if open >= self.connections_max {
            Verdict::Refuse
        } else if self.take(now, from, proven) {
            Verdict::Accept
        } else if proven {
            Verdict::Refuse
        } else {
            Verdict::Retry
        };
        match verdict {
            Verdict::Accept => self.counters.accepted += 1,
            Verdict::Retry => self.counters.retried += 1,
            Verdict::Refuse => self.counters.refused += 1,
            Verdict::Ignore => self.counters.ignored += 1,
        }
        verdict
    }

    fn take(&mut self, now: Instant, from: SocketAddr, proven: bool) -> bool {
        let (rate, burst) = (self.rate, self.burst);
        let refill = |bucket: &Bucket| {
            (bucket.tokens + now.saturating_duration_since(bucket.at).as_secs_f64() * rate).min(burst)
        };
        if self.buckets.len() >= ADDRESSES_MAX {
            self.buckets.retain(|_, bucket| refill(bucket) < burst);
            if self.buckets.len() >= ADDRESSES_MAX {
                self.buckets.clear();
            }
        }
        let bucket = self.buckets.entry((network(from), proven)).or_insert(Bucket { tokens: burst, at: now });
        bucket.tokens = refill(bucket);
        bucket.at = now;
        let enough = bucket.tokens >= 1.0;
        if enough {
            bucket.tokens -= 1.0;
        }
        enough
    }
}

/// The address that pays: IPv4 whole, IPv6 its /64.
fn network(address: SocketAddr) -> IpAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => {
            let mut segments = ip.segments();
            segments[4..].fill(0);
            IpAddr::V6(segments.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn admission() -> Admission {
        Admission::new(&Options {
            half_open_max: 10,
            connections_max: 100,
            handshakes_per_ip_per_s: 10.0,
            handshakes_per_ip_burst: 5.0,
            ..Options::default()
        })
    }

    #[test]
    fn one_address_has_a_rate_and_others_do_not_notice() {
        let (mut admission, now) = (admission(), Instant::now());
        let (busy, quiet) = ("192.0.2.1:1".parse().unwrap(), "192.0.2.2:1".parse().unwrap());
        for _ in 0..5 {
            assert_eq!(admission.judge(now, busy, false, 0, 0), Verdict::Accept);
        }
        assert_eq!(admission.judge(now, busy, false, 0, 0), Verdict::Retry, "unproven: prove it");
        assert_eq!(admission.judge(now, quiet, false, 0, 0), Verdict::Accept);
        for _ in 0..5 {
            assert_eq!(admission.judge(now, busy, true, 0, 0), Verdict::Accept, "forgers did not spend its own");
        }
        assert_eq!(admission.judge(now, busy, true, 0, 0), Verdict::Refuse);
        assert_eq!(admission.judge(now + Duration::from_millis(110), busy, true, 0, 0), Verdict::Accept);
    }

    #[test]
    fn half_open_handshakes_turn_retry_on_and_a_flood_is_dropped() {
        let (mut admission, now) = (admission(), Instant::now());
        let peer = "192.0.2.1:1".parse().unwrap();
        assert_eq!(admission.judge(now, peer, false, 9, 0), Verdict::Accept);
        assert_eq!(admission.judge(now, peer, false, 10, 0), Verdict::Retry);
        assert_eq!(admission.judge(now, peer, true, 10, 0), Verdict::Accept);
        assert_eq!(admission.judge(now, peer, true, 80, 0), Verdict::Ignore);
        assert_eq!(admission.judge(now, peer, false, 0, 100), Verdict::Refuse);
    }

    #[test]
    fn memory_is_bounded_and_ipv6_pays_by_64() {
        let (mut admission, now) = (admission(), Instant::now());
        for n in 0..50_000u32 {
            let from = SocketAddr::new(std::net::Ipv4Addr::from(n).into(), 1);
            admission.judge(now, from, false, 0, 0);
        }
        assert!(admission.buckets.len() <= ADDRESSES_MAX);
        for n in 1..6 {
            let from = format!("[2001:db8::{n}]:1").parse().unwrap();
            assert_eq!(admission.judge(now, from, false, 0, 0), Verdict::Accept);
        }
        assert_eq!(admission.judge(now, "[2001:db8::9]:1".parse().unwrap(), false, 0, 0), Verdict::Retry);
    }
}
