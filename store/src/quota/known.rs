//! What limits users have, as this process read it last: whether a message may be one too many is asked for every recipient, and for most of
//! them nothing is limited.
//!
//! The locks file counts the changes of limits, of all users together. What was read before the count that it has now is read again.

use std::collections::HashMap;
use std::sync::PoisonError;

use super::Limits;
use crate::ids::UserId;
use crate::in_hand::{Mutex, MutexGuard};

/// Users that are remembered at most.
const REMEMBERED_MOST: usize = 1 << 16;

/// Limits that were set, by user, and the defaults.
#[derive(Debug)]
pub(crate) struct KnownLimits {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The limits of users for whom none were set.
    defaults: Limits,
    /// The count of changes when these were read.
    changes: u64,
    limits: HashMap<UserId, Limits>,
}

impl KnownLimits {
    /// Nothing is known but the defaults.
    pub(crate) fn new(defaults: Limits) -> KnownLimits {
        KnownLimits { state: Mutex::new(State { defaults, changes: 0, limits: HashMap::new() }) }
    }

    /// The limits of users for whom none were set.
    pub(crate) fn defaults(&self) -> Limits {
        self.lock().defaults
    }

    /// From now on these are.
    pub(super) fn set_defaults(&self, defaults: Limits) {
        let mut state = self.lock();
        state.defaults = defaults;
        state.limits.clear();
    }

    /// The limits that hold for a user. `changes` is the count of now, `read` looks up what was set.
    pub(super) fn get<E>(
        &self,
        user: UserId,
        changes: u64,
        read: impl FnOnce() -> Result<Limits, E>,
    ) -> Result<Limits, E> {
        {
            let mut state = self.lock();
            if state.changes != changes {
                state.changes = changes;
                state.limits.clear();
            }
            if let Some(limits) = state.limits.get(&user) {
                return Ok(limits.or(state.defaults));
            }
        }
        let limits = read()?;
        let mut state = self.lock();
        // They may have changed while they were read; who saw that has forgotten the others, too.
        if state.changes == changes {
            if state.limits.len() >= REMEMBERED_MOST {
                state.limits.clear();
            }
            state.limits.insert(user, limits);
        }
        Ok(limits.or(state.defaults))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Limit;
    use super::*;

    #[test]
    fn limits_are_read_again_when_any_have_changed() {
        let known = KnownLimits::new(Limits::default());
        let no = Limit::Unlimited;
        let free = Limits { octets: no, messages: no, mailboxes: no, annotations: no };
        let tight = Limits { octets: Limit::Most(1), ..free };
        let read = |limits: Limits| move || Ok::<_, ()>(limits);
        assert_eq!(known.get(UserId(1), 5, read(tight)), Ok(tight));
        assert_eq!(known.get(UserId(1), 5, || Err(())), Ok(tight));
        assert_eq!(known.get(UserId(1), 6, read(Limits::default())), Ok(free));
        known.set_defaults(tight);
        assert_eq!(known.get(UserId(1), 6, read(Limits::default())), Ok(tight));
        assert_eq!(known.get(UserId(2), 6, || Err(())), Err(()));
    }
}
