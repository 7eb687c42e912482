//! What is kept of an LMTP session between two commands, so that another handler can go on with it (`crate::parked`): the commands that made it
//! what it is, as they came. The other handler does them again, and nothing is said; if one is refused that was taken before, the session
//! ends, and the peer sends the message again later.

use std::borrow::Cow;

use protocol::lmtp::{Command, Decoded, Decoder};
use serde::{Deserialize, Serialize};

use super::{Flow, LmtpSession, Running, Stage};
use crate::conversation::Turn;
use crate::output::Output;
use crate::parked::{Parking, Unreadable};

/// Octets of commands that are kept in the cell.
const IN_CELL_MAX: usize = 160;
/// Octets of commands that are kept at all. A session with more stays in its handler until its transaction is over.
const OCTETS_MAX: usize = 48 * 1024;

/// The commands that made the session what it is.
#[derive(Default)]
pub(super) struct History {
    /// XCLIENT and LHLO.
    session: Vec<u8>,
    /// XFORWARD, MAIL and RCPT of the transaction.
    transaction: Vec<u8>,
    /// Raised whenever something is added or forgotten.
    changes: u64,
}

/// The small state.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Parked<'a> {
    stage: ParkedStage,
    transactions: u32,
    faults: u32,
    /// Recipients that were taken.
    recipients: u32,
    /// The commands; none if they are in the annex.
    commands: Option<(Cow<'a, str>, Cow<'a, str>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum ParkedStage {
    New,
    Greeted,
    Later,
}

impl History {
    /// A command with these octets was taken, or refused: then it makes nothing when it is done again, either.
    pub(super) fn note(&mut self, command: &Command, octets: &[u8]) {
        let part = match command {
            Command::Xclient(_) => &mut self.session,
            Command::Lhlo { .. } => {
                // What one LHLO said the next one says anew.
                self.session = without_lhlo(&self.session);
                self.transaction = Vec::new();
                &mut self.session
            }
            Command::Xforward(_) | Command::Mail(_) | Command::Rcpt { .. } => &mut self.transaction,
            _ => return,
        };
        // One octet too many says that it was too much.
        let room = (OCTETS_MAX + 1).saturating_sub(part.len());
        part.extend_from_slice(&octets[..octets.len().min(room)]);
        self.changes += 1;
    }

    /// The transaction is over.
    pub(super) fn end_transaction(&mut self) {
        if !self.transaction.is_empty() {
            self.transaction = Vec::new();
            self.changes += 1;
        }
    }

    fn texts(&self) -> Option<(&str, &str)> {
        let is_kept = self.session.len() <= OCTETS_MAX && self.transaction.len() <= OCTETS_MAX;
        let texts = (str::from_utf8(&self.session).ok()?, str::from_utf8(&self.transaction).ok()?);
        is_kept.then_some(texts)
    }
}

/// The lines but for those of LHLO.
fn without_lhlo(lines: &[u8]) -> Vec<u8> {
    let others = lines
        .split_inclusive(|octet| *octet == b'\n')
        .filter(|line| !line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"LHLO")));
    others.flatten().copied().collect()
}

