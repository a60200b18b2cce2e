//! The few HTTP requests a test makes itself, to servers on this machine.

use std::time::Duration;

use crate::must;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks `http://HOST:PORT/PATH`; returns the body.
///
/// # Panics
/// When the server cannot be reached or does not answer with 2xx.
pub fn request(method: &str, url: &str) -> String {
    let (status, body) = send(method, url, "", "");
    assert!(status / 100 == 2, "{method} {url}: {status} {body}");
    body
}

/// Sends a body with a token; returns status and body of the answer.
///
/// # Panics
/// When the server cannot be reached or its answer is not HTTP.
pub fn send(method: &str, url: &str, token: &str, body: &str) -> (u16, String) {
    let what = format!("{method} {url}");
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(TIMEOUT))
        .build()
        .new_agent();
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(url)
        .header("Authorization", format!("token {token}"));
    let mut answer = must(agent.run(must(request.body(body), &what)), &what);
    let text = must(answer.body_mut().read_to_string(), &what);
    (answer.status().as_u16(), text)
}
