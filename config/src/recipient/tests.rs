//! Tests of addresses.

use std::path::Path;

use super::*;

const USERS: &str =
    "ann:{PLAIN}a\nbob@Example.org:{PLAIN}b\nc+d:{PLAIN}c\neve@other.net:{PLAIN}e\ncarl:{PLAIN}c\n";

fn resolve(address: &str, lmtp: &Lmtp, aliases: &str) -> Recipient {
    let users = Users::from_reader(USERS.as_bytes(), Path::new("users")).expect("read");
    let aliases = Aliases::parse(aliases.as_bytes());
    let (local, domain) = parts(address);
    Directory { lmtp, users: &users, aliases: &aliases }.resolve(local, domain)
}

fn ours() -> Lmtp {
    Lmtp { domains: vec!["example.org".to_owned()], ..Lmtp::default() }
}

/// `ann bob/folder` as targets.
fn targets(text: &str) -> Recipient {
    let target = |word: &str| match word.split_once('/') {
        Some((user, detail)) => Target { user: user.to_owned(), detail: Some(detail.to_owned()) },
        None => Target { user: word.to_owned(), detail: None },
    };
    Recipient::Targets(text.split(' ').map(target).collect())
}

#[test]
fn the_users_file_wins_then_the_domain_then_the_local_part() {
    let (any, ours) = (Lmtp::default(), ours());
    for (address, lmtp, expected) in [
        ("Ann@example.org", &ours, targets("ann")),
        ("ann@EXAMPLE.org", &ours, targets("ann")),
        ("ann@other.net", &ours, Recipient::ForeignDomain),
        ("ann@other.net", &any, targets("ann")),
        ("ann", &ours, targets("ann")),
        ("ann+lists@example.org", &ours, targets("ann/lists")),
        ("ann+a+b@example.org", &ours, targets("ann/a+b")),
        ("ann+@example.org", &ours, targets("ann")),
        ("bob+x@example.org", &ours, targets("bob@example.org/x")),
        ("c+d", &any, targets("c+d")),
        ("c+d+e", &any, Recipient::UnknownUser),
        ("c", &any, Recipient::UnknownUser),
        ("bob@example.org", &ours, targets("bob@example.org")),
        ("bob", &ours, Recipient::UnknownUser),
        ("eve@other.net", &ours, targets("eve@other.net")),
        ("+ann", &any, Recipient::UnknownUser),
        ("../x@example.org", &any, Recipient::UnknownUser),
    ] {
        assert_eq!(resolve(address, lmtp, ""), expected, "{address}");
    }
}

#[test]
fn the_delimiter_is_what_the_settings_say() {
    let with = |delimiter: &str| Lmtp { delimiter: delimiter.to_owned(), ..Lmtp::default() };
    assert_eq!(resolve("ann-x", &with("-"), ""), targets("ann/x"));
    assert_eq!(resolve("ann-x+y", &with("+-"), ""), targets("ann/x+y"));
    assert_eq!(resolve("ann+x", &with("-"), ""), Recipient::UnknownUser);
    assert_eq!(resolve("ann+x", &with(""), ""), Recipient::UnknownUser);
}

#[test]
fn aliases_go_before_users_and_follow_one_another() {
    let aliases = "root: ann\npostmaster: root\nteam: ann, bob@example.org, postmaster, ann\nann: ann, carl\n\
                   sales@example.org: c+d+sales, bob+sales@example.org, nobody, x@elsewhere.net\ncarl: \\ann\n\
                   a: b\nb: a\nghost: nobody\ne: eve@other.net\n";
    let ours = ours();
    for (address, expected) in [
        ("postmaster", targets("ann")),
        ("postmaster+x@example.org", targets("ann")),
        ("ann@example.org", targets("ann")),
        ("ann+x@example.org", targets("ann")),
        ("team@example.org", targets("ann bob@example.org")),
        ("SALES@example.org", targets("bob@example.org/sales")),
        ("sales", Recipient::UnknownUser),
        ("team@other.net", Recipient::ForeignDomain),
        ("e", targets("eve@other.net")),
        ("a", Recipient::DeadAlias),
        ("ghost", Recipient::DeadAlias),
    ] {
        assert_eq!(resolve(address, &ours, aliases), expected, "{address}");
    }
}

#[test]
fn an_alias_that_names_itself_keeps_a_copy() {
    assert_eq!(resolve("ann", &Lmtp::default(), "ann: ann, carl\n"), targets("ann carl"));
    assert_eq!(resolve("ann", &Lmtp::default(), "ann: ann+copy, carl\n"), targets("ann/copy carl"));
    assert_eq!(resolve("ann", &Lmtp::default(), "ann: carl\ncarl: ann\n"), targets("ann"));
    assert_eq!(resolve("x", &Lmtp::default(), "x: ann, y\ny: ann, carl\nann: c+d\n"), targets("c+d carl"));
}

#[test]
fn what_nobody_has_goes_to_the_catch_all() {
    let lmtp = Lmtp { catch_all: "ann+rest".to_owned(), ..ours() };
    assert_eq!(resolve("nobody@example.org", &lmtp, ""), targets("ann/rest"));
    assert_eq!(resolve("nobody", &lmtp, ""), targets("ann/rest"));
    assert_eq!(resolve("nobody@other.net", &lmtp, ""), Recipient::ForeignDomain);
    let of_domain = "@Example.org: carl\n";
    assert_eq!(resolve("nobody@example.org", &lmtp, of_domain), targets("carl"));
    assert_eq!(resolve("nobody", &lmtp, of_domain), targets("ann/rest"));
    assert_eq!(resolve("nobody@example.org", &ours(), of_domain), targets("carl"));
    let nobody = Lmtp { catch_all: "nobody".to_owned(), ..Lmtp::default() };
    assert_eq!(resolve("x", &nobody, ""), Recipient::UnknownUser);
}

#[test]
fn groups_have_limits() {
    let deep: String = (0..DEPTH_MAX + 1).map(|n| format!("a{n}: a{}\n", n + 1)).collect();
    let end = |n: usize| format!("{deep}a{n}: ann\n");
    assert_eq!(resolve("a0", &Lmtp::default(), &end(DEPTH_MAX + 1)), Recipient::DeadAlias);
    assert_eq!(resolve("a2", &Lmtp::default(), &end(DEPTH_MAX + 1)), targets("ann"));
    let many: Vec<String> = (0..TARGETS_MAX + 5).map(|n| format!("ann+{n}")).collect();
    let text = format!(
        "x: y, z\ny: {}\nz: {}\n",
        many[..TARGETS_MAX - 1].join(", "),
        many[TARGETS_MAX - 1..].join(", ")
    );
    match resolve("x", &Lmtp::default(), &text) {
        Recipient::Targets(targets) => assert_eq!(targets.len(), TARGETS_MAX),
        other => panic!("{other:?}"),
    }
}
