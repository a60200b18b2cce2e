//! Smart HTTP for gix: its `Http` trait over the transport's client. Says what to ask and which end
//! of an answer gix holds; where credentials may go and which redirects are followed is the
//! transport's rule. Never parses the Git protocol.

mod answer;
mod client;

use std::cell::RefCell;
use std::rc::Rc;

use gitops_transport::http::{HeaderMap, HeaderName, HeaderValue};
use gix_transport::client::blocking_io::http::{GetResponse, Http, PostBodyDataKind, PostResponse};

use answer::{Body, Headers, Part, RequestBody, Stage};

pub(crate) use client::{HttpClient, client};

/// Reads gix's header lines; its own user agent is left out in favor of the client's.
fn read_headers(lines: impl IntoIterator<Item = impl AsRef<str>>) -> HeaderMap {
    let pairs = lines.into_iter().filter_map(|line| {
        let (name, value) = line.as_ref().split_once(':')?;
        let name: HeaderName = name.parse().ok()?;
        Some((name, HeaderValue::from_str(value.trim()).ok()?))
    });
    pairs
        .filter(|(name, _)| name != gitops_transport::http::header::USER_AGENT)
        .collect()
}

impl Http for HttpClient {
    type Headers = Headers;
    type ResponseBody = Body;
    type PostBody = RequestBody;

    fn get(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<GetResponse<Headers, Body>> {
        let tail = url.strip_prefix(base_url).unwrap_or(url);
        let answer = self.get_following(url, tail, read_headers(headers));
        let answer = answer.map_err(|failure| self.fail(failure))?;
        let stage = Rc::new(RefCell::new(Stage::answered(
            answer,
            self.allowance.clone(),
        )));
        let part = || Part::new(&stage, &self.failure);
        Ok(GetResponse {
            headers: Headers(part()),
            body: Body(part()),
        })
    }

    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> gix::Result<PostResponse<Headers, Body, RequestBody>> {
        let stage = Stage::Collecting {
            client: Box::new(self.clone()),
            url: url.to_owned(),
            headers: read_headers(headers),
            body: Vec::new(),
        };
        let stage = Rc::new(RefCell::new(stage));
        let part = || Part::new(&stage, &self.failure);
        Ok(PostResponse {
            post_body: RequestBody(part()),
            headers: Headers(part()),
            body: Body(part()),
        })
    }

    fn configure(&mut self, _config: &dyn std::any::Any) -> gix::Result<()> {
        // Everything is known at construction; Git configuration does not reach this client.
        Ok(())
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.redirected.clone()
    }
}
