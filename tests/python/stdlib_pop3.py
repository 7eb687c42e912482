"""Reads and empties a mailbox with Python's poplib: HOST PORT USER PASSWORD. Expects two messages."""

import poplib
import sys

host, port, user, password = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]

pop = poplib.POP3(host, port)
capabilities = pop.capa()
assert "TOP" in capabilities and "UIDL" in capabilities, capabilities
pop.user(user)
pop.pass_(password)
count, octets = pop.stat()
assert count == 2, count
sizes = [int(line.split()[1]) for line in pop.list()[1]]
assert sum(sizes) == octets
ids = [line.split()[1] for line in pop.uidl()[1]]
assert len(set(ids)) == 2
for number in (1, 2):
    _, lines, _ = pop.retr(number)
    message = b"\r\n".join(lines) + b"\r\n"
    assert len(message) == sizes[number - 1], (len(message), sizes)
    _, top, _ = pop.top(number, 0)
    assert top == lines[: lines.index(b"") + 1]
pop.dele(1)
pop.rset()
assert pop.stat()[0] == 2
pop.dele(1)
pop.quit()

pop = poplib.POP3(host, port)
pop.user(user)
try:
    pop.pass_("wrong")
    raise SystemExit("a wrong password was accepted")
except poplib.error_proto:
    pass
pop.close()

pop = poplib.POP3(host, port)
pop.user(user)
pop.pass_(password)
assert [line.split()[1] for line in pop.uidl()[1]] == ids[1:]
pop.quit()
print("poplib: done")
