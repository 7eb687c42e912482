//! BODY and BODYSTRUCTURE in wire form (RFC 3501 7.4.2), written from the nodes of a message without recursion.

use crate::analysis::Analysis;
use crate::tree::Node;
use crate::{Media, PartKind, envelope, wire};

/// Which of the two forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// BODY: without extension data.
    Body,
    /// BODYSTRUCTURE
    BodyStructure,
}

/// Appends the structure of the message.
pub(crate) fn write(analysis: &Analysis, form: Form, out: &mut Vec<u8>) {
    let mut open: Vec<(&Node, usize)> = Vec::new();
    for (index, node) in analysis.nodes.iter().enumerate() {
        out.push(b'(');
        let piece = |range: &std::ops::Range<usize>| &analysis.arena[range.clone()];
        match node.kind {
            PartKind::Multipart => {}
            PartKind::Message => {
                basic(node, analysis, out);
                out.push(b' ');
                out.extend_from_slice(piece(&node.pieces.envelope));
                out.push(b' ');
            }
            PartKind::Leaf => {
                basic(node, analysis, out);
                if node.media == Media::Message {
                    // It cannot be looked into, but the type demands an envelope and a body.
                    out.push(b' ');
                    out.extend_from_slice(envelope::EMPTY);
                    out.extend_from_slice(b" (\"TEXT\" \"PLAIN\" NIL NIL NIL \"7BIT\" 0 0)");
                }
                end(node, analysis, form, out);
            }
        }
        if node.kind != PartKind::Leaf {
            open.push((node, index + node.subtree as usize));
        }
        while let Some(&(parent, behind)) = open.last()
            && behind == index + 1
        {
            open.pop();
            end(parent, analysis, form, out);
        }
    }
}

fn basic(node: &Node, analysis: &Analysis, out: &mut Vec<u8>) {
    out.extend_from_slice(&analysis.arena[node.pieces.basic.clone()]);
    out.push(b' ');
    wire::number(out, node.body_end - node.body_start);
}

/// What follows the parts inside, or the size of a leaf.
fn end(node: &Node, analysis: &Analysis, form: Form, out: &mut Vec<u8>) {
    if node.kind == PartKind::Multipart {
        out.push(b' ');
        out.extend_from_slice(&analysis.arena[node.pieces.basic.clone()]);
    }
    if matches!(node.media, Media::Text | Media::Html | Media::Message) {
        out.push(b' ');
        wire::number(out, node.lines);
    }
    if form == Form::BodyStructure {
        out.extend_from_slice(&analysis.arena[node.pieces.extension.clone()]);
    }
    out.push(b')');
}
