//! What the person at the screen has chosen: order, filter, selected session, what lies over the list.

use std::cmp::Ordering;

use clap::ValueEnum;
use shm_abi::SessionId;

use super::columns;
use super::deed::Deed;
use super::sample::{Sample, Session};

/// Most octets of a filter or a number that is typed.
const TYPED_OCTETS_MAX: usize = 80;

/// Silence of a thread that is an alarm where the settings name none, in seconds: threads beat at least once a second.
const STALE_SECONDS: u64 = 4;

/// Which sessions come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// Those that take the most processor time now
    Cpu,
    /// Those that moved the most octets
    Octets,
    /// The oldest
    Age,
    /// Those whose command runs longest
    Command,
    /// Those that hold the most memory
    Memory,
}

/// What lies over the list and takes the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// Nothing.
    Nothing,
    /// The filter is being typed; what it was is kept.
    Filter { before: String },
    /// All that is known of the selected session.
    Details,
    /// Whether a deed is meant.
    Confirm(Deed),
    /// The handler to move to is being typed.
    MigrateTo { session: SessionId, typed: String },
    /// The keys.
    Help,
}

/// What was chosen.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) order: Order,
    pub(super) reversed: bool,
    pub(super) filter: String,
    /// The session that keys mean; the list moves under it, and it stays the same session.
    pub(super) selected: Option<SessionId>,
    pub(super) over: Over,
    pub(super) paused: bool,
    /// Handlers whose threads did not beat for so long are in trouble.
    pub(super) stale_seconds: u64,
    /// What became of the last deed.
    pub(super) message: Option<String>,
    /// Where the selected session stood, for when it is gone.
    position: usize,
}

impl Model {
    /// As the command line has it.
    pub(super) fn new(order: Order, filter: &str) -> Model {
        Model {
            order,
            reversed: false,
            filter: filter.to_owned(),
            selected: None,
            over: Over::Nothing,
            paused: false,
            stale_seconds: STALE_SECONDS,
            message: None,
            position: 0,
        }
    }

    /// The sessions that the filter lets through, in order.
    pub(super) fn rows<'s>(&self, sample: &'s Sample) -> Vec<&'s Session> {
        let words: Vec<String> = self.filter.split_whitespace().map(str::to_lowercase).collect();
        let passes = |session: &&Session| {
            let text = if words.is_empty() { String::new() } else { columns::searched(session) };
            words.iter().all(|word| text.contains(word.as_str()))
        };
        let mut rows: Vec<&Session> = sample.sessions.iter().filter(passes).collect();
        rows.sort_by(|one, other| {
            let order = self.compare(one, other);
            let order = if self.reversed { order.reverse() } else { order };
            order.then_with(|| one.info.id.cmp(&other.info.id))
        });
        rows
    }

    fn compare(&self, one: &Session, other: &Session) -> Ordering {
        // A time of 0 never was, and so comes last.
        let oldest_first = |one: u64, other: u64| (one == 0, one).cmp(&(other == 0, other));
        match self.order {
            Order::Cpu => other
                .cpu_percent
                .total_cmp(&one.cpu_percent)
                .then_with(|| other.info.cpu_micros.cmp(&one.info.cpu_micros)),
            Order::Octets => other.octets().cmp(&one.octets()),
            Order::Age => oldest_first(one.info.accepted_ms, other.info.accepted_ms),
            Order::Memory => other.info.memory_octets.cmp(&one.info.memory_octets),
            Order::Command => oldest_first(one.info.command_since_ms, other.info.command_since_ms),
        }
    }

    /// Keeps the selection on its session; when that is gone, on the one in its place.
    pub(super) fn follow(&mut self, sample: &Sample) {
        let rows = self.rows(sample);
        let at = self.selected.and_then(|id| rows.iter().position(|session| session.info.id == id));
        self.position = at.unwrap_or(self.position).min(rows.len().saturating_sub(1));
        self.selected = rows.get(self.position).map(|session| session.info.id);
        if at.is_none() && matches!(self.over, Over::Details) {
            self.over = Over::Nothing;
            self.message = Some("the session is gone".to_owned());
        }
    }

    /// Moves the selection by so many rows.
    pub(super) fn step(&mut self, by: isize, sample: &Sample) {
        let rows = self.rows(sample);
        self.position = self.position.saturating_add_signed(by).min(rows.len().saturating_sub(1));
        self.selected = rows.get(self.position).map(|session| session.info.id);
    }

    /// Where the selected session stands.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Orders otherwise; the first session is selected then.
    pub(super) fn set_order(&mut self, order: Order, sample: &Sample) {
        self.order = order;
        self.reversed = false;
        self.select_first(sample);
    }

    /// Selects the first session.
    pub(super) fn select_first(&mut self, sample: &Sample) {
        (self.position, self.selected) = (0, None);
        self.follow(sample);
    }

    /// The selected session, if it is still there.
    pub(super) fn session<'s>(&self, sample: &'s Sample) -> Option<&'s Session> {
        let id = self.selected?;
        sample.sessions.iter().find(|session| session.info.id == id)
    }

    /// Says something at the bottom until the next key.
    pub(super) fn say(&mut self, message: String) {
        self.message = Some(message);
    }
}

/// Adds a typed character, as far as there is room.
pub(super) fn add_typed(text: &mut String, typed: char) {
    if !typed.is_control() && text.len() + typed.len_utf8() <= TYPED_OCTETS_MAX {
        text.push(typed);
    }
}

/// Why sessions can be neither kicked nor moved now; `None` if they can.
pub(super) fn why_not(sample: &Sample) -> Option<&'static str> {
    (!sample.router_alive).then_some("the router is dead, and only it can do that")
}

/// Why sessions cannot be moved now; `None` if they can.
pub(super) fn why_no_migration(sample: &Sample) -> Option<&'static str> {
    why_not(sample).or_else(|| (sample.handlers.len() < 2).then_some("there is no other handler"))
}
