//! Tests of the users file.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::edit::{EditError, add, remove, set_hash};
use super::*;

fn users(text: &str) -> Users {
    Users::from_reader(text.as_bytes(), Path::new("/etc/lode/users")).expect("read")
}

#[test]
fn a_file_with_comments_and_fields_is_read() {
    let users = users(
        "# people\n\nann:{PLAIN}secret:1000:1000::/home/ann::quota=1\r\nBob@Example.org:{PLAIN}b\nlocked:\nlast:{PLAIN}l",
    );
    let names: Vec<&str> = users.iter().map(|user| user.name).collect();
    assert_eq!(names, ["ann", "bob@example.org", "last", "locked"]);
    let ann = users.get("ANN").expect("found");
    assert_eq!(ann, User { name: "ann", stored_hash: "{PLAIN}secret", line: 3 });
    assert_eq!(users.len(), 4);
    assert!(users.get("an").is_none());
    assert!(users.problems().is_empty());
    assert_eq!(users.verify("Ann", b"secret"), Verdict::Accepted);
    assert_eq!(users.verify("ann", b"Secret"), Verdict::Refused);
    assert_eq!(users.verify("locked", b""), Verdict::Refused);
    assert_eq!(users.verify("nobody", b"secret"), Verdict::Refused);
    assert_eq!(users.verify("../ann", b"secret"), Verdict::Refused);
}

#[test]
fn a_bad_line_is_reported_and_costs_nobody_else_anything() {
    let long = format!("long:{}\n", "x".repeat(5000));
    let text = format!("ann:{{PLAIN}}a\nno colon\n{long}a/b:{{PLAIN}}x\nANN:{{PLAIN}}b\nbob:{{PLAIN}}b\n");
    let mut octets = text.into_bytes();
    octets.extend_from_slice(b"\xff\xfe:{PLAIN}x\ncarl:{PLAIN}c\n");
    let users = Users::from_reader(&octets[..], Path::new("users")).expect("read");
    let lines: Vec<u32> = users.problems().iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [2, 3, 4, 7, 5]);
    assert!(users.problems()[4].what.contains("already on line 1"));
    assert_eq!(users.len(), 3);
    assert_eq!(users.get("carl").expect("found").line, 8);
    assert_eq!(users.verify("ann", b"a"), Verdict::Accepted, "the first line counts");
}

#[test]
fn a_file_without_end_is_refused() {
    let endless = std::io::repeat(b'\n');
    assert!(matches!(parse::parse(std::io::BufReader::new(endless), 10_000), Err(parse::Error::TooLarge)));
    let endless_line = std::io::repeat(b'x');
    assert!(matches!(
        parse::parse(std::io::BufReader::new(endless_line), 10_000),
        Err(parse::Error::TooLarge)
    ));
}

