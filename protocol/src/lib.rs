//! IMAP, POP3 and LMTP as pure functions from bytes to commands and from replies to bytes.
