//! The request that `sync` writes into an Application, and telling its own request from others'.

use gitops_api::operation::{Operation, OperationInitiator, SyncOperation, SyncOperationResource};
use gitops_api::source::NameValue;
use gitops_api::{Application, ResourceStatus};
use gitops_core::nearest::alike;
use gitops_kit::exit::{CommandError, CommandErrorKind};

/// Name of the note by which a request is recognized in the answer.
const NOTE: &str = "kubectl-gitops-request";

/// What is wanted of a sync.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncRequest {
    /// Revision instead of the tracked one.
    pub revision: Option<String>,
    /// Delete what is no longer in Git.
    pub prune: bool,
    /// Change nothing.
    pub dry_run: bool,
    /// Only these objects; none means all.
    pub only: Vec<Selector>,
}

/// An object as it is named on the command line: `[GROUP/]KIND/NAME` or
/// `[GROUP/]KIND/NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    given: String,
    parts: Vec<String>,
}

impl Selector {
    /// Reads what was given.
    pub fn parse(given: &str) -> Result<Self, String> {
        let parts: Vec<String> = given.split('/').map(str::to_owned).collect();
        if !(2..=4).contains(&parts.len()) || parts.iter().any(String::is_empty) {
            return Err(format!(
                "{given:?} names no object; examples: Deployment/web, Deployment/shop/web, \
                 apps/Deployment/shop/web"
            ));
        }
        Ok(Self {
            given: given.to_owned(),
            parts,
        })
    }

    /// Whether it means this object.
    pub fn matches(&self, resource: &ResourceStatus) -> bool {
        let ResourceStatus {
            group,
            kind,
            namespace,
            name,
            ..
        } = resource;
        let kind_is = |given: &String| given.eq_ignore_ascii_case(kind);
        match self.parts.as_slice() {
            [one, two] => kind_is(one) && two == name,
            [one, two, three] => {
                three == name
                    && ((kind_is(one) && two == namespace) || (one == group && kind_is(two)))
            }
            [one, two, three, four] => {
                one == group && kind_is(two) && three == namespace && four == name
            }
            _ => false,
        }
    }
}

impl SyncRequest {
    /// Whether an object is to be synced.
    pub fn includes(&self, resource: &ResourceStatus) -> bool {
        self.only.is_empty() || self.only.iter().any(|selector| selector.matches(resource))
    }

    /// The objects that `only` means, as the API names them.
    pub fn resources(
        &self,
        application: &Application,
    ) -> Result<Vec<SyncOperationResource>, CommandError> {
        let known = application
            .status
            .as_ref()
            .map_or(&[][..], |status| &status.resources);
        let mut found = Vec::new();
        for selector in &self.only {
            let mut matching = known
                .iter()
                .filter(|resource| selector.matches(resource))
                .peekable();
            if matching.peek().is_none() {
                return Err(unknown(selector, application, known));
            }
            found.extend(matching.map(|resource| SyncOperationResource {
                group: resource.group.clone(),
                kind: resource.kind.clone(),
                namespace: resource.namespace.clone(),
                name: resource.name.clone(),
                ..SyncOperationResource::default()
            }));
        }
        Ok(found)
    }
}

fn unknown(
    selector: &Selector,
    application: &Application,
    known: &[ResourceStatus],
) -> CommandError {
    let name = application.metadata.name.as_deref().unwrap_or_default();
    let error = CommandError::new(
        CommandErrorKind::NotFound,
        format!("Application {name:?} has no object {:?}", selector.given),
    );
    let names: Vec<String> = known
        .iter()
        .map(|resource| format!("{}/{}", resource.kind, resource.name))
        .collect();
    let near = alike(&selector.given, names.iter().map(String::as_str), 3);
    if near.is_empty() {
        error.hint(format!("list them with: kubectl gitops status {name}"))
    } else {
        error.hint(format!("did you mean {}?", near.join(" or ")))
    }
}

/// The request. `id` tells it from others.
pub fn request(
    request: &SyncRequest,
    resources: Vec<SyncOperationResource>,
    user: &str,
    id: &str,
) -> Operation {
    Operation {
        sync: Some(SyncOperation {
            revision: request.revision.clone().unwrap_or_default(),
            prune: request.prune,
            dry_run: request.dry_run,
            resources,
            ..SyncOperation::default()
        }),
        initiated_by: Some(OperationInitiator {
            username: user.to_owned(),
            ..OperationInitiator::default()
        }),
        info: vec![NameValue {
            name: NOTE.into(),
            value: id.to_owned(),
            ..NameValue::default()
        }],
        ..Operation::default()
    }
}

/// Whether an operation is the request with this id.
pub fn is(operation: &Operation, id: &str) -> bool {
    operation
        .info
        .iter()
        .any(|note| note.name == NOTE && note.value == id)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resource(group: &str, kind: &str, namespace: &str, name: &str) -> ResourceStatus {
        ResourceStatus {
            group: group.into(),
            kind: kind.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..ResourceStatus::default()
        }
    }

    #[test]
    fn objects_are_named_as_precisely_as_needed() {
        let web = resource("apps", "Deployment", "shop", "web");
        let table = [
            ("Deployment/web", true),
            ("deployment/web", true),
            ("Deployment/shop/web", true),
            ("apps/Deployment/web", true),
            ("apps/Deployment/shop/web", true),
            ("Deployment/other/web", false),
            ("batch/Deployment/shop/web", false),
            ("Service/web", false),
            ("Deployment/wob", false),
        ];
        for (given, expected) in table {
            let selector = Selector::parse(given).unwrap();
            assert_eq!(selector.matches(&web), expected, "{given}");
        }
        for wrong in ["web", "", "Deployment/", "a/b/c/d/e"] {
            assert!(
                Selector::parse(wrong).unwrap_err().contains("examples"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn unknown_objects_are_suggested() {
        let application: Application = serde_json::from_value(json!({
            "metadata": {"name": "shop"}, "spec": {"destination": {}},
            "status": {"resources": [{"kind": "Deployment", "name": "web", "group": "apps"}]},
        }))
        .unwrap();
        let request = |given: &str| SyncRequest {
            only: vec![Selector::parse(given).unwrap()],
            ..SyncRequest::default()
        };
        let found = request("deployment/web").resources(&application).unwrap();
        assert_eq!(
            (found[0].group.as_str(), found[0].kind.as_str()),
            ("apps", "Deployment")
        );
        let error = request("Deployment/wep")
            .resources(&application)
            .unwrap_err();
        assert_eq!(error.hints, ["did you mean Deployment/web?"]);
    }

    #[test]
    fn a_request_is_recognized() {
        let operation = request(&SyncRequest::default(), Vec::new(), "ana", "7");
        assert!(is(&operation, "7") && !is(&operation, "8"));
        assert!(!is(&Operation::default(), "7"));
        let json = serde_json::to_value(&operation).unwrap();
        assert_eq!(json["initiatedBy"]["username"], "ana");
    }
}
