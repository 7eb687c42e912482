"""TLS by the standard library: implicit and by STARTTLS and STLS, content of some size, names, what must be refused.

Arguments: certificate, second certificate, user, password, then the ports of imap, imaps, pop3, pop3s.
"""

import imaplib
import poplib
import socket
import ssl
import sys

CERTIFICATE, SECOND, USER, PASSWORD = sys.argv[1:5]
IMAP, IMAPS, POP3, POP3S = (int(port) for port in sys.argv[5:9])
HOST = "127.0.0.1"


def context(certificate=CERTIFICATE, name_is_checked=False):
    made = ssl.create_default_context(cafile=certificate)
    made.check_hostname = name_is_checked
    return made


def message(octets):
    line = b"0123456789abcdef" * 4 + b"\r\n"
    return b"Subject: large\r\n\r\n" + line * (octets // len(line))


def whole(imap, large):
    assert imap.login(USER, PASSWORD)[0] == "OK"
    assert imap.append("INBOX", None, None, large)[0] == "OK"
    exists = int(imap.select("INBOX")[1][0])
    kind, data = imap.fetch(str(exists), "(BODY.PEEK[])")
    assert kind == "OK" and data[0][1] == large, len(data[0][1])


# From the first octet.
with imaplib.IMAP4_SSL(HOST, IMAPS, ssl_context=context()) as imap:
    assert "STARTTLS" not in imap.capabilities and "AUTH=PLAIN" in imap.capabilities, imap.capabilities
    whole(imap, message(5_000_000))

# After STARTTLS, once.
with imaplib.IMAP4(HOST, IMAP) as imap:
    assert "STARTTLS" in imap.capabilities, imap.capabilities
    assert imap.starttls(context())[0] == "OK"
    assert "STARTTLS" not in imap.capabilities, imap.capabilities
    try:
        imap._simple_command("STARTTLS")
        raise SystemExit("STARTTLS was taken twice")
    except imaplib.IMAP4.error as error:
        assert "BAD" in str(error), error
    whole(imap, message(100_000))

# What was sent in the clear behind STARTTLS is not taken for what comes under TLS.
with socket.create_connection((HOST, IMAP)) as plain:
    plain.settimeout(30)
    plain.recv(4096)
    plain.sendall(b"a STARTTLS\r\nb NOOP\r\n")
    said = b""
    while octets := plain.recv(4096):
        said += octets
    assert b"b OK" not in said, said

# No TLS at all where it is to begin with the first octet.
with socket.create_connection((HOST, IMAPS)) as plain:
    plain.settimeout(30)
    plain.sendall(b"a CAPABILITY\r\n")
    said = b""
    while octets := plain.recv(4096):
        said += octets
    assert b"IMAP4rev1" not in said, said

# Nothing older than TLS 1.2.
old = context()
old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
old.maximum_version = ssl.TLSVersion.TLSv1_1
old.set_ciphers("ALL:@SECLEVEL=0")
try:
    imaplib.IMAP4_SSL(HOST, IMAPS, ssl_context=old)
    raise SystemExit("TLS 1.1 was spoken")
except (ssl.SSLError, ConnectionError):
    pass

for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    one = context()
    one.minimum_version = one.maximum_version = version
    with imaplib.IMAP4_SSL(HOST, IMAPS, ssl_context=one) as imap:
        assert imap.noop()[0] == "OK"

# The certificate is that of the name asked for.
for certificate, name in ((CERTIFICATE, "mail.example.org"), (SECOND, "mail.example.net")):
    with socket.create_connection((HOST, IMAPS)) as plain:
        with context(certificate, True).wrap_socket(plain, server_hostname=name) as secure:
            assert secure.recv(4096).startswith(b"* OK")

# POP3 both ways.
pop3 = poplib.POP3_SSL(HOST, POP3S, context=context())
assert "STLS" not in pop3.capa()
pop3.user(USER)
pop3.pass_(PASSWORD)
assert pop3.stat()[0] == 2
assert len(pop3.retr(1)[1]) > 10_000
pop3.quit()
pop3 = poplib.POP3(HOST, POP3)
assert "STLS" in pop3.capa()
pop3.stls(context())
pop3.user(USER)
pop3.pass_(PASSWORD)
pop3.quit()
print("all good")
