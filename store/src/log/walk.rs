//! Goes through the octets of a log in the order they lie in the file and verifies what can be verified: heads, checksums of changes, hashes of
//! contents. It is fed by whoever reads them anyway, and holds none of them but the head in hand.
//!
//! A frame that is not whole is damage if a whole one follows, or if the log is known to be longer; at the very end of a log it is none: it was never
//! acknowledged. Behind damage the walk goes on at the next head of this log, which the log's random id tells from whatever else lies there.

use xxhash_rust::xxh3::Xxh3Default;

use crate::log::frame::{ALIGNMENT, FRAME_HEAD_BYTES, FrameHead, FrameType};

const HEAD: usize = FRAME_HEAD_BYTES as usize;
/// Faults that are told one by one; the others are only counted.
const FAULTS_TOLD: usize = 100;

/// A walk through one log.
pub(crate) struct FrameWalk {
    log_id: u64,
    /// Where the next octet lies.
    offset: u64,
    state: State,
    /// Where the frame in hand begins.
    frame_at: u64,
    /// Faults behind which no whole frame has come yet.
    in_doubt: Vec<Fault>,
    told: Walked,
}

/// What a walk has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Walked {
    /// Where the last whole frame ends.
    pub(crate) end: u64,
    /// Whole frames.
    pub(crate) frames: u64,
    /// Those of them with a message.
    pub(crate) messages: u64,
    /// Those of them whose message was given up.
    pub(crate) given_up: u64,
    /// The first faults, and how many there are.
    pub(crate) faults: Vec<Fault>,
    pub(crate) fault_count: u64,
}

/// Something that is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) offset: u64,
    pub(crate) what: &'static str,
}

enum State {
    Head { bytes: [u8; HEAD], have: usize, lost: bool },
    Content { head: FrameHead, left: u64, hasher: Box<Xxh3Default> },
    Changes { head: FrameHead, left: u64, crc: u32, content: ContentState },
    Padding { left: u64 },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ContentState {
    None,
    Whole,
    GivenUp,
    Damaged,
}

impl FrameWalk {
    /// A walk from `offset`, where a frame begins or the log ends.
    pub(crate) fn new(log_id: u64, offset: u64) -> FrameWalk {
        FrameWalk {
            log_id,
            offset,
            state: State::Head { bytes: [0; HEAD], have: 0, lost: false },
            frame_at: offset,
            in_doubt: Vec::new(),
            told: Walked { end: offset, ..Walked::default() },
        }
    }

    /// Takes the next octets.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            self.offset += taken as u64;
            bytes = &bytes[taken..];
            self.turn();
        }
    }

    /// The log ends here. `known_end`: where it is known to end, if that is known.
    pub(crate) fn finish(mut self, known_end: Option<u64>) -> Walked {
        if known_end.is_some_and(|end| end > self.told.end) {
            if self.in_doubt.is_empty() {
                let what = "the file ends within a frame";
                self.in_doubt.push(Fault { offset: self.told.end, what });
            }
            self.believe_doubts();
        }
        self.told
    }

    /// Takes some of `bytes`, at least one; how many.
    fn step(&mut self, bytes: &[u8]) -> usize {
        match &mut self.state {
            State::Head { bytes: head, have, .. } => {
                let taken = bytes.len().min(HEAD - *have);
                head[*have..*have + taken].copy_from_slice(&bytes[..taken]);
                *have += taken;
                taken
            }
            State::Content { left, hasher, .. } => {
                let taken = least(bytes.len(), *left);
                hasher.update(&bytes[..taken]);
                *left -= taken as u64;
                taken
            }
            State::Changes { left, crc, .. } => {
                let taken = least(bytes.len(), *left);
                *crc = crc32c::crc32c_append(*crc, &bytes[..taken]);
                *left -= taken as u64;
                taken
            }
            State::Padding { left } => {
                let taken = least(bytes.len(), *left);
                *left -= taken as u64;
                taken
            }
        }
    }

    /// Goes from state to state while there is nothing left to take in the one in hand.
    fn turn(&mut self) {
        loop {
            self.state = match &mut self.state {
                State::Head { bytes, have: HEAD, lost } => match FrameHead::decode(bytes, self.log_id) {
                    Some(head) => {
                        self.frame_at = self.offset - FRAME_HEAD_BYTES;
                        let left = head.content_len;
                        State::Content { head, left, hasher: Box::default() }
                    }
                    None => {
                        if !*lost {
                            let at = self.offset - FRAME_HEAD_BYTES;
                            self.in_doubt.push(Fault { offset: at, what: "no frame where one should begin" });
                        }
                        // Frames begin at every eighth octet.
                        let mut rest = [0; HEAD];
                        let kept = HEAD - ALIGNMENT as usize;
                        rest[..kept].copy_from_slice(&bytes[ALIGNMENT as usize..]);
                        State::Head { bytes: rest, have: kept, lost: true }
                    }
                },
                State::Content { head, left: 0, hasher } => {
                    let content = match head.frame_type {
                        FrameType::Changes if head.content_len == 0 => ContentState::None,
                        FrameType::Changes => ContentState::Damaged,
                        FrameType::Delivery if head.content_gone => ContentState::GivenUp,
                        FrameType::Delivery if hasher.digest() == head.content_hash => ContentState::Whole,
                        FrameType::Delivery => ContentState::Damaged,
                    };
                    State::Changes { head: *head, left: u64::from(head.changes_len), crc: 0, content }
                }
                State::Changes { head, left: 0, crc, content } => {
                    let (head, content, intact) = (*head, *content, *crc == head.changes_crc);
                    self.end_frame(&head, content, intact);
                    let length = FRAME_HEAD_BYTES + head.content_len + u64::from(head.changes_len);
                    State::Padding { left: head.frame_len() - length }
                }
                State::Padding { left: 0 } => State::Head { bytes: [0; HEAD], have: 0, lost: false },
                _ => return,
            };
        }
    }

    fn end_frame(&mut self, head: &FrameHead, content: ContentState, changes_are_intact: bool) {
        let offset = self.frame_at;
        if !changes_are_intact || content == ContentState::Damaged {
            let what = if changes_are_intact {
                "the content of a frame is not what its hash says"
            } else {
                "the changes of a frame are not what their checksum says"
            };
            self.in_doubt.push(Fault { offset, what });
            return;
        }
        self.believe_doubts();
        self.told.frames += 1;
        self.told.messages += u64::from(head.frame_type == FrameType::Delivery);
        self.told.given_up += u64::from(content == ContentState::GivenUp);
        self.told.end = offset + head.frame_len();
    }

    fn believe_doubts(&mut self) {
        self.told.fault_count += self.in_doubt.len() as u64;
        let room = FAULTS_TOLD.saturating_sub(self.told.faults.len());
        self.told.faults.extend(self.in_doubt.drain(..).take(room));
    }
}

