//! LOGIN-REFERRALS (RFC 2221): users whose mail is on another server are told where.

use tests::imap::Imap;
use tests::server::{Options, PASSWORD, Server};

#[test]
fn who_has_moved_is_told_where() {
    let moved = Options::default().set("auth.referrals", "ann", "\"imap2.example.org:1143\"");
    let server = Server::with(moved);
    if server.skip_on_peer("[auth.referrals]") {
        return;
    }
    let mut imap = Imap::connect(server.addresses().imap).expect("connected");
    let capabilities = imap.ok("CAPABILITY");
    let told = capabilities
        .untagged
        .iter()
        .any(|line| String::from_utf8_lossy(line).split_whitespace().any(|name| name == "LOGIN-REFERRALS"));
    assert!(told, "{capabilities:?}");
    let refused = imap.no(&format!("LOGIN ann {PASSWORD}"));
    assert!(refused.text.contains("[REFERRAL imap://ann;AUTH=*@imap2.example.org:1143/]"), "{refused:?}");
    // Only who has the password learns it.
    let refused = imap.no("LOGIN ann wrong");
    assert!(refused.text.contains("[AUTHENTICATIONFAILED]"), "{refused:?}");
    imap.ok(&format!("LOGIN bob {PASSWORD}"));
}
