//! How an object is written: merged into what is there, in place of it, or deleted and created
//! again.
//!
//! Decides from the options and from what the API server answered; never deletes what cannot be
//! created again as far as anybody can know.

use crate::manifest::object::ObjectKey;
use crate::manifest::options::{AppOptions, ObjectOptions};

/// How an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Server-side apply: fields of others stay.
    Merge,
    /// Server-side apply after every field was taken over: nothing but the manifest stays.
    Replace,
    /// Deleted, and created when it is gone.
    Recreate,
}

/// The way an object is written. `live` are the options of the object in the cluster, `None` when
/// there is none.
///
/// Argo CD's rules: a definition or a namespace is never deleted to replace it, because all that
/// depends on it would go with it.
pub fn way(
    key: &ObjectKey,
    options: &AppOptions,
    object: ObjectOptions,
    live: Option<ObjectOptions>,
) -> Way {
    if live.is_none() || !options.replaces(object, live) {
        Way::Merge
    } else if options.forces(object, live) && !is_container(key) {
        Way::Recreate
    } else {
        Way::Replace
    }
}

/// Whether an object whose change the API server refused as immutable is deleted and created again.
///
/// A binding's role cannot be changed, and holds no state: as `kubectl auth reconcile` does, it is
/// created again without being asked for.
pub fn recreates(
    key: &ObjectKey,
    options: &AppOptions,
    object: ObjectOptions,
    live: Option<ObjectOptions>,
) -> bool {
    let is_binding = key.group == "rbac.authorization.k8s.io"
        && matches!(key.kind.as_str(), "RoleBinding" | "ClusterRoleBinding");
    (is_binding || options.forces(object, live)) && !is_container(key)
}

/// Whether deleting an object takes others with it that are not its own.
fn is_container(key: &ObjectKey) -> bool {
    matches!(
        (key.group.as_str(), key.kind.as_str()),
        ("", "Namespace") | ("apiextensions.k8s.io", "CustomResourceDefinition")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(group: &str, kind: &str) -> ObjectKey {
        ObjectKey {
            group: group.into(),
            kind: kind.into(),
            namespace: "n".into(),
            name: "x".into(),
        }
    }

    fn options(list: &[&str]) -> AppOptions {
        AppOptions::default().with(&list.iter().map(|o| (*o).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn ways() {
        let own = |replace, force| ObjectOptions {
            replace,
            force,
            ..ObjectOptions::default()
        };
        let none = own(None, None);
        let there = Some(none);
        let job = key("batch", "Job");
        let table = [
            (&job, options(&[]), none, there, Way::Merge),
            (&job, options(&["Force=true"]), none, there, Way::Merge),
            (&job, options(&["Replace=true"]), none, there, Way::Replace),
            (&job, options(&["Replace=true"]), none, None, Way::Merge),
            (
                &job,
                options(&["Replace=true"]),
                own(Some(false), None),
                there,
                Way::Merge,
            ),
            (
                &job,
                options(&["Replace=true", "Force=true"]),
                none,
                there,
                Way::Recreate,
            ),
            (
                &job,
                options(&[]),
                own(Some(true), Some(true)),
                there,
                Way::Recreate,
            ),
            (
                &job,
                options(&["Force=true"]),
                none,
                Some(own(Some(true), None)),
                Way::Recreate,
            ),
        ];
        for (key, app, object, live, expected) in table {
            assert_eq!(
                way(key, &app, object, live),
                expected,
                "{app:?} {object:?} {live:?}"
            );
        }
        let both = options(&["Replace=true", "Force=true"]);
        for key in [
            key("", "Namespace"),
            key("apiextensions.k8s.io", "CustomResourceDefinition"),
        ] {
            assert_eq!(way(&key, &both, none, there), Way::Replace);
            assert!(!recreates(&key, &both, none, there));
        }
        assert!(recreates(&job, &options(&["Force=true"]), none, there));
        assert!(!recreates(&job, &options(&[]), none, there));
        let binding = key("rbac.authorization.k8s.io", "RoleBinding");
        assert!(recreates(&binding, &options(&[]), none, there));
    }
}
