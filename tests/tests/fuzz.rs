//! Random inputs for every parser of what comes from outside, and how their work grows with the input.
//! `fuzz/README.md` says how to run them for long and how to repeat a failure.

mod inputs {
    use tests::fuzz::{IMAP, LMTP, MESSAGE, POP3, RECORDS, STORE, fuzz};

    #[test]
    fn imap() {
        fuzz(IMAP);
    }

    #[test]
    fn pop3() {
        fuzz(POP3);
    }

    #[test]
    fn lmtp() {
        fuzz(LMTP);
    }

    #[test]
    fn message() {
        fuzz(MESSAGE);
    }

    #[test]
    fn records() {
        fuzz(RECORDS);
    }

    #[test]
    fn store() {
        fuzz(STORE);
    }
}

mod growth {
    use tests::fuzz::growth::{Shape, check, imap_logged_in, seeds_repeated};
    use tests::fuzz::{IMAP, LMTP, MESSAGE, POP3, RECORDS, STORE, Target};

    #[test]
    fn imap() {
        seeds_repeated(IMAP, 128 * 1024);
        seeds_repeated(Target { entry: imap_logged_in, ..IMAP }, 1024 * 1024);
    }

    #[test]
    fn imap_long_lines() {
        for (head, piece, tail) in [
            ("a SEARCH ", "ALL ", "ALL"),
            ("a SEARCH ", "(ALL) ", "ALL"),
            ("a SEARCH ", "NOT ", "ALL"),
            ("a SEARCH ", "OR ALL ", "ALL"),
            ("a SEARCH ", "(", ""),
            ("a SEARCH TEXT ", "x", ""),
            ("a SEARCH TEXT \"", "\\\\", "\""),
            ("a SEARCH TEXT \"", "\\\"", ""),
            ("a FETCH ", "1,", "1 UID"),
            ("a FETCH ", "3:1,", "1 UID"),
            ("a UID FETCH ", "4294967295:*,", "1 UID"),
            ("a FETCH 1 (", "UID ", "UID)"),
            ("a FETCH 1 (", "BODY[1] ", "UID)"),
            ("a FETCH 1 BODY[", "1.", "1]"),
            ("a FETCH 1 BODY[HEADER.FIELDS (", "Subject ", "To)]"),
            ("a STORE 1 +FLAGS (", "\\Seen ", "x)"),
            ("a STORE 1 +FLAGS (", "keyword ", "x)"),
            ("a LIST \"\" ", "*", ""),
            ("a LIST \"\" ", "%a", ""),
            ("a LIST (", "SUBSCRIBED ", ") \"\" *"),
            ("a SELECT ", "&AOk-", ""),
            ("a SELECT ", "&", ""),
            ("a CREATE ", "a/", ""),
            ("a STATUS x (", "MESSAGES ", "SIZE)"),
            ("a ID (", "\"a\" \"b\" ", "\"c\" NIL)"),
            ("a ENABLE ", "X ", "X"),
            ("a LOGIN ", "x {1+}\r\nx", " x"),
            ("", "x", ""),
            ("a ", " ", ""),
        ] {
            let shape = Shape::new(head, piece, format!("{tail}\r\nb NOOP\r\n"));
            check("a line of IMAP", imap_logged_in, &shape, 64 * 1024);
        }
    }

    #[test]
    fn pop3() {
        seeds_repeated(POP3, 128 * 1024);
    }

    #[test]
    fn lmtp() {
        seeds_repeated(LMTP, 128 * 1024);
    }

    #[test]
    fn records() {
        seeds_repeated(RECORDS, 128 * 1024);
    }

    #[test]
    fn store() {
        seeds_repeated(STORE, 128 * 1024);
    }

    #[test]
    fn message() {
        seeds_repeated(MESSAGE, 256 * 1024);
    }

