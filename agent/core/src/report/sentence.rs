//! The sentences of Argo CD that scripts and people look for. They lead what the agent says of an
//! operation and of an object; its own words follow.

use gitops_api::status::ResourceResult;

use crate::manifest::apply::{Way, way};
use crate::manifest::object::ObjectKey;
use crate::manifest::options::{AppOptions, ObjectOptions};
use crate::sync::plan::Skip;

/// A sync that ended with what it applied.
const ALL_RUN: &str = "successfully synced (all tasks run)";
/// A sync that waited for hooks at its end.
const NO_MORE: &str = "successfully synced (no more tasks)";

/// What was left in place because nobody asked to prune it.
const REQUIRES_PRUNING: &str = "ignored (requires pruning)";
/// What was left in place because it says so.
const NO_PRUNE: &str = "ignored (no prune)";
/// What was deleted because Git no longer has it.
pub const PRUNED: &str = "pruned";

/// What became of an object that was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was not there.
    Created,
    /// It was changed.
    Configured,
    /// It was put in the place of what was there.
    Replaced,
    /// The Application says `ServerSideApply`, and Argo CD then does not tell the two apart.
    ServerSide,
    /// It was as Git has it.
    Unchanged,
}

impl Applied {
    /// How an object is applied; `said` are its own options, `live` those of the object in the cluster,
    /// `None` when there is none.
    pub fn of(
        key: &ObjectKey,
        options: &AppOptions,
        said: ObjectOptions,
        live: Option<ObjectOptions>,
    ) -> Self {
        match live.map(|live| way(key, options, said, Some(live))) {
            Some(Way::Replace) => Self::Replaced,
            _ if options.is_server_side(said) => Self::ServerSide,
            Some(Way::Merge) => Self::Configured,
            Some(Way::Recreate) | None => Self::Created,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Replaced => "replaced",
            Self::ServerSide => "serverside-applied",
            Self::Unchanged => "unchanged",
        }
    }
}

/// A sync that went well: `done` is what was done, `waited` whether it ended with hooks.
pub fn succeeded(waited: bool, done: &str) -> String {
    format!("{}: {done}", if waited { NO_MORE } else { ALL_RUN })
}

/// What is said of a sync that went well without Argo CD's sentence.
pub fn done(message: &str) -> &str {
    let mut leading = [ALL_RUN, NO_MORE].into_iter();
    let rest = leading.find_map(|sentence| message.strip_prefix(sentence));
    match rest.and_then(|rest| rest.strip_prefix(": ")) {
        Some(own) if !own.is_empty() => own,
        _ => message,
    }
}

/// `deployment.apps/web configured; changed in Git`. `why` may be empty.
pub fn applied(key: &ObjectKey, how: Applied, why: &str) -> String {
    let leading = format!("{} {}", name(&key.kind, &key.group, &key.name), how.word());
    and(&leading, why)
}

/// What is said of an object that a sync left as it is.
pub fn skipped(skip: &Skip) -> String {
    let own = skip.reason().to_string();
    match skip {
        Skip::PruneNotRequested => and(REQUIRES_PRUNING, &own),
        Skip::PruneForbidden => and(NO_PRUNE, &own),
        _ => own,
    }
}

/// A sentence of Argo CD with the agent's own words.
fn and(sentence: &str, own: &str) -> String {
    if own.is_empty() {
        sentence.to_owned()
    } else {
        format!("{sentence}; {own}")
    }
}

/// What is said of an object where its name stands before it already.
pub fn without_name(result: &ResourceResult) -> &str {
    let name = name(&result.kind, &result.group, &result.name);
    let rest = result.message.strip_prefix(&name);
    rest.and_then(|rest| rest.strip_prefix(' '))
        .unwrap_or(&result.message)
}

/// As kubectl writes it: `deployment.apps/web`.
fn name(kind: &str, group: &str, name: &str) -> String {
    let kind = kind.to_lowercase();
    if group.is_empty() {
        format!("{kind}/{name}")
    } else {
        format!("{kind}.{group}/{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(group: &str, kind: &str) -> ObjectKey {
        ObjectKey {
            group: group.into(),
            kind: kind.into(),
            namespace: "n".into(),
            name: "web".into(),
        }
    }

    #[test]
    fn argo_cds_words_lead_and_the_own_ones_follow() {
        let deployment = key("apps", "Deployment");
        assert_eq!(
            applied(&deployment, Applied::Configured, "changed in Git"),
            "deployment.apps/web configured; changed in Git"
        );
        assert_eq!(
            applied(&key("", "ConfigMap"), Applied::Created, ""),
            "configmap/web created"
        );
        let message = succeeded(false, "applied 2 objects");
        assert_eq!(
            message,
            "successfully synced (all tasks run): applied 2 objects"
        );
        assert_eq!(done(&message), "applied 2 objects");
        assert_eq!(done(&succeeded(true, "ran 1 hook")), "ran 1 hook");
        // Argo CD's own, an older agent's, and any other.
        for other in [
            ALL_RUN,
            "applied 2 objects",
            "one or more objects failed",
            "",
        ] {
            assert_eq!(done(other), other);
        }
    }

    #[test]
    fn a_name_is_not_said_twice() {
        let result = |message: &str| ResourceResult {
            group: "apps".into(),
            kind: "Deployment".into(),
            name: "web".into(),
            message: message.into(),
            ..ResourceResult::default()
        };
        let said = |message: &str| without_name(&result(message)).to_owned();
        assert_eq!(said("deployment.apps/web created"), "created");
        assert_eq!(
            said("deployment.apps/web-2 created"),
            "deployment.apps/web-2 created"
        );
        assert_eq!(said("pruned"), "pruned");
    }
}
