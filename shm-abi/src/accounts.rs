//! How many sessions a user has in a protocol, over all handlers.
//!
//! Each cell names its account, a hash of user and protocol, and accounts fall on rows of counters, several on one at
//! times. A row is raised before a cell names its account and lowered after the cell has ceased to, so a row never says
//! less than there are: when it has room, so has the account, and nothing more need be looked at. When it has none, cells
//! are counted. Two that enter at once may both be refused the last place; never are both let in to it. Who is killed in
//! between leaves a row that says too much, which costs a look at cells, and nobody a place.

use crate::cell::Cell;
use crate::handover::Protocol;
use crate::layout::USER_OCTETS;
use crate::table::Table;
use std::sync::atomic::Ordering::SeqCst;

impl Table {
    /// Counts a session as one of `user`'s, unless there are `limit` others in the protocol; 0 is no limit. False: it
    /// is not counted, and must not go on. The session's owner calls it at login; a session enters once.
    pub fn enter(&self, cell: Cell<'_>, protocol: Protocol, user: &str, limit: u32) -> bool {
        self.leave(cell);
        let account = account_of(protocol, user);
        let others = self.account_row(account).fetch_add(1, SeqCst);
        cell.account().store(account, SeqCst);
        if limit == 0 || others < u64::from(limit) || self.count(account) <= limit as usize {
            return true;
        }
        self.leave(cell);
        false
    }

    /// The session is nobody's any more. Called when a cell is freed, too.
    pub fn leave(&self, cell: Cell<'_>) {
        let account = cell.account();
        // Most cells that are cleared behind a dead handler were never used: they are not written.
        if account.load(SeqCst) != 0 {
            let account = account.swap(0, SeqCst);
            let lower = |sessions: u64| Some(sessions.saturating_sub(1));
            let _ = self.account_row(account).fetch_update(SeqCst, SeqCst, lower);
        }
    }

    /// Cells that name the account.
    fn count(&self, account: u64) -> usize {
        let limits = self.limits();
        let cells = (0..limits.handlers)
            .flat_map(|handler| (0..limits.sessions).map(move |cell| self.any_cell(handler, cell)));
        cells.filter(|cell| cell.account().load(SeqCst) == account).count()
    }
}

/// Never 0.
fn account_of(protocol: Protocol, user: &str) -> u64 {
    // As much of a name as a cell has, for a session that goes on in another handler is entered by that.
    let cut = (0..=user.len().min(USER_OCTETS)).rev().find(|at| user.is_char_boundary(*at)).unwrap_or(0);
    let octets = user[..cut].bytes().chain([protocol as u8]);
    let hash = octets.fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;
    use crate::table::Limits;
    use std::sync::atomic::AtomicU32;

    fn table(handlers: u32, sessions: u32) -> Table {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("/lode-accounts-{}-{}", std::process::id(), NEXT.fetch_add(1, SeqCst));
        Table::create(&name, Limits { handlers, sessions }, 1, 1).expect("a table")
    }

    fn session(table: &Table, handler: u32) -> (u32, u32) {
        let peer = Endpoint::Unix { pid: 1, uid: 1 };
        table.assign(handler, Protocol::Imap, peer, 1).expect("a cell")
    }

    fn enter(table: &Table, handler: u32, session: (u32, u32), user: &str, limit: u32) -> bool {
        let cell = table.cell(handler, session.0, session.1).expect("the session's cell");
        table.enter(cell, Protocol::Imap, user, limit)
    }

    #[test]
    fn a_user_has_so_many_sessions_over_all_handlers() {
        let table = table(2, 4);
        for handler in [0, 1] {
            table.begin_handler(handler, 1).expect("a free row");
        }
        let sessions = [(0, session(&table, 0)), (1, session(&table, 1)), (1, session(&table, 1))];
        assert!(enter(&table, 0, sessions[0].1, "ann", 2));
        assert!(enter(&table, 1, sessions[1].1, "ann", 2));
        assert!(!enter(&table, 1, sessions[2].1, "ann", 2), "the third");
        assert!(!enter(&table, 1, sessions[2].1, "ann", 2), "and again");
        assert!(enter(&table, 1, sessions[2].1, "bob", 2), "another user");
        let cell = table.cell(1, sessions[2].1.0, sessions[2].1.1).expect("the cell");
        assert!(table.enter(cell, Protocol::Pop3, "ann", 2), "another protocol");
        assert!(enter(&table, 1, sessions[2].1, "ann", 0), "no limit");
        assert!(!enter(&table, 1, sessions[2].1, "ann", 2));
        assert!(table.free(0, sessions[0].1.0, sessions[0].1.1));
        assert!(enter(&table, 1, sessions[2].1, "ann", 2), "one has ended");
        // What a dead handler had is given back.
        table.clear_handler(1);
        table.begin_handler(1, 1).expect("a free row");
        for _ in 0..2 {
            let session = session(&table, 1);
            assert!(enter(&table, 1, session, "ann", 2));
        }
        assert!(!enter(&table, 0, session(&table, 0), "ann", 2));
    }

    #[test]
    fn a_row_that_says_too_much_refuses_nobody() {
        let table = table(1, 8);
        table.begin_handler(0, 1).expect("a free row");
        table.account_row(account_of(Protocol::Imap, "ann")).store(1_000, SeqCst);
        assert!(enter(&table, 0, session(&table, 0), "ann", 1));
        assert!(!enter(&table, 0, session(&table, 0), "ann", 1));
    }

    #[test]
    fn of_many_that_race_none_is_one_too_many() {
        const LIMIT: u32 = 5;
        let table = table(4, 16);
        for handler in 0..4 {
            table.begin_handler(handler, 1).expect("a free row");
        }
        for _ in 0..50 {
            let entered = AtomicU32::new(0);
            let sessions: Vec<_> = (0..4).map(|handler| [(); 4].map(|()| session(&table, handler))).collect();
            std::thread::scope(|scope| {
                for (handler, sessions) in (0..).zip(&sessions) {
                    let (table, entered) = (&table, &entered);
                    scope.spawn(move || {
                        for session in sessions {
                            entered.fetch_add(enter(table, handler, *session, "ann", LIMIT).into(), SeqCst);
                        }
                    });
                }
            });
            assert!((1..=LIMIT).contains(&entered.load(SeqCst)), "{entered:?}");
            for (handler, sessions) in (0..).zip(&sessions) {
                sessions.iter().for_each(|session| assert!(table.free(handler, session.0, session.1)));
            }
            assert_eq!(table.account_row(account_of(Protocol::Imap, "ann")).load(SeqCst), 0);
        }
    }
}
