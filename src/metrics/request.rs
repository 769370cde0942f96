//! What a client asks, and which answer that is.
//!
//! ```text
//!   bytes ──► httparse ──┬─ not whole yet, and still room ─► wait for more
//!                        ├─ GET /metrics                   ─► 200, the page
//!                        ├─ another path                   ─► 404
//!                        ├─ another method                 ─► 405
//!                        └─ no request, or too long        ─► 400
//! ```
//!
//! Every answer ends its connection (RFC 9112 section 9.6): a scrape is one request, and who waits for
//! nothing holds no place.

use super::{CONTENT_TYPE, MOST_REQUEST};

/// The most header fields of a request; Prometheus sends about six.
const MOST_FIELDS: usize = 64;

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// 200: the page.
    Page,
    /// 400.
    BadRequest,
    /// 404.
    NotFound,
    /// 405.
    MethodNotAllowed,
}

/// The answer to what has arrived so far; none while that is not a whole request.
pub(super) fn answer(bytes: &[u8]) -> Option<Answer> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Err(_) => Some(Answer::BadRequest),
        Ok(httparse::Status::Partial) => (bytes.len() >= MOST_REQUEST).then_some(Answer::BadRequest),
        Ok(httparse::Status::Complete(_)) => Some(answer_whole(&request)),
    }
}

fn answer_whole(request: &httparse::Request<'_, '_>) -> Answer {
    let hosts = request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("host")).count();
    // RFC 9112 section 3.2: HTTP/1.1 has exactly one Host, and a server refuses anything else.
    if hosts > 1 || (request.version == Some(1) && hosts == 0) {
        return Answer::BadRequest;
    }
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    match (path, request.method) {
        ("/metrics", Some("GET")) => Answer::Page,
        ("/metrics", _) => Answer::MethodNotAllowed,
        _ => Answer::NotFound,
    }
}

impl Answer {
    /// The whole response; `page` makes the page where that is the answer.
    pub(super) fn response(self, page: impl FnOnce() -> String) -> Vec<u8> {
        let (status, more, kind, body) = match self {
            Answer::Page => ("200 OK", "", CONTENT_TYPE, page()),
            Answer::BadRequest => (
                "400 Bad Request",
                "",
                PLAIN,
                "not an HTTP request that this endpoint understands\n".to_owned(),
            ),
            Answer::NotFound => ("404 Not Found", "", PLAIN, "the metrics are at /metrics\n".to_owned()),
            // RFC 9110 section 15.5.6: with the methods that there are.
            Answer::MethodNotAllowed => {
                ("405 Method Not Allowed", "Allow: GET\r\n", PLAIN, "only GET\n".to_owned())
            }
        };
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{more}Connection: close\r\n\
             \r\n{body}"
        )
        .into_bytes()
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = "GET /metrics HTTP/1.1\r\nHost: localhost:9464\r\nAccept: text/plain\r\n\r\n";

    #[test]
    fn a_scrape_is_answered_once_it_is_whole_and_not_before() {
        for length in 0..SCRAPE.len() {
            assert_eq!(answer(&SCRAPE.as_bytes()[..length]), None, "{length} bytes");
        }
        assert_eq!(answer(SCRAPE.as_bytes()), Some(Answer::Page));
        assert_eq!(answer(SCRAPE.replace("/metrics", "/metrics?name=x").as_bytes()), Some(Answer::Page));
    }

    #[test]
    fn other_paths_are_not_found_and_other_methods_not_allowed() {
        for path in ["/", "/metrics/", "/metricsx", "*", "/%6detrics"] {
            assert_eq!(answer(SCRAPE.replace("/metrics", path).as_bytes()), Some(Answer::NotFound), "{path}");
        }
        for method in ["HEAD", "POST", "get"] {
            let request = SCRAPE.replace("GET", method);
            assert_eq!(answer(request.as_bytes()), Some(Answer::MethodNotAllowed), "{method}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in [
            "\0\0\0\0",
            "GET /metrics\r\n\r\n",
            "GET /metrics HTTP/2.0\r\n\r\n",
            "GET /metrics HTTP/1.1\r\n\r\n",
            "GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET /metrics HTTP/1.1\r\nHost : a\r\n\r\n",
        ] {
            assert_eq!(answer(text.as_bytes()), Some(Answer::BadRequest), "{text:?}");
        }
    }

    #[test]
    fn a_request_without_an_end_is_refused_when_it_has_filled_its_room() {
        let endless = format!("GET /{} HTTP/1.1\r\n", "a".repeat(MOST_REQUEST));
        assert_eq!(answer(&endless.as_bytes()[..MOST_REQUEST - 1]), None);
        assert_eq!(answer(&endless.as_bytes()[..MOST_REQUEST]), Some(Answer::BadRequest));
    }

    #[test]
    fn a_response_says_how_long_it_is_and_that_it_is_the_last() {
        let response = String::from_utf8(Answer::Page.response(|| "ä\n".to_owned())).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "ä\n");
        assert!(head.contains("\r\nContent-Length: 3\r\n"), "{head}");
        assert!(head.ends_with("\r\nConnection: close"), "{head}");
        let refusal = Answer::MethodNotAllowed.response(String::new);
        assert!(String::from_utf8(refusal).unwrap().contains("\r\nAllow: GET\r\n"));
    }
}
