//! The three ends gix holds of one HTTP exchange: the body to send, the headers that come back, and
//! the body that comes back, streamed. The request goes out when the answer is first read. Never
//! keeps more than one read's worth of an answer.

use std::cell::RefCell;
use std::io::{self, BufRead, Cursor, Read, Write};
use std::rc::Rc;

use gitops_transport::http::HeaderMap;
use gitops_transport::{Answer, BodyReader, TransportError};

use super::client::HttpClient;
use crate::allowance::Allowance;
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
    /// The stage once the server answers.
    pub(crate) fn answered(answer: Answer, allowance: Allowance) -> Self {
        Self::Streaming {
            headers: header_lines(answer.headers()),
            body: Limited {
                inner: answer.into_reader(),
                allowance,
            },
        }
    }
}

/// The body of an answer, as far as it is taken.
pub(crate) struct Limited {
    inner: BodyReader,
    allowance: Allowance,
}

/// Wraps the failure of a read for what lies between.
#[derive(Debug, thiserror::Error)]
#[error("the answer is not taken")]
struct NotTaken(Failure);

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        let taken = self.allowance.take(length);
        taken.map_err(|failure| io::Error::other(NotTaken(failure)))?;
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
            *stage = Stage::answered(answer, client.allowance.clone());
        }
        match read(&mut stage) {
            Err(error) if self.failure.borrow().is_none() => {
                let not_taken = error.get_ref().and_then(|it| it.downcast_ref::<NotTaken>());
                Err(self.record(match not_taken {
                    Some(NotTaken(failure)) => failure.clone(),
                    None => TransportError::of_io(&error).into(),
                }))
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
