//! Permits: what every change to a cluster needs. A permit is given by the gate only, for exactly one
//! object and one kind of change, by the rules as they are when it is asked for.
//!
//! Nothing here changes anything: who writes demands a permit and compares it with what is written.

use std::sync::Arc;

use gitops_api::ApplicationDestination;

use super::denial::Denial;
use super::rules::ProjectRules;
use crate::live::object::LiveObject;
use crate::manifest::object::ObjectKey;

/// What one application may change.
#[derive(Clone, Debug)]
pub struct Gate {
    rules: Arc<ProjectRules>,
    destination: ApplicationDestination,
    instance: String,
}

/// May apply this object, and try out what that would do.
#[derive(Debug)]
pub struct WritePermit {
    key: ObjectKey,
}

/// May delete this object, as long as it is the one that was looked at.
#[derive(Debug)]
pub struct DeletePermit {
    key: ObjectKey,
    uid: String,
    instance: String,
    /// Of the object as it was looked at; `None` for a hook, which is one application's by its marks.
    resource_version: Option<String>,
}

/// May take the agent's own finalizer off this object.
#[derive(Debug)]
pub struct ReleasePermit {
    key: ObjectKey,
}

/// Why there is no permit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPermit {
    /// The project does not allow it.
    #[error(transparent)]
    Denied(#[from] Denial),
    /// The live object is not this application's.
    #[error("{}", .0.why)]
    NotOwn(NotOwn),
    /// Another application wants what this one does not want any more.
    #[error("it is left for application {0}, which wants it now")]
    Wanted(String),
}

/// A live object that is not what an application takes it for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotOwn {
    /// Whose it is and what to do, for users.
    pub why: String,
}

impl Gate {
    /// What the application of this instance name may change in its destination.
    pub fn new(
        rules: Arc<ProjectRules>,
        destination: ApplicationDestination,
        instance: impl Into<String>,
    ) -> Self {
        Self {
            rules,
            destination,
            instance: instance.into(),
        }
    }

    /// Permission to apply an object.
    ///
    /// # Errors
    /// When the project does not allow the object.
    pub fn write(&self, key: &ObjectKey) -> Result<WritePermit, NoPermit> {
        self.rules.permits_object(&self.destination, key)?;
        Ok(WritePermit { key: key.clone() })
    }

    /// Permission to delete an object of the application for good, where `next_owner` is another
    /// application that wants it by now and may have it.
    ///
    /// # Errors
    /// When the project does not allow it, the object is not the application's, or it changes hands.
    pub fn prune(
        &self,
        live: &LiveObject,
        next_owner: Option<String>,
    ) -> Result<DeletePermit, NoPermit> {
        next_owner.map_or(Ok(()), |next| Err(NoPermit::Wanted(next)))?;
        self.recreate(live)
    }

    /// Permission to delete an object of the application that it creates again.
    ///
    /// # Errors
    /// When the project does not allow it, or the object is not the application's.
    pub fn recreate(&self, live: &LiveObject) -> Result<DeletePermit, NoPermit> {
        self.rules.permits_object(&self.destination, &live.key)?;
        refuse(not_own(live, &self.instance))?;
        Ok(DeletePermit {
            resource_version: Some(live.resource_version.clone()),
            ..self.delete_permit(live)
        })
    }

    /// Permission to create the object of a hook, where `live` has its name already.
    ///
    /// # Errors
    /// When the project does not allow it, or the object there is no hook of the application.
    pub fn run_hook(
        &self,
        key: &ObjectKey,
        live: Option<&LiveObject>,
    ) -> Result<WritePermit, NoPermit> {
        let foreign = live.and_then(|live| not_own_hook(live, &self.instance));
        refuse(foreign)?;
        self.write(key)
    }

    /// Permission to delete the object of a hook.
    ///
    /// # Errors
    /// When the project does not allow it, or the object is no hook of the application.
    pub fn delete_hook(&self, live: &LiveObject) -> Result<DeletePermit, NoPermit> {
        refuse(not_own_hook(live, &self.instance))?;
        self.rules.permits_object(&self.destination, &live.key)?;
        Ok(self.delete_permit(live))
    }

