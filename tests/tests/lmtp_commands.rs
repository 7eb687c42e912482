//! LMTP command by command: the conversations under `wire/lmtp`.

tests::scripts! {
    aliases: "lmtp/aliases.txt",
    aliases_unreadable: "lmtp/aliases-unreadable.txt",
    binarymime: "lmtp/binarymime.txt",
    chunking: "lmtp/chunking.txt",
    chunking_too_large: "lmtp/chunking-too-large.txt",
    deliver: "lmtp/deliver.txt",
    dsn_parameters: "lmtp/dsn-parameters.txt",
    order: "lmtp/order.txt",
    over_quota: "lmtp/over-quota.txt",
    over_quota_reject: "lmtp/over-quota-reject.txt",
    pipelining: "lmtp/pipelining.txt",
    smtputf8: "lmtp/smtputf8.txt",
    subaddress: "lmtp/subaddress.txt",
    subaddress_create: "lmtp/subaddress-create.txt",
    unknown_user: "lmtp/unknown-user.txt",
    xclient: "lmtp/xclient.txt",
    xclient_untrusted: "lmtp/xclient-untrusted.txt",
}
