//! The SORT and THREAD replies (RFC 5256 section 4), written piece by piece: they may be as long as the mailbox has messages.

use super::text;

/// Begins a SORT reply.
pub fn sort_begin(out: &mut Vec<u8>) {
    out.extend_from_slice(b"* SORT");
}

/// Begins a THREAD reply. A space is written before the first thread alone, so one without threads ends at once.
pub fn thread_begin(out: &mut Vec<u8>) {
    out.extend_from_slice(b"* THREAD");
}

/// What comes next in a THREAD reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadPiece {
    /// A thread, or a sub-thread, begins.
    Open,
    /// A message: the child of the one before, if no thread began in between.
    Message(u32),
    /// The thread ends.
    Close,
}

/// What was written last of a THREAD reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ThreadPlace {
    /// Nothing but its name.
    #[default]
    Begin,
    /// A parenthesis, behind which comes no space.
    Parenthesis,
    /// A message.
    Message,
}

/// Appends a piece with what stands between it and the one before.
pub fn thread_piece(out: &mut Vec<u8>, place: &mut ThreadPlace, piece: ThreadPiece) {
    match piece {
        ThreadPiece::Open => {
            out.extend_from_slice(if *place == ThreadPlace::Parenthesis { b"(" } else { b" (" });
            *place = ThreadPlace::Parenthesis;
        }
        ThreadPiece::Message(number) => {
            if *place == ThreadPlace::Message {
                out.push(b' ');
            }
            text::number(out, u64::from(number));
            *place = ThreadPlace::Message;
        }
        ThreadPiece::Close => {
            out.push(b')');
            *place = ThreadPlace::Parenthesis;
        }
    }
}

/// Ends either reply.
pub fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_5256_examples() {
        use ThreadPiece::{Close, Message, Open};
        let written = |pieces: &[ThreadPiece]| {
            let mut out = Vec::new();
            thread_begin(&mut out);
            let mut place = ThreadPlace::default();
            pieces.iter().for_each(|&piece| thread_piece(&mut out, &mut place, piece));
            end(&mut out);
            String::from_utf8(out).expect("ASCII")
        };
        assert_eq!(written(&[]), "* THREAD\r\n");
        let (open, close) = (Open, Close);
        let number = Message;
        assert_eq!(
            written(&[
                open,
                number(2),
                close,
                open,
                number(3),
                number(6),
                open,
                number(4),
                number(23),
                close,
                open,
                number(44),
                number(7),
                number(96),
                close,
                close,
            ]),
            "* THREAD (2)(3 6 (4 23)(44 7 96))\r\n"
        );
        assert_eq!(
            written(&[open, open, number(3), close, open, number(5), close, close]),
            "* THREAD ((3)(5))\r\n"
        );
    }
}