/// Hashes of `Sésame 1` as `doveadm pw` and `openssl passwd` made them.
const FOREIGN: &[&str] = &[
    "{ARGON2I}$argon2i$v=19$m=32768,t=4,p=1$9P/EUnmgDgMVxj9ZkYfbJg$Lmumb5EbAiSKn4mWZmEdEIUxW2Iv++COeet6OlwhsPU",
    "{BLF-CRYPT}$2y$05$B0G2qKU0QVVclKBz9lyYJusahh.zFZhyJL/0LB7TQQc41wjIpTFUu",
    "{CRYPT}$2y$05$U0HfZpZynbQ5O4gGVrHCZO9zVlsxbr7hwLr10YyRcJOYL3/sv7Bmi",
    "$2y$05$U0HfZpZynbQ5O4gGVrHCZO9zVlsxbr7hwLr10YyRcJOYL3/sv7Bmi",
    "{SHA256-CRYPT}$5$L8ck6zAhMdON2hwd$DaXI1Pl.PuLGlL33O68jyyxmLMKjTXlw/XXkAPdZqj9",
    "{SHA512-CRYPT}$6$aFvL/qy3FKfFm5oZ$YQaxgQ2/Q.QGLEGjuD1YyzC1oN7DYz/9PMqbSYKFz3OUO/yBs7qAfkchhVYUEBNOj806yKvTRA1FhY4DY6TZR.",
    "{crypt}$6$saltsalt$j0kn/1M0KXi2329EbyHEcQMAJf0kBG2IuTCMinzoqzYWtJCx5qvFPsZ0R8caWZmDr86pQED36e595VNov0tiT.",
    "{SSHA}DfH5C5vuKBxyBvMM/ucFWKsAVlG5F+S2",
    "{SSHA256}WTeFsXmWnpYrbNwNf0IRe9fZ7WNeDS044knqrRXlnV333uvQ",
    "{SSHA512}z4c1SI3fV+T1IxhpIaG/3Lo3oaAsIVm7o4JHfxIbLUTaatQjsZUXRiHZuDrUkHdFykGOsA8O5b8Z/p8+JBrc2LE+rtk=",
    "{SHA}e6/8BwqVmQjZIi3pCfYaz6cj71c=",
    "{SHA1}e6/8BwqVmQjZIi3pCfYaz6cj71c",
    "{SHA256}4NFCci2JNpDBYuIbbcGmN+FVsBXAogulTACjbCpCnPo=",
    "{SHA512}dS9dmOnkHXwgGD/A2zPwq2pqqWK+s/ss9lqO3w1DPT4bCnVTwgixyQSA+1lxnTDVxPWsKmpcEJv/p+SaGX+QqQ==",
    "{PBKDF2}$1$zhn2csBicDbKAYsz$5000$3f5b6fa5b2cd03a9cabe0e9fc5de07ca11dec9b6",
    "{PLAIN}Sésame 1",
    "{PLAIN-MD5}c5d6e0d365f2192aaef83a50c4dd7883",
    "{LDAP-MD5}xdbg02XyGSqu+DpQxN14gw==",
    "{SMD5}lFXg/uQ99PuEeUaQFxEkoI6RIJ8=",
    "{SHA256.HEX}e0d142722d893690c162e21b6dc1a637e155b015c0a20ba54c00a36c2a429cfa",
    "{SSHA.hex}76c910171f72737862e94074c7ff183d8945b92e168df296",
];

#[test]
fn hashes_made_elsewhere_are_read() {
    for stored in FOREIGN {
        assert_eq!(hash::verify(stored, "Sésame 1".as_bytes()), Verdict::Accepted, "{stored}");
        assert_eq!(hash::verify(stored, b"Sesame 1"), Verdict::Refused, "{stored}");
        assert_eq!(hash::verify(stored, b""), Verdict::Refused, "{stored}");
    }
}

#[test]
fn what_is_cut_short_is_never_accepted_and_never_panics() {
    for stored in
        FOREIGN.iter().filter(|stored| !stored.starts_with("{PLAIN}") && !stored.contains("argon2i"))
    {
        for end in (0..stored.len()).step_by(3).filter(|end| stored.is_char_boundary(*end)) {
            let cut = &stored[..end];
            let whole = cut.trim_end_matches('=') == stored.trim_end_matches('=');
            assert!(whole || hash::verify(cut, "Sésame 1".as_bytes()) != Verdict::Accepted, "{cut}");
        }
    }
}

#[test]
fn what_cannot_be_read_or_costs_too_much_says_where() {
    let text = "ann:{ROT13}frperg\nbob:secret\nmad:{ARGON2ID}$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo\n\
                max:{CRYPT}$2b$31$U0HfZpZynbQ5O4gGVrHCZO9zVlsxbr7hwLr10YyRcJOYL3/sv7Bmi\nmim:{SHA512-CRYPT}$6$rounds=999999999$s$x\n\
                moe:{MD5-CRYPT}$1$a$b\nned:{PBKDF2}$1$a$4294967295$3f5b6fa5b2cd03a9cabe0e9fc5de07ca11dec9b6\n";
    let users = users(text);
    for (name, line, what) in [
        ("ann", 1, "{ROT13}"),
        ("bob", 2, "no {SCHEME}"),
        ("mad", 3, "more memory or time"),
        ("max", 4, "more memory or time"),
        ("mim", 5, "more memory or time"),
        ("moe", 6, "{MD5-CRYPT}"),
        ("ned", 7, "more memory or time"),
    ] {
        let Verdict::Unreadable { why } = users.verify(name, b"secret") else {
            panic!("{name} is readable");
        };
        assert!(why.starts_with(&format!("/etc/lode/users:{line}: user {name}: ")), "{why}");
        assert!(why.contains(what), "{why}");
    }
}