    fn delete_permit(&self, live: &LiveObject) -> DeletePermit {
        DeletePermit {
            key: live.key.clone(),
            uid: live.uid.clone(),
            instance: self.instance.clone(),
            resource_version: None,
        }
    }

    /// Permission to let a hook of the application go. Only what the agent itself put there is taken
    /// off, so that a project which was narrowed since does not keep objects from being deleted.
    ///
    /// # Errors
    /// When the object is no hook of the application.
    pub fn release(&self, live: &LiveObject) -> Result<ReleasePermit, NoPermit> {
        ReleasePermit::of(live, &self.instance)
    }
}

impl WritePermit {
    /// The object.
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }
}

impl DeletePermit {
    /// The object.
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// `metadata.uid` of the object; another one of its name is left alone.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// `metadata.resourceVersion` of the object as it was looked at: one that changed since has to be
    /// looked at again with [`DeletePermit::still_covers`]. `None` where no change matters.
    pub fn resource_version(&self) -> Option<&str> {
        self.resource_version.as_deref()
    }

    /// Whether the permit holds for the object as it is now: it is the same one, and no other
    /// application took it over meanwhile.
    pub fn still_covers(&self, live: &LiveObject) -> bool {
        let is_own = self.resource_version.is_none() || not_own(live, &self.instance).is_none();
        live.key == self.key && live.uid == self.uid && is_own
    }
}

impl ReleasePermit {
    /// Permission to let a hook go, whatever became of the application of this instance name and of
    /// its project: only what the agent itself put there is taken off.
    ///
    /// # Errors
    /// When the object is no hook of the application.
    pub fn of(live: &LiveObject, instance: &str) -> Result<Self, NoPermit> {
        refuse(not_own_hook(live, instance))?;
        Ok(Self {
            key: live.key.clone(),
        })
    }

    /// The object.
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }
}

fn refuse(foreign: Option<NotOwn>) -> Result<(), NoPermit> {
    foreign.map_or(Ok(()), |why| Err(NoPermit::NotOwn(why)))
}

/// Why an object is not the one of an application; `None` when its tracking says that it is.
pub fn not_own(live: &LiveObject, instance: &str) -> Option<NotOwn> {
    let why = match &live.tracking {
        Some(owner) if owner.instance == instance => return None,
        Some(owner) => format!(
            "it belongs to application {}; it is left alone",
            owner.instance
        ),
        None => "it was not made by this application (it carries no tracking of it); it is left \
                 alone: delete it, or give one of the two another name"
            .into(),
    };
    Some(NotOwn { why })
}

