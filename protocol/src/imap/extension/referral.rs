//! LOGIN-REFERRALS (RFC 2221): where a user's mail is, as the URL of RFC 5092 that goes into the response code REFERRAL.

/// The URL of a user at a server, `server` being a host, perhaps with a port.
pub fn url(user: &str, server: &str) -> String {
    let mut url = String::from("imap://");
    for octet in user.bytes() {
        // What a user's name may hold as it is (`achar` of RFC 5092 section 11).
        if octet.is_ascii_alphanumeric() || b"-._~!$'()*+,&=".contains(&octet) {
            url.push(char::from(octet));
        } else {
            url.push_str(&format!("%{octet:02X}"));
        }
    }
    url.push_str(";AUTH=*@");
    url.push_str(server);
    url.push('/');
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_place() {
        assert_eq!(url("mike", "server2"), "imap://mike;AUTH=*@server2/");
        assert_eq!(
            url("a@b;c/ü]", "imap.example.org:1143"),
            "imap://a%40b%3Bc%2F%C3%BC%5D;AUTH=*@imap.example.org:1143/"
        );
    }
}
