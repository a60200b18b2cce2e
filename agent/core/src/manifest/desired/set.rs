//! Everything an application wants, and its digests.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::manifest::desired::object::DesiredObject;
use crate::manifest::digest;
use crate::manifest::hook::Hook;
use crate::manifest::object::ObjectKey;
use crate::settings::ignore::IgnoreRules;

/// Everything an application wants.
#[derive(Clone, Debug, Default)]
pub struct DesiredSet {
    /// The objects, each once.
    pub objects: BTreeMap<ObjectKey, Arc<DesiredObject>>,
    /// Hooks, which are not part of the synchronized state.
    pub hooks: Vec<Hook>,
    /// Identities that more than one manifest claims; the last one won.
    pub repeated: Vec<String>,
    /// Objects of kinds that the settings leave alone.
    pub excluded: Vec<String>,
    /// Annotations nobody can read, each with the object and what was probably meant.
    pub warnings: Vec<String>,
}

impl DesiredSet {
    /// The same objects under these rules about what to ignore.
    #[must_use]
    pub fn ignoring(mut self, rules: &IgnoreRules) -> Self {
        for (key, object) in &mut self.objects {
            let ignore = rules.for_object(key);
            if ignore.is_some() || object.ignore.is_some() {
                Arc::make_mut(object).ignore = ignore;
            }
            if rules.include_mutations && !object.include_mutations {
                Arc::make_mut(object).include_mutations = true;
            }
        }
        self
    }

    /// Digest of all objects together: equal sets have equal digests.
    pub fn digest(&self) -> String {
        let parts = self.objects.iter().flat_map(|(key, object)| {
            [
                key.to_string().into_bytes(),
                object.digest.clone().into_bytes(),
            ]
        });
        let parts: Vec<Vec<u8>> = parts.collect();
        digest::of_parts(parts.iter().map(Vec::as_slice))
    }

    /// Digest of the hooks; `None` when there are none. They are no part of [`DesiredSet::digest`],
    /// because a changed hook alone makes nothing differ; but it is reason enough to try again what
    /// failed.
    pub fn hooks_digest(&self) -> Option<String> {
        let parts: Vec<&[u8]> = self
            .hooks
            .iter()
            .map(|hook| hook.object.digest.as_bytes())
            .collect();
        (!parts.is_empty()).then(|| digest::of_parts(parts))
    }
}
