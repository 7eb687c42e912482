//! POP3 command by command: the conversations under `wire/pop3`.

tests::scripts! {
    auth: "pop3/auth.txt",
    capa: "pop3/capa.txt",
    language: "pop3/language.txt",
    login_delay: "pop3/login-delay.txt",
    pipelining: "pop3/pipelining.txt",
    sasl: "pop3/sasl.txt",
    session: "pop3/session.txt",
    update: "pop3/update.txt",
}
