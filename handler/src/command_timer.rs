//! How long commands take: from a command that was read to its last reply, durable where it changes something.
//!
//! Owned by the session. The worker says when a turn begins and ends; the conversation says when a command begins, ends, or has its replies held
//! for a ticket. A command that is alone in its turn costs no look at the clock but those two of the turn.

use std::collections::VecDeque;
use std::time::Instant;

use shm_abi::{Histogram, Metrics};
use store::Ticket;

/// A command that is being measured.
#[derive(Clone, Copy)]
struct Command {
    class: Histogram,
    since: Instant,
}

/// The command that came last.
#[derive(Clone, Copy)]
enum Last {
    /// It was measured, or there was none.
    Measured,
    /// It runs; its replies will wait for the ticket, if there is one.
    Running(Command, Option<Ticket>),
    /// All its replies are in the output. When it ended is known as soon as somebody looks at the clock.
    Ended(Command),
}

/// Measures the commands of a session.
pub(crate) struct CommandTimer {
    /// The last look at the clock in this turn.
    now: Instant,
    /// When the turn began, in milliseconds since 1970.
    unix_ms: u64,
    last: Last,
    /// Commands whose replies wait for a ticket, in the order of tickets.
    held: VecDeque<(Ticket, Command)>,
}

impl CommandTimer {
    /// Of a session that begins now.
    pub(crate) fn new() -> CommandTimer {
        CommandTimer { now: Instant::now(), unix_ms: 0, last: Last::Measured, held: VecDeque::new() }
    }

    /// A worker takes the session.
    pub(crate) fn begin_turn(&mut self, now: Instant, unix_ms: u64) {
        (self.now, self.unix_ms) = (now, unix_ms);
    }

    /// When the turn began, in milliseconds since 1970. Near enough for what the table says of times, and no look at a clock.
    pub(crate) fn unix_ms(&self) -> u64 {
        self.unix_ms
    }

    /// The worker is done with the session.
    pub(crate) fn end_turn(&mut self, now: Instant, metrics: Metrics<'_>) {
        self.measure_ended(now, metrics);
    }

    /// A command was read. One that still runs goes on as this one, from now on.
    pub(crate) fn begin(&mut self, class: Histogram, metrics: Metrics<'_>) {
        if let Last::Ended(_) = self.last {
            self.now = Instant::now();
            self.measure_ended(self.now, metrics);
        }
        self.last = Last::Running(Command { class, since: self.now }, None);
    }

    /// The command that runs, if one does, has said all that it says.
    pub(crate) fn end(&mut self) {
        match self.last {
            Last::Running(command, None) => self.last = Last::Ended(command),
            Last::Running(command, Some(ticket)) => {
                self.now = Instant::now();
                self.held.push_back((ticket, command));
                self.last = Last::Measured;
            }
            Last::Ended(_) | Last::Measured => {}
        }
    }

    /// The replies of the command that runs wait for `ticket`: it is measured when that is settled.
    pub(crate) fn hold(&mut self, ticket: Ticket) {
        if let Last::Running(_, awaited) = &mut self.last {
            *awaited = Some(ticket);
        }
    }

    /// Measures what waited for tickets that are settled.
    pub(crate) fn release(&mut self, is_settled: impl Fn(Ticket) -> bool, metrics: Metrics<'_>) {
        while let Some((ticket, command)) = self.held.front()
            && is_settled(*ticket)
        {
            observe(command, self.now, metrics);
            self.held.pop_front();
        }
    }

    /// Gives back memory that an idle session does not need.
    pub(crate) fn rest(&mut self) {
        self.held.shrink_to_fit();
    }

    fn measure_ended(&mut self, now: Instant, metrics: Metrics<'_>) {
        if let Last::Ended(command) = self.last {
            observe(&command, now, metrics);
            self.last = Last::Measured;
        }
    }
}

fn observe(command: &Command, now: Instant, metrics: Metrics<'_>) {
    metrics.observe_time(command.class, now.saturating_duration_since(command.since));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shm_abi::{Limits, Table};

    use super::*;

    const CLASS: Histogram = Histogram::ImapRead;
    const OTHER: Histogram = Histogram::ImapChange;

    fn table(test: &str) -> Table {
        let name = format!("/lode-timer-{test}-{}", std::process::id());
        Table::create(&name, Limits { handlers: 1, sessions: 1 }, 1, 1).expect("a table")
    }

    fn count(table: &Table, class: Histogram) -> u64 {
        table.metrics(0).histogram(class).count()
    }

    #[test]
    fn a_command_lasts_from_the_beginning_of_its_turn_to_the_end_of_its_last() {
        let table = table("one");
        let mut timer = CommandTimer::new();
        let begin = Instant::now();
        timer.begin_turn(begin, 0);
        timer.begin(CLASS, table.metrics(0));
        timer.end_turn(begin + Duration::from_millis(1), table.metrics(0));
        assert_eq!(count(&table, CLASS), 0, "it runs");
        timer.begin_turn(begin + Duration::from_millis(5), 0);
        timer.end();
        timer.end_turn(begin + Duration::from_millis(7), table.metrics(0));
        timer.end_turn(begin + Duration::from_millis(9), table.metrics(0));
        let measured = table.metrics(0).histogram(CLASS);
        assert_eq!((measured.count(), measured.sum), (1, 7_000_000));
    }

    #[test]
    fn what_is_held_is_measured_when_its_ticket_is_settled() {
        let table = table("held");
        let mut timer = CommandTimer::new();
        timer.begin_turn(Instant::now(), 0);
        for ticket in [3, 4] {
            timer.begin(OTHER, table.metrics(0));
            timer.hold(Ticket(ticket));
            timer.end();
        }
        timer.begin(CLASS, table.metrics(0));
        timer.end();
        timer.end_turn(Instant::now(), table.metrics(0));
        assert_eq!((count(&table, OTHER), count(&table, CLASS)), (0, 1));
        timer.release(|ticket| ticket <= Ticket(3), table.metrics(0));
        assert_eq!(count(&table, OTHER), 1);
        timer.release(|_| true, table.metrics(0));
        assert_eq!(count(&table, OTHER), 2);
    }

    #[test]
    fn a_command_that_goes_on_as_another_is_one() {
        let table = table("other");
        let mut timer = CommandTimer::new();
        timer.begin(CLASS, table.metrics(0));
        timer.begin(OTHER, table.metrics(0));
        timer.end();
        timer.begin(OTHER, table.metrics(0));
        timer.end();
        timer.end_turn(Instant::now(), table.metrics(0));
        assert_eq!((count(&table, CLASS), count(&table, OTHER)), (0, 2));
    }
}
