//! The description of one part from its header: the pieces of BODYSTRUCTURE that do not depend on what follows the header.

use std::ops::Range;

use crate::content::{self, Gathered, MediaType, Parameters};
use crate::header::{Known, KnownFields};
use crate::limits::{BOUNDARY_OCTETS_MAX, DESCRIPTION_OCTETS_MAX};
use crate::{Encoding, Globals, Media, wire};

/// What a part's header says.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    pub(crate) media: Media,
    pub(crate) encoding: Encoding,
    /// In lower case; empty if there is none.
    pub(crate) charset: Vec<u8>,
    /// Of a multipart; empty if there is none.
    pub(crate) boundary: Vec<u8>,
    /// Is this a multipart/digest, whose parts are messages unless they say otherwise (RFC 2046 5.1.5)?
    pub(crate) is_digest: bool,
    pub(crate) pieces: Pieces,
}

/// Pieces of BODYSTRUCTURE, as ranges of the arena they were written to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pieces {
    /// Of a part that is no multipart: type, subtype, parameters, id, description, encoding. Of a multipart: subtype.
    pub(crate) basic: Range<usize>,
    /// Extension data, with a space before each. Of a part that is no multipart: MD5, disposition, language, location. Of a
    /// multipart: parameters, disposition, language, location.
    pub(crate) extension: Range<usize>,
    /// Of an enclosed message.
    pub(crate) envelope: Range<usize>,
}

/// How a part is to be described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// By what its header says.
    AsDeclared,
    /// As an opaque leaf: it is nested too deep to be looked into.
    Opaque,
}

/// Reads the MIME fields of a part and appends its pieces to `arena`.
pub(crate) fn describe(
    fields: &KnownFields<'_>,
    in_digest: bool,
    form: impl FnOnce(Media) -> Form,
    globals: Globals,
    arena: &mut Vec<u8>,
) -> Description {
    let encoding_name = content::encoding_name(fields.first(Known::ContentTransferEncoding));
    let encoding = content::encoding(&encoding_name);
    let raw = fields.first(Known::ContentType);
    let declared = raw.and_then(|raw| {
        let mut parameters = Parameters::new(raw);
        MediaType::read(&mut parameters).map(|media_type| (media_type, parameters))
    });
    let default = match (raw, in_digest) {
        (None, true) => MediaType::new(b"MESSAGE", b"RFC822"),
        _ => MediaType::new(b"TEXT", b"PLAIN"),
    };
    let (mut media_type, parameters) = match declared {
        Some((media_type, parameters)) => (media_type, Some(parameters)),
        None => (default, None),
    };

    let parameters_start = arena.len();
    let mut found = Found::default();
    if let Some(parameters) = parameters {
        found = Found::read(parameters, arena);
    } else if media_type.media(globals) == Media::Text {
        arena.extend_from_slice(b"(\"CHARSET\" \"US-ASCII\")");
    } else {
        arena.extend_from_slice(b"NIL");
    }
    if arena.len() > DESCRIPTION_OCTETS_MAX {
        arena.truncate(parameters_start);
        arena.extend_from_slice(b"NIL");
    }
    let parameters = parameters_start..arena.len();

    if form(media_type.media(globals)) == Form::Opaque {
        media_type = MediaType::new(b"APPLICATION", b"OCTET-STREAM");
    } else if media_type.media(globals) == Media::Multipart && found.boundary.is_empty() {
        // Not a valid multipart, so the default of RFC 2045 5.2 holds. It also is what lets a client show it.
        media_type = MediaType::new(b"TEXT", b"PLAIN");
    }
    let media = media_type.media(globals);
    let pieces = Pieces {
        basic: basic(fields, &media_type, parameters.clone(), &encoding_name, arena),
        extension: extension(fields, media, parameters, arena),
        envelope: 0..0,
    };
    Description {
        media,
        encoding,
        charset: found.charset,
        boundary: found.boundary,
        is_digest: media == Media::Multipart && media_type.sub == b"DIGEST",
        pieces,
    }
}

/// Parameters of a Content-Type that matter beyond its description.
#[derive(Default)]
struct Found {
    charset: Vec<u8>,
    boundary: Vec<u8>,
}

