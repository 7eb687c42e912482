//! Every command, as clients send it and as they should not.

use super::append::MessageHeader;
use super::fetch::{FetchItem, SectionItem};
use super::list::ListForm;
use super::search::{DateComparison, SearchCharset, SearchKey};
use super::status::StatusItem;
use super::store::{StoreArguments, StoreChange, StoreOperation};
use super::*;
use crate::imap::extension::compress::Algorithm;
use crate::imap::extension::result_options::ResultOption;
use crate::imap::extension::special_use::SpecialUse;
use crate::imap::limits::Limits;
use crate::imap::syntax::date::Date;
use crate::imap::syntax::flag::{Keyword, SystemFlags};
use crate::imap::syntax::section::{Partial, Section, SectionText};

fn parse(text: &str) -> Result<Command, Fault> {
    parse_octets(format!("a1 {text}").as_bytes())
}

fn parse_octets(octets: &[u8]) -> Result<Command, Fault> {
    match Tagged::parse(octets, &Limits::LOGGED_IN) {
        Ok(tagged) => {
            assert_eq!(tagged.tag.as_str(), "a1");
            Ok(tagged.command)
        }
        Err((_, fault)) => Err(fault),
    }
}

fn name(text: &str) -> MailboxName {
    MailboxName::from_utf8(text).expect(text)
}

