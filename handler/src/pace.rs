//! How fast a session gives commands. Who floods is slowed to the rate of `limits.commands_per_minute`, by not being read from;
//! it is not cut off, since to let it in again would cost more than to keep it waiting. What a client does at once when it
//! synchronises a large mailbox is far less than a minute allows, and is not slowed.

use std::cell::Cell;

/// What may be given at once, as time at the allowed rate.
const BURST_MICROS: u64 = 60_000_000;

/// The account of one session. Owned by it; conversations count, the engine settles.
#[derive(Debug)]
pub(crate) struct Pace {
    is_counted: bool,
    commands: Cell<u32>,
    /// When all commands so far would have been given, had each taken its time.
    until_micros: u64,
}

impl Pace {
    /// Nothing was given yet. Who is not counted is never slowed.
    pub(crate) fn new(is_counted: bool) -> Pace {
        Pace { is_counted, commands: Cell::new(0), until_micros: 0 }
    }

    /// One more command came, or what was meant to be one.
    pub(crate) fn count(&self) {
        self.commands.set(self.commands.get().saturating_add(1));
    }

    /// For how many milliseconds nothing more is to be taken. `now_ms` is on a clock that does not go back; a limit of 0 is none.
    pub(crate) fn settle(&mut self, commands_per_minute: u32, now_ms: u64) -> u64 {
        let commands = u64::from(self.commands.take());
        let Some(each_micros) =
            BURST_MICROS.checked_div(commands_per_minute.into()).filter(|_| self.is_counted)
        else {
            return 0;
        };
        let now_micros = now_ms * 1000;
        self.until_micros = self.until_micros.max(now_micros) + commands * each_micros;
        (self.until_micros - now_micros).saturating_sub(BURST_MICROS).div_ceil(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn give(pace: &mut Pace, commands: u32, now_ms: u64) -> u64 {
        (0..commands).for_each(|_| pace.count());
        pace.settle(600, now_ms)
    }

    #[test]
    fn a_burst_is_free_and_a_flood_is_slowed_to_the_rate() {
        let mut pace = Pace::new(true);
        assert_eq!(give(&mut pace, 600, 1_000), 0);
        assert_eq!(give(&mut pace, 1, 1_000), 100);
        assert_eq!(give(&mut pace, 9, 1_000), 1_000);
        assert_eq!(give(&mut pace, 10, 2_000), 1_000, "ten a second from here on");
        assert_eq!(give(&mut pace, 600, 1_000_000), 0, "a rest makes up for it");
    }

    #[test]
    fn who_is_not_counted_and_a_limit_of_0_are_not_slowed() {
        assert_eq!(give(&mut Pace::new(false), 100_000, 1), 0);
        let mut pace = Pace::new(true);
        (0..100_000).for_each(|_| pace.count());
        assert_eq!(pace.settle(0, 1), 0);
    }
}
