//! One render from start to end, on a thread of its own: plan, send the job, answer the worker's questions, take its
//! objects, and say what was read.

use serde_json::Value;

use crate::config::RendererConfig;
use crate::environment::Environment;
use crate::error::RenderError;
use crate::frame::Received;
use crate::lookups::{Cancellation, Lookups};
use crate::message::{Answer, Failure, FromWorker, Job};
use crate::plan;
use crate::request::{Origin, RenderRequest, Rendered, RenderedObject, SourceType};
use crate::trees::{Question, Trees};
use crate::values;
use crate::worker::Worker;

/// Files read may be this many times the size of the result allowed: a chart brings files it does not use.
const INPUT_FACTOR: u64 = 4;
/// Largest object, as JSON: an API server takes 3 MiB in a request, and etcd half of that.
const MAX_OBJECT_BYTES: u64 = 3 << 20;
/// A result may have one value per so many bytes that it is allowed. Manifests have nine bytes per value and more; a list
/// of zeros has two, and each takes 32 in memory.
const BYTES_PER_VALUE: u64 = 8;
/// Values of one result that are allowed however few bytes are.
const MIN_VALUES: u64 = 100_000;
/// Values one object counts as besides its own: its place and its origin.
const VALUES_PER_OBJECT: u64 = 4;
/// Largest file that overrides a source, in bytes.
const MAX_OVERRIDE_BYTES: usize = 1 << 20;

/// Renders with a worker. After an error of the process itself the worker must not be used again.
pub(crate) fn render(
    worker: &mut Worker,
    config: &RendererConfig,
    request: &RenderRequest,
    cancellation: &Cancellation,
) -> Result<Rendered, RenderError> {
    let mut trees = Trees::new(
        &request.source,
        config.output_bytes.saturating_mul(INPUT_FACTOR),
        Lookups::new(config.lookups, config.timeout, cancellation.clone()),
    );
    let environment = Environment::new(&request.app, &request.source);
    let directory = plan::source_directory(request, &mut trees)?;
    let mut conversation = Conversation {
        worker,
        trees: &mut trees,
        config,
    };
    let mut spec = request.source.spec.clone();
    for file in plan::override_files(&directory, &request.app) {
        if let Some(content) = conversation.trees.read_if_there("", &file)? {
            if content.len() > MAX_OVERRIDE_BYTES {
                return Err(RenderError::Invalid {
                    message: format!(
                        "{file}: it has {} KiB, and a file that overrides a source may have {}; leave out what is no field of a source",
                        content.len() >> 10,
                        MAX_OVERRIDE_BYTES >> 10
                    ),
                    path: file,
                    line: None,
                });
            }
            let patch = conversation.yaml(&file, &content)?;
            spec = plan::override_source(&spec, &patch, &file)?;
        }
    }
    let source_type = plan::detect(&spec, &directory, conversation.trees)?;
    let options = plan::options(
        source_type,
        &spec,
        request,
        &directory,
        &environment,
        conversation.trees,
    )?;
    let job = Job {
        kind: match source_type {
            SourceType::Directory => "directory",
            SourceType::Kustomize => "kustomize",
            SourceType::Helm => "helm",
        },
        path: &directory,
        timeout_millis: millis(config),
        options: Some(options),
    };
    let Outcome {
        objects,
        warnings,
        without,
    } = conversation.run(&job, &[])?;
    let inputs = trees.into_inputs(environment.used_revision());
    Ok(Rendered {
        objects,
        source_type,
        inputs,
        warnings,
        without,
    })
}

/// Gives a worker a job about an ApplicationSet, which reads no tree; answers its objects in their order.
pub(crate) fn application_set(
    worker: &mut Worker,
    config: &RendererConfig,
    kind: &'static str,
    body: &[u8],
) -> Result<Vec<Value>, RenderError> {
    worker.send_job(
        &Job {
            kind,
            path: "",
            timeout_millis: millis(config),
            options: None,
        },
        body,
    )?;
    let mut objects = Vec::new();
    let mut budget = config.output_bytes.saturating_mul(INPUT_FACTOR);
    loop {
        let (message, body) = match worker.receive(budget)? {
            Received::Frame(message, body) => (message, body),
            Received::TooLarge(..) => return Err(RenderError::OutputTooLarge(config.output_bytes)),
        };
        match message {
            FromWorker::Object { .. } => {
                budget = budget
                    .checked_sub(body.len() as u64)
                    .ok_or(RenderError::OutputTooLarge(config.output_bytes))?;
                objects.push(serde_json::from_slice(&body).map_err(|error| {
                    RenderError::Crashed {
                        detail: format!("its answer is no JSON: {error}"),
                    }
                })?);
            }
            FromWorker::Done { .. } => {
                worker.end_job();
                return Ok(objects);
            }
            FromWorker::Failed(failure) => {
                worker.end_job();
                return Err(explain(failure));
            }
            _ => {
                return Err(RenderError::Crashed {
                    detail: "it asks for files, and this job has none".to_owned(),
                });
            }
        }
    }
}

