//! Turns the bytes of a mail into facts: envelope, structure, offsets, words.
