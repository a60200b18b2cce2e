//! Everything an application wants, and its digests.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::manifest::desired::object::DesiredObject;
use crate::manifest::digest;
use crate::manifest::hook::Hook;
use crate::manifest::object::ObjectKey;
use crate::mask::Mask;
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
    /// Its digests, each since somebody asked for it: objects and hooks do not change after that.
    digests: Digests,
}

#[derive(Clone, Debug, Default)]
struct Digests {
    objects: OnceLock<String>,
    hooks: OnceLock<Option<String>>,
    /// Those that agents before there was a key gave it.
    unkeyed_objects: OnceLock<String>,
    unkeyed_hooks: OnceLock<Option<String>>,
}

impl DesiredSet {
    /// Bytes of all manifests together, as they are kept.
    pub fn bytes(&self) -> usize {
        let hooks = self.hooks.iter().map(|hook| &hook.object);
        let all = self.objects.values().chain(hooks);
        all.map(|object| object.body.len()).sum()
    }

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

    /// The same objects, of which this is hidden wherever they are displayed.
    #[must_use]
    pub fn masked_by(mut self, mask: &Mask) -> Self {
        let hooks = self.hooks.iter_mut().map(|hook| &mut hook.object);
        for object in self.objects.values_mut().chain(hooks) {
            if object.mask != *mask {
                Arc::make_mut(object).mask = mask.clone();
            }
        }
        self
    }

    /// Digest of all objects together: equal sets have equal digests. Computed once.
    pub fn digest(&self) -> &str {
        let digest = || self.digest_by(|object| &object.digest);
        self.digests.objects.get_or_init(digest)
    }

    /// Whether a recorded digest is of these objects: by the key of today, or without one, as agents
    /// before wrote it. One by another key is taken for another.
    pub fn is_recorded_as(&self, recorded: &str) -> bool {
        let unkeyed = || self.digest_by(DesiredObject::unkeyed_digest);
        recorded == self.digest() || recorded == self.digests.unkeyed_objects.get_or_init(unkeyed)
    }

    /// The same of the hooks, `None` for none.
    pub fn are_hooks_recorded_as(&self, recorded: Option<&str>) -> bool {
        let unkeyed = || self.hooks_digest_by(DesiredObject::unkeyed_digest);
        let unkeyed = self.digests.unkeyed_hooks.get_or_init(unkeyed);
        recorded == self.hooks_digest() || recorded == unkeyed.as_deref()
    }

    fn digest_by(&self, of: impl Fn(&DesiredObject) -> &str) -> String {
        let keys: Vec<String> = self.objects.keys().map(ToString::to_string).collect();
        let parts = keys.iter().zip(self.objects.values());
        digest::of_parts(parts.flat_map(|(key, object)| [key.as_bytes(), of(object).as_bytes()]))
    }

    fn hooks_digest_by(&self, of: impl Fn(&DesiredObject) -> &str) -> Option<String> {
        let hooks = self.hooks.iter();
        let parts: Vec<&[u8]> = hooks.map(|hook| of(&hook.object).as_bytes()).collect();
        (!parts.is_empty()).then(|| digest::of_parts(parts))
    }

    /// Digest of the hooks; `None` when there are none. They are no part of [`DesiredSet::digest`],
    /// because a changed hook alone makes nothing differ; but it is reason enough to try again what
    /// failed.
    pub fn hooks_digest(&self) -> Option<&str> {
        let digest = || self.hooks_digest_by(|object| &object.digest);
        self.digests.hooks.get_or_init(digest).as_deref()
    }
}