fn least(available: usize, wanted: u64) -> usize {
    usize::try_from(wanted).map_or(available, |wanted| available.min(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: u64 = 0x1234_5678_9abc_def0;

    fn frame(content: Option<&[u8]>, changes: &[u8]) -> Vec<u8> {
        let octets = content.unwrap_or_default();
        let mut hasher = Xxh3Default::new();
        hasher.update(octets);
        let head = FrameHead {
            log_id: ID,
            frame_type: if content.is_some() { FrameType::Delivery } else { FrameType::Changes },
            changes_len: changes.len() as u32,
            content_len: octets.len() as u64,
            content_hash: if content.is_some() { hasher.digest() } else { 0 },
            changes_crc: crc32c::crc32c(changes),
            seconds: 1,
            content_gone: false,
        };
        let mut bytes = head.encode().to_vec();
        bytes.extend_from_slice(octets);
        bytes.extend_from_slice(changes);
        bytes.resize(head.frame_len() as usize, 0);
        bytes
    }

    fn log() -> Vec<Vec<u8>> {
        vec![frame(Some(b"one message"), b"changes"), frame(None, b"more"), frame(Some(&[7; 5000]), b"x")]
    }

    fn walk(bytes: &[u8], step: usize, known_end: Option<u64>) -> Walked {
        let mut walk = FrameWalk::new(ID, 64);
        bytes.chunks(step).for_each(|chunk| walk.push(chunk));
        walk.finish(known_end)
    }

    #[test]
    fn whole_frames_are_counted_however_they_come() {
        let bytes = log().concat();
        let end = 64 + bytes.len() as u64;
        for step in [1, 7, 48, 4096, 1 << 20] {
            let walked = walk(&bytes, step, Some(end));
            assert_eq!((walked.end, walked.frames, walked.messages), (end, 3, 2), "{step}");
            assert_eq!(walked.fault_count, 0);
        }
        // What is behind the last frame is none of the log's.
        let mut longer = bytes.clone();
        longer.extend_from_slice(&[0; 8192]);
        longer.extend_from_slice(&bytes[..20]);
        assert_eq!(walk(&longer, 100, None).end, end);
        assert_eq!(walk(&longer, 100, None).fault_count, 0);
    }

    #[test]
    fn every_flipped_bit_but_in_the_padding_is_a_fault() {
        let frames = log();
        let bytes = frames.concat();
        let end = 64 + bytes.len() as u64;
        for at in (0..bytes.len()).filter(|at| *at < 250 || at % 97 == 0) {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            let walked = walk(&altered, 64, Some(end));
            let mut start = 0;
            let padding = frames.iter().any(|frame| {
                let used = frame.len() - frame.iter().rev().take_while(|octet| **octet == 0).count();
                let padding = start + used..start + frame.len();
                start += frame.len();
                padding.contains(&at)
            });
            assert_eq!(walked.fault_count == 0, padding, "octet {at}: {walked:?}");
        }
    }

    #[test]
    fn the_walk_goes_on_behind_damage_and_a_torn_end_is_none() {
        let frames = log();
        let mut bytes = frames.concat();
        bytes[3] ^= 4;
        let walked = walk(&bytes, 1000, None);
        assert_eq!((walked.frames, walked.fault_count), (2, 1));
        assert_eq!(walked.faults[0].offset, 64);
        let whole = frames.concat();
        let torn = &whole[..whole.len() - 3000];
        assert_eq!(walk(torn, 1000, None).fault_count, 0);
        assert_eq!(walk(torn, 1000, None).frames, 2);
        assert_eq!(walk(torn, 1000, Some(64 + whole.len() as u64)).fault_count, 1);
    }

    #[test]
    fn a_message_that_was_given_up_is_no_fault() {
        let before = log()[..2].concat().len();
        let mut bytes = log().concat();
        bytes[before + 48..before + 5048].fill(0);
        assert_eq!(walk(&bytes, 512, Some(64 + bytes.len() as u64)).fault_count, 1);
        let head = bytes[before..before + 48].try_into().expect("48");
        let head = FrameHead { content_gone: true, ..FrameHead::decode(&head, ID).expect("a head") };
        bytes[before..before + 48].copy_from_slice(&head.encode());
        let walked = walk(&bytes, 512, None);
        assert_eq!((walked.frames, walked.given_up, walked.fault_count), (3, 1, 0));
    }
}
