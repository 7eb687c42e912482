//! URLs of every form, what is none, and print → parse → print.

use super::*;
use crate::imap::syntax::section::SectionText;

fn parse(url: &str) -> Result<MessageUrl, NotAUrl> {
    MessageUrl::parse(url.as_bytes())
}

fn written(url: &MessageUrl) -> String {
    let mut out = Vec::new();
    url.write(&mut out);
    String::from_utf8(out).expect("ASCII")
}

#[test]
fn urls_of_every_form_come_back() {
    for url in [
        "/INBOX/;UID=20",
        "/Drafts;UIDVALIDITY=385759045/;UID=20/;SECTION=HEADER",
        "/a/b;UIDVALIDITY=1/;UID=20/;SECTION=1.2.MIME/;PARTIAL=0.1024",
        "/a%20b/%C3%A9/;UID=4294967295/;PARTIAL=5",
        "Sent/;UID=1",
        "x;UIDVALIDITY=9/;UID=1/;SECTION=TEXT",
        ";UID=7",
        ";UID=7/;SECTION=1/;PARTIAL=1.2",
        "/INBOX/;UID=1/;SECTION=HEADER.FIELDS%20(From%20To)",
        "imap://example.com/INBOX/;UID=20",
        "imap://joe@example.com:143/INBOX/;UID=20/;SECTION=1.2;URLAUTH=submit+fred",
        "imap://joe%40x@[::1]/INBOX;UIDVALIDITY=3/;UID=2;EXPIRE=2026-11-23T04:05:06Z;URLAUTH=user+a%3Bb",
        "imap://joe@h/INBOX/;UID=2;URLAUTH=anonymous:INTERNAL:00112233445566778899aabbccddeeff",
        "imap://joe@h/INBOX/;UID=2/;PARTIAL=0.5;URLAUTH=authuser",
    ] {
        let parsed = parse(url).unwrap_or_else(|_| panic!("{url}"));
        assert_eq!(written(&parsed), url);
    }
}

#[test]
fn what_is_written_otherwise_means_the_same() {
    for (url, same) in [
        ("IMAP://JOE;AUTH=*@h/INBOX/;uid=2/;section=1", "imap://JOE@h/INBOX/;UID=2/;SECTION=1"),
        ("/inbox/;Uid=2", "/INBOX/;UID=2"),
        ("/%49NBOX/;UID=2", "/INBOX/;UID=2"),
        ("/a;uidvalidity=1/;UID=02", "/a;UIDVALIDITY=1/;UID=2"),
        ("/;UID=2/;SECTION=1", ""),
    ] {
        match parse(url) {
            Ok(parsed) => assert_eq!(written(&parsed), same, "{url}"),
            Err(NotAUrl) => assert_eq!(same, "", "{url}"),
        }
    }
    let url = parse("/INBOX/;UID=20/;SECTION=2.HEADER/;PARTIAL=3").expect("a URL");
    let item = url.section_item();
    assert_eq!(item.section.part, [2]);
    assert_eq!(item.section.text, Some(SectionText::Header));
    assert_eq!(item.partial.map(|partial| partial.start), Some(3));
}

#[test]
fn what_is_no_url_of_a_message_is_refused() {
    let long = format!("/{}/;UID=1", "x".repeat(LENGTH_MAX));
    for url in [
        "",
        "/",
        "INBOX",
        "/INBOX",
        "/INBOX;UIDVALIDITY=1",
        "/INBOX;UIDVALIDITY=0/;UID=1",
        "/INBOX;UID=1",
        "/INBOX/;UID=0",
        "/INBOX/;UID=4294967296",
        "/INBOX/;UID=1/;SECTION=",
        "/INBOX/;UID=1/;SECTION=FOO",
        "/INBOX/;UID=1/;SECTION=1]x[2",
        "/INBOX/;UID=1/;PARTIAL=",
        "/INBOX/;UID=1/;PARTIAL=1.0",
        "/INBOX/;UID=1/;PARTIAL=9999999999999999999",
        "/INBOX/;UID=1/;FOO=1",
        "/INBOX/;UID=1/x",
        "/IN%BOX/;UID=1",
        "/%FF/;UID=1",
        "/%00/;UID=1",
        "/INBOX/;UID=1 ",
        "/INBOX/\u{e9};UID=1",
        "//h/INBOX/;UID=1",
        "imap://h",
        "imap:///INBOX/;UID=1",
        "http://h/INBOX/;UID=1",
        "imap://h/?SUBJECT%20x",
        "/INBOX?ALL",
        "/INBOX/;UID=1;URLAUTH=anonymous",
        "imap://j@h/INBOX/;UID=1;EXPIRE=2026-11-23T04:05:06Z",
        "imap://j@h/INBOX/;UID=1;EXPIRE=yesterday;URLAUTH=anonymous",
        "imap://j@h/INBOX/;UID=1;URLAUTH=nobody",
        "imap://j@h/INBOX/;UID=1;URLAUTH=user+",
        "imap://j@h/INBOX/;UID=1;URLAUTH=anonymous:INTERNAL:0011",
        "imap://j@h/INBOX/;UID=1;URLAUTH=anonymous:INTERNAL:zz112233445566778899aabbccddeeff",
        "imap://j@h/INBOX/;UID=1;URLAUTH=anonymous:INTERNAL",
        &long,
    ] {
        assert_eq!(parse(url), Err(NotAUrl), "{url}");
    }
}

#[test]
fn the_rump_is_what_the_proof_is_of() {
    let start = "imap://j@h:1/INBOX/;uid=1;URLauth=anonymous";
    assert_eq!(rump(format!("{start}:internal:00").as_bytes()), start.as_bytes());
    assert_eq!(rump(start.as_bytes()), start.as_bytes());
    assert_eq!(rump(b"imap://j@h:1/x"), b"imap://j@h:1/x");
}

#[test]
fn expiry_is_a_moment() {
    let seconds = |text: &str| {
        let url = format!("imap://j@h/INBOX/;UID=1;EXPIRE={text};URLAUTH=anonymous");
        let authorization = parse(&url).ok()?.authorization?;
        authorization.expire.map(|(_, seconds)| seconds)
    };
    assert_eq!(seconds("1970-01-01T00:00:10Z"), Some(10));
    assert_eq!(seconds("1970-01-01T01:00:10.25+01:00"), Some(10));
    assert_eq!(seconds("1969-12-31t23:30:10-00:30"), Some(10));
    for text in
        ["1970-02-30T00:00:00Z", "1970-01-01T24:00:00Z", "1970-01-01T00:00:00", "1970-01-01 00:00:00Z", "x"]
    {
        assert_eq!(seconds(text), None, "{text}");
    }
}
