//! SORT, UID SORT, THREAD and UID THREAD (RFC 5256), with SORT=DISPLAY (RFC 5957), the result options of ESORT (RFC 5267
//! section 3) and RELEVANCY (RFC 6203 section 6).

use super::annotate::SortAnnotation;
use super::result_options::ResultOptions;
use crate::imap::command::Numbering;
use crate::imap::command::search::{SearchCharset, SearchKey};
use crate::imap::syntax::cursor::{Cursor, Fault};
use crate::imap::syntax::string;

/// How many criteria a SORT may have. There are ten keys and annotations, and a second time none of them makes a difference.
pub const SORT_CRITERIA_MAX: usize = 32;

/// SORT and UID SORT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortArguments {
    /// What the numbers in the reply are.
    pub numbering: Numbering,
    /// What the reply is to say, in an ESEARCH reply; `None` for a SORT reply.
    pub options: Option<ResultOptions>,
    /// What is compared, the most important first. At least one, and none with the key of an earlier one.
    pub criteria: Vec<SortCriterion>,
    /// How texts in `key` are encoded.
    pub charset: SearchCharset,
    /// What a message must be.
    pub key: SearchKey,
}

/// One criterion of a SORT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortCriterion {
    /// What is compared.
    pub key: SortKey,
    /// Which comes first.
    pub direction: Direction,
}

/// Which of two messages comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The smaller.
    Ascending,
    /// The greater: REVERSE.
    Descending,
}

/// What a SORT compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortKey {
    /// ANNOTATION (RFC 5257 section 4.9): a value; without one, an empty one.
    Annotation(Box<SortAnnotation>),
    /// ARRIVAL: the internal date and time.
    Arrival,
    /// CC: mailbox of the first address.
    Cc,
    /// DATE: the sent date and time, or else the internal one.
    Date,
    /// DISPLAYFROM: what the first address is displayed as (RFC 5957).
    DisplayFrom,
    /// DISPLAYTO: what the first address is displayed as (RFC 5957).
    DisplayTo,
    /// FROM: mailbox of the first address.
    From,
    /// RELEVANCY: how well it fits, the best first; only with a FUZZY key (RFC 6203).
    Relevancy,
    /// SIZE: octets.
    Size,
    /// SUBJECT: the base subject.
    Subject,
    /// TO: mailbox of the first address.
    To,
}

/// THREAD and UID THREAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadArguments {
    /// What the numbers in the reply are.
    pub numbering: Numbering,
    /// How threads are made.
    pub algorithm: ThreadAlgorithm,
    /// How texts in `key` are encoded.
    pub charset: SearchCharset,
    /// What a message must be.
    pub key: SearchKey,
}

/// How threads are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    /// ORDEREDSUBJECT
    OrderedSubject,
    /// REFERENCES
    References,
}

impl SortArguments {
    pub(crate) fn parse(cursor: &mut Cursor<'_>, numbering: Numbering) -> Result<Self, Fault> {
        cursor.space()?;
        let options = ResultOptions::parse_if_given(cursor)?;
        let mut criteria: Vec<SortCriterion> = Vec::new();
        let mut count = 0;
        cursor.list(|cursor| {
            count += 1;
            if count > SORT_CRITERIA_MAX {
                return Err(Fault::limit("Too many sort criteria"));
            }
            let criterion = SortCriterion::parse(cursor)?;
            if criteria.iter().all(|earlier| earlier.key != criterion.key) {
                criteria.push(criterion);
            }
            Ok(())
        })?;
        if criteria.is_empty() {
            return Err(Fault::syntax("Expected a sort criterion"));
        }
        let (charset, key) = parse_search(cursor)?;
        if let Some(options) = &options {
            options.check(&key)?;
        }
        if criteria.iter().any(|criterion| criterion.key == SortKey::Relevancy) && !key.has_fuzzy() {
            return Err(Fault::syntax("RELEVANCY needs a FUZZY key"));
        }
        Ok(SortArguments { numbering, options, criteria, charset, key })
    }
}

impl SortCriterion {
    fn parse(cursor: &mut Cursor<'_>) -> Result<Self, Fault> {
        let mut name = cursor.keyword()?;
        let mut direction = Direction::Ascending;
        if name.as_bytes() == b"REVERSE" {
            direction = Direction::Descending;
            cursor.space()?;
            name = cursor.keyword()?;
        }
        let key = match name.as_bytes() {
            b"ANNOTATION" => SortKey::Annotation(Box::new(SortAnnotation::parse(cursor)?)),
            b"ARRIVAL" => SortKey::Arrival,
            b"CC" => SortKey::Cc,
            b"DATE" => SortKey::Date,
            b"DISPLAYFROM" => SortKey::DisplayFrom,
            b"DISPLAYTO" => SortKey::DisplayTo,
            b"FROM" => SortKey::From,
            b"RELEVANCY" => SortKey::Relevancy,
            b"SIZE" => SortKey::Size,
            b"SUBJECT" => SortKey::Subject,
            b"TO" => SortKey::To,
            _ => return Err(Fault::syntax("Unknown sort criterion")),
        };
        Ok(SortCriterion { key, direction })
    }
}

