//! The replies behind a message: one for each RCPT that was taken, in their order (RFC 2033, 4.2).

use protocol::lmtp::Reply;
use store::UserId;

use crate::output::Output;

/// Replies on their way out, as much at a time as the output takes.
pub(super) struct Answers {
    recipients: Vec<UserId>,
    /// What those who are not among `refused` are told.
    reply: Reply,
    /// Users who are told something else, ascending.
    refused: Vec<(UserId, Reply)>,
    /// The first recipient that was not answered yet.
    next: usize,
}

impl Answers {
    /// `reply` for each of `recipients`.
    pub(super) fn new(recipients: Vec<UserId>, reply: Reply) -> Answers {
        Answers { recipients, reply, refused: Vec::new(), next: 0 }
    }

    /// `user` is told `reply` instead. Users must come in ascending order.
    pub(super) fn refuse(&mut self, user: UserId, reply: Reply) {
        debug_assert!(self.refused.last().is_none_or(|(last, _)| *last < user));
        self.refused.push((user, reply));
    }

    /// Everybody is told `reply`.
    pub(super) fn all(self, reply: Reply) -> Answers {
        Answers::new(self.recipients, reply)
    }

    /// How many there are.
    pub(super) fn recipients(&self) -> usize {
        self.recipients.len()
    }

    /// Writes until the output is full. Whether everybody was answered.
    pub(super) fn write(&mut self, output: &mut Output) -> bool {
        while let Some(user) = self.recipients.get(self.next) {
            if output.is_full() {
                return false;
            }
            let refusal = self.refused.binary_search_by_key(user, |(user, _)| *user);
            let reply = refusal.map_or(&self.reply, |at| &self.refused[at].1);
            reply.write(output.bytes());
            self.next += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_recipient_is_answered_in_order_though_named_twice() {
        let recipients = [7, 3, 7, 5].map(UserId).to_vec();
        let mut answers = Answers::new(recipients, Reply::DELIVERED);
        answers.refuse(UserId(3), Reply::FAILED);
        answers.refuse(UserId(7), Reply::NO_USER);
        let mut output = Output::default();
        assert!(answers.write(&mut output));
        let text = String::from_utf8_lossy(output.bytes()).into_owned();
        let codes: Vec<&str> = text.lines().map(|line| &line[..3]).collect();
        assert_eq!(codes, ["550", "451", "550", "250"]);
    }

    #[test]
    fn many_answers_go_out_in_turns() {
        let mut answers = Answers::new(vec![UserId(1); 10_000], Reply::DELIVERED);
        let mut output = Output::default();
        let mut lines = 0;
        while !answers.write(&mut output) {
            assert!(output.is_full());
            lines += output.bytes().iter().filter(|octet| **octet == b'\n').count();
            output.bytes().clear();
        }
        lines += output.bytes().iter().filter(|octet| **octet == b'\n').count();
        assert_eq!(lines, 10_000);
    }
}
