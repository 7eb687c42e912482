//! COMPRESS (RFC 4978): all that follows is deflated, both ways.
//!
//! It takes a login (`command-auth`), as the RFC's grammar has it: nobody unknown can have the server inflate anything. It ends with
//! UNAUTHENTICATE. TLS is the router's, and is not asked to compress, so DEFLATE is never active by another layer. The engine does
//! the work: `compression/`.

use protocol::imap::command::Tag;
use protocol::imap::extension::compress::Algorithm;
use protocol::imap::reply::code::Code;
use protocol::imap::reply::status::{self as reply, Condition};

use super::{Flow, ImapSession};
use crate::conversation::{Next, Turn};

impl ImapSession {
    pub(super) fn compress(&mut self, tag: &Tag, algorithm: &Algorithm, turn: &mut Turn<'_>) -> Flow {
        if turn.output.is_compressed() {
            let code = Some(Code::CompressionActive);
            return self.refuse(turn, tag, Condition::Bad, code, "DEFLATE is active already");
        }
        match algorithm {
            Algorithm::Deflate => {}
            Algorithm::Other => {
                return self.refuse(turn, tag, Condition::Bad, None, "DEFLATE is the only way to compress");
            }
        }
        reply::tagged(turn.output.bytes(), tag, Condition::Ok, None, "DEFLATE active");
        turn.input.begin_compression();
        turn.output.begin_compression();
        Flow::Wait(Next::Output)
    }
}