impl ThreadArguments {
    pub(crate) fn parse(cursor: &mut Cursor<'_>, numbering: Numbering) -> Result<Self, Fault> {
        cursor.space()?;
        let algorithm = match cursor.keyword()?.as_bytes() {
            b"ORDEREDSUBJECT" => ThreadAlgorithm::OrderedSubject,
            b"REFERENCES" => ThreadAlgorithm::References,
            _ => return Err(Fault::syntax("Unknown threading algorithm")),
        };
        let (charset, key) = parse_search(cursor)?;
        Ok(ThreadArguments { numbering, algorithm, charset, key })
    }
}

/// Takes the charset, which these commands must have, and the search keys.
fn parse_search(cursor: &mut Cursor<'_>) -> Result<(SearchCharset, SearchKey), Fault> {
    cursor.space()?;
    let charset = SearchCharset::from_name(&string::parse_astring(cursor)?);
    cursor.space()?;
    Ok((charset, SearchKey::parse_all_of(cursor)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::command::{Command, Tagged};
    use crate::imap::limits::Limits;
    use crate::imap::syntax::cursor::FaultKind;

    fn parse(text: &str) -> Result<Command, Fault> {
        let tagged = Tagged::parse(format!("a {text}").as_bytes(), &Limits::LOGGED_IN);
        tagged.map(|tagged| tagged.command).map_err(|(_, fault)| fault)
    }

    fn criteria(text: &str) -> Vec<(SortKey, Direction)> {
        match parse(text) {
            Ok(Command::Sort(arguments)) => {
                arguments.criteria.into_iter().map(|criterion| (criterion.key, criterion.direction)).collect()
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn reads_sort() {
        use Direction::{Ascending, Descending};
        let all = criteria("sort (arrival cc date displayfrom displayto from size subject to) utf-8 all");
        assert_eq!(all.len(), 9);
        assert!(all.iter().all(|&(_, direction)| direction == Ascending));
        assert_eq!(
            criteria("UID SORT ( SUBJECT  REVERSE DATE ) \"UTF-8\" SINCE 1-Feb-1994 UNSEEN"),
            [(SortKey::Subject, Ascending), (SortKey::Date, Descending)]
        );
        // The first one decides.
        assert_eq!(
            criteria("SORT (REVERSE SIZE SIZE REVERSE SIZE) US-ASCII ALL"),
            [(SortKey::Size, Descending)]
        );
        assert_eq!(
            criteria("SORT (RELEVANCY REVERSE DATE) UTF-8 UNSEEN FUZZY TEXT \"Helo\""),
            [(SortKey::Relevancy, Ascending), (SortKey::Date, Descending)]
        );
        let Ok(Command::Sort(arguments)) = parse("UID SORT RETURN () (REVERSE DATE) KOI8-R UNDELETED") else {
            panic!("ESORT")
        };
        assert_eq!(arguments.options, Some(ResultOptions::ALL));
        assert_eq!(arguments.charset, SearchCharset::Other(b"KOI8-R".to_vec()));
        assert_eq!(arguments.numbering, Numbering::Uid);
    }

    #[test]
    fn reads_thread() {
        let Ok(Command::Thread(arguments)) = parse("thread references us-ascii from x") else {
            panic!("THREAD")
        };
        assert_eq!(arguments.algorithm, ThreadAlgorithm::References);
        assert_eq!((arguments.numbering, arguments.charset), (Numbering::Sequence, SearchCharset::UsAscii));
        let Ok(Command::Thread(arguments)) = parse("UID THREAD ORDEREDSUBJECT UTF-8 ALL") else {
            panic!("THREAD")
        };
        assert_eq!(arguments.algorithm, ThreadAlgorithm::OrderedSubject);
        assert_eq!(arguments.numbering, Numbering::Uid);
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for text in [
            "SORT",
            "SORT () UTF-8 ALL",
            "SORT (BEST) UTF-8 ALL",
            "SORT (REVERSE) UTF-8 ALL",
            "SORT (REVERSE REVERSE DATE) UTF-8 ALL",
            "SORT DATE UTF-8 ALL",
            "SORT (RELEVANCY) UTF-8 TEXT x",
            "SORT (DATE REVERSE RELEVANCY) UTF-8 ALL",
            "SORT RETURN (RELEVANCY) (DATE) UTF-8 TEXT x",
            "SORT (DATE) UTF-8",
            "SORT (DATE) (ALL)",
            "SORT (DATE UTF-8 ALL",
            "SORT (DATE)UTF-8 ALL",
            "SORT RETURN (BEST) (DATE) UTF-8 ALL",
            "SORT (DATE) RETURN () UTF-8 ALL",
            "THREAD",
            "THREAD REFERENCES",
            "THREAD REFERENCES UTF-8",
            "THREAD BEST UTF-8 ALL",
            "THREAD RETURN () REFERENCES UTF-8 ALL",
        ] {
            assert_eq!(parse(text).expect_err(text).kind, FaultKind::Syntax, "{text}");
        }
    }

    #[test]
    fn criteria_are_limited() {
        let text = |count: usize| format!("SORT ({}) UTF-8 ALL", vec!["DATE"; count].join(" "));
        assert!(parse(&text(SORT_CRITERIA_MAX)).is_ok());
        assert_eq!(parse(&text(SORT_CRITERIA_MAX + 1)).expect_err("one more").kind, FaultKind::Limit);
    }
}
