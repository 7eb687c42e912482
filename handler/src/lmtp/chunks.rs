//! BDAT (RFC 3030, 2; RFC 2033, 4.3): a message in chunks of announced size.
//!
//! However a chunk is answered, its octets are taken first: what follows them is the next command. Between chunks the message waits
//! in [`Stage::Chunks`]; one that cannot be kept goes on to its last chunk all the same, with the same refusal for each, since a client
//! that pipelines has sent them already.

use protocol::lmtp::{ChunkDecoder, Reply};

use super::intake::Intake;
use super::{Flow, Last, LmtpSession, Running, Stage, say};
use crate::conversation::{Next, Turn};

impl LmtpSession {
    /// BDAT in any state.
    pub(super) fn begin_chunk(&mut self, chunk: ChunkDecoder, last: Last, turn: &mut Turn<'_>) -> Flow {
        self.running = match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Chunks(intake) => Running::Chunk(intake, chunk, last),
            Stage::Mail(transaction) if transaction.has_recipients() => {
                Running::Chunk(Box::new(self.begin_intake(transaction, turn)), chunk, last)
            }
            // A reply for each recipient, of whom there is none: the end of the transaction is silent.
            Stage::Mail(_) if last == Last::Yes => Running::Skip(chunk, None),
            stage => {
                let reply = match &stage {
                    Stage::New | Stage::Greeted => Reply::NEED_LHLO,
                    Stage::Idle | Stage::Chunks(_) => Reply::NEED_MAIL,
                    Stage::Mail(_) => Reply::NO_RECIPIENTS,
                };
                self.stage = stage;
                Running::Skip(chunk, Some(reply))
            }
        };
        Flow::Continue
    }

    /// More of a chunk.
    pub(super) fn go_on_chunk(
        &mut self,
        mut intake: Box<Intake>,
        mut chunk: ChunkDecoder,
        last: Last,
        turn: &mut Turn<'_>,
    ) -> Flow {
        if !intake.take_chunk(&mut chunk, turn) {
            self.running = Running::Chunk(intake, chunk, last);
            return Flow::Wait(Next::Input);
        }
        if last == Last::Yes {
            return self.finish(intake, turn);
        }
        let flow = say(turn, intake.refusal().unwrap_or(&Reply::CHUNK_OK));
        self.stage = Stage::Chunks(intake);
        flow
    }

    /// More of a chunk that nobody wants.
    pub(super) fn go_on_skip(
        &mut self,
        mut chunk: ChunkDecoder,
        reply: Option<Reply>,
        turn: &mut Turn<'_>,
    ) -> Flow {
        let taken = chunk.next(turn.input.unread()).len();
        turn.input.consume(taken);
        if !chunk.is_ended() {
            self.running = Running::Skip(chunk, reply);
            return Flow::Wait(Next::Input);
        }
        match reply {
            Some(reply) => say(turn, &reply),
            None => Flow::Continue,
        }
    }
}