fn refuse(texts: &[&str]) {
    for text in texts {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn commands_without_arguments() {
    for (text, command) in [
        ("CAPABILITY", Command::Capability),
        ("noop", Command::Noop),
        ("Logout", Command::Logout),
        ("STARTTLS", Command::StartTls),
        ("NAMESPACE", Command::Namespace),
        ("UNAUTHENTICATE", Command::Unauthenticate),
        ("COMPRESS deflate", Command::Compress(Algorithm::Deflate)),
        ("COMPRESS LZ4", Command::Compress(Algorithm::Other)),
        ("CHECK", Command::Check),
        ("CLOSE", Command::Close),
        ("UNSELECT", Command::Unselect),
        ("EXPUNGE", Command::Expunge(None)),
        ("IDLE", Command::Idle),
        ("NOOP  ", Command::Noop),
        (" NOOP", Command::Noop),
    ] {
        assert_eq!(parse(text), Ok(command), "{text}");
    }
    refuse(&[
        "",
        " ",
        "NOOP x",
        "NOOPX",
        "FOO",
        "UID",
        "UID NOOP",
        "UID FOO 1",
        "\"NOOP\"",
        "NOOP\t",
        "APPEND INBOX x",
    ]);
}

#[test]
fn tags() {
    for octets in [
        &b"a NOOP"[..],
        b"A.1-x]y NOOP",
        b"* NOOP",
        b"+ NOOP",
        b"a+ NOOP",
        b"NOOP",
        b"",
        b" NOOP",
        b"\xc3\xa9 NOOP",
        b"\0 NOOP",
    ] {
        let tag = match Tagged::parse(octets, &Limits::LOGGED_IN) {
            Ok(tagged) => Some(tagged.tag),
            Err((tag, _)) => tag,
        };
        let expected = match octets {
            b"a NOOP" => Some("a"),
            b"A.1-x]y NOOP" => Some("A.1-x]y"),
            b"NOOP" => Some("NOOP"),
            _ => None,
        };
        assert_eq!(tag.as_ref().map(Tag::as_str), expected, "{}", octets.escape_ascii());
    }
    assert!(Tag::new(&[b'a'; Tag::LENGTH_MAX]).is_some());
    assert!(Tag::new(&[b'a'; Tag::LENGTH_MAX + 1]).is_none());
}

#[test]
fn login_and_authenticate() {
    for text in ["LOGIN SMITH SESAME", "login \"SMITH\" {6}\r\nSESAME", "LOGIN {5+}\r\nSMITH {6+}\r\nSESAME "]
    {
        match parse(text) {
            Ok(Command::Login(login)) => {
                assert_eq!((&login.user[..], &login.password[..]), (&b"SMITH"[..], &b"SESAME"[..]))
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    assert!(!format!("{:?}", parse("LOGIN a secret")).contains("115, 101"), "the password is not shown");
    refuse(&["LOGIN", "LOGIN a", "LOGIN a b c", "LOGIN a {2}\r\na\0", "LOGIN (a) b", "LOGIN a{1}\r\nb c"]);

    let authenticate = |text: &str| match parse(text) {
        Ok(Command::Authenticate(arguments)) => Some((arguments.mechanism, arguments.initial)),
        _ => None,
    };
    assert_eq!(authenticate("AUTHENTICATE plain"), Some(("PLAIN".to_owned(), None)));
    assert_eq!(authenticate("AUTHENTICATE PLAIN ="), Some(("PLAIN".to_owned(), Some(Vec::new()))));
    let initial = Some(b"\0test\0test".to_vec());
    assert_eq!(authenticate("AUTHENTICATE PLAIN AHRlc3QAdGVzdA=="), Some(("PLAIN".to_owned(), initial)));
    refuse(&[
        "AUTHENTICATE",
        "AUTHENTICATE PLAIN !",
        "AUTHENTICATE PLAIN AA== x",
        "AUTHENTICATE a/b",
        "AUTHENTICATE ABCDEFGHIJKLMNOPQRSTU",
    ]);
}

#[test]
fn id_and_enable() {
    let id = |text: &str| match parse(text) {
        Ok(Command::Id(parameters)) => Some(parameters.0),
        _ => None,
    };
    assert_eq!(id("ID NIL"), Some(Vec::new()));
    assert_eq!(id("ID ()"), Some(Vec::new()));
    let fields = vec![(b"name".to_vec(), Some(b"sodr".to_vec())), (b"version".to_vec(), None)];
    assert_eq!(id("ID (\"name\" \"sodr\" \"version\" nil )"), Some(fields));
    refuse(&["ID", "ID x", "ID \"x\"", "ID (\"a\")", "ID (\"a\" b)", "ID (\"a\" \"b\""]);
    assert_eq!(
        parse(&format!("ID ({})", "\"a\" NIL ".repeat(31))).map_err(|fault| fault.text),
        Err("Too many fields of ID")
    );

    let enabled =
        Command::Enable(enable::EnableArguments(vec!["CONDSTORE".to_owned(), "X-GOOD=1".to_owned()]));
    assert_eq!(parse("ENABLE condstore X-Good=1"), Ok(enabled));
    refuse(&["ENABLE", "ENABLE (x)"]);
}

#[test]
fn mailboxes() {
    assert_eq!(
        parse("SELECT inbox"),
        Ok(Command::Select(mailbox::SelectArguments {
            mailbox: name("INBOX"),
            parameters: Default::default()
        }))
    );
    assert_eq!(
        parse("EXAMINE \"~peter/mail/&U,BTFw-/&ZeVnLIqe-\""),
        Ok(Command::Examine(mailbox::SelectArguments {
            mailbox: name("~peter/mail/台北/日本語"),
            parameters: Default::default()
        }))
    );
    assert_eq!(parse("DELETE {3}\r\na b"), Ok(Command::Delete(name("a b"))));
    assert_eq!(parse("SUBSCRIBE #news.a]"), Ok(Command::Subscribe(name("#news.a]"))));
    assert_eq!(parse("UNSUBSCRIBE \"\""), Ok(Command::Unsubscribe(name(""))));
    let rename = mailbox::RenameArguments { from: name("a"), to: name("b/c") };
    assert_eq!(parse("RENAME a b/c/"), Ok(Command::Rename(rename)));
    let create = |text: &str, special_use: &[SpecialUse]| {
        Ok(Command::Create(mailbox::CreateArguments {
            mailbox: name(text),
            special_use: special_use.to_vec(),
        }))
    };
    assert_eq!(parse("CREATE owatagusiam/"), create("owatagusiam", &[]));
    assert_eq!(
        parse("CREATE a (USE (\\Sent \\drafts \\sent))"),
        create("a", &[SpecialUse::Sent, SpecialUse::Drafts])
    );
    assert_eq!(parse("CREATE a ()"), create("a", &[]));
    assert_eq!(parse("CREATE a (USE (\\Foo))").map_err(|fault| fault.text), Err("Unknown special use"));
    refuse(&[
        "SELECT",
        "SELECT a b",
        "SELECT (a)",
        "SELECT a (CONDSTORES)",
        "SELECT a%",
        "CREATE a (FOO)",
        "CREATE a USE",
        "RENAME a",
        "DELETE \"\u{7f}\"",
    ]);
    assert!(parse_octets(b"a1 SELECT \"\xff\"").is_err());
}

#[test]
fn list_and_lsub() {
    let list = |text: &str| match parse(text) {
        Ok(Command::List(arguments)) => arguments,
        other => panic!("{text}: {other:?}"),
    };
    let basic = list("LIST \"\" \"\"");
    assert_eq!(
        (basic.form, basic.reference.as_str(), &basic.patterns[..]),
        (ListForm::Basic, "", &[String::new()][..])
    );
    let basic = list("LIST ~/Mail/ %");
    assert_eq!((basic.reference.as_str(), &basic.patterns[..]), ("~/Mail/", &["%".to_owned()][..]));
    assert_eq!(list("LIST \"\" &ANw-*").patterns, ["Ü*"]);

    let extended = list(
        "LIST (SUBSCRIBED RECURSIVEMATCH remote SPECIAL-USE) \"\" (\"a\" b% *) RETURN (CHILDREN SUBSCRIBED SPECIAL-USE STATUS (MESSAGES UNSEEN))",
    );
    assert_eq!(extended.form, ListForm::Extended);
    assert!(extended.selection.subscribed && extended.selection.recursive_match);
    assert!(extended.selection.remote && extended.selection.special_use);
    assert_eq!(extended.patterns, ["a", "b%", "*"]);
    assert!(extended.returns.children && extended.returns.subscribed && extended.returns.special_use);
    assert_eq!(extended.returns.status, Some(vec![StatusItem::Messages, StatusItem::Unseen]));
    assert_eq!(list("LIST () \"\" x RETURN ()").form, ListForm::Extended);
    let implied = list("LIST (SUBSCRIBED SPECIAL-USE) \"\" x").returns;
    assert!(implied.subscribed && implied.special_use && !implied.children);
    assert_eq!(list("LIST \"\" (x)").form, ListForm::Extended);

    match parse("LSUB \"#news.\" \"comp.mail.*\"") {
        Ok(Command::Lsub(lsub)) => {
            assert_eq!((lsub.reference.as_str(), lsub.pattern.as_str()), ("#news.", "comp.mail.*"))
        }
        other => panic!("{other:?}"),
    }
    refuse(&[
        "LIST",
        "LIST \"\"",
        "LIST \"\" ()",
        "LIST (RECURSIVEMATCH) \"\" *",
        "LIST (RECURSIVEMATCH REMOTE) \"\" *",
        "LIST (FOO) \"\" *",
        "LIST \"\" * RETURN",
        "LIST \"\" * RETURN (FOO)",
        "LIST \"\" * RETURN (STATUS)",
        "LIST \"\" * FOO ()",
        "LIST \"\" (a",
        "LIST % *",
        "LSUB \"\" (a)",
        "LSUB a",
    ]);
    assert!(parse(&format!("LIST \"\" ({})", "* ".repeat(65))).is_err());
}

#[test]
fn status_items() {
    match parse("STATUS blurdybloop (UIDNEXT MESSAGES recent UIDVALIDITY UNSEEN SIZE SIZE)") {
        Ok(Command::Status(status)) => {
            use StatusItem::{Messages, Recent, Size, UidNext, UidValidity, Unseen};
            assert_eq!(status.mailbox, name("blurdybloop"));
            assert_eq!(status.items, [UidNext, Messages, Recent, UidValidity, Unseen, Size]);
        }
        other => panic!("{other:?}"),
    }
    refuse(&["STATUS a", "STATUS a ()", "STATUS a (FOO)", "STATUS a MESSAGES", "STATUS a (HIGHESTMODSEQS)"]);
}

#[test]
fn headers_of_messages() {
    let parse = |text: &str| {
        let mut cursor = Cursor::new(text.as_bytes(), &Limits::LOGGED_IN);
        let header = MessageHeader::parse(&mut cursor)?;
        cursor.end().map(|()| header)
    };
    let header = parse(" (\\Seen $x) \"17-Jul-1996 02:44:25 -0700\" ").expect("all there is");
    assert_eq!(header.flags.system, SystemFlags::SEEN);
    assert_eq!(header.date.map(|date| date.unix_seconds()), Some(837_596_665));
    assert_eq!(parse(" "), Ok(MessageHeader::default()));
    assert!(parse(" () ").is_ok());
    for text in
        ["", " ()", " \"17-Jul-1996\" ", " \"17-Jul-1996 02:44:25 -0700\" () ", " (\\Seen", " x ", " () () "]
    {
        assert!(parse(text).is_err(), "{text}");
    }
}

fn fetch(text: &str) -> Vec<FetchItem> {
    match parse(text) {
        Ok(Command::Fetch(arguments)) => arguments.items,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn fetch_items_and_macros() {
    use FetchItem::{
        Body, BodyStructure, Envelope, Flags, InternalDate, ModSeq, Rfc822, Rfc822Header, Rfc822Size,
        Rfc822Text, Uid,
    };
    assert_eq!(fetch("FETCH 1 ALL"), [Flags, InternalDate, Rfc822Size, Envelope]);
    assert_eq!(fetch("FETCH 1 fast"), [Flags, InternalDate, Rfc822Size]);
    assert_eq!(fetch("FETCH 1 Full "), [Flags, InternalDate, Rfc822Size, Envelope, Body]);
    assert_eq!(
        fetch(
            "FETCH 1:* (body bodystructure ENVELOPE FLAGS INTERNALDATE UID RFC822 RFC822.HEADER RFC822.SIZE RFC822.TEXT FLAGS)"
        ),
        [
            Body,
            BodyStructure,
            Envelope,
            Flags,
            InternalDate,
            Uid,
            Rfc822,
            Rfc822Header,
            Rfc822Size,
            Rfc822Text
        ]
    );
    assert_eq!(fetch("UID FETCH 1 FLAGS"), [Flags]);
    assert_eq!(fetch("FETCH 1 (MODSEQ)"), [ModSeq]);
    assert_eq!(fetch("uid fetch 1 (FLAGS UID)"), [Flags, Uid]);
    let seen: Vec<bool> = fetch("FETCH 1 (BODY RFC822 RFC822.HEADER RFC822.TEXT BODY[] BODY.PEEK[])")
        .iter()
        .map(FetchItem::sets_seen)
        .collect();
    assert_eq!(seen, [false, true, false, true, true, false]);
    refuse(&[
        "FETCH",
        "FETCH 1",
        "FETCH 1 ()",
        "UID FETCH 1 ()",
        "FETCH 1 (FLAGS",
        "FETCH 1 FOO",
        "FETCH 1 (ALL)",
        "FETCH x FLAGS",
        "FETCH 1 FLAGS UID",
        "FETCH 1 BODY.PEEK",
        "FETCH 1 BINARY[1.MIME]",
        "FETCH 1 BINARY.PEEK[TEXT]",
        "FETCH 1 BINARY.SIZE[1]<0.1>",
        "FETCH 1 (FLAGS)UID",
        "FETCH $,1 FLAGS",
        "FETCH $1 FLAGS",
    ]);
    let many: String = (1..=257).map(|part| format!("BODY[{part}] ")).collect();
    assert!(parse(&format!("FETCH 1 ({many})")).is_err());
}

#[test]
fn fetch_sections_parse_and_print() {
    let fields = || vec![b"From".to_vec(), b"To".to_vec()];
    for (text, part, section_text, partial) in [
        ("BODY[]", vec![], None, None),
        ("BODY[HEADER]", vec![], Some(SectionText::Header), None),
        ("BODY[TEXT]<0.2048>", vec![], Some(SectionText::Text), Some(Partial { start: 0, length: 2048 })),
        ("BODY[1]", vec![1], None, None),
        ("BODY[4.2.1]", vec![4, 2, 1], None, None),
        ("BODY[4.2.HEADER]", vec![4, 2], Some(SectionText::Header), None),
        ("BODY[1.MIME]", vec![1], Some(SectionText::Mime), None),
        ("BODY[HEADER.FIELDS (From To)]", vec![], Some(SectionText::HeaderFields(fields())), None),
        (
            "BODY[2.HEADER.FIELDS.NOT (From To)]<7.9>",
            vec![2],
            Some(SectionText::HeaderFieldsNot(fields())),
            Some(Partial { start: 7, length: 9 }),
        ),
    ] {
        let section = Section { part, text: section_text };
        let mut printed = b"BODY".to_vec();
        section.write(&mut printed);
        assert!(text.as_bytes().starts_with(&printed), "{text}");
        let item = SectionItem { section, partial, peek: false };
        assert_eq!(fetch(&format!("FETCH 1 {text}")), [FetchItem::Section(item.clone())], "{text}");
        let peek = text.replacen("BODY", "body.peek", 1);
        assert_eq!(
            fetch(&format!("FETCH 1 ({peek})")),
            [FetchItem::Section(SectionItem { peek: true, ..item })],
            "{peek}"
        );
    }
    assert_eq!(fetch("FETCH 1 BODY[header.fields ( From \"To\" )]").len(), 1);
    refuse(&[
        "FETCH 1 BODY[",
        "FETCH 1 BODY[FOO]",
        "FETCH 1 BODY[MIME]",
        "FETCH 1 BODY[0]",
        "FETCH 1 BODY[1.]",
        "FETCH 1 BODY[1.0]",
        "FETCH 1 BODY[.1]",
        "FETCH 1 BODY[1.2",
        "FETCH 1 BODY[HEADER.FIELDS]",
        "FETCH 1 BODY[HEADER.FIELDS ()]",
        "FETCH 1 BODY[HEADER.FIELDS (a]",
        "FETCH 1 BODY[]<0>",
        "FETCH 1 BODY[]<0.0>",
        "FETCH 1 BODY[]<1.2",
        "FETCH 1 BODY[]<-1.2>",
        "FETCH 1 BODY[TEXT.HEADER]",
        "FETCH 1 BODY[4294967296]",
    ]);
    assert!(parse(&format!("FETCH 1 BODY[{}1]", "1.".repeat(300))).is_err());
}

#[test]
fn fetch_modifiers() {
    let modifiers = |text: &str| match parse(text) {
        Ok(Command::Fetch(fetch)) => (fetch.modifiers.changed_since, fetch.modifiers.vanished),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(modifiers("FETCH 1 FLAGS"), (None, false));
    match parse("UID FETCH 1:9 (UID FLAGS) (PARTIAL -1:-30 CHANGEDSINCE 98305)") {
        Ok(Command::Fetch(fetch)) => {
            assert_eq!(fetch.modifiers.partial.map(|range| range.resolve(100)), Some(70..100));
            assert_eq!(fetch.modifiers.changed_since, Some(98_305));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(modifiers("FETCH 1 (FLAGS) (CHANGEDSINCE 12345)"), (Some(12_345), false));
    assert_eq!(modifiers("uid fetch 1:* flags ( changedsince 1  vanished )"), (Some(1), true));
    assert_eq!(
        modifiers("UID FETCH 1 FLAGS (VANISHED CHANGEDSINCE 9223372036854775807)").0,
        Some(i64::MAX as u64)
    );
    refuse(&[
        "FETCH 1 FLAGS ()",
        "FETCH 1 FLAGS (CHANGEDSINCE)",
        "FETCH 1 FLAGS (PARTIAL 1:2)",
        "UID FETCH 1 FLAGS (PARTIAL)",
        "UID FETCH 1 FLAGS (PARTIAL 0:2)",
        "UID FETCH 1 FLAGS (PARTIAL 1:2 PARTIAL 1:2)",
        "UID FETCH 1 FLAGS (PARTIAL 1:2,4)",
        "FETCH 1 FLAGS (CHANGEDSINCE 0)",
        "FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)",
        "FETCH 1 FLAGS (CHANGEDSINCE 1 CHANGEDSINCE 2)",
        "FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
        "UID FETCH 1 FLAGS (VANISHED)",
        "UID FETCH 1 FLAGS (CHANGEDSINCE 1",
        "UID FETCH 1 FLAGS (UNCHANGEDSINCE 1)",
    ]);
}

#[test]
fn what_uses_message_numbers() {
    for (text, uses) in [
        ("FETCH 1 FLAGS", true),
        ("UID FETCH 1:* FLAGS", false),
        ("STORE 1 FLAGS ()", true),
        ("UID STORE 1 FLAGS ()", false),
        ("COPY 1 a", true),
        ("UID MOVE 1 a", false),
        ("SEARCH ALL", true),
        ("UID SEARCH ALL", false),
        ("UID SEARCH OR ALL (SEEN NOT 1)", true),
        ("UID SEARCH UID 1:*", false),
        ("SORT (DATE) UTF-8 ALL", true),
        ("UID SORT (DATE) UTF-8 ALL", false),
        ("UID SORT (DATE) UTF-8 NOT 1:3", true),
        ("THREAD REFERENCES UTF-8 ALL", true),
        ("UID THREAD REFERENCES UTF-8 ALL", false),
        ("SELECT a (QRESYNC (1 2 1:9))", false),
        ("SELECT a (QRESYNC (1 2 1:9 (1 1)))", true),
        ("EXPUNGE", false),
    ] {
        assert_eq!(parse(text).map(|command| command.uses_message_numbers()), Ok(uses), "{text}");
    }
}

#[test]
fn search_by_modification_sequence_and_uid() {
    let key = |text: &str| match parse(text) {
        Ok(Command::Search(search)) => search.key,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(key("SEARCH MODSEQ 620162338"), SearchKey::ModSeq(620_162_338));
    assert_eq!(key("SEARCH MODSEQ \"/flags/\\\\draft\" all 0"), SearchKey::ModSeq(0));
    assert!(key("SEARCH OR NOT MODSEQ 7 LARGER 50000").has_modseq());
    assert!(!key("SEARCH LARGER 50000").has_modseq());
    assert_eq!(key("UID SEARCH UIDAFTER 25000"), SearchKey::UidAfter(25_000));
    assert_eq!(key("UID SEARCH UIDBEFORE 1"), SearchKey::UidBefore(1));
    refuse(&[
        "SEARCH MODSEQ",
        "SEARCH MODSEQ x",
        "SEARCH UIDAFTER 0",
        "SEARCH UIDBEFORE *",
        "SEARCH UIDAFTER 1:2",
    ]);
}

#[test]
fn store_copy_move_expunge() {
    let store = |text: &str| match parse(text) {
        Ok(Command::Store(StoreArguments { numbering, change: StoreChange::Flags(change), .. })) => {
            (numbering, change.operation, change.silent, change.flags)
        }
        other => panic!("{text}: {other:?}"),
    };
    let (numbering, operation, silent, flags) = store("STORE 2:4 +FLAGS (\\Deleted)");
    assert_eq!(
        (numbering, operation, silent, flags.system),
        (Numbering::Sequence, StoreOperation::Add, false, SystemFlags::DELETED)
    );
    let (numbering, operation, silent, flags) = store("UID STORE * -flags.silent \\Seen junk");
    assert_eq!(
        (numbering, operation, silent, flags.system),
        (Numbering::Uid, StoreOperation::Remove, true, SystemFlags::SEEN)
    );
    assert_eq!(flags.keywords.len(), 1);
    assert_eq!(store("STORE 1 FLAGS ()").1, StoreOperation::Set);
    refuse(&[
        "STORE 1 FLAGS",
        "STORE 1 FOO ()",
        "STORE 1 (CHANGEDSINCE 5) FLAGS ()",
        "STORE 1 (UNCHANGEDSINCE 5)FLAGS ()",
        "STORE 1 ++FLAGS ()",
        "STORE 1 FLAGS (a) b",
        "STORE FLAGS ()",
    ]);

    let copied = |numbering| copy::CopyArguments {
        numbering,
        messages: SequenceSet::parse(&mut Cursor::new(b"2:4", &Limits::LOGGED_IN)).expect("a set"),
        mailbox: name("MEETING"),
    };
    assert_eq!(parse("COPY 2:4 MEETING"), Ok(Command::Copy(copied(Numbering::Sequence))));
    assert_eq!(parse("UID COPY 2:4 MEETING"), Ok(Command::Copy(copied(Numbering::Uid))));
    assert_eq!(parse("MOVE 2:4 MEETING"), Ok(Command::Move(copied(Numbering::Sequence))));
    assert_eq!(parse("UID MOVE 2:4 MEETING"), Ok(Command::Move(copied(Numbering::Uid))));
    assert_eq!(parse("UID EXPUNGE 7"), Ok(Command::Expunge(Some(SequenceSet::single(7)))));
    refuse(&["COPY 1", "COPY a b", "MOVE 1 a b", "UID EXPUNGE", "EXPUNGE 1", "UID EXPUNGE 1 2"]);
}

fn search(text: &str) -> SearchKey {
    match parse(&format!("SEARCH {text}")) {
        Ok(Command::Search(arguments)) => arguments.key,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn every_search_key() {
    let day = Date::new(1994, 2, 1).expect("a day");
    let header = |field: &str, text: &str| SearchKey::Header { field: field.into(), text: text.into() };
    let keyword = || Keyword::new(b"$Junk").expect("a keyword");
    for (text, key) in [
        ("ALL", SearchKey::All),
        ("answered", SearchKey::Flag(SystemFlags::ANSWERED, true)),
        ("DELETED", SearchKey::Flag(SystemFlags::DELETED, true)),
        ("DRAFT", SearchKey::Flag(SystemFlags::DRAFT, true)),
        ("FLAGGED", SearchKey::Flag(SystemFlags::FLAGGED, true)),
        ("SEEN", SearchKey::Flag(SystemFlags::SEEN, true)),
        ("UNANSWERED", SearchKey::Flag(SystemFlags::ANSWERED, false)),
        ("UNDELETED", SearchKey::Flag(SystemFlags::DELETED, false)),
        ("UNDRAFT", SearchKey::Flag(SystemFlags::DRAFT, false)),
        ("UNFLAGGED", SearchKey::Flag(SystemFlags::FLAGGED, false)),
        ("UNSEEN", SearchKey::Flag(SystemFlags::SEEN, false)),
        ("NEW", SearchKey::New),
        ("OLD", SearchKey::Old),
        ("RECENT", SearchKey::Recent),
        ("KEYWORD $junk", SearchKey::Keyword(keyword(), true)),
        ("UNKEYWORD $junk", SearchKey::Keyword(keyword(), false)),
        ("BCC a", header("bcc", "a")),
        ("CC \"\"", header("cc", "")),
        ("FROM \"Smith\"", header("from", "Smith")),
        ("SUBJECT {3}\r\na b", header("subject", "a b")),
        ("TO \"é\"", header("to", "é")),
        ("HEADER Message-ID \"<a@b>\"", header("Message-ID", "<a@b>")),
        ("BODY x", SearchKey::Body(b"x".to_vec())),
        ("TEXT x]", SearchKey::Text(b"x]".to_vec())),
        ("BEFORE 1-Feb-1994", SearchKey::InternalDate(DateComparison::Before, day)),
        ("ON \"1-Feb-1994\"", SearchKey::InternalDate(DateComparison::On, day)),
        ("SINCE 1-Feb-1994", SearchKey::InternalDate(DateComparison::Since, day)),
        ("SENTBEFORE 1-Feb-1994", SearchKey::SentDate(DateComparison::Before, day)),
        ("SENTON 1-Feb-1994", SearchKey::SentDate(DateComparison::On, day)),
        ("SENTSINCE 1-Feb-1994", SearchKey::SentDate(DateComparison::Since, day)),
        ("LARGER 5000000000", SearchKey::Larger(5_000_000_000)),
        ("SMALLER 0", SearchKey::Smaller(0)),
        ("UID 7", SearchKey::Uid(SequenceSet::single(7))),
        ("7", SearchKey::Sequence(SequenceSet::single(7))),
        ("NOT ALL", SearchKey::Not(Box::new(SearchKey::All))),
        ("OR NEW OLD", SearchKey::Or(Box::new((SearchKey::New, SearchKey::Old)))),
        ("(NEW)", SearchKey::New),
        (
            "( NEW (OLD ALL) ) RECENT",
            SearchKey::And(vec![
                SearchKey::And(vec![SearchKey::New, SearchKey::And(vec![SearchKey::Old, SearchKey::All])]),
                SearchKey::Recent,
            ]),
        ),
    ] {
        assert_eq!(search(text), key, "{text}");
    }
}

#[test]
fn searches_of_the_rfc_and_what_is_none() {
    match search("FLAGGED SINCE 1-Feb-1994 NOT FROM \"Smith\"") {
        SearchKey::And(keys) => assert_eq!(keys.len(), 3),
        other => panic!("{other:?}"),
    }
    for (text, charset) in [
        ("SEARCH CHARSET UTF-8 TEXT {6}\r\nXXXXXX", Some(SearchCharset::Utf8)),
        ("UID SEARCH charset \"us-ascii\" ALL", Some(SearchCharset::UsAscii)),
        ("SEARCH CHARSET KOI8-R ALL", Some(SearchCharset::Other(b"KOI8-R".to_vec()))),
        ("SEARCH TEXT \"string not in mailbox\"", None),
    ] {
        match parse(text) {
            Ok(Command::Search(search)) => assert_eq!(search.charset, charset, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
    match parse("UID SEARCH RETURN (SAVE COUNT) CHARSET UTF-8 OR $ UID $") {
        Ok(Command::Search(search)) => {
            assert!(search.options.is_some_and(|options| options.has(ResultOption::Save)));
            assert_eq!(search.charset, Some(SearchCharset::Utf8));
            let saved = SequenceSet::saved();
            assert_eq!(
                search.key,
                SearchKey::Or(Box::new((SearchKey::Sequence(saved.clone()), SearchKey::Uid(saved))))
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        search("FUZZY (SUBJECT x FILTER on-the-road)"),
        SearchKey::Fuzzy(Box::new(SearchKey::And(vec![
            SearchKey::Header { field: b"subject".to_vec(), text: b"x".to_vec() },
            SearchKey::Filter("on-the-road".to_owned())
        ])))
    );
    assert!(parse("SEARCH RETURN (RELEVANCY) NOT OR ALL FUZZY SUBJECT a").is_ok());
    for (octets, is_key) in [
        (&b"OR SMALLER 5000 FROM \"boss@example.com\""[..], true),
        (b" SUBJECT {3}\r\nabc ", true),
        (b"OR SMALLER 5000", false),
        (b"", false),
        (b"ALL)", false),
        (b"SUBJECT {9}\r\nabc", false),
    ] {
        assert_eq!(SearchKey::parse_filter(octets, &Limits::LOGGED_IN).is_ok(), is_key);
    }
    assert_eq!(
        search("OLDER 1 YOUNGER 4294967295"),
        SearchKey::And(vec![SearchKey::Older(1), SearchKey::Younger(u32::MAX)])
    );
    refuse(&[
        "SEARCH",
        "SEARCH FOO",
        "SEARCH ()",
        "SEARCH (ALL",
        "SEARCH ALL)",
        "SEARCH NOT",
        "SEARCH OR ALL",
        "SEARCH ON 1994",
        "SEARCH LARGER x",
        "SEARCH LARGER -1",
        "SEARCH FROM",
        "SEARCH HEADER a",
        "SEARCH UID",
        "SEARCH UID x",
        "SEARCH 0",
        "SEARCH CHARSET",
        "SEARCH CHARSET UTF-8",
        "SEARCH RETURN (MIN)",
        "SEARCH RETURN (LEAST) ALL",
        "SEARCH CHARSET UTF-8 RETURN (MIN) ALL",
        "SEARCH $,1",
        "SEARCH FUZZY",
        "SEARCH FILTER",
        "SEARCH FILTER a/b",
        "SEARCH FILTER (a)",
        "SEARCH FILTER \"a\"",
        "SEARCH RETURN (RELEVANCY) SUBJECT a",
        "SEARCH RETURN (RELEVANCY) FILTER a",
        "SEARCH OLDER 0",
        "SEARCH OLDER -5",
        "SEARCH YOUNGER",
        "SEARCH YOUNGER 4294967296",
        "SEARCH UID $:4",
        "SEARCH KEYWORD (a)",
        "SEARCH TEXT \u{e9}",
        "SEARCH KEYWORD \\Seen",
    ]);
}

/// Runs `check` with the stack of a small thread, for what recurses must not need a large one.
fn with_small_stack(check: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(check).expect("a thread");
    thread.join().expect("no overflow and no failure");
}

#[test]
fn nesting_has_a_limit() {
    with_small_stack(|| {
        let depth = Limits::LOGGED_IN.depth as usize;
        for (opening, closing) in [("(", ")"), ("NOT ", ""), ("FUZZY ", ""), ("OR ALL ", ""), ("(NOT ", ")")]
        {
            let levels = if opening == "(NOT " { depth / 2 } else { depth };
            let nested =
                |levels: usize| format!("SEARCH {}ALL{}", opening.repeat(levels), closing.repeat(levels));
            assert!(parse(&nested(levels)).is_ok(), "{opening}");
            assert_eq!(
                parse(&nested(levels + 1)).map_err(|fault| fault.text),
                Err("Nested too deep"),
                "{opening}"
            );
            assert!(parse(&nested(10_000)).is_err());
        }
        assert!(parse(&format!("SEARCH {}", "(".repeat(10_000))).is_err());
        assert!(parse(&format!("FETCH 1 {}", "(".repeat(10_000))).is_err());
        assert!(parse(&format!("STORE 1 FLAGS {}", "(".repeat(10_000))).is_err());
    });
}

#[test]
fn octets_that_belong_nowhere() {
    for octets in [
        &b"a1 LOGIN a\0 b"[..],
        b"a1 LOGIN \"a\0\" b",
        b"a1 SELECT \xe9",
        b"a1 NOOP\0",
        b"a1\0NOOP",
        b"a1 NO\xffOP",
        b"a1 FETCH 1 \xff",
        b"a1 LOGIN a\rb c",
        b"a1 SEARCH TEXT \"a\rb\"",
        b"GET / HTTP/1.1",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"a1 LOGIN {1}",
        b"a1 LOGIN {1}\r",
        b"a1 LOGIN {2}\r\na",
    ] {
        assert!(Tagged::parse(octets, &Limits::LOGGED_IN).is_err(), "{}", octets.escape_ascii());
    }
}