impl Found {
    /// Reads all parameters, and appends them to `arena` as they are written.
    fn read(mut parameters: Parameters<'_>, arena: &mut Vec<u8>) -> Self {
        let mut charset = Gathered::new(b"charset");
        let mut boundary = Gathered::new(b"boundary");
        let mut list = List::default();
        while let Some((attribute, value)) = parameters.parameter() {
            list.pair(attribute, value, arena);
            charset.take(attribute, value);
            boundary.take(attribute, value);
        }
        list.end(arena);
        let mut boundary = boundary.value();
        boundary.truncate(boundary.trim_ascii_end().len());
        if boundary.len() > BOUNDARY_OCTETS_MAX {
            boundary.clear();
        }
        Found { charset: self::charset(&charset.value()), boundary }
    }
}

/// A charset name as records keep it: lower case, printable ASCII, of sane length.
fn charset(value: &[u8]) -> Vec<u8> {
    let value = value.trim_ascii();
    let valid = value.len() <= 64 && value.iter().all(u8::is_ascii_graphic);
    if valid { value.to_ascii_lowercase() } else { Vec::new() }
}

/// A parameter list in the making; NIL if nothing comes.
#[derive(Default)]
struct List {
    is_open: bool,
}

impl List {
    fn pair(&mut self, attribute: &[u8], value: &[u8], out: &mut Vec<u8>) {
        out.push(if self.is_open { b' ' } else { b'(' });
        self.is_open = true;
        wire::string(out, attribute);
        out.push(b' ');
        wire::string(out, value);
    }

    fn end(self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.is_open { b")" } else { b"NIL" });
    }
}

fn basic(
    fields: &KnownFields<'_>,
    media_type: &MediaType,
    parameters: Range<usize>,
    encoding_name: &[u8],
    out: &mut Vec<u8>,
) -> Range<usize> {
    let start = out.len();
    if media_type.media(Globals::Parts) == Media::Multipart {
        wire::string(out, &media_type.sub);
        return start..out.len();
    }
    wire::string(out, &media_type.main);
    out.push(b' ');
    wire::string(out, &media_type.sub);
    out.push(b' ');
    out.extend_from_within(parameters);
    out.push(b' ');
    bounded(out, |out| text(fields, Known::ContentId, out));
    out.push(b' ');
    bounded(out, |out| text(fields, Known::ContentDescription, out));
    out.push(b' ');
    wire::string(out, encoding_name);
    start..out.len()
}

fn extension(
    fields: &KnownFields<'_>,
    media: Media,
    parameters: Range<usize>,
    out: &mut Vec<u8>,
) -> Range<usize> {
    let start = out.len();
    out.push(b' ');
    if media == Media::Multipart {
        out.extend_from_within(parameters);
    } else {
        bounded(out, |out| text(fields, Known::ContentMd5, out));
    }
    out.push(b' ');
    bounded(out, |out| disposition(fields, out));
    out.push(b' ');
    bounded(out, |out| language(fields, out));
    out.push(b' ');
    bounded(out, |out| text(fields, Known::ContentLocation, out));
    start..out.len()
}

/// Lets `write` append, and takes it back for a NIL where that leads beyond what descriptions may take.
fn bounded(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    if start < DESCRIPTION_OCTETS_MAX {
        write(out);
    }
    if out.len() > DESCRIPTION_OCTETS_MAX || out.len() == start {
        out.truncate(start);
        out.extend_from_slice(b"NIL");
    }
}

fn text(fields: &KnownFields<'_>, known: Known, out: &mut Vec<u8>) {
    let value = fields.first(known).map(wire::unfold).filter(|value| !value.is_empty());
    wire::nstring(out, value.as_deref());
}

fn disposition(fields: &KnownFields<'_>, out: &mut Vec<u8>) {
    let Some(raw) = fields.first(Known::ContentDisposition) else { return };
    let mut parameters = Parameters::new(raw);
    let name = parameters.token();
    if name.is_empty() {
        return;
    }
    out.push(b'(');
    wire::string(out, name);
    out.push(b' ');
    let mut list = List::default();
    while let Some((attribute, value)) = parameters.parameter() {
        list.pair(attribute, value, out);
    }
    list.end(out);
    out.push(b')');
}

fn language(fields: &KnownFields<'_>, out: &mut Vec<u8>) {
    let Some(raw) = fields.first(Known::ContentLanguage) else { return };
    let mut tags = Parameters::new(raw);
    let mut list = Vec::new();
    loop {
        let tag = tags.token();
        if !tag.is_empty() {
            list.push(tag);
        }
        if !tags.take(b',') {
            break;
        }
    }
    match list.as_slice() {
        [] => {}
        [tag] => wire::string(out, tag),
        tags => {
            for (index, tag) in tags.iter().enumerate() {
                out.push(if index == 0 { b'(' } else { b' ' });
                wire::string(out, tag);
            }
            out.push(b')');
        }
    }
}