impl LmtpSession {
    /// What is to be kept of the session now.
    pub(crate) fn parking(&self) -> Parking<'_> {
        if !matches!(self.running, Running::Nothing) || !self.decoder.is_fresh() {
            return Parking::Later;
        }
        let stage = match &self.stage {
            Stage::New => ParkedStage::New,
            Stage::Greeted => ParkedStage::Greeted,
            Stage::Idle | Stage::Mail(_) => ParkedStage::Later,
            // What came of the message is in a draft of this handler's.
            Stage::Chunks(_) => return Parking::Later,
        };
        let Some((session, transaction)) = self.history.texts() else { return Parking::Later };
        let is_small = session.len() + transaction.len() <= IN_CELL_MAX;
        let commands = is_small.then_some((Cow::Borrowed(session), Cow::Borrowed(transaction)));
        let stamp = if is_small { 0 } else { self.history.changes.max(1) };
        let (transactions, faults, recipients) = (self.transactions, self.faults, self.recipients());
        let parked = Parked { stage, transactions, faults, recipients, commands };
        Parking::Yes(crate::parked::Parked::Lmtp(parked), stamp)
    }

    /// The part of the state that is in the annex: the commands.
    pub(crate) fn large(&self) -> Vec<u8> {
        self.history.texts().and_then(|texts| shm_abi::encode_annex(&texts).ok()).unwrap_or_default()
    }

    /// The session that was parked so.
    ///
    /// # Errors
    /// The state makes no sense, or what was taken before is not taken any more.
    pub(crate) fn resume(
        parked: Parked<'_>,
        large: &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<LmtpSession, Unreadable> {
        let (before, transaction) = match parked.commands {
            Some((session, transaction)) => (session.into_owned(), transaction.into_owned()),
            None => shm_abi::decode_annex(large).map_err(|_| Unreadable("it makes no sense"))?,
        };
        let mut session = LmtpSession::new();
        if parked.stage == ParkedStage::New {
            return Ok(session);
        }
        session.stage = Stage::Greeted;
        for lines in [before, transaction] {
            session.do_again(lines.as_bytes(), turn)?;
        }
        if session.recipients() != parked.recipients {
            return Err(Unreadable("a recipient that was taken cannot be taken again"));
        }
        session.transactions = parked.transactions;
        session.faults = parked.faults;
        Ok(session)
    }

    fn recipients(&self) -> u32 {
        match &self.stage {
            Stage::Mail(transaction) => transaction.recipients.count() as u32,
            _ => 0,
        }
    }

    /// Does commands of which the peer has the answers.
    fn do_again(&mut self, lines: &[u8], turn: &mut Turn<'_>) -> Result<(), Unreadable> {
        let mut decoder = Decoder::new();
        for line in lines.split_inclusive(|octet| *octet == b'\n') {
            let (_, Decoded::Ready(command)) = decoder.decode(line) else {
                return Err(Unreadable("it has a command that is none"));
            };
            let mut unheard = Output::default();
            let mut turn = Turn {
                output: &mut unheard,
                input: &mut *turn.input,
                timer: &mut *turn.timer,
                answer: None,
                ..*turn
            };
            self.history.note(&command, line);
            if let Flow::Wait(_) = self.begin(command, &mut turn) {
                return Err(Unreadable("it ends with what it began with"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(lines: &[&str]) -> History {
        let (mut history, mut decoder) = (History::default(), Decoder::new());
        for line in lines {
            let line = format!("{line}\r\n");
            let (_, Decoded::Ready(command)) = decoder.decode(line.as_bytes()) else { panic!("{line}") };
            history.note(&command, line.as_bytes());
        }
        history
    }

    #[test]
    fn what_makes_the_session_is_kept_and_nothing_else() {
        let mut history = noted(&[
            "LHLO one.example",
            "NOOP",
            "XCLIENT ADDR=192.0.2.1",
            "lhlo two.example",
            "MAIL FROM:<a@x.example>",
            "RCPT TO:<b@x.example>",
            "HELP",
        ]);
        let (session, transaction) = history.texts().expect("text");
        assert_eq!(session, "XCLIENT ADDR=192.0.2.1\r\nlhlo two.example\r\n");
        assert_eq!(transaction, "MAIL FROM:<a@x.example>\r\nRCPT TO:<b@x.example>\r\n");
        history.end_transaction();
        assert_eq!(history.texts().expect("text").1, "");
    }

    #[test]
    fn a_transaction_that_is_too_large_is_not_kept_and_does_not_grow() {
        let line = format!("RCPT TO:<{}@x.example>", "b".repeat(60));
        let lines = vec![line.as_str(); OCTETS_MAX / line.len() + 10];
        let history = noted(&lines);
        assert!(history.texts().is_none());
        assert_eq!(history.transaction.len(), OCTETS_MAX + 1);
    }
}
