//! Decides when the next handler may be started: a pure account of those that died at once.
//!
//! A handler that cannot live (a broken store, a missing library) must not make the router fork for ever; one that was
//! killed after it had served is replaced without delay, and one that a session crashed almost so: hundreds of sessions wait for the next.

/// A handler that lived this long did not die at once.
const LONG_ENOUGH_MS: u64 = 1_000;
const FIRST_DELAY_MS: u64 = 200;
const LONGEST_DELAY_MS: u64 = 10_000;
/// Between two that were killed while they started.
const KILLED_DELAY_MS: u64 = 20;

/// Between two that sessions crashed: as often as clients may try, it is they who make the work.
const CRASHED_DELAY_MS: u64 = 50;

/// The account. Times are milliseconds of one clock that never goes back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Throttle {
    died_at_once: u32,
    not_before_ms: u64,
}

impl Throttle {
    /// A handler died that had lived this long. The first that dies at once is replaced at once, too; each further one
    /// doubles the delay.
    pub(crate) fn died(&mut self, now_ms: u64, lived_ms: u64) {
        if lived_ms >= LONG_ENOUGH_MS {
            *self = Throttle::default();
            return;
        }
        self.died_at_once = self.died_at_once.saturating_add(1);
        let delay = match self.died_at_once {
            1 => 0,
            // Beyond so many doublings it is the longest delay anyway.
            count => (FIRST_DELAY_MS << (count - 2).min(10)).min(LONGEST_DELAY_MS),
        };
        self.not_before_ms = now_ms + delay;
    }

    /// Somebody killed a handler that was starting. That says nothing about whether handlers can live, but whoever does it may go on.
    pub(crate) fn killed_at_start(&mut self, now_ms: u64) {
        self.not_before_ms = self.not_before_ms.max(now_ms + KILLED_DELAY_MS);
    }

    /// A session crashed a handler. That says nothing about whether handlers can live.
    pub(crate) fn crashed_by_session(&mut self, now_ms: u64) {
        self.not_before_ms = self.not_before_ms.max(now_ms + CRASHED_DELAY_MS);
    }

    /// Whether a handler may be started now.
    pub(crate) fn may_start(&self, now_ms: u64) -> bool {
        now_ms >= self.not_before_ms
    }

    /// Milliseconds until one may be started, 0 for now.
    pub(crate) fn delay_ms(&self, now_ms: u64) -> u64 {
        self.not_before_ms.saturating_sub(now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_limit_and_end_with_one_that_lives() {
        let mut throttle = Throttle::default();
        let delays: Vec<u64> = (0..100)
            .map(|_| {
                throttle.died(1000, 5);
                throttle.delay_ms(1000)
            })
            .collect();
        assert_eq!(delays[..9], [0, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert!(delays[9..].iter().all(|delay| *delay == 10_000));
        assert!(!throttle.may_start(10_999) && throttle.may_start(11_000));
        throttle.died(2000, 60_000);
        assert!(throttle.may_start(2000));
    }

    #[test]
    fn who_is_crashed_by_sessions_is_replaced_soon_however_often() {
        let mut throttle = Throttle::default();
        for now_ms in (1000..60_000).step_by(100) {
            throttle.crashed_by_session(now_ms);
            assert_eq!(throttle.delay_ms(now_ms), CRASHED_DELAY_MS);
        }
        // It does not shorten what others brought about.
        (0..20).for_each(|_| throttle.died(60_000, 5));
        throttle.crashed_by_session(60_000);
        assert_eq!(throttle.delay_ms(60_000), LONGEST_DELAY_MS);
    }

    #[test]
    fn who_is_killed_while_it_starts_is_replaced_soon_however_often() {
        let mut throttle = Throttle::default();
        for now_ms in (1000..60_000).step_by(100) {
            throttle.killed_at_start(now_ms);
            assert_eq!(throttle.delay_ms(now_ms), KILLED_DELAY_MS);
        }
    }
}