/// Why an object is no hook of an application; `None` when it is one.
pub fn not_own_hook(live: &LiveObject, instance: &str) -> Option<NotOwn> {
    // Argo CD marks hooks by the label alone when it tracks by labels.
    if live.hook && live.tracking.is_none() && live.labelled.as_deref() == Some(instance) {
        return None;
    }
    if let Some(why) = not_own(live, instance) {
        return Some(why);
    }
    (!live.hook && live.operation.is_none()).then(|| NotOwn {
        why: "an object of this name exists and is no hook; it is left alone: give one of the two \
              another name"
            .into(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::project::tests::{destination, rules};

    fn live(annotations: &Value, labels: &Value) -> LiveObject {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a",
            "namespace": "shop", "uid": "1", "annotations": annotations, "labels": labels}});
        LiveObject::observe(&object, false).unwrap()
    }

    fn gate(spec: &Value) -> Gate {
        let destination = destination("https://kubernetes.default.svc", "shop");
        Gate::new(Arc::new(rules(spec)), destination, "shop")
    }

    fn open() -> Value {
        json!({"destinations": [{"server": "*", "namespace": "shop"}]})
    }

    #[test]
    fn only_what_carries_this_applications_tracking_is_deleted() {
        let gate = gate(&open());
        let own = json!({"argocd.argoproj.io/tracking-id": "shop:/ConfigMap:shop/a"});
        let others = json!({"argocd.argoproj.io/tracking-id": "bank:/ConfigMap:shop/a"});
        let copied = json!({"argocd.argoproj.io/tracking-id": "shop:/ConfigMap:shop/b"});
        assert!(gate.recreate(&live(&own, &json!({}))).is_ok());
        for annotations in [json!({}), others.clone(), copied] {
            let refused = gate.recreate(&live(&annotations, &json!({})));
            assert!(matches!(refused, Err(NoPermit::NotOwn(_))), "{annotations}");
        }
        let refused = gate.recreate(&live(&others, &json!({}))).unwrap_err();
        assert!(
            refused.to_string().contains("application bank"),
            "{refused}"
        );
    }

    #[test]
    fn what_another_application_wants_or_took_over_is_not_deleted() {
        let gate = gate(&open());
        let of = |instance: &str| {
            let id = format!("{instance}:/ConfigMap:shop/a");
            live(&json!({"argocd.argoproj.io/tracking-id": id}), &json!({}))
        };
        let refused = gate.prune(&of("shop"), Some("bank".into())).unwrap_err();
        assert_eq!(refused, NoPermit::Wanted("bank".into()));
        let permit = gate.prune(&of("shop"), None).unwrap();
        assert!(permit.still_covers(&of("shop")));
        assert!(!permit.still_covers(&of("bank")));
        let another = LiveObject {
            uid: "2".into(),
            ..of("shop")
        };
        assert!(!permit.still_covers(&another));
    }

    #[test]
    fn only_a_hook_of_this_application_is_replaced() {
        let gate = gate(&open());
        let marks = |tracking: Option<&str>, hook: bool, run: bool| {
            let mut annotations = serde_json::Map::new();
            if let Some(instance) = tracking {
                let id = format!("{instance}:/ConfigMap:shop/a");
                annotations.insert("argocd.argoproj.io/tracking-id".into(), id.into());
            }
            if hook {
                annotations.insert("argocd.argoproj.io/hook".into(), "PreSync".into());
            }
            if run {
                let name = gitops_api::constants::annotation::OPERATION;
                annotations.insert(name.into(), "1".into());
            }
            Value::Object(annotations)
        };
        let cases = [
            (marks(Some("shop"), true, true), true),
            (marks(Some("shop"), true, false), true),
            (marks(Some("shop"), false, true), true),
            (marks(Some("shop"), false, false), false),
            (marks(Some("bank"), true, true), false),
            (marks(None, true, true), false),
            (marks(None, false, false), false),
        ];
        for (annotations, expected) in cases {
            let live = live(&annotations, &json!({}));
            assert_eq!(gate.delete_hook(&live).is_ok(), expected, "{annotations}");
            assert_eq!(gate.release(&live).is_ok(), expected, "{annotations}");
            let run = gate.run_hook(&live.key, Some(&live));
            assert_eq!(run.is_ok(), expected, "{annotations}");
        }
        let label = json!({"app.kubernetes.io/instance": "shop"});
        assert!(
            gate.delete_hook(&live(&marks(None, true, false), &label))
                .is_ok()
        );
        assert!(
            gate.delete_hook(&live(&marks(None, false, false), &label))
                .is_err()
        );
    }

    #[test]
    fn a_project_that_was_narrowed_gives_no_permit_but_to_let_go() {
        let narrowed = gate(&json!({"destinations": [{"server": "*", "namespace": "other"}]}));
        let hook = live(
            &json!({"argocd.argoproj.io/tracking-id": "shop:/ConfigMap:shop/a", "argocd.argoproj.io/hook": "PreSync"}),
            &json!({}),
        );
        assert!(matches!(
            narrowed.write(&hook.key),
            Err(NoPermit::Denied(_))
        ));
        assert!(matches!(narrowed.recreate(&hook), Err(NoPermit::Denied(_))));
        assert!(matches!(
            narrowed.delete_hook(&hook),
            Err(NoPermit::Denied(_))
        ));
        assert!(matches!(
            narrowed.run_hook(&hook.key, Some(&hook)),
            Err(NoPermit::Denied(_))
        ));
        assert!(narrowed.release(&hook).is_ok());
    }
}
