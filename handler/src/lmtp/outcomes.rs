//! Counts what recipients were answered.

use protocol::lmtp::Reply;
use shm_abi::Tally;

use crate::shared::Shared;

/// Counts an answer for a recipient: to RCPT, if it was refused there, else behind the message.
pub(super) fn count(reply: &Reply, shared: &Shared) {
    shared.metrics().count(tally_of(reply));
}

/// What an answer counts as: by its class, and by the subject and detail of its enhanced code (RFC 3463).
fn tally_of(reply: &Reply) -> Tally {
    let (subject, detail) = reply.status.as_ref().map_or((0, 0), |status| (status.1, status.2));
    match (reply.code / 100, subject, detail) {
        (2, ..) => Tally::DeliveryOk,
        (5, 1, 1) => Tally::DeliveryRejectedUnknown,
        (5, 2, 2) => Tally::DeliveryRejectedQuota,
        (5, 3, 4) => Tally::DeliveryRejectedSize,
        (5, ..) => Tally::DeliveryRejectedOther,
        (_, 2, 2) => Tally::DeliveryDeferredQuota,
        (_, 3, 1) => Tally::DeliveryDeferredSpace,
        _ => Tally::DeliveryDeferredFault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_place() {
        for (reply, tally) in [
            (Reply::DELIVERED, Tally::DeliveryOk),
            (Reply::NO_USER, Tally::DeliveryRejectedUnknown),
            (Reply::FOREIGN_DOMAIN, Tally::DeliveryRejectedOther),
            (Reply::OVER_QUOTA, Tally::DeliveryDeferredQuota),
            (Reply::OVER_QUOTA_FINALLY, Tally::DeliveryRejectedQuota),
            (Reply::TOO_LARGE, Tally::DeliveryRejectedSize),
            (Reply::NO_SPACE, Tally::DeliveryDeferredSpace),
            (Reply::FAILED, Tally::DeliveryDeferredFault),
            (Reply::SHUTDOWN, Tally::DeliveryDeferredFault),
        ] {
            assert_eq!(tally_of(&reply), tally, "{reply:?}");
        }
    }
}