#[test]
fn a_locked_account_refuses() {
    for stored in ["", "!", "*", "!!", "{CRYPT}!$6$a$b", "{CRYPT}", "!$6$saltsalt$x"] {
        assert_eq!(hash::verify(stored, b"x"), Verdict::Refused, "{stored}");
        assert_eq!(hash::verify(stored, b""), Verdict::Refused, "{stored}");
    }
}

#[test]
fn a_new_hash_is_argon2id_and_salted() {
    let one = hash_password(b"secret").expect("hashed");
    let two = hash_password(b"secret").expect("hashed");
    assert!(one.starts_with("{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
    assert_ne!(one, two);
    assert_eq!(hash::verify(&one, b"secret"), Verdict::Accepted);
    assert_eq!(hash::verify(&one, b"secres"), Verdict::Refused);
    assert_eq!(hash_password(b""), Err(HashError::Empty));
    assert_eq!(hash_password(b"a\0b"), Err(HashError::Forbidden));
    assert_eq!(hash_password(&[b'x'; 4097]), Err(HashError::TooLong));
}

#[test]
fn editing_changes_one_line_and_keeps_the_rest() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("users");
    add(&path, "Ann", "{PLAIN}a").expect("added");
    assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o777, 0o640);
    assert_eq!(std::fs::read_to_string(&path).expect("read"), "ann:{PLAIN}a\n");

    std::fs::write(&path, "# people\nAnn:{PLAIN}a:1000::x\r\nodd line\nbob:{PLAIN}b").expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o604)).expect("set");
    add(&path, "carl", "{PLAIN}c").expect("added");
    set_hash(&path, "ANN", "{PLAIN}new").expect("set");
    remove(&path, "bob").expect("removed");
    assert_eq!(
        std::fs::read_to_string(&path).expect("read"),
        "# people\nAnn:{PLAIN}new:1000::x\nodd line\ncarl:{PLAIN}c\n"
    );
    assert_eq!(std::fs::metadata(&path).expect("there").mode() & 0o777, 0o604);
    assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 1, "nothing is left beside");

    assert!(matches!(add(&path, "CARL", "{PLAIN}c"), Err(EditError::Exists(name)) if name == "carl"));
    assert!(matches!(remove(&path, "bob"), Err(EditError::Unknown(_))));
    assert!(matches!(set_hash(&path, "bob", "{PLAIN}x"), Err(EditError::Unknown(_))));
    assert!(matches!(set_hash(&path, "ann", "a:b"), Err(EditError::Hash)));
    assert!(matches!(add(&path, "a/b", "{PLAIN}x"), Err(EditError::Name(_))));
    assert!(matches!(
        add(&folder.path().join("none/users"), "ann", "{PLAIN}x"),
        Err(EditError::System { .. })
    ));
}

#[test]
fn two_editors_lose_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("users");
    std::thread::scope(|scope| {
        for editor in 0..4 {
            let path = &path;
            scope.spawn(move || {
                for i in 0..10 {
                    add(path, &format!("user{editor}-{i}"), "{PLAIN}x").expect("added");
                }
            });
        }
    });
    assert_eq!(Users::load(&path).expect("loaded").len(), 40);
}

#[test]
fn a_changed_file_is_read_again() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("users");
    let mut users = Users::empty(&path);
    assert!(users.reload_if_changed().is_err());
    add(&path, "ann", "{PLAIN}a").expect("added");
    assert!(users.reload_if_changed().expect("read"));
    assert!(!users.reload_if_changed().expect("read"));
    set_hash(&path, "ann", "{PLAIN}b").expect("set");
    assert!(users.changed().expect("looked"));
    assert!(users.reload_if_changed().expect("read"));
    assert_eq!(users.verify("ann", b"b"), Verdict::Accepted);
    std::fs::remove_file(&path).expect("removed");
    assert!(users.reload_if_changed().is_err());
    assert_eq!(users.len(), 1, "an error leaves the users as they were");
}
