//! Decides where a connection goes: a pure function of what the table says.

use shm_abi::HandlerState;

/// What routing looks at of one handler row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// Where the handler is in its life.
    pub(crate) state: HandlerState,
    /// Sessions it has.
    pub(crate) sessions: u32,
    /// Whether something can be done with the row now: for a serving handler, its channel takes records; for a free
    /// row, a process can be put into it.
    pub(crate) open: bool,
}

/// Where a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// To this handler.
    To(u32),
    /// It waits, and a handler is started in this row.
    Start(u32),
    /// It waits for room.
    Wait(Prospect),
}

/// What a waiting connection can expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prospect {
    /// Room is being made: a handler starts, or reads its channel.
    Soon,
    /// Every handler is full; room comes when a session ends.
    Full,
}

/// The serving handler with the fewest sessions that has room; else a new handler if those that are starting will not
/// hold the `waiting` connections (this one counted), fewer than `handlers_max` have a row, and `may_start` allows it; else
/// waiting. Handlers that drain are not counted: there may be one row more, so that their end need not be waited for.
pub(crate) fn route(
    rows: impl Iterator<Item = Row>,
    handlers_max: u32,
    sessions_each: u32,
    waiting: usize,
    may_start: bool,
) -> Route {
    let mut best: Option<(u32, u32)> = None;
    let mut free_row = None;
    let mut starting = 0;
    let mut used = 0;
    let mut busy_with_room = false;
    for (handler, row) in (0..).zip(rows) {
        used += u32::from(!matches!(row.state, HandlerState::Free | HandlerState::Draining));
        match row.state {
            HandlerState::Serving if row.sessions < sessions_each => {
                if !row.open {
                    busy_with_room = true;
                } else if best.is_none_or(|(fewest, _)| row.sessions < fewest) {
                    best = Some((row.sessions, handler));
                }
            }
            HandlerState::Starting => starting += 1,
            HandlerState::Free if row.open && free_row.is_none() => free_row = Some(handler),
            _ => {}
        }
    }
    let coming = starting as usize * sessions_each as usize;
    let may_start = may_start && used < handlers_max;
    match (best, free_row) {
        (Some((_, handler)), _) => Route::To(handler),
        _ if busy_with_room => Route::Wait(Prospect::Soon),
        (None, Some(row)) if may_start && coming < waiting => Route::Start(row),
        _ if starting > 0 => Route::Wait(Prospect::Soon),
        _ => Route::Wait(Prospect::Full),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use HandlerState::{Condemned, Draining, Free, Serving, Starting};

    fn decide(rows: &[(HandlerState, u32, bool)], waiting: usize, may_start: bool) -> Route {
        let rows = rows.iter().map(|(state, sessions, open)| Row {
            state: *state,
            sessions: *sessions,
            open: *open,
        });
        route(rows, 3, 10, waiting, may_start)
    }

    #[test]
    fn the_fewest_sessions_win_and_the_first_of_equals() {
        assert_eq!(
            decide(&[(Serving, 5, true), (Serving, 3, true), (Serving, 3, true)], 1, true),
            Route::To(1)
        );
        assert_eq!(decide(&[(Serving, 10, true), (Serving, 9, true)], 1, true), Route::To(1));
    }

    #[test]
    fn only_serving_handlers_get_connections() {
        let rows = [(Draining, 0, true), (Condemned, 0, true), (Starting, 0, true), (Serving, 8, true)];
        assert_eq!(decide(&rows, 1, true), Route::To(3));
        assert_eq!(decide(&rows[..3], 1, true), Route::Wait(Prospect::Soon));
        assert_eq!(decide(&rows[..2], 1, true), Route::Wait(Prospect::Full));
    }

    #[test]
    fn another_is_started_when_all_are_full() {
        let rows = [(Serving, 10, true), (Free, 0, false), (Free, 0, true)];
        assert_eq!(decide(&rows, 1, true), Route::Start(2));
        assert_eq!(decide(&rows, 1, false), Route::Wait(Prospect::Full));
        assert_eq!(decide(&rows[..2], 1, true), Route::Wait(Prospect::Full));
    }

    #[test]
    fn one_that_leaves_is_replaced_before_it_is_gone() {
        let full = (Serving, 10, true);
        assert_eq!(decide(&[full, full, (Draining, 5, true), (Free, 0, true)], 1, true), Route::Start(3));
        assert_eq!(decide(&[full, full, full, (Free, 0, true)], 1, true), Route::Wait(Prospect::Full));
        // One that is dead, or as good as dead, is gone at once.
        let dying = (Condemned, 5, true);
        assert_eq!(decide(&[full, full, dying, (Free, 0, true)], 1, true), Route::Wait(Prospect::Full));
        let starting = (Starting, 0, true);
        assert_eq!(decide(&[full, full, starting, (Free, 0, true)], 20, true), Route::Wait(Prospect::Soon));
    }

    #[test]
    fn one_that_starts_is_waited_for_until_it_would_be_full() {
        let rows = [(Serving, 10, true), (Starting, 0, true), (Free, 0, true)];
        assert_eq!(decide(&rows, 10, true), Route::Wait(Prospect::Soon));
        assert_eq!(decide(&rows, 11, true), Route::Start(2));
    }

    #[test]
    fn a_handler_that_is_slow_to_read_is_waited_for() {
        assert_eq!(decide(&[(Serving, 1, false), (Serving, 9, true)], 1, true), Route::To(1));
        assert_eq!(decide(&[(Serving, 1, false), (Free, 0, true)], 1, true), Route::Wait(Prospect::Soon));
    }
}
