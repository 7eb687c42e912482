//! The replies behind a message: one for each RCPT that was taken, in their order (RFC 2033, 4.2).
//!
//! A recipient that stands for several users is told yes as soon as one of them got the message: a no would have it sent again, to
//! those who have it, too. That others did not get it is in the log.

use protocol::lmtp::Reply;
use store::MailboxId;

use super::recipients::Recipients;
use crate::output::Output;

/// Replies on their way out, as much at a time as the output takes.
pub(super) struct Answers {
    recipients: Recipients<MailboxId>,
    /// What those are told who got it in a mailbox that is not among `refused`.
    reply: Reply,
    /// Mailboxes that are told something else, ascending.
    refused: Vec<(MailboxId, Reply)>,
    /// The first recipient that was not answered yet.
    next: usize,
}

impl Answers {
    /// `reply` for each of `recipients`.
    pub(super) fn new(recipients: Recipients<MailboxId>, reply: Reply) -> Answers {
        Answers { recipients, reply, refused: Vec::new(), next: 0 }
    }

    /// `mailbox` did not get it, and its user is told `reply` instead. Mailboxes must come in ascending order.
    pub(super) fn refuse(&mut self, mailbox: MailboxId, reply: Reply) {
        debug_assert!(self.refused.last().is_none_or(|(last, _)| *last < mailbox));
        self.refused.push((mailbox, reply));
    }

    /// Everybody is told `reply`.
    pub(super) fn all(self, reply: Reply) -> Answers {
        Answers::new(self.recipients, reply)
    }

    /// How many there are.
    pub(super) fn recipients(&self) -> usize {
        self.recipients.count()
    }

    /// Writes until the output is full, and tells of each answer. Whether everybody was answered.
    pub(super) fn write(&mut self, output: &mut Output, mut told: impl FnMut(&Reply)) -> bool {
        while let Some(places) = self.recipients.of(self.next) {
            if output.is_full() {
                return false;
            }
            let answer = self.answer(places);
            answer.write(output.bytes());
            told(answer);
            self.next += 1;
        }
        true
    }

    /// Yes if one place has it; else a no that may pass, if there is one.
    fn answer(&self, places: &[MailboxId]) -> &Reply {
        let mut refusal: Option<&Reply> = None;
        for place in places {
            let Ok(at) = self.refused.binary_search_by_key(place, |(refused, _)| *refused) else {
                return &self.reply;
            };
            let reply = &self.refused[at].1;
            if refusal.is_none_or(|first| first.code >= 500 && reply.code < 500) {
                refusal = Some(reply);
            }
        }
        refusal.unwrap_or(&self.reply)
    }
}

#[cfg(test)]
mod tests {
    use store::UserId;

    use super::*;
    use crate::maildrops::inbox_of;

    fn codes(answers: &mut Answers) -> Vec<String> {
        let mut output = Output::default();
        assert!(answers.write(&mut output, |_| {}));
        let text = String::from_utf8_lossy(output.bytes()).into_owned();
        text.lines().map(|line| line[..3].to_owned()).collect()
    }

    fn inboxes(users: &[u32]) -> Vec<MailboxId> {
        users.iter().map(|user| inbox_of(UserId(*user))).collect()
    }

    #[test]
    fn each_recipient_is_answered_in_order_though_named_twice() {
        let mut recipients = Recipients::default();
        inboxes(&[7, 3, 7, 5]).into_iter().for_each(|inbox| recipients.add([inbox]));
        let mut answers = Answers::new(recipients, Reply::DELIVERED);
        answers.refuse(inbox_of(UserId(3)), Reply::FAILED);
        answers.refuse(inbox_of(UserId(7)), Reply::NO_USER);
        assert_eq!(codes(&mut answers), ["550", "451", "550", "250"]);
    }

    #[test]
    fn a_group_has_it_as_soon_as_one_has_it() {
        let mut recipients = Recipients::default();
        for users in [&[1, 2][..], &[2, 3], &[3, 2], &[2], &[3]] {
            recipients.add(inboxes(users));
        }
        let mut answers = Answers::new(recipients, Reply::DELIVERED);
        answers.refuse(inbox_of(UserId(2)), Reply::NO_USER);
        answers.refuse(inbox_of(UserId(3)), Reply::OVER_QUOTA);
        assert_eq!(codes(&mut answers), ["250", "452", "452", "550", "452"]);
    }

    #[test]
    fn many_answers_go_out_in_turns() {
        let mut recipients = Recipients::default();
        (0..10_000).for_each(|_| recipients.add([inbox_of(UserId(1))]));
        let mut answers = Answers::new(recipients, Reply::DELIVERED);
        let mut output = Output::default();
        let mut lines = 0;
        while !answers.write(&mut output, |_| {}) {
            assert!(output.is_full());
            lines += output.bytes().iter().filter(|octet| **octet == b'\n').count();
            output.bytes().clear();
        }
        lines += output.bytes().iter().filter(|octet| **octet == b'\n').count();
        assert_eq!(lines, 10_000);
    }
}
