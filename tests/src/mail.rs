//! Messages made up for tests.

use crate::random::Random;

/// A small message with `id` in its header (`X-Id`) and its body.
pub fn small(id: &str) -> Vec<u8> {
    format!(
        "From: Sender <sender@example.org>\r\nTo: Reader <reader@example.org>\r\nSubject: Message {id}\r\n\
         Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nMessage-ID: <{id}@example.org>\r\nX-Id: {id}\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nThis is {id}.\r\n"
    )
    .into_bytes()
}

/// The same with a body of about `octets` octets, different for each id.
pub fn sized(id: &str, octets: usize) -> Vec<u8> {
    let mut message = small(id);
    let mut random = Random::new(id.bytes().fold(7, |sum, octet| sum * 31 + u64::from(octet)));
    while message.len() < octets {
        message.extend_from_slice(format!("{:016x}{:016x}\r\n", random.bits(), random.bits()).as_bytes());
    }
    message
}

/// The id that [`small`] or [`sized`] put into a message or its header.
pub fn id(octets: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(octets);
    text.lines().find_map(|line| line.strip_prefix("X-Id: ")).map(|id| id.trim().to_string())
}
