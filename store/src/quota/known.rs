//! What limits users have, as this process read it last: whether a message may be one too many is asked for every recipient, and for most of
//! them nothing is limited.
//!
//! The locks file counts the changes of limits, of all users together. What was read before the count that it has now is read again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Limits;
use crate::ids::UserId;

/// Users that are remembered at most.
const REMEMBERED_MOST: usize = 1 << 16;

/// Limits that hold, by user.
#[derive(Debug, Default)]
pub(crate) struct KnownLimits {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The count of changes when these were read.
    changes: u64,
    limits: HashMap<UserId, Limits>,
}

impl KnownLimits {
    /// The limits of a user. `changes` is the count of now, `read` looks them up.
    pub(super) fn get<E>(
        &self,
        user: UserId,
        changes: u64,
        read: impl FnOnce() -> Result<Limits, E>,
    ) -> Result<Limits, E> {
        {
            let mut state = self.lock();
            if state.changes != changes {
                *state = State { changes, limits: HashMap::new() };
            }
            if let Some(limits) = state.limits.get(&user) {
                return Ok(*limits);
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
        Ok(limits)
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
        let known = KnownLimits::default();
        let tight = Limits { octets: Limit::Most(1), messages: Limit::Unlimited };
        let read = |limits: Limits| move || Ok::<_, ()>(limits);
        assert_eq!(known.get(UserId(1), 5, read(tight)), Ok(tight));
        assert_eq!(known.get(UserId(1), 5, || Err(())), Ok(tight));
        assert_eq!(known.get(UserId(1), 6, read(Limits::default())), Ok(Limits::default()));
        assert_eq!(known.get(UserId(2), 6, || Err(())), Err(()));
    }
}
