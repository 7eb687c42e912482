//! LMTP command by command: the conversations under `wire/lmtp`.

tests::scripts! {
    deliver: "lmtp/deliver.txt",
    order: "lmtp/order.txt",
    pipelining: "lmtp/pipelining.txt",
    smtputf8: "lmtp/smtputf8.txt",
    unknown_user: "lmtp/unknown-user.txt",
}
