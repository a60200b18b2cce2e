//! The answer to a request: status and headers at once, the body as it comes or up to a limit.
//! Never looks into a body.

use std::io::{self, Read};
use std::time::Instant;

use ureq::http::{HeaderMap, StatusCode};
use url::Url;

use crate::error::{FailureKind, TransportError};
use crate::pace::{Pace, PaceMeter};

/// An answer whose body was not read yet.
pub struct Answer {
    pub(crate) response: ureq::http::Response<ureq::Body>,
    pub(crate) pace: Pace,
    /// Which URL answered: another one than was asked for after redirects.
    pub url: Url,
    /// Whether the request's `Authorization` went to that URL.
    pub credentials_sent: bool,
}

impl Answer {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The body as it comes. Its time and its least pace are limited, its size is the caller's
    /// concern.
    pub fn into_reader(self) -> BodyReader {
        BodyReader {
            inner: self.response.into_body().into_reader(),
            meter: PaceMeter::new(self.pace),
            began: Instant::now(),
        }
    }

    /// The whole body; one of more than `limit` bytes is an error.
    pub fn read(self, limit: u64) -> Result<Vec<u8>, TransportError> {
        let url = self.url.clone();
        let too_large = || {
            let reason = format!("the answer is larger than {limit} bytes");
            TransportError::new(FailureKind::TooLarge, reason).at(&url)
        };
        let announced = self.response.body().content_length();
        if announced.is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        let mut reader = self.into_reader().take(limit.saturating_add(1));
        reader
            .read_to_end(&mut body)
            .map_err(|error| TransportError::of_io(&error).at(&url))?;
        if body.len() as u64 > limit {
            return Err(too_large());
        }
        Ok(body)
    }
}

/// Reads a body. What its errors mean says [`TransportError::of_io`].
pub struct BodyReader {
    inner: ureq::BodyReader<'static>,
    meter: PaceMeter,
    began: Instant,
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        if length > 0 {
            let paced = self.meter.received(self.began.elapsed(), length as u64);
            paced.map_err(|slow| io::Error::new(io::ErrorKind::TimedOut, slow))?;
        }
        Ok(length)
    }
}
