//! The little of HTTP/1.1 (RFC 9112) that monitoring needs: GET and HEAD without a body, one answer, then the connection ends.
//!
//! Pure: octets in, a request or an answer out. The head is parsed by `httparse`.

/// The longest request that is read.
pub(super) const REQUEST_OCTETS_MAX: usize = 8 * 1024;
/// Header fields of a request.
const HEADERS_MAX: usize = 64;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// Whether only the head of the answer is wanted.
    pub(super) is_head: bool,
    /// What is wanted, without a query.
    pub(super) path: String,
}

/// What was read up to now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Not yet a whole request.
    Partial,
    /// A request.
    Request(Request),
    /// None that is answered but with this.
    Refused(Status),
}

/// How an answer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    TooLarge,
    Unavailable,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::TooLarge => "431 Request Header Fields Too Large",
            Status::Unavailable => "503 Service Unavailable",
        }
    }
}

/// Understands what a client has sent.
pub(super) fn read(octets: &[u8]) -> Read {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(octets) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if octets.len() >= REQUEST_OCTETS_MAX => {
            return Read::Refused(Status::TooLarge);
        }
        Ok(httparse::Status::Partial) => return Read::Partial,
        Err(httparse::Error::TooManyHeaders) => return Read::Refused(Status::TooLarge),
        Err(_) => return Read::Refused(Status::BadRequest),
    }
    let is_head = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Read::Refused(Status::MethodNotAllowed),
    };
    let target = request.path.unwrap_or_default();
    let path = target.split(['?', '#']).next().unwrap_or_default().to_string();
    Read::Request(Request { is_head, path })
}

/// An answer, whole.
pub(super) fn answer(status: Status, content_type: &str, body: &str, is_head: bool) -> Vec<u8> {
    let allow = if status == Status::MethodNotAllowed { "Allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\n{allow}Connection: close\r\n\r\n",
        status.line(),
        body.len(),
    );
    let mut octets = head.into_bytes();
    if !is_head {
        octets.extend_from_slice(body.as_bytes());
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(is_head: bool, path: &str) -> Read {
        Read::Request(Request { is_head, path: path.to_string() })
    }

    #[test]
    fn get_and_head_are_understood() {
        assert_eq!(read(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), request(false, "/metrics"));
        assert_eq!(read(b"HEAD /healthz?verbose=1 HTTP/1.0\r\n\r\n"), request(true, "/healthz"));
        for octets in [&b""[..], b"GET", b"GET /metrics HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n"] {
            assert_eq!(read(octets), Read::Partial, "{octets:?}");
        }
    }

    #[test]
    fn all_else_is_refused() {
        for octets in
            [&b"POST / HTTP/1.1\r\n\r\n"[..], b"DELETE /metrics HTTP/1.1\r\n\r\n", b"get / HTTP/1.1\r\n\r\n"]
        {
            assert_eq!(read(octets), Read::Refused(Status::MethodNotAllowed));
        }
        for octets in [
            &b"\0\0\0\0"[..],
            b"GET / HTTP/2.0\r\n\r\n",
            b"GET /\r\n\r\n",
            b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        ] {
            assert_eq!(read(octets), Read::Refused(Status::BadRequest), "{octets:?}");
        }
    }

    #[test]
    fn a_request_has_its_limits() {
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(read(many.as_bytes()), Read::Refused(Status::TooLarge));
        let long = format!("GET /{}", "x".repeat(REQUEST_OCTETS_MAX));
        assert_eq!(read(long.as_bytes()), Read::Refused(Status::TooLarge));
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        let whole = answer(Status::Ok, "text/plain", "body", false);
        let head = answer(Status::Ok, "text/plain", "body", true);
        assert!(whole.starts_with(&head) && whole.ends_with(b"\r\n\r\nbody") && head.ends_with(b"\r\n\r\n"));
        assert!(String::from_utf8_lossy(&head).contains("Content-Length: 4\r\n"));
    }
}
