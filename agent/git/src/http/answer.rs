//! The three ends gix holds of one HTTP exchange: the body to send, the headers that come back, and
//! the body that comes back, streamed. The request goes out when the answer is first read. Never
//! keeps more than one read's worth of an answer.

use std::cell::RefCell;
use std::io::{self, BufRead, Cursor, Read, Write};
use std::rc::Rc;

use gitops_transport::http::HeaderMap;
use gitops_transport::{Answer, BodyReader, TransportError};

use super::client::HttpClient;
use crate::failure::{Failure, FailureSlot};

/// A POST in its stages: collected, sent when its answer is first read (requests are small: names
/// and ids), then streaming.
pub(crate) enum Stage {
    Collecting {
        client: Box<HttpClient>,
        url: String,
        headers: HeaderMap,
        body: Vec<u8>,
    },
    Streaming {
        headers: Cursor<Vec<u8>>,
        body: Limited,
    },
    Failed,
}

impl Stage {
    /// The stage once the server answers with the refs or the capabilities it has.
    pub(crate) fn listing(answer: Answer) -> Self {
        Self::answered(answer, MAX_LISTING)
    }

    fn answered(answer: Answer, limit: u64) -> Self {
        Self::Streaming {
            headers: header_lines(answer.headers()),
            body: Limited {
                inner: answer.into_reader(),
                left: limit,
            },
        }
    }
}

/// The body of an answer up to a number of bytes; more is an error.
pub(crate) struct Limited {
    inner: BodyReader,
    left: u64,
}

/// Longest list of refs taken, in bytes: it is held in memory, and a million refs fit.
const MAX_LISTING: u64 = 96 * 1024 * 1024;

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(length as u64).ok_or_else(|| {
            io::Error::other(format!(
                "its list of refs is longer than {MAX_LISTING} bytes"
            ))
        })?;
        Ok(length)
    }
}

fn header_lines(headers: &HeaderMap) -> Cursor<Vec<u8>> {
    let mut lines = Vec::new();
    for (name, value) in headers {
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value.as_bytes());
        lines.push(b'\n');
    }
    Cursor::new(lines)
}

/// A handle on an exchange; the request's writer, the answer's headers and its body are three of
/// them.
pub(crate) struct Part {
    stage: Rc<RefCell<Stage>>,
    failure: FailureSlot,
    /// What was read and not consumed yet: `BufRead` lends from here.
    buffer: Vec<u8>,
    position: usize,
}

/// What a request for refs holds.
const LIST_COMMAND: &[u8] = b"command=ls-refs";
/// Size of one read of an answer.
const READ_SIZE: usize = 64 * 1024;

impl Part {
    pub(crate) fn new(stage: &Rc<RefCell<Stage>>, failure: &FailureSlot) -> Self {
        Self {
            stage: stage.clone(),
            failure: failure.clone(),
            buffer: Vec::new(),
            position: 0,
        }
    }

    fn record(&self, failure: Failure) -> io::Error {
        // The reason is in the slot; this text goes nowhere.
        let error = io::Error::other("the transport failed");
        *self.failure.borrow_mut() = Some(failure);
        error
    }

    /// Makes sure the request has been sent, then reads through `read`.
    fn read_through(
        &self,
        read: impl FnOnce(&mut Stage) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut stage = self.stage.borrow_mut();
        if matches!(*stage, Stage::Collecting { .. })
            && let Stage::Collecting {
                client,
                url,
                headers,
                body,
            } = std::mem::replace(&mut *stage, Stage::Failed)
        {
            let url = url::Url::parse(&url).map_err(io::Error::other)?;
            let answer = client.post(url, headers, &body);
            let answer = answer.map_err(|failure| self.record(failure))?;
            let listing = body
                .windows(LIST_COMMAND.len())
                .any(|window| window == LIST_COMMAND);
            // A pack goes to disk as it comes and needs no limit here.
            *stage = if listing {
                Stage::listing(answer)
            } else {
                Stage::answered(answer, u64::MAX)
            };
        }
        match read(&mut stage) {
            Err(error) if self.failure.borrow().is_none() => {
                Err(self.record(TransportError::of_io(&error).into()))
            }
            result => result,
        }
    }
}

/// The headers of an answer, one per line.
pub(crate) struct Headers(pub(crate) Part);
/// The body of an answer.
pub(crate) struct Body(pub(crate) Part);
/// Takes the body of a request.
pub(crate) struct RequestBody(pub(crate) Part);

fn ended() -> io::Error {
    io::Error::other("the request failed before")
}

macro_rules! buffered {
    ($name:ident, $field:ident) => {
        impl Read for $name {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let available = self.fill_buf()?;
                let length = available.len().min(buffer.len());
                buffer[..length].copy_from_slice(&available[..length]);
                self.consume(length);
                Ok(length)
            }
        }

        impl BufRead for $name {
            fn fill_buf(&mut self) -> io::Result<&[u8]> {
                let part = &mut self.0;
                if part.position == part.buffer.len() {
                    let mut buffer = std::mem::take(&mut part.buffer);
                    part.position = 0;
                    buffer.resize(READ_SIZE, 0);
                    let length = part.read_through(|stage| match stage {
                        Stage::Streaming { $field, .. } => $field.read(&mut buffer),
                        Stage::Collecting { .. } | Stage::Failed => Err(ended()),
                    })?;
                    buffer.truncate(length);
                    part.buffer = buffer;
                }
                Ok(&part.buffer[part.position..])
            }

            fn consume(&mut self, amount: usize) {
                self.0.position = (self.0.position + amount).min(self.0.buffer.len());
            }
        }
    };
}

buffered!(Headers, headers);
buffered!(Body, body);

impl Write for RequestBody {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *self.0.stage.borrow_mut() {
            Stage::Collecting { body, .. } => body.extend_from_slice(bytes),
            Stage::Streaming { .. } | Stage::Failed => return Err(ended()),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
