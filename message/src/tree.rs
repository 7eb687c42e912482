//! The tree of parts while a message streams by.
//!
//! Nodes stand in the order in which their headers begin, so a part is followed by what is inside it. A multipart has its parts as
//! children; a message/rfc822 has one child, the enclosed message, whose header begins where the body of its parent does. `open`
//! is the explicit stack of parts that have not ended. The scanner is the only caller.

use crate::analysis::{Analysis, Facts};
use crate::describe::{Form, Pieces, describe};
use crate::envelope;
use crate::header::KnownFields;
use crate::limits::{DESCRIPTION_OCTETS_MAX, NESTING_MAX, PARTS_MAX};
use crate::{Encoding, Globals, Media, PartKind};

/// A part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) header_start: u64,
    pub(crate) body_start: u64,
    pub(crate) body_end: u64,
    /// Line feeds in the body.
    pub(crate) lines: u64,
    /// This node and all inside it.
    pub(crate) subtree: u32,
    pub(crate) kind: PartKind,
    pub(crate) media: Media,
    pub(crate) encoding: Encoding,
    /// Index into the charsets.
    pub(crate) charset: u8,
    pub(crate) pieces: Pieces,
}

/// A place in the message: its offset, and the line feeds before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) lines: u64,
}

/// What the scanner meets next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A header, of the part opened last.
    Header,
    /// The body of the part opened last.
    Body,
}

/// A boundary line of an open multipart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Boundary {
    level: usize,
    closes: bool,
}

#[derive(Debug)]
struct Open {
    node: usize,
    body_lines_before: u64,
    /// Of a multipart whose closing boundary has not come.
    boundary: Option<Box<[u8]>>,
    is_digest: bool,
}

/// The parts found up to now.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    open: Vec<Open>,
    /// Bit n: a boundary of an open multipart has n octets, modulo 64.
    lengths: u64,
    is_full: bool,
    arena: Vec<u8>,
    charsets: Vec<Vec<u8>>,
    facts: Facts,
    globals: Globals,
}

impl Tree {
    /// A tree with the message itself, whose header comes next.
    pub(crate) fn new(globals: Globals) -> Self {
        let mut tree = Tree {
            nodes: Vec::with_capacity(4),
            open: Vec::with_capacity(4),
            lengths: 0,
            is_full: false,
            arena: Vec::with_capacity(512),
            charsets: vec![Vec::new()],
            facts: Facts::default(),
            globals,
        };
        tree.begin(0);
        tree
    }

    /// Does the header that comes next belong to the message itself?
    pub(crate) fn is_top(&self) -> bool {
        self.nodes.len() == 1
    }

    /// Can a boundary line come at all?
    pub(crate) fn awaits_boundary(&self) -> bool {
        self.lengths != 0 && !self.is_full
    }

    fn begin(&mut self, header_start: u64) {
        self.open.push(Open {
            node: self.nodes.len(),
            body_lines_before: 0,
            boundary: None,
            is_digest: false,
        });
        self.nodes.push(Node {
            header_start,
            body_start: header_start,
            body_end: header_start,
            lines: 0,
            subtree: 1,
            kind: PartKind::Leaf,
            media: Media::Text,
            encoding: Encoding::Identity,
            charset: 0,
            pieces: Pieces::default(),
        });
    }

    /// The header of the part opened last is complete, or as much of it as is analysed; `body` is where its body begins.
    pub(crate) fn header_ended(&mut self, header: &[u8], is_whole: bool, body: Place) -> Next {
        let parent = self.open.len().checked_sub(2).map(|level| &self.open[level]);
        let in_digest = parent.is_some_and(|parent| parent.is_digest);
        let enclosing =
            parent.map(|parent| parent.node).filter(|&node| self.nodes[node].kind == PartKind::Message);
        // A boundary line takes the line end before it even from a header of nothing. An enclosed message still begins where the body
        // around it does; another part begins as early as it ends.
        let floor = enclosing.map_or(0, |node| self.nodes[node].body_start);
        let body = Place { offset: body.offset.max(floor), ..body };
        if let Some(open) = self.open.last() {
            let node = &mut self.nodes[open.node];
            node.header_start = node.header_start.min(body.offset);
        }
        let fields;
        if self.is_top() {
            let (facts, known) = Facts::read(header, is_whole);
            self.facts = facts;
            fields = known;
        } else {
            fields = KnownFields::read(header);
        }
        if let Some(node) = enclosing {
            self.nodes[node].pieces.envelope = self.enclosed_envelope(&fields);
        }
        let is_room = self.open.len() <= NESTING_MAX;
        let may_enclose = is_room && self.nodes.len() < PARTS_MAX;
        let form = |media| match media {
            Media::Multipart if !is_room => Form::Opaque,
            Media::Message if !may_enclose => Form::Opaque,
            _ => Form::AsDeclared,
        };
        let description = describe(&fields, in_digest, form, self.globals, &mut self.arena);
        let charset = self.charset(description.charset);

        let Some(open) = self.open.last_mut() else { return Next::Body };
        open.body_lines_before = body.lines;
        open.is_digest = description.is_digest;
        let node = &mut self.nodes[open.node];
        node.body_start = body.offset;
        node.body_end = body.offset;
        node.media = description.media;
        node.encoding = description.encoding;
        node.charset = charset;
        node.pieces = description.pieces;
        match description.media {
            Media::Multipart => {
                node.kind = PartKind::Multipart;
                open.boundary = Some(description.boundary.into());
                self.measure_boundaries();
                Next::Body
            }
            // RFC 2046 5.2.1 allows no encoding here. What is encoded nevertheless cannot be looked into.
            Media::Message
                if !matches!(description.encoding, Encoding::Base64 | Encoding::QuotedPrintable) =>
            {
                node.kind = PartKind::Message;
                self.begin(body.offset);
                Next::Header
            }
            _ => Next::Body,
        }
    }

