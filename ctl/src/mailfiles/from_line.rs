//! The From_ line of an mbox: which lines are one, and what they say. Pure functions over one line and the next.
//!
//! Text that begins with "From " stands unquoted in many a mailbox, so a line must earn it. A *full* line has a sender and a date. A *bare* line
//! (`From `, `From 1234@xxx`: hand-made files) counts only in files that begin with a bare one, behind a blank
//! line and before a header field. A *dash* (`From -`: Netscape) counts only in files that begin with one, and before a header field; Netscape
//! left the blank line out. `From <40 hex digits> Mon Sep 17 00:00:00 2001` is the head of a patch made by `git format-patch`: it
//! separates messages only in files that begin with one.

use store::change::ZonedTime;

use super::dates;

/// What a From_ line has in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A sender and a date.
    Full,
    /// No date.
    Bare,
    /// A dash and nothing else.
    Dash,
    /// The fixed line of `git format-patch`.
    Patch,
}

/// A From_ line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FromLine {
    /// What it has in it.
    pub(crate) style: Style,
    /// The envelope date; none in a bare line and in that of a patch.
    pub(crate) date: Option<ZonedTime>,
}

/// `line` (without its line end) as a From_ line, judged by itself.
pub(crate) fn recognise(line: &[u8]) -> Option<FromLine> {
    let rest = line.strip_prefix(b"From ")?;
    // The words of a From_ line are ASCII; senders with other octets do occur and are replaced, not refused.
    let rest = String::from_utf8_lossy(rest);
    let rest = rest.trim();
    if rest.is_empty() || rest == "-" {
        let style = if rest.is_empty() { Style::Bare } else { Style::Dash };
        return Some(FromLine { style, date: None });
    }
    if rest.starts_with(|first: char| first.is_ascii_hexdigit())
        && rest.split_once(' ').is_some_and(|(sender, date)| {
            sender.len() >= 40
                && sender.bytes().all(|octet| octet.is_ascii_hexdigit())
                && date == "Mon Sep 17 00:00:00 2001"
        })
    {
        return Some(FromLine { style: Style::Patch, date: None });
    }
    // UUCP mailers put a word behind the date.
    let rest = rest.split(" remote from ").next().unwrap_or(rest);
    // A quoted local part may hold spaces, so the date begins behind some space, most often the first.
    for (at, _) in rest.match_indices(' ').take(8) {
        if let Some(date) = dates::parse(&rest[at..]) {
            return Some(FromLine { style: Style::Full, date: Some(date) });
        }
    }
    (!rest.contains(' ') && rest.contains('@')).then_some(FromLine { style: Style::Bare, date: None })
}

/// Whether `line` looks like the first line of a message's header: a field name and a colon (RFC 5322, 2.2).
pub(crate) fn looks_like_header(line: &[u8]) -> bool {
    match line.iter().position(|&octet| octet == b':') {
        Some(colon) if (1..=76).contains(&colon) => {
            let name = line[..colon].trim_ascii_end();
            !name.is_empty() && name.iter().all(|octet| octet.is_ascii_graphic())
        }
        _ => false,
    }
}

/// What stands around a line that may be a From_ line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    /// Whether the line before is blank, or there is none.
    pub(crate) behind_blank: bool,
    /// The line that follows, without its end; empty at the end of the file.
    pub(crate) next: &'a [u8],
    /// The style of the file's first From_ line.
    pub(crate) first_style: Style,
}

/// Whether `from_line` begins a message where it stands.
pub(crate) fn separates(from_line: FromLine, around: Surroundings<'_>) -> bool {
    // A message without a header begins with a blank line; one whose header was folded badly, with a space.
    let message_follows =
        around.next.is_empty() || looks_like_header(around.next) || around.next.starts_with(b">From ");
    match from_line.style {
        Style::Full if around.behind_blank => true,
        Style::Full => looks_like_header(around.next),
        Style::Dash => around.first_style == Style::Dash && looks_like_header(around.next),
        style => style == around.first_style && around.behind_blank && message_follows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_from_lines() {
        for line in [
            "From user@domain  Fri Feb 22 23:06:12 2008",
            "From user@domain  Sat Mar 24 23:00:00 2007 +0200",
            "From - Mon Jun  3 12:50:27 1996",
            "From MAILER-DAEMON Mon Dec 27 10:00:00 2021",
            "From root Thu Jan  1 00:00 1998 remote from mars",
            "From \"a b\"@example.org Fri Feb 22 23:06:12 2008",
            "From dev-return-1-archive=x@y@z.org Sun Jul 9 01:02:03 EDT 2006",
        ] {
            assert_eq!(recognise(line.as_bytes()).map(|from| from.style), Some(Style::Full), "{line}");
        }
        for line in ["From -", "From - "] {
            assert_eq!(recognise(line.as_bytes()).map(|from| from.style), Some(Style::Dash), "{line}");
        }
        for line in ["From ", "From 1844347792267117879@xxx"] {
            assert_eq!(recognise(line.as_bytes()).map(|from| from.style), Some(Style::Bare), "{line}");
        }
        let patch = b"From 0123456789abcdef0123456789abcdef01234567 Mon Sep 17 00:00:00 2001";
        assert_eq!(recognise(patch).map(|from| from.style), Some(Style::Patch));
    }

    #[test]
    fn refuses_sentences() {
        for line in [
            "From Russia with love",
            "From the error message, I",
            "From now on",
            "From: a@example.org",
            "From",
            "from a@example.org Fri Feb 22 23:06:12 2008",
            "From a@example.org Fri Feb 31 23:06:12 2008",
        ] {
            assert_eq!(recognise(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_line_must_stand_where_a_message_can_begin() {
        let full = recognise(b"From a@example.org Fri Feb 22 23:06:12 2008").expect("a From_ line");
        let bare = recognise(b"From a@example.org").expect("a From_ line");
        let dash = recognise(b"From -").expect("a From_ line");
        let around = |behind_blank, next, first_style| Surroundings { behind_blank, next, first_style };
        assert!(separates(full, around(true, b"anything", Style::Full)));
        assert!(separates(full, around(false, b"Subject: x", Style::Full)));
        assert!(!separates(full, around(false, b"a sentence", Style::Full)));
        assert!(separates(bare, around(true, b"Subject: x", Style::Bare)));
        assert!(!separates(bare, around(true, b"Subject: x", Style::Full)));
        assert!(!separates(bare, around(false, b"Subject: x", Style::Bare)));
        assert!(!separates(bare, around(true, b"a sentence", Style::Bare)));
        assert!(separates(dash, around(false, b"Subject: x", Style::Dash)));
        assert!(!separates(dash, around(true, b"a sentence", Style::Dash)));
        assert!(!separates(dash, around(true, b"Subject: x", Style::Full)));
    }
}
