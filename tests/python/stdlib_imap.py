"""Works through a mailbox with Python's imaplib: HOST PORT USER PASSWORD."""

import imaplib
import sys
import time

host, port, user, password = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
MESSAGE = b"From: a@example.org\r\nSubject: imaplib\r\n\r\nHello from imaplib.\r\n"


def ok(answer):
    assert answer[0] == "OK", answer
    return answer[1]


with imaplib.IMAP4(host, port) as imap:
    assert "IMAP4REV1" in imap.capabilities, imap.capabilities
    try:
        imap.login(user, "wrong")
        raise SystemExit("a wrong password was accepted")
    except imaplib.IMAP4.error:
        pass
    ok(imap.login(user, password))
    ok(imap.enable("X-UNKNOWN"))
    ok(imap.create("Work"))
    ok(imap.append("Work", "(\\Flagged)", imaplib.Time2Internaldate(time.time()), MESSAGE))
    ok(imap.append("Work", None, None, MESSAGE))
    assert ok(imap.select("Work")) == [b"2"]
    assert ok(imap.search(None, "FLAGGED")) == [b"1"]
    assert ok(imap.uid("SEARCH", "SUBJECT", '"imaplib"')) == [b"1 2"]
    data = ok(imap.fetch("1", "(BODY[])"))
    assert data[0][1] == MESSAGE, data
    ok(imap.store("1", "+FLAGS", "\\Deleted"))
    ok(imap.copy("2", "INBOX"))
    assert ok(imap.expunge()) == [b"1"]
    assert any(b"Work" in line for line in ok(imap.list()))
    ok(imap.subscribe("Work"))
    assert any(b"Work" in line for line in ok(imap.lsub()))
    assert b"MESSAGES 1" in ok(imap.status("INBOX", "(MESSAGES UNSEEN)"))[0]
    assert ok(imap.namespace())[0].startswith(b'((""')
    ok(imap.close())
    ok(imap.rename("Work", "Done"))
    ok(imap.delete("Done"))

with imaplib.IMAP4(host, port) as imap:
    ok(imap.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode()))
    assert ok(imap.select("INBOX", readonly=True)) == [b"1"]
print("imaplib: done")
