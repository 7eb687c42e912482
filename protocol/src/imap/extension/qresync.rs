//! QRESYNC (RFC 7162 section 3.2): the parameters of SELECT and EXAMINE, with ANNOTATE (RFC 5257 section 4.2).

use super::condstore::parse_modseq;
use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::sequence_set::SequenceSet;

/// What SELECT and EXAMINE are to do besides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SelectParameters {
    /// CONDSTORE: the client wants modification sequences.
    pub condstore: bool,
    /// QRESYNC: the client wants to know what happened since.
    pub qresync: Option<QResync>,
    /// ANNOTATE (RFC 5257): the client wants to be told of changes of annotations.
    pub annotate: bool,
}

/// What a client remembers of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QResync {
    /// UIDVALIDITY. If it is another now, nothing else counts.
    pub uid_validity: u32,
    /// The modification sequence up to which the client knows everything; not 0.
    pub modseq: u64,
    /// The UIDs that it knows, without `*`; `None` for all.
    pub known_uids: Option<SequenceSet>,
    /// Some messages whose numbers it knows.
    pub sequence_match: Option<SequenceMatch>,
}

/// Sequence numbers and the UIDs they had, both ascending and as many, without `*` (RFC 7162 section 3.2.5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceMatch {
    sequences: SequenceSet,
    uids: SequenceSet,
}

impl SelectParameters {
    /// Parses ` (parameters)`, if they are there.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let mut parameters = SelectParameters::default();
        cursor.skip_spaces();
        if cursor.peek() != Some(b'(') {
            return Ok(parameters);
        }
        cursor.list(|cursor| {
            match cursor.keyword()?.as_bytes() {
                b"CONDSTORE" => parameters.condstore = true,
                b"ANNOTATE" => parameters.annotate = true,
                b"QRESYNC" if parameters.qresync.is_none() => {
                    cursor.space()?;
                    parameters.qresync = Some(QResync::parse(cursor)?);
                }
                b"QRESYNC" => return Err(Fault::syntax("QRESYNC twice")),
                _ => return Err(Fault::syntax("Unknown parameter of SELECT")),
            }
            Ok(())
        })?;
        Ok(parameters)
    }
}

impl QResync {
    fn parse(cursor: &mut Cursor<'_>) -> Result<QResync, Fault> {
        cursor.expect(b'(', "Expected ( behind QRESYNC")?;
        cursor.skip_spaces();
        let uid_validity = cursor.nonzero_number()?;
        cursor.space()?;
        let modseq = parse_modseq(cursor)?;
        let mut qresync = QResync { uid_validity, modseq, known_uids: None, sequence_match: None };
        let mut has_more = cursor.take_space_before_more();
        if has_more && cursor.peek() != Some(b'(') {
            qresync.known_uids = Some(parse_known(cursor)?);
            has_more = cursor.take_space_before_more();
        }
        if has_more {
            qresync.sequence_match = Some(SequenceMatch::parse(cursor)?);
            cursor.skip_spaces();
        }
        cursor.expect(b')', "Expected ) behind the parameters of QRESYNC")?;
        Ok(qresync)
    }
}

/// A set without `*`.
fn parse_known(cursor: &mut Cursor<'_>) -> Result<SequenceSet, Fault> {
    let set = SequenceSet::parse_numbers(cursor)?;
    if set.has_star() { Err(Fault::syntax("* is not known to a client")) } else { Ok(set) }
}

fn is_ascending(set: &SequenceSet) -> bool {
    let each = set.ranges().iter().all(|&(first, last)| first <= last);
    each && set.ranges().windows(2).all(|pair| pair[0].1 < pair[1].0)
}

fn count(set: &SequenceSet) -> u64 {
    set.ranges().iter().map(|&(first, last)| u64::from(last - first) + 1).sum()
}

impl SequenceMatch {
    /// The pairs, if they are such.
    pub fn new(sequences: SequenceSet, uids: SequenceSet) -> Option<SequenceMatch> {
        let are_pairs = is_ascending(&sequences) && is_ascending(&uids) && count(&sequences) == count(&uids);
        let is_right = are_pairs && ![&sequences, &uids].iter().any(|set| set.has_star() || set.is_saved());
        is_right.then_some(SequenceMatch { sequences, uids })
    }

    fn parse(cursor: &mut Cursor<'_>) -> Result<SequenceMatch, Fault> {
        cursor.expect(b'(', "Expected ( before message numbers and their UIDs")?;
        cursor.skip_spaces();
        let sequences = parse_known(cursor)?;
        cursor.space()?;
        let uids = parse_known(cursor)?;
        cursor.skip_spaces();
        cursor.expect(b')', "Expected ) behind message numbers and their UIDs")?;
        SequenceMatch::new(sequences, uids)
            .ok_or(Fault::syntax("Not as many ascending UIDs as message numbers"))
    }

    /// The sequence numbers, ascending.
    pub fn sequences(&self) -> &SequenceSet {
        &self.sequences
    }

    /// Their UIDs, ascending.
    pub fn uids(&self) -> &SequenceSet {
        &self.uids
    }

