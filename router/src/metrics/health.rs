//! Whether the daemons live, and whether they can serve: pure functions over the table's rows and the pulse.
//!
//! Alive is a router whose loop turns: who does not answer this is to be started anew. Ready is one that takes connections and has a
//! handler that serves them, which has opened the store then: who is not is to get no clients for the time being.

use super::pulse::Felt;
use shm_abi::{HandlerInfo, HandlerState, Heartbeat};

/// A beat is a second; so old, it is none.
const STALE_MS: u64 = 5_000;

/// All is well, or why not; both in a few words.
pub(super) type Verdict = Result<String, String>;

/// Whether the router's loop turns.
pub(super) fn alive(felt: Felt, now_ms: u64) -> Verdict {
    let age_ms = now_ms.saturating_sub(felt.beat_ms);
    if age_ms > STALE_MS {
        return Err(format!("the router's loop has not turned for {} seconds", age_ms / 1000));
    }
    Ok("alive".to_string())
}

/// Whether connections are served.
pub(super) fn ready(felt: Felt, now_ms: u64, handlers: &[HandlerInfo], wall_ms: u64) -> Verdict {
    alive(felt, now_ms)?;
    if felt.stopping {
        return Err("the daemons are being stopped".to_string());
    }
    let in_state = |state| handlers.iter().filter(move |handler| handler.state == state);
    let serving = in_state(HandlerState::Serving).count();
    let beats = |handler: &&HandlerInfo| {
        wall_ms.saturating_sub(handler.heartbeats_ms[Heartbeat::Poll as usize]) <= STALE_MS
    };
    match in_state(HandlerState::Serving).filter(beats).count() {
        0 if serving > 0 => Err(format!("none of {serving} handlers shows a sign of life")),
        0 if in_state(HandlerState::Starting).count() > 0 => {
            Err("no handler serves yet, one is starting: it may be recovering its store".to_string())
        }
        0 => Err("no handler serves".to_string()),
        1 => Ok("ready: 1 handler serves".to_string()),
        count => Ok(format!("ready: {count} handlers serve")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Pulse;
    use shm_abi::{Limits, Table};

    #[test]
    fn a_loop_that_stands_still_is_not_alive() {
        let pulse = Pulse::new(1_000);
        assert!(alive(pulse.felt(), 6_000).is_ok());
        assert!(alive(pulse.felt(), 7_500).unwrap_err().contains("6 seconds"));
        assert!(ready(pulse.felt(), 7_500, &[], 0).is_err());
        pulse.beat(7_000, 0, false);
        assert!(alive(pulse.felt(), 7_500).is_ok());
    }

    #[test]
    fn ready_needs_a_handler_that_serves_and_beats() {
        let name = format!("/lode-health-{}", std::process::id());
        let table = Table::create(&name, Limits { handlers: 2, sessions: 1 }, 1, 1).unwrap();
        let pulse = Pulse::new(0);
        let say = |wall_ms| ready(pulse.felt(), 0, &table.handlers(), wall_ms);
        assert_eq!(say(9_000).unwrap_err(), "no handler serves");
        table.begin_handler(0, 1).unwrap();
        assert!(say(9_000).unwrap_err().contains("starting"));
        let row = table.handler(0);
        row.set_state(HandlerState::Serving);
        assert!(say(9_000).unwrap_err().contains("sign of life"));
        row.beat(Heartbeat::Poll, 8_000);
        assert_eq!(say(9_000).unwrap(), "ready: 1 handler serves");
        pulse.beat(0, 0, true);
        assert!(say(9_000).unwrap_err().contains("stopped"));
    }
}