    #[test]
    fn message_shapes() {
        for (head, piece, tail) in [
            ("Subject: ", "=?", ""),
            ("Subject: ", "=?a?q?", ""),
            ("Subject: ", "=?utf-8?q?a?=", ""),
            ("Subject: ", "=?utf-8?q?a?= ", ""),
            ("Subject: ", "=?utf-8?q?a?= =?koi8-r?q?b?= ", ""),
            ("Subject: ", "=?x?q?a?=", ""),
            ("Subject: ", "re: ", ""),
            ("Subject: ", "[a] ", ""),
            ("Subject: ", "re [a]: ", ""),
            ("Subject: ", "[", ""),
            ("Subject: a", "(fwd)", ""),
            ("Subject: a", " ", "b"),
            ("Subject: a", "\r\n ", "b"),
            ("Subject: fwd: [fwd: ", "fwd: [fwd: ", "]]]]]]"),
            ("To: ", "(", ""),
            ("To: ", "\"", ""),
            ("To: ", "\\", ""),
            ("To: ", "<", ""),
            ("To: ", "g:", ""),
            ("To: ", "g:;", ""),
            ("To: ", ",", ""),
            ("To: ", "a@b,", ""),
            ("To: ", "a <@b:c@d> ", ""),
            ("To: ", "a.", ""),
            ("To: ", "@", ""),
            ("To: ", "=?utf-8?q?a?= <a@b>, ", ""),
            ("References: ", "<a@b>", ""),
            ("References: ", "<", ""),
            ("Date: ", "(", ""),
            ("Date: ", "1 ", ""),
            ("Content-Type: a/b", "; a=b", ""),
            ("Content-Type: a/b", "; a*0=b", ""),
            ("Content-Type: a/b; a*=utf-8''", "%C3", ""),
            ("Content-Type: a/b; a=\"", "\\", ""),
            ("Content-Type: ", "(", ""),
            ("Content-Language: ", "a, ", ""),
            ("", "a: b\r\n", ""),
            ("", ":", ""),
            ("", "To: a@b\r\n", ""),
            ("", "Subject: x\r\n", ""),
            ("", "Content-Type: text/plain\r\n", ""),
            ("", " \r\n", ""),
            ("Content-Type: multipart/mixed; boundary=a\r\n\r\n", "--a\r\n", ""),
            ("Content-Type: multipart/mixed; boundary=a\r\n\r\n", "--a\r\n\r\n", ""),
            ("Content-Type: multipart/mixed; boundary=a\r\n\r\n", "--", ""),
            ("Content-Type: multipart/mixed; boundary=a\r\n\r\n", "--b\r\n", ""),
            (
                "Content-Type: multipart/mixed; boundary=a\r\n\r\n",
                "--a\r\nContent-Type: message/rfc822\r\n\r\n",
                "",
            ),
            ("", "Content-Type: message/rfc822\r\n\r\n", ""),
            ("", "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n", ""),
            (
                "",
                "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n",
                "",
            ),
            ("Content-Type: text/html\r\n\r\n", "<", ""),
            ("Content-Type: text/html\r\n\r\n", "<p>", ""),
            ("Content-Type: text/html\r\n\r\n", "<!--", ""),
            ("Content-Type: text/html\r\n\r\n", "<a href=\"", ""),
            ("Content-Type: text/html\r\n\r\n", "<script>", ""),
            ("Content-Type: text/html\r\n\r\n", "&", ""),
            ("Content-Type: text/html\r\n\r\n", "&#", ""),
            ("Content-Type: text/html\r\n\r\n", "&amp", ""),
            ("Content-Transfer-Encoding: quoted-printable\r\n\r\n", "=", ""),
            ("Content-Transfer-Encoding: base64\r\n\r\n", "=", ""),
            ("Content-Type: text/plain; charset=utf-7\r\n\r\n", "+", ""),
            ("Content-Type: text/plain; charset=utf-7\r\n\r\n", "+AA-", ""),
            ("Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n", "\x1b$B", ""),
            ("Content-Type: text/plain; charset=utf-16\r\n\r\n", "\0", ""),
            ("Content-Type: text/plain; charset=gb18030\r\n\r\n", "\u{81}", ""),
        ] {
            check("a message", MESSAGE.entry, &Shape::new(head, piece, tail), 256 * 1024);
        }
        for (head, first, second) in [
            ("Subject: =?utf-8?q?a?=", " ", "=?x?q?b?="),
            ("Subject: ", " ", "re:"),
            ("Subject: ", "re:", "(fwd)"),
            ("Subject: ", "[a", "]"),
            ("Subject: ", "[fwd:", "]"),
            ("To: ", "(", ")"),
            ("To: ", "a ", "(b)"),
            ("To: ", "g:", ";"),
            ("To: ", "\"", "<"),
            ("Content-Type: text/html\r\n\r\n", "<b>", "</a>"),
            ("Content-Type: text/html\r\n\r\n", "<!--", "-"),
        ] {
            check("a message", MESSAGE.entry, &Shape::new(head, first, "").then(second), 256 * 1024);
        }
    }
}