fn millis(config: &RendererConfig) -> u64 {
    u64::try_from(config.timeout.as_millis()).unwrap_or(u64::MAX / 2)
}

/// What a job gave.
struct Outcome {
    objects: Vec<RenderedObject>,
    warnings: Vec<String>,
    without: Vec<String>,
}

struct Conversation<'a> {
    worker: &'a mut Worker,
    trees: &'a mut Trees,
    config: &'a RendererConfig,
}

impl Conversation<'_> {
    /// One YAML document as JSON, read by the worker: this process parses no file of a repository.
    fn yaml(&mut self, path: &str, content: &[u8]) -> Result<Value, RenderError> {
        let job = Job {
            kind: "yaml",
            path,
            timeout_millis: millis(self.config),
            options: None,
        };
        let outcome = self.run(&job, content)?;
        Ok(outcome
            .objects
            .into_iter()
            .next()
            .map_or(Value::Null, |object| object.value))
    }

    fn run(&mut self, job: &Job<'_>, body: &[u8]) -> Result<Outcome, RenderError> {
        self.worker.send_job(job, body)?;
        let mut objects = Vec::new();
        let allowed = self.config.output_bytes;
        let mut budget = allowed;
        let max_values = (allowed / BYTES_PER_VALUE).max(MIN_VALUES);
        let mut left = max_values;
        let mut refusal = None;
        loop {
            let limit = budget.min(MAX_OBJECT_BYTES);
            let (message, body) = match self.worker.receive(limit)? {
                Received::Frame(message, body) => (message, body),
                Received::TooLarge(FromWorker::Object { path, line }, bytes)
                    if bytes > MAX_OBJECT_BYTES =>
                {
                    return Err(RenderError::ObjectTooLarge {
                        path,
                        line,
                        bytes,
                        limit: MAX_OBJECT_BYTES,
                    });
                }
                Received::TooLarge(..) => return Err(RenderError::OutputTooLarge(allowed)),
            };
            match message {
                FromWorker::Stat { tree, path } => {
                    self.answer(Question::Stat, &tree, &path, &mut refusal)?;
                }
                FromWorker::Read { tree, path } => {
                    self.answer(Question::Read, &tree, &path, &mut refusal)?;
                }
                FromWorker::List { tree, path } => {
                    self.answer(Question::List, &tree, &path, &mut refusal)?;
                }
                FromWorker::Object { path, line } => {
                    let size = body.len() + path.len();
                    budget = budget
                        .checked_sub(size as u64)
                        .ok_or(RenderError::OutputTooLarge(allowed))?;
                    let needed = values::upper_bound(&body) + VALUES_PER_OBJECT;
                    left = left
                        .checked_sub(needed)
                        .ok_or_else(|| RenderError::TooManyValues {
                            path: path.clone(),
                            limit: max_values,
                        })?;
                    let value =
                        serde_json::from_slice(&body).map_err(|error| RenderError::Invalid {
                            message: format!("{path}: {error}"),
                            path: path.clone(),
                            line,
                        })?;
                    objects.push(RenderedObject {
                        value,
                        origin: Origin { path, line },
                    });
                }
                FromWorker::Done {
                    warnings, without, ..
                } => {
                    self.worker.end_job();
                    return Ok(Outcome {
                        objects,
                        warnings,
                        without,
                    });
                }
                FromWorker::Failed(failure) => {
                    self.worker.end_job();
                    return Err(refusal.unwrap_or_else(|| explain(failure)));
                }
                FromWorker::Hello { .. } => {
                    return Err(RenderError::Crashed {
                        detail: "it started twice".to_owned(),
                    });
                }
            }
        }
    }

    /// Answers one question. A refusal is kept: the worker only learns that there was one.
    fn answer(
        &mut self,
        question: Question,
        tree: &str,
        path: &str,
        refusal: &mut Option<RenderError>,
    ) -> Result<(), RenderError> {
        match self.trees.answer(question, tree, path) {
            Ok((answer, body)) => self.worker.send(&answer, &body),
            Err(error) => {
                refusal.get_or_insert(error);
                self.worker.send(&Answer::Refused, &[])
            }
        }
    }
}

fn explain(failure: Failure) -> RenderError {
    let Failure {
        kind,
        message,
        path,
        line,
        dependencies,
        remotes,
        last: _,
    } = failure;
    match kind.as_str() {
        "badRequest" => RenderError::BadRequest { message },
        "unsupported" => RenderError::Unsupported { message },
        "invalid" => RenderError::Invalid {
            path,
            line,
            message,
        },
        "missing" => RenderError::FileMissing { path, message },
        "missingDependencies" => RenderError::MissingDependencies {
            path,
            dependencies,
            message,
        },
        "missingRemotes" => RenderError::MissingRemotes { remotes, message },
        _ => RenderError::Tool { message },
    }
}
