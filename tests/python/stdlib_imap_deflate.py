"""Python's imaplib over COMPRESS=DEFLATE (RFC 4978), by zlib: HOST PORT USER PASSWORD."""

import imaplib
import io
import sys
import zlib

host, port, user, password = sys.argv[1:5]


class Deflated(io.RawIOBase):
    """What imaplib reads: the socket, inflated."""

    def __init__(self, sock):
        self.sock = sock
        self.inflate = zlib.decompressobj(-15)
        self.ready = b""

    def readable(self):
        return True

    def readinto(self, into):
        while not self.ready:
            came = self.sock.recv(65536)
            if not came:
                return 0
            self.ready = self.inflate.decompress(came)
        count = min(len(into), len(self.ready))
        into[:count] = self.ready[:count]
        self.ready = self.ready[count:]
        return count


class Client(imaplib.IMAP4):
    deflate = None

    def begin(self):
        imaplib.Commands["COMPRESS"] = ("AUTH", "SELECTED")
        assert self._simple_command("COMPRESS", "DEFLATE")[0] == "OK"
        self.deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        name = "_file" if hasattr(self, "_file") else "file"
        setattr(self, name, io.BufferedReader(Deflated(self.sock)))

    def send(self, data):
        if self.deflate:
            data = self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        self.sock.sendall(data)


client = Client(host, int(port))
client.login(user, password)
assert "COMPRESS=DEFLATE" in client.capabilities or "COMPRESS=DEFLATE" in client.capability()[1][0].decode()
client.begin()
assert client.noop()[0] == "OK"

# Text, and octets that no compressor makes smaller: large enough that the server sends them from the file.
noise = bytearray()
state = 1
while len(noise) < 600_000:
    state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
    octet = 0x80 | state >> 57
    noise += bytes([octet])
    if len(noise) % 76 == 74:
        noise += b"\r\n"
messages = [
    b"Subject: text\r\n\r\n" + b"The same line again and again.\r\n" * 30_000,
    b"Subject: noise\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + bytes(noise) + b"\r\n",
    b"Subject: small\r\n\r\nsmall\r\n",
]
for message in messages:
    kind, said = client.append("INBOX", None, None, message)
    assert kind == "OK", said
assert client.select("INBOX")[1] == [b"3"]
for _ in range(2):
    for number, message in enumerate(messages, 1):
        kind, data = client.fetch(str(number), "(BODY.PEEK[])")
        assert kind == "OK" and data[0][1] == message, number
kind, data = client.fetch("1:3", "(FLAGS UID)")
assert kind == "OK" and len(data) == 3
client.logout()
