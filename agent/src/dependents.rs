//! Which applications wait for which others, so that those are woken.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;

use crate::app_key::AppKey;

/// Who waits for whom, by whom is waited for.
#[derive(Default)]
pub(crate) struct Dependents(Mutex<BTreeMap<AppKey, BTreeSet<AppKey>>>);

impl Dependents {
    /// Takes note of what an application waits for, instead of what it waited for before.
    pub(crate) fn note(&self, waiting: &AppKey, on: impl IntoIterator<Item = AppKey>) {
        let mut known = self.0.lock();
        known.retain(|_, dependents| {
            dependents.remove(waiting);
            !dependents.is_empty()
        });
        for key in on {
            known.entry(key).or_default().insert(waiting.clone());
        }
    }

    /// It waits for nothing.
    pub(crate) fn forget(&self, waiting: &AppKey) {
        self.note(waiting, []);
    }

    /// Those that wait for an application.
    pub(crate) fn of(&self, key: &AppKey) -> Vec<AppKey> {
        let known = self.0.lock();
        known.get(key).into_iter().flatten().cloned().collect()
    }

    /// All that wait for one.
    pub(crate) fn all(&self) -> BTreeSet<AppKey> {
        self.0.lock().values().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> AppKey {
        AppKey {
            namespace: "argocd".into(),
            name: name.into(),
        }
    }

    #[test]
    fn whoever_waits_is_known_until_it_waits_for_something_else() {
        let dependents = Dependents::default();
        let (shop, api, db, disk) = (key("shop"), key("api"), key("db"), key("disk"));
        dependents.note(&shop, [api.clone(), db.clone()]);
        dependents.note(&api, [db.clone()]);
        assert_eq!(dependents.of(&db), [api.clone(), shop.clone()]);
        assert_eq!(dependents.of(&api), std::slice::from_ref(&shop));
        dependents.note(&shop, [disk.clone()]);
        assert_eq!(dependents.of(&db), std::slice::from_ref(&api));
        assert!(dependents.of(&api).is_empty());
        assert_eq!(
            dependents.all(),
            BTreeSet::from([api.clone(), shop.clone()])
        );
        dependents.forget(&shop);
        dependents.forget(&api);
        assert!(dependents.all().is_empty() && dependents.of(&disk).is_empty());
    }
}
