//! Asks the running router for things: what the verbs that give orders have in common.

use std::os::fd::BorrowedFd;
use std::path::Path;

use shm_abi::{
    AskError, CONTROL_SESSIONS_MAX, ControlAnswer, ControlRequest, SessionId, SessionInfo, TableView,
    ask_router_with,
};

use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::shared_table::open;

/// Asks the router of these settings; what it refuses is a failure in its own words.
pub(crate) fn ask(context: &Context, request: ControlRequest) -> Result<ControlAnswer> {
    answer(&context.settings.runtime.dir, request)
}

/// Asks the router whose runtime folder this is.
pub(crate) fn answer(runtime_dir: &Path, request: ControlRequest) -> Result<ControlAnswer> {
    answer_with(runtime_dir, &request, &[])
}

/// The same, with descriptors for the router.
pub(crate) fn answer_with(
    runtime_dir: &Path,
    request: &ControlRequest,
    descriptors: &[BorrowedFd<'_>],
) -> Result<ControlAnswer> {
    let answer = ask_router_with(runtime_dir, request, descriptors).map_err(|error| {
        let folder = runtime_dir.display();
        Failure::Failed(match error {
            AskError::NotRunning => format!("no router runs in {folder}: start one with `lode serve`"),
            AskError::Silent => format!(
                "the router of {folder} does not answer; `lode status` shows what it left in the table"
            ),
            AskError::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                format!("only root and the user the daemons run as may give orders to the router of {folder}")
            }
            other => other.to_string(),
        })
    })?;
    match answer.record {
        ControlAnswer::Failed(why) => Err(Failure::Failed(why)),
        record => Ok(record),
    }
}

/// A request whose answer is [`ControlAnswer::Done`].
pub(crate) fn order(context: &Context, request: ControlRequest) -> Result<()> {
    match ask(context, request)? {
        ControlAnswer::Done => Ok(()),
        other => Err(Failure::Failed(format!("the router's answer makes no sense: {other:?}"))),
    }
}

/// The sessions that an argument means: one by its name, or all of a user.
pub(crate) fn sessions(context: &Context, argument: &str) -> Result<Vec<SessionId>> {
    choose(&open(&context.settings.runtime.dir)?, argument)
}

fn choose(view: &TableView, argument: &str) -> Result<Vec<SessionId>> {
    let all = view.sessions();
    let matches = |session: &&SessionInfo| match argument.parse::<SessionId>() {
        Ok(id) => session.id == id,
        Err(_) => !session.user.is_empty() && session.user == argument,
    };
    let found: Vec<SessionId> = all.iter().filter(matches).map(|session| session.id).collect();
    if found.is_empty() {
        let what = if argument.parse::<SessionId>().is_ok() { "session" } else { "session of user" };
        return Err(Failure::Failed(format!("there is no {what} {argument}; `lode who` shows all sessions")));
    }
    Ok(found)
}

/// Gives an order for sessions, in as many requests as it takes: how many handlers were told of, and how many sessions were
/// gone by then.
pub(crate) fn order_sessions(
    runtime_dir: &Path,
    sessions: &[SessionId],
    request: impl Fn(Vec<SessionId>) -> ControlRequest,
) -> Result<(u32, u32)> {
    let mut total = (0, 0);
    for some in sessions.chunks(CONTROL_SESSIONS_MAX) {
        match answer(runtime_dir, request(some.to_vec()))? {
            ControlAnswer::Sessions { told, gone } => total = (total.0 + told, total.1 + gone),
            other => return Err(Failure::Failed(format!("the router's answer makes no sense: {other:?}"))),
        }
    }
    Ok(total)
}

/// A number of sessions, in words.
pub(crate) fn counted(count: u32) -> String {
    if count == 1 { "1 session".to_owned() } else { format!("{count} sessions") }
}

#[cfg(test)]
mod tests {
    use shm_abi::{Endpoint, Limits, Protocol, Table};

    use super::*;

    #[test]
    fn sessions_are_found_by_name_and_by_user() {
        let name = format!("/lode-choose-test-{}", std::process::id());
        let table = Table::create(&name, Limits { handlers: 2, sessions: 4 }, 1, 1).expect("a table");
        let peer = Endpoint::Unix { pid: 1, uid: 1 };
        let mut ids = Vec::new();
        for (handler, user) in [(0, "ann"), (1, "bob"), (1, "ann"), (1, "")] {
            if table.handler(handler).state() == shm_abi::HandlerState::Free {
                table.begin_handler(handler, 1).expect("a row");
            }
            let (cell, generation) = table.assign(handler, Protocol::Imap, peer, 1).expect("a cell");
            table.cell(handler, cell, generation).expect("the cell").set_user(user, 1);
            ids.push(SessionId { handler, cell, generation });
        }
        assert_eq!(choose(&table, "ann").expect("found"), [ids[0], ids[2]]);
        assert_eq!(choose(&table, &ids[3].to_string()).expect("found"), [ids[3]]);
        let stale = SessionId { generation: 9, ..ids[0] }.to_string();
        for unknown in ["", "carol", "0.0", stale.as_str()] {
            let said = choose(&table, unknown).expect_err("nobody").to_string();
            assert!(said.contains("lode who"), "{said}");
        }
        assert_eq!((counted(1), counted(2)), ("1 session".into(), "2 sessions".into()));
    }
}
