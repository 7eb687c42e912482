//! POP3 command by command: the conversations under `wire/pop3`.

tests::scripts! {
    auth: "pop3/auth.txt",
    capa: "pop3/capa.txt",
    pipelining: "pop3/pipelining.txt",
    session: "pop3/session.txt",
}
