//! What a client takes for the HIGHESTMODSEQ of its selected mailbox (RFC 7162, 6), and when it must be put right.
//!
//! A client that loses its connection goes on from that number. It takes the last one that a HIGHESTMODSEQ code told, or the highest
//! MODSEQ item that it was sent since, at the end of each command. Both must not be above the modseq up to which it was told everything:
//! expunges may wait, and a FETCH may read a message newer than what its mailbox has published. Then the end of the command tells
//! the right number. A client that gets VANISHED, which has no modseq of its own, is also told when the number may rise.

use store::ModSeq;

/// The client's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientModSeq {
    /// What it has since the last command ended.
    known: ModSeq,
    /// The highest MODSEQ item since.
    sent: ModSeq,
    /// What a HIGHESTMODSEQ code of this command told: then the items do not count.
    told: Option<ModSeq>,
}

impl ClientModSeq {
    /// The number that SELECT tells.
    pub(crate) fn new(told: ModSeq) -> ClientModSeq {
        ClientModSeq { known: told, sent: ModSeq(0), told: Some(told) }
    }

    /// What it is made of, to be kept.
    pub(crate) fn numbers(&self) -> (u64, u64, Option<u64>) {
        (self.known.0, self.sent.0, self.told.map(|told| told.0))
    }

    /// The number that was made of these.
    pub(crate) fn from_numbers((known, sent, told): (u64, u64, Option<u64>)) -> ClientModSeq {
        ClientModSeq { known: ModSeq(known), sent: ModSeq(sent), told: told.map(ModSeq) }
    }

    /// A MODSEQ item is sent.
    pub(crate) fn send(&mut self, modseq: ModSeq) {
        self.sent = self.sent.max(modseq);
    }

    /// A command ends that tells nothing more.
    pub(crate) fn settle(&mut self) {
        self.known = self.told.take().unwrap_or(self.known.max(self.sent));
        self.sent = ModSeq(0);
    }

    /// A command ends, and the client was told everything up to `upto`: what HIGHESTMODSEQ must say, if it must be told. A number that is
    /// only too low is told if `may_rise`.
    pub(crate) fn end_command(&mut self, upto: ModSeq, may_rise: bool) -> Option<ModSeq> {
        self.settle();
        if self.known > upto || (self.known < upto && may_rise) {
            self.known = upto;
            return Some(upto);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_too_high_is_put_right_at_once() {
        let mut client = ClientModSeq::new(ModSeq(95));
        client.settle();
        client.send(ModSeq(103));
        client.send(ModSeq(101));
        assert_eq!(client.end_command(ModSeq(99), false), Some(ModSeq(99)), "an expunge at 100 waits");
        assert_eq!(client.end_command(ModSeq(99), false), None);
        client.send(ModSeq(104));
        assert_eq!(client.end_command(ModSeq(99), false), Some(ModSeq(99)));
        assert_eq!(client.end_command(ModSeq(104), true), Some(ModSeq(104)), "now it was told");
        client.send(ModSeq(105));
        assert_eq!(client.end_command(ModSeq(105), true), None, "the item said so");
    }

    #[test]
    fn a_number_that_is_too_low_is_right_enough_without_vanished() {
        let mut client = ClientModSeq::new(ModSeq(5));
        // SELECT told 5, and a message that has changed since.
        client.send(ModSeq(7));
        client.settle();
        assert_eq!(client.end_command(ModSeq(9), false), None);
        assert_eq!(client.end_command(ModSeq(9), true), Some(ModSeq(9)));
    }
}
