//! What generating Applications of sets needs of a render worker: templates filled, YAML read. Many
//! needs are one job.

use std::sync::Arc;

use gitops_core::applicationset::{Answer, Answers, Filled, Need, Param, Unmet, wire};
use serde_json::{Value, json};

use crate::error::RenderError;
use crate::renderer::{Renderer, SetOperation};

/// Most bytes of one job: what a worker holds of it in memory is several times as much.
const MAX_JOB_BYTES: usize = 4 << 20;

impl Renderer {
    /// Answers those needs that a worker can: [`Need::Yaml`] and [`Need::Templates`]. A worker that fails leaves the
    /// needs of its job unmet.
    pub async fn meet(&self, needs: &[Need]) -> Answers {
        let mut answers = Answers::new();
        let yaml: Vec<&Need> = needs
            .iter()
            .filter(|need| matches!(need, Need::Yaml(_)))
            .collect();
        let texts = yaml.iter().filter_map(|need| match need {
            Need::Yaml(text) => Some(text.clone()),
            _ => None,
        });
        let texts: Vec<String> = texts.collect();
        if !texts.is_empty() {
            match self.read_yaml(&texts).await {
                Ok(values) => {
                    for (need, value) in yaml.into_iter().zip(values) {
                        answers.insert(need.clone(), Ok(Answer::Values(Arc::new([value]))));
                    }
                }
                Err(error) => {
                    for need in yaml {
                        answers.insert(need.clone(), Err(unmet(&error)));
                    }
                }
            }
        }
        self.fill(needs, &mut answers).await;
        answers
    }

    /// Reads YAML texts, each by itself.
    ///
    /// # Errors
    /// When a worker could not do it; what is wrong with a text is in its place.
    pub async fn read_yaml(
        &self,
        texts: &[String],
    ) -> Result<Vec<Result<Param, String>>, RenderError> {
        let mut values = Vec::new();
        let mut rest = texts;
        while !rest.is_empty() {
            let count = fitting(rest.iter().map(String::len));
            let (now, later) = rest.split_at(count);
            let body = json!({ "texts": now }).to_string().into_bytes();
            let answers = self.application_set(SetOperation::Values, body).await?;
            expect(answers.len(), now.len())?;
            values.extend(
                answers
                    .into_iter()
                    .map(|answer| match answer["error"].as_str() {
                        Some(error) => Err(error.to_owned()),
                        None => Ok(Param::of(&answer["value"])),
                    }),
            );
            rest = later;
        }
        Ok(values)
    }

    async fn fill(&self, needs: &[Need], answers: &mut Answers) {
        let mut left: Vec<(&Need, &[String], Value, usize)> = Vec::new();
        for need in needs {
            if let Need::Templates {
                options,
                parameters,
                texts,
            } = need
            {
                let set = json!({ "parameters": wire(parameters), "texts": &**texts });
                let size = set.to_string().len();
                left.push((need, options, set, size));
            }
        }
        while let Some((_, options, ..)) = left.first() {
            let options = *options;
            let same = left.iter().take_while(|(_, others, ..)| *others == options);
            let count = fitting(same.map(|(.., size)| *size));
            let now: Vec<_> = left.drain(..count).collect();
            let sets: Vec<&Value> = now.iter().map(|(_, _, set, _)| set).collect();
            let body = json!({ "options": options, "sets": sets })
                .to_string()
                .into_bytes();
            let result = self.application_set(SetOperation::Templates, body).await;
            let result = result.and_then(|filled| expect(filled.len(), now.len()).map(|()| filled));
            match result {
                Ok(filled) => {
                    for ((need, ..), filled) in now.into_iter().zip(filled) {
                        let filled: Vec<Filled> =
                            serde_json::from_value(filled).unwrap_or_default();
                        answers.insert(need.clone(), Ok(Answer::Filled(filled.into())));
                    }
                }
                Err(error) => {
                    for (need, ..) in now {
                        answers.insert(need.clone(), Err(unmet(&error)));
                    }
                }
            }
        }
    }
}

/// How many of these sizes make one job; at least one.
fn fitting(sizes: impl Iterator<Item = usize>) -> usize {
    let mut sum = 0;
    let mut count = 0;
    for size in sizes {
        sum += size;
        if count > 0 && sum > MAX_JOB_BYTES {
            break;
        }
        count += 1;
    }
    count
}

fn expect(found: usize, expected: usize) -> Result<(), RenderError> {
    if found == expected {
        return Ok(());
    }
    Err(RenderError::Crashed {
        detail: format!("it gave {found} answers to {expected} questions"),
    })
}

fn unmet(error: &RenderError) -> Unmet {
    Unmet {
        message: error.to_string(),
        is_temporary: error.is_temporary(),
        is_pending: false,
    }
}
