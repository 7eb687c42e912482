//! The keys that URLs are authorized with (RFC 4467, 2.2), and the proofs that are made with them.

use hmac::{Hmac, KeyInit, Mac};
use protocol::imap::url::{Token, rump};
use sha2::Sha256;
use store::lists::OF_URL_KEYS;
use store::{ChangeError, MailboxId, Store, StoreError, Ticket, UserId};

use super::INTERNAL;

/// How a proof was made: its first octet. Another way would have another one, so that proofs of both could be told apart.
const HMAC_SHA256: u8 = 1;
/// Octets of a key: 256 bits.
const KEY_OCTETS: usize = 32;

/// The key of one user for one mailbox.
pub(super) struct Key([u8; KEY_OCTETS]);

impl Key {
    /// The key that there is.
    ///
    /// # Errors
    /// The list cannot be read.
    pub(super) fn of(store: &Store, user: UserId, mailbox: MailboxId) -> Result<Option<Key>, StoreError> {
        let list = store.mailbox_list(mailbox.user)?;
        let value = list.attribute(Some(mailbox.number), &name(user));
        Ok(value.and_then(|value| value.try_into().ok()).map(Key))
    }

    /// A new key, in the place of the one there was.
    ///
    /// # Errors
    /// It cannot be stored.
    pub(super) fn renew(
        store: &Store,
        user: UserId,
        mailbox: MailboxId,
    ) -> Result<(Key, Ticket), ChangeError> {
        let key = Key::random()?;
        let mut txn = store.begin();
        txn.set_attribute(mailbox.user, Some(mailbox.number), &name(user), Some(&key.0));
        Ok((key, txn.commit()?.ticket))
    }

    /// Takes away all keys of a user, for the user's own mailboxes and those that others share.
    ///
    /// # Errors
    /// A list cannot be read or changed.
    pub(super) fn forget_all(store: &Store, user: UserId) -> Result<Ticket, ChangeError> {
        let own = store.mailbox_list(user)?;
        let shared = own.attributes(None).filter_map(|(name, _)| name.strip_prefix("shared/")?.parse().ok());
        let owners: Vec<UserId> = std::iter::once(user).chain(shared.map(UserId)).collect();
        let mut txn = store.begin();
        for owner in owners {
            let list = match store.mailbox_list(owner) {
                Err(StoreError::NotFound(_)) => continue,
                list => list?,
            };
            for entry in list.entries() {
                if list.attribute(Some(entry.number), &name(user)).is_some() {
                    txn.set_attribute(owner, Some(entry.number), &name(user), None);
                }
            }
        }
        Ok(txn.commit()?.ticket)
    }

    /// A key that nobody has: what is computed for a URL that means nothing here takes as long as for one that does (RFC 4467, 6).
    ///
    /// # Errors
    /// The machine has no random numbers.
    pub(super) fn random() -> Result<Key, StoreError> {
        let mut key = [0; KEY_OCTETS];
        getrandom::fill(&mut key).map_err(|_| StoreError::NotFound("random number"))?;
        Ok(Key(key))
    }

    /// Appends the mechanism and the proof to a URL that ends with its access identifier.
    pub(super) fn prove(&self, url: &mut Vec<u8>) {
        let mut octets = vec![HMAC_SHA256];
        octets.extend_from_slice(&self.mac(url).finalize().into_bytes());
        Token { mechanism: INTERNAL.to_owned(), octets }.write(url);
    }

    fn mac(&self, octets: &[u8]) -> Hmac<Sha256> {
        // The key is padded to the hash's block (RFC 2104, 2), so that no length can be wrong.
        let mut block = [0; 64];
        block[..KEY_OCTETS].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(octets);
        mac
    }

    /// Whether the proof of a URL is this key's. Takes as long whether it is or not.
    pub(super) fn verifies(&self, url: &[u8], token: &Token) -> bool {
        let (kind, proof) = token.octets.split_first().unwrap_or((&0, &[]));
        let is_right = self.mac(rump(url)).verify_slice(proof).is_ok();
        is_right && *kind == HMAC_SHA256 && token.mechanism == INTERNAL
    }
}

/// The name of the attribute that has a user's key.
fn name(user: UserId) -> String {
    format!("{OF_URL_KEYS}{}", user.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::imap::url::MessageUrl;

    #[test]
    fn a_proof_is_of_one_url_and_one_key() {
        let (key, other) = (Key([7; KEY_OCTETS]), Key([8; KEY_OCTETS]));
        let mut url = b"imap://ann@h/INBOX/;uid=2;urlauth=anonymous".to_vec();
        key.prove(&mut url);
        let token = |url: &[u8]| {
            let parsed = MessageUrl::parse(url).expect("a URL");
            parsed.authorization.and_then(|authorization| authorization.token).expect("a proof")
        };
        assert!(key.verifies(&url, &token(&url)));
        assert!(!other.verifies(&url, &token(&url)));
        let text = String::from_utf8(url.clone()).expect("ASCII");
        for (from, to) in
            [("uid=2", "uid=3"), ("uid=2", "UID=2"), ("anonymous", "authuser"), (":01", ":02"), ("@h", "@H")]
        {
            let altered = text.replacen(from, to, 1);
            assert_ne!(altered, text);
            assert!(!key.verifies(altered.as_bytes(), &token(altered.as_bytes())), "{altered}");
        }
        // A proof that is cut is none.
        let cut = &url[..url.len() - 2];
        assert!(!key.verifies(cut, &token(cut)));
    }
}