    /// The first sequence numbers of stretches in which both numbers ascend by one, their UIDs, and how many they are.
    pub fn stretches(&self) -> Vec<(u32, u32, u32)> {
        let mut stretches = Vec::new();
        let (mut sequences, mut uids) = (self.sequences.ranges().iter(), self.uids.ranges().iter());
        let (mut sequence, mut uid) = (sequences.next().copied(), uids.next().copied());
        while let (Some((first_sequence, last_sequence)), Some((first_uid, last_uid))) = (sequence, uid) {
            let more = (last_sequence - first_sequence).min(last_uid - first_uid);
            stretches.push((first_sequence, first_uid, more.saturating_add(1)));
            sequence = if first_sequence + more == last_sequence {
                sequences.next().copied()
            } else {
                Some((first_sequence + more + 1, last_sequence))
            };
            uid = if first_uid + more == last_uid {
                uids.next().copied()
            } else {
                Some((first_uid + more + 1, last_uid))
            };
        }
        stretches
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::limits::Limits;

    fn parse(text: &str) -> Result<SelectParameters, Fault> {
        let mut cursor = Cursor::new(text.as_bytes(), &Limits::LOGGED_IN);
        let parameters = SelectParameters::parse(&mut cursor)?;
        cursor.end()?;
        Ok(parameters)
    }

    fn written(set: &SequenceSet) -> String {
        let mut out = Vec::new();
        set.write(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn all_forms() {
        assert_eq!(parse(""), Ok(SelectParameters::default()));
        assert!(parse(" (CONDSTORE)").expect("right").condstore);
        let short = parse(" (QRESYNC (67890007 90060115194045000))").expect("right").qresync.expect("given");
        assert_eq!((short.uid_validity, short.modseq), (67_890_007, 90_060_115_194_045_000));
        assert_eq!((short.known_uids, short.sequence_match), (None, None));
        let long = parse(" (condstore qresync (1 2 41:211,214 (1:3,9 2:4,30)))").expect("right");
        assert!(long.condstore);
        let long = long.qresync.expect("given");
        assert_eq!(written(&long.known_uids.expect("given")), "41:211,214");
        assert_eq!(long.sequence_match.expect("given").stretches(), [(1, 2, 3), (9, 30, 1)]);
        let without_uids = parse(" (QRESYNC (1 2 (1 2) ) )").expect("right").qresync.expect("given");
        assert_eq!(without_uids.known_uids, None);
        assert!(without_uids.sequence_match.is_some());
    }

    #[test]
    fn wrong_forms() {
        for wrong in [
            " (QRESYNC)",
            " (QRESYNC 1 2)",
            " (QRESYNC (1))",
            " (QRESYNC (0 2))",
            " (QRESYNC (1 0))",
            " (QRESYNC (1 2 *))",
            " (QRESYNC (1 2 1:*))",
            " (QRESYNC (1 2 $))",
            " (QRESYNC (1 2 1:4 (1,2 3)))",
            " (QRESYNC (1 2 1:4 (2,1 3,4)))",
            " (QRESYNC (1 2 1:4 (1,2 4,3)))",
            " (QRESYNC (1 2 1:4 (2:1 3:4)))",
            " (QRESYNC (1 2 1:4 (1,1 3,4)))",
            " (QRESYNC (1 2 1:4 (1:* 3:*)))",
            " (QRESYNC (1 2 1:4 (1 3) 5))",
            " (QRESYNC (4294967296 2))",
            " (QRESYNC (1 9223372036854775808))",
            " (QRESYNC (1 2) QRESYNC (1 2))",
            " (QRESYNC (1 2)",
            " (ANNOTATION)",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sets_have_a_limit() {
        use crate::imap::syntax::cursor::FaultKind;
        let many =
            (1..=Limits::LOGGED_IN.ranges + 1).map(|n| (2 * n).to_string()).collect::<Vec<_>>().join(",");
        for text in [format!(" (QRESYNC (1 2 {many}))"), format!(" (QRESYNC (1 2 ({many} 1)))")] {
            assert_eq!(parse(&text).map_err(|fault| fault.kind), Err(FaultKind::Limit));
        }
        let most = many.rsplit_once(',').expect("many").0;
        let parsed = parse(&format!(" (QRESYNC (1 2 1:9 ({most} {most})))")).expect("as many as may be");
        let pairs = parsed.qresync.and_then(|qresync| qresync.sequence_match).expect("given");
        assert_eq!(pairs.stretches().len(), Limits::LOGGED_IN.ranges);
        // However many numbers are meant, no more is kept than was written.
        let all = parse(" (QRESYNC (1 2 1:4294967295 (1:4294967295 1:4294967295)))").expect("right");
        assert_eq!(
            all.qresync.and_then(|qresync| qresync.sequence_match).expect("given").stretches().len(),
            1
        );
    }

    #[test]
    fn stretches_pair_numbers_however_they_are_written() {
        let parse_set = |text: &str| {
            SequenceSet::parse(&mut Cursor::new(text.as_bytes(), &Limits::LOGGED_IN)).expect("a set")
        };
        let pairs = SequenceMatch::new(parse_set("1:4,8:9"), parse_set("1,3:5,100:101")).expect("as many");
        assert_eq!(pairs.stretches(), [(1, 1, 1), (2, 3, 3), (8, 100, 2)]);
        let whole =
            SequenceMatch::new(parse_set("1:4294967295"), parse_set("1:4294967295")).expect("as many");
        assert_eq!(whole.stretches(), [(1, 1, u32::MAX)]);
    }
}
