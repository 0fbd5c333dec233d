//! Wait actively for an answer that comes within microseconds.
//!
//! Falling asleep and being woken costs tens of microseconds on each side of a call, more than the call itself
//! when the peer is near. So while little is sent and answers have been coming that fast, the engine looks at
//! the socket for a moment before the loop sleeps. What it gains and costs: docs/adr/0007.

use std::time::{Duration, Instant};

/// An answer that came within this, a wake-up included, would have been worth waiting for.
const SOON: Duration = Duration::from_micros(200);

/// Bytes between two sleeps up to which it is one question and one answer that the loop waits for. With more
/// under way, sleeping gathers more of it for the next turn.
const LIGHT_BYTES: usize = 4096;

/// Where credit begins again after more than that, since bulk comes in bursts with quiet moments between, and
/// after the last wait in vain: who answers from the same thread never answers somebody who waits.
const ANEW: i8 = -100;

/// Fast answers before the first active wait.
const WORTHWHILE: i8 = 4;

/// Fast answers that count at most: slow ones take from them.
const CREDIT_MAX: i8 = 16;

/// Waits in vain, one after the other, that end the waiting: a peer that still sleeps must be woken first, and
/// waits itself from then on.
const VAIN_MAX: u8 = 3;

/// Whether waiting has been worth it for one endpoint.
pub struct ActiveWait {
    window: Duration,
    credit: i8,
    asleep: Option<Instant>,
    /// Waits in vain, one after the other.
    vain: u8,
    /// Waits so far, and those of them in vain.
    pub counters: [u64; 2],
}

impl ActiveWait {
    /// `window`: how long to wait at most; zero never waits. Nor does a process with a single core, where the
    /// peer may need it for its answer.
    pub fn new(window: Duration, cores: usize) -> Self {
        Self {
            window: if cores > 1 { window } else { Duration::ZERO },
            credit: 0,
            asleep: None,
            vain: 0,
            counters: [0; 2],
        }
    }

    /// The loop has nothing else to do, and `bytes` were sent and received since it last had not: how long to
    /// wait before it sleeps.
    pub fn before_sleep(&mut self, now: Instant, bytes: usize) -> Option<Duration> {
        if self.window.is_zero() {
            return None;
        }
        if bytes > LIGHT_BYTES {
            self.credit = ANEW;
            self.asleep = None;
            return None;
        }
        self.asleep = Some(now);
        (self.credit >= WORTHWHILE).then_some(self.window)
    }

    /// The loop woke up from its sleep.
    pub fn woke(&mut self, now: Instant) {
        if let Some(asleep) = self.asleep.take() {
            self.learn(now.saturating_duration_since(asleep) <= SOON);
        }
    }

    /// A wait ended: something came, or it was in vain and the loop sleeps.
    pub fn waited(&mut self, came: bool) {
        self.counters[0] += 1;
        if came {
            self.vain = 0;
            self.asleep = None;
            self.learn(true);
        } else {
            self.counters[1] += 1;
            self.vain += 1;
            if self.vain >= VAIN_MAX {
                self.vain = 0;
                self.credit = ANEW;
            }
        }
    }

    fn learn(&mut self, soon: bool) {
        self.credit = if soon { (self.credit + 1).min(CREDIT_MAX) } else { (self.credit - 1).max(ANEW) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_micros(50);

    fn answered(wait: &mut ActiveWait, now: &mut Instant, after: Duration, bytes: usize) -> Option<Duration> {
        let window = wait.before_sleep(*now, bytes);
        *now += after;
        match window {
            Some(window) if after <= window => wait.waited(true),
            Some(_) => {
                wait.waited(false);
                wait.woke(*now);
            }
            None => wait.woke(*now),
        }
        window
    }

    #[test]
    fn fast_answers_begin_the_waiting_and_slow_ones_end_it_after_three_in_vain() {
        let (mut wait, mut now) = (ActiveWait::new(WINDOW, 2), Instant::now());
        let fast: Vec<bool> = (0..20).map(|_| answered(&mut wait, &mut now, SOON / 8, 200).is_some()).collect();
        assert_eq!(fast.iter().filter(|waited| !**waited).count(), 4);
        let slow: Vec<bool> = (0..200).map(|_| answered(&mut wait, &mut now, SOON * 9, 200).is_some()).collect();
        assert_eq!(slow.iter().filter(|waited| **waited).count(), 3);
    }

    #[test]
    fn who_never_answers_during_a_wait_is_rarely_waited_for() {
        let (mut wait, mut now) = (ActiveWait::new(WINDOW, 2), Instant::now());
        let waits = (0..1000).filter(|_| answered(&mut wait, &mut now, WINDOW + SOON / 2, 200).is_some()).count();
        assert!((27..=32).contains(&waits), "{waits}");
    }

    #[test]
    fn more_than_a_question_and_an_answer_never_waits() {
        let (mut wait, mut now) = (ActiveWait::new(WINDOW, 2), Instant::now());
        for _ in 0..9 {
            answered(&mut wait, &mut now, SOON / 8, LIGHT_BYTES);
        }
        assert!(answered(&mut wait, &mut now, SOON / 8, LIGHT_BYTES).is_some());
        assert!(answered(&mut wait, &mut now, SOON / 8, LIGHT_BYTES + 1).is_none());
        let again = (0..200).position(|_| answered(&mut wait, &mut now, SOON / 8, LIGHT_BYTES).is_some());
        assert_eq!(again, Some(usize::try_from(WORTHWHILE - ANEW).unwrap()));
    }

    #[test]
    fn neither_a_window_of_zero_nor_a_single_core_waits() {
        for mut wait in [ActiveWait::new(Duration::ZERO, 2), ActiveWait::new(WINDOW, 1)] {
            let mut now = Instant::now();
            assert!((0..99).all(|_| answered(&mut wait, &mut now, SOON / 8, 200).is_none()));
        }
    }
}
