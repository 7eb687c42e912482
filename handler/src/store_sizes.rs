//! How large the store is, looked at once a minute by one handler and put into the table: the router serves figures and knows no store.
//!
//! The handler with the lowest row that serves does it. It goes through all users, a little at a time, and rests twenty times as long as it
//! worked, so that a large store costs no more than a twentieth of a processor, and no session waits.

use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::statvfs::statvfs;
use shm_abi::{Gauge, HandlerState};
use store::StoreError;
use store::in_hand::{Condvar, Mutex, MutexGuard};

use crate::log;
use crate::shared::Shared;

/// From one look to the next.
const EVERY: Duration = Duration::from_secs(60);
/// How much longer it rests than it works.
const REST_FACTOR: u32 = 20;
/// Users that are looked at without a rest.
const USERS_AT_A_TIME: usize = 32;

/// Ends the thread.
#[derive(Default)]
pub(crate) struct StoreSizes {
    closed: Mutex<bool>,
    news: Condvar,
}

/// What was found.
#[derive(Default)]
struct Sizes {
    users: u64,
    mailboxes: u64,
    messages: u64,
    octets: u64,
}

impl StoreSizes {
    /// The thread's work, until it is closed.
    pub(crate) fn run(&self, shared: &Shared) {
        loop {
            if is_our_turn(shared)
                && let Err(error) = self.look(shared)
            {
                log::warning!("store not measured", why = error);
            }
            if self.rest(EVERY) {
                return;
            }
        }
    }

    /// Has the thread end soon.
    pub(crate) fn close(&self) {
        *self.lock() = true;
        self.news.notify_all();
    }

    /// Waits; true if the thread is to end.
    fn rest(&self, time: Duration) -> bool {
        let closed = self.lock();
        let waited = self.news.wait_timeout_while(closed, time, |closed| !*closed);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn look(&self, shared: &Shared) -> Result<(), StoreError> {
        let metrics = shared.metrics();
        let inventory = shared.store.inventory()?;
        let mut sizes = Sizes::default();
        for some in shared.store.users()?.chunks(USERS_AT_A_TIME) {
            let began = Instant::now();
            for (user, _) in some {
                match shared.store.quota(*user) {
                    Ok(quota) => {
                        sizes.users += 1;
                        sizes.mailboxes += quota.mailboxes;
                        sizes.messages += quota.usage.messages;
                        sizes.octets += quota.usage.octets;
                    }
                    // Deleted meanwhile.
                    Err(error) if error.is_gone() => {}
                    Err(error) => return Err(error),
                }
            }
            if self.rest(began.elapsed() * REST_FACTOR) {
                return Ok(());
            }
        }
        for (gauge, value) in [
            (Gauge::StoreUsers, sizes.users),
            (Gauge::StoreMailboxes, sizes.mailboxes),
            (Gauge::StoreMessages, sizes.messages),
            (Gauge::StoreOctets, sizes.octets),
            (Gauge::StorePages, inventory.pages),
            (Gauge::StoreJournals, inventory.journals),
        ] {
            metrics.set(gauge, value);
        }
        match statvfs(shared.store.path()) {
            Ok(disk) => {
                metrics.set(Gauge::DiskOctets, disk.blocks() * disk.fragment_size());
                metrics.set(Gauge::DiskFreeOctets, disk.blocks_available() * disk.fragment_size());
                metrics.set(Gauge::DiskFreeFiles, disk.files_available());
            }
            Err(error) => log::warning!("disk not measured", why = error),
        }
        // Last: who sees it sees all of the above.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        metrics.set(Gauge::StoreMeasured, now.as_secs());
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether no handler with a lower row serves.
fn is_our_turn(shared: &Shared) -> bool {
    (0..shared.handler).all(|lower| shared.table.handler(lower).state() != HandlerState::Serving)
}
