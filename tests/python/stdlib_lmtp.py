"""Delivers with Python's smtplib.LMTP: HOST-or-socket PORT USER... (a host that begins with / is a unix socket)."""

import smtplib
import sys

host, port, users = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
MESSAGE = "From: a@example.org\r\nSubject: smtplib\r\n\r\n.dot\r\nH\u00e4llo.\r\n".encode()

with smtplib.LMTP(host, port) as lmtp:
    code, _ = lmtp.ehlo()
    assert code == 250
    assert lmtp.has_extn("8BITMIME"), lmtp.esmtp_features
    # smtplib reads one reply after the dot, as in SMTP, so each transaction has one recipient.
    for user in users:
        refused = lmtp.sendmail("a@example.org", [user], MESSAGE, mail_options=["BODY=8BITMIME"])
        assert refused == {}, refused
    assert lmtp.sendmail("", users[:1], MESSAGE) == {}
print("smtplib.LMTP: done")