    fn enclosed_envelope(&mut self, fields: &KnownFields<'_>) -> std::ops::Range<usize> {
        let start = self.arena.len();
        envelope::write(fields, &mut self.arena);
        if self.arena.len() > DESCRIPTION_OCTETS_MAX {
            self.arena.truncate(start);
            self.arena.extend_from_slice(envelope::EMPTY);
        }
        start..self.arena.len()
    }

    /// The index of a charset name. There are few in one message; those that find no room count as unnamed.
    fn charset(&mut self, name: Vec<u8>) -> u8 {
        let index = match self.charsets.iter().position(|known| *known == name) {
            Some(index) => index,
            None => {
                self.charsets.push(name);
                self.charsets.len() - 1
            }
        };
        u8::try_from(index).unwrap_or_else(|_| {
            self.charsets.truncate(256);
            0
        })
    }

    fn measure_boundaries(&mut self) {
        self.lengths = (self.open.iter())
            .filter_map(|open| open.boundary.as_ref())
            .fold(0, |lengths, boundary| lengths | length_bit(boundary.len()));
    }

    /// Is this line a boundary of an open multipart? The innermost one counts. White space behind it is allowed (RFC 2046 5.1.1).
    pub(crate) fn boundary(&mut self, line: &[u8]) -> Option<Boundary> {
        if !self.awaits_boundary() {
            return None;
        }
        let text = line.strip_prefix(b"--")?.trim_ascii_end();
        let stem = text.strip_suffix(b"--");
        let lengths = length_bit(text.len()) | stem.map_or(0, |stem| length_bit(stem.len()));
        if self.lengths & lengths == 0 {
            return None;
        }
        let found = self.open.iter().enumerate().rev().find_map(|(level, open)| {
            let boundary = open.boundary.as_deref()?;
            let closes = stem == Some(boundary);
            (closes || text == boundary).then_some(Boundary { level, closes })
        })?;
        if !found.closes && self.nodes.len() >= PARTS_MAX {
            self.is_full = true;
            return None;
        }
        Some(found)
    }

    /// Acts on a boundary line: what is open inside that multipart ends before the line. `line_end_before` is the line end in front
    /// of the line, which belongs to the boundary; `after` is the offset behind the line.
    pub(crate) fn split(
        &mut self,
        boundary: Boundary,
        line: Place,
        line_end_before: LineEnd,
        after: u64,
    ) -> Next {
        let innermost = self.open.last().map_or(0, |open| self.nodes[open.node].body_start);
        let end = match line_end_before.remove(line) {
            // The line end in front is the blank line that ends the header, and stays with it.
            end if end.offset < innermost => line,
            end => end,
        };
        while self.open.len() > boundary.level + 1 {
            self.close(end);
        }
        if boundary.closes {
            self.open[boundary.level].boundary = None;
        }
        self.measure_boundaries();
        if boundary.closes {
            return Next::Body;
        }
        self.begin(after);
        Next::Header
    }

    /// The message ended: so did everything that is open.
    pub(crate) fn finish(mut self, end: Place) -> Analysis {
        while !self.open.is_empty() {
            self.close(end);
        }
        Analysis {
            size: end.offset,
            nodes: self.nodes,
            arena: self.arena,
            charsets: self.charsets,
            facts: self.facts,
        }
    }

    fn close(&mut self, end: Place) {
        let Some(open) = self.open.pop() else { return };
        let count = self.nodes.len();
        let node = &mut self.nodes[open.node];
        node.subtree = u32::try_from(count - open.node).unwrap_or(u32::MAX);
        if end.offset > node.body_start {
            node.body_end = end.offset;
            node.lines = end.lines.saturating_sub(open.body_lines_before);
        }
        if node.kind == PartKind::Multipart && node.subtree == 1 {
            // IMAP has no form for a multipart without parts (RFC 3501 9, body-type-mpart), and as text it can be read.
            node.kind = PartKind::Leaf;
            node.media = Media::Text;
            node.pieces.basic = append(&mut self.arena, b"\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\"");
            node.pieces.extension = append(&mut self.arena, b" NIL NIL NIL NIL");
            node.encoding = Encoding::Identity;
        }
    }
}

/// The line end in front of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineEnd {
    /// The line is the first of the message.
    None,
    /// A bare line feed.
    Lf,
    /// CR and LF.
    CrLf,
}

impl LineEnd {
    /// The place before this line end, given the one behind it.
    pub(crate) fn remove(self, place: Place) -> Place {
        let (octets, lines) = match self {
            LineEnd::None => (0, 0),
            LineEnd::Lf => (1, 1),
            LineEnd::CrLf => (2, 1),
        };
        Place { offset: place.offset.saturating_sub(octets), lines: place.lines.saturating_sub(lines) }
    }
}

fn length_bit(length: usize) -> u64 {
    1 << (length % 64)
}

fn append(arena: &mut Vec<u8>, piece: &[u8]) -> std::ops::Range<usize> {
    let start = arena.len();
    arena.extend_from_slice(piece);
    start..arena.len()
}
