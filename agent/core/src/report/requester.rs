//! Who asks with a Preview, as far as that is proven.
//!
//! The agent sees a Preview, not who created it. `spec.requester` says so, and an admission policy of
//! the installation lets nobody write another name than their own. Without that policy the field is
//! free text, and the Preview is answered as to somebody unknown.

use std::fmt;

use gitops_api::Preview;
use gitops_api::preview::{GROUP, PreviewRequester, VERSION};
use jiff::Timestamp;
use serde_json::Value;

/// Name of the ValidatingAdmissionPolicy, and of its binding: `manifests/base/preview-policy.yaml`.
pub const POLICY: &str = "gitops-preview-requester";

/// What the policy demands, in CEL: a Preview names nobody else, and is never changed.
pub const RULE: &str = "oldObject != null ? object.spec == oldObject.spec : \
    (!has(object.spec.requester) || \
    (object.spec.requester.username == request.userInfo.username && \
    (!has(object.spec.requester.groups) || \
    object.spec.requester.groups.all(group, group in request.userInfo.groups))))";

/// Who asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Asker {
    /// The API server saw to it that it is them.
    Proven(PreviewRequester),
    /// Nobody knows; the API server is asked what somebody without a name may read.
    Unknown(Doubt),
    /// The agent checks nobody, because it is somebody's own; the name is what the Preview says.
    Unchecked(String),
}

/// Why nobody knows who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The Preview does not say.
    NotSaid,
    /// The policy or its binding is missing.
    NoPolicy,
    /// It is not the policy of the installation, or does not hold for all Previews.
    OtherPolicy,
    /// The Preview is older than the policy.
    Older,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, next) = match self {
            Self::NotSaid => (
                "it does not say who asks (spec.requester)",
                "ask with a newer kubectl gitops",
            ),
            Self::NoPolicy => (
                "the ValidatingAdmissionPolicy or its binding is missing",
                "apply manifests/base/preview-policy.yaml, or install.yaml of this version",
            ),
            Self::OtherPolicy => (
                "the ValidatingAdmissionPolicy or its binding is not the one of this version",
                "apply manifests/base/preview-policy.yaml, or install.yaml of this version",
            ),
            Self::Older => (
                "it is older than the ValidatingAdmissionPolicy",
                "ask again",
            ),
        };
        write!(
            f,
            "who asks is not proven, and only what anybody may read is shown: {what} \
             ({POLICY}); {next}"
        )
    }
}

impl Asker {
    /// Who asks, by the Preview and by the policy and binding of the name [`POLICY`], where they
    /// exist.
    pub fn of(preview: &Preview, policy: Option<&Value>, binding: Option<&Value>) -> Self {
        let Some(requester) = &preview.spec.requester else {
            return Self::Unknown(Doubt::NotSaid);
        };
        let (Some(policy), Some(binding)) = (policy, binding) else {
            return Self::Unknown(Doubt::NoPolicy);
        };
        if !(demands_the_rule(&policy["spec"]) && binds_everywhere(&binding["spec"])) {
            return Self::Unknown(Doubt::OtherPolicy);
        }
        let asked = preview.metadata.creation_timestamp.as_ref();
        let is_earlier = |object: &Value| {
            let created = object["metadata"]["creationTimestamp"].as_str();
            let created = created.and_then(|text| text.parse::<Timestamp>().ok());
            let leaves = !object["metadata"]["deletionTimestamp"].is_null();
            !leaves
                && created
                    .zip(asked)
                    .is_some_and(|(created, asked)| created < asked.0)
        };
        if !(is_earlier(policy) && is_earlier(binding)) {
            return Self::Unknown(Doubt::Older);
        }
        Self::Proven(requester.clone())
    }

    /// Who asks an agent that checks nobody.
    pub fn unchecked(preview: &Preview) -> Self {
        let requester = preview.spec.requester.as_ref();
        Self::Unchecked(requester.map_or_else(String::new, |r| r.username.clone()))
    }

    /// User and groups whose rights count; `None` when nobody's are asked about.
    pub fn subject(&self) -> Option<(String, Vec<String>)> {
        match self {
            Self::Proven(requester) => Some((requester.username.clone(), requester.groups.clone())),
            Self::Unknown(_) => Some((
                "system:anonymous".into(),
                vec!["system:unauthenticated".into()],
            )),
            Self::Unchecked(_) => None,
        }
    }

    /// The name by which Previews take turns: all that nobody vouches for share one.
    pub fn name(&self) -> &str {
        match self {
            Self::Proven(requester) => &requester.username,
            Self::Unchecked(name) => name,
            Self::Unknown(_) => "",
        }
    }

    /// Why it is not known who asks.
    pub fn doubt(&self) -> Option<Doubt> {
        match self {
            Self::Proven(_) | Self::Unchecked(_) => None,
            Self::Unknown(doubt) => Some(*doubt),
        }
    }
}

/// Whether a list is absent or empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
        _ => false,
    }
}

fn demands_the_rule(spec: &Value) -> bool {
    let constraints = &spec["matchConstraints"];
    let has = |list: &Value, wanted: &str| {
        let list = list.as_array().into_iter().flatten();
        list.filter_map(Value::as_str)
            .any(|item| item == wanted || item == "*")
    };
    let rules = constraints["resourceRules"]
        .as_array()
        .into_iter()
        .flatten();
    let covers = |rule: &Value| {
        has(&rule["apiGroups"], GROUP)
            && has(&rule["apiVersions"], VERSION)
            && has(&rule["operations"], "CREATE")
            && has(&rule["operations"], "UPDATE")
            && has(&rule["resources"], "previews")
            && is_empty(&rule["resourceNames"])
            && matches!(rule["scope"].as_str(), None | Some("*" | "Namespaced"))
    };
    let validations = spec["validations"].as_array().into_iter().flatten();
    matches!(spec["failurePolicy"].as_str(), None | Some("Fail"))
        && is_empty(&spec["matchConditions"])
        && spec["paramKind"].is_null()
        && is_empty(&constraints["excludeResourceRules"])
        && is_empty(&constraints["namespaceSelector"])
        && is_empty(&constraints["objectSelector"])
        && { rules }.any(covers)
        && { validations }.any(|validation| {
            let expression = validation["expression"].as_str();
            expression.is_some_and(|expression| expression.trim() == RULE)
        })
}

fn binds_everywhere(spec: &Value) -> bool {
    let actions = spec["validationActions"].as_array().into_iter().flatten();
    let mut actions = actions.filter_map(Value::as_str);
    let resources = &spec["matchResources"];
    let is_narrow = [
        "resourceRules",
        "excludeResourceRules",
        "namespaceSelector",
        "objectSelector",
    ]
    .iter()
    .any(|field| !is_empty(&resources[*field]));
    spec["policyName"] == POLICY
        && actions.any(|action| action == "Deny")
        && !is_narrow
        && spec["paramRef"].is_null()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MANIFEST: &str = include_str!("../../../../manifests/base/preview-policy.yaml");

    /// Policy and binding of the installation, as an API server of an earlier second has them.
    fn shipped() -> (Value, Value) {
        let objects: Vec<Value> = serde_saphyr::from_multiple(MANIFEST).unwrap();
        let of = |kind: &str| {
            let mut found = objects
                .iter()
                .find(|object| object["kind"] == kind)
                .unwrap()
                .clone();
            assert_eq!(found["metadata"]["name"], POLICY);
            found["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
            found
        };
        let mut policy = of("ValidatingAdmissionPolicy");
        // As the API server fills them in.
        policy["spec"]["matchConstraints"]["namespaceSelector"] = json!({});
        policy["spec"]["matchConstraints"]["matchPolicy"] = json!("Equivalent");
        policy["spec"]["matchConstraints"]["resourceRules"][0]["scope"] = json!("*");
        (policy, of("ValidatingAdmissionPolicyBinding"))
    }

    fn preview(requester: &Value, created: &str) -> Preview {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "creationTimestamp": created},
            "spec": {"application": "web", "requester": requester},
        }))
        .unwrap()
    }

    #[test]
    fn the_requester_counts_only_under_the_policy_of_the_installation() {
        let (policy, binding) = shipped();
        let ana = json!({"username": "ana", "groups": ["dev"]});
        let question = preview(&ana, "2026-01-01T00:00:01Z");
        let of =
            |policy: Option<&Value>, binding: Option<&Value>| Asker::of(&question, policy, binding);
        let proven = of(Some(&policy), Some(&binding));
        assert_eq!(proven.doubt(), None);
        assert_eq!(
            proven.subject().unwrap(),
            ("ana".into(), vec!["dev".into()])
        );
        assert_eq!(proven.name(), "ana");
        let unknown = of(None, Some(&binding));
        assert_eq!(unknown.doubt(), Some(Doubt::NoPolicy));
        assert_eq!(of(Some(&policy), None).doubt(), Some(Doubt::NoPolicy));
        assert_eq!(unknown.subject().unwrap().0, "system:anonymous");
        assert_eq!(unknown.name(), "");
        let same_second = preview(&json!({"username": "ana"}), "2026-01-01T00:00:00Z");
        let early = Asker::of(&same_second, Some(&policy), Some(&binding));
        assert_eq!(early.doubt(), Some(Doubt::Older));
        let silent = preview(&Value::Null, "2026-01-01T00:00:01Z");
        let silent = Asker::of(&silent, Some(&policy), Some(&binding));
        assert_eq!(silent.doubt(), Some(Doubt::NotSaid));
    }

    #[test]
    fn a_policy_with_a_hole_proves_nothing() {
        let holes: [(bool, &str, Value); 13] = [
            (true, "/spec/failurePolicy", json!("Ignore")),
            (
                true,
                "/spec/matchConditions",
                json!([{"expression": "false"}]),
            ),
            (true, "/spec/paramKind", json!({"kind": "X"})),
            (true, "/spec/validations/0/expression", json!("true")),
            (
                true,
                "/spec/matchConstraints/namespaceSelector",
                json!({"matchLabels": {"a": "b"}}),
            ),
            (
                true,
                "/spec/matchConstraints/excludeResourceRules",
                json!([{"resources": ["*"]}]),
            ),
            (
                true,
                "/spec/matchConstraints/resourceRules/0/operations",
                json!(["UPDATE"]),
            ),
            (
                true,
                "/spec/matchConstraints/resourceRules/0/resourceNames",
                json!(["x"]),
            ),
            (
                true,
                "/spec/matchConstraints/resourceRules/0/apiGroups",
                json!(["apps"]),
            ),
            (false, "/spec/validationActions", json!(["Audit", "Warn"])),
            (false, "/spec/policyName", json!("another")),
            (
                false,
                "/spec/matchResources",
                json!({"objectSelector": {"matchLabels": {"a": "b"}}}),
            ),
            (false, "/spec/paramRef", json!({"name": "x"})),
        ];
        let question = preview(&json!({"username": "ana"}), "2026-01-01T00:00:01Z");
        for (in_policy, place, value) in holes {
            let (mut policy, mut binding) = shipped();
            let object = if in_policy { &mut policy } else { &mut binding };
            let (parent, name) = place.rsplit_once('/').unwrap();
            object.pointer_mut(parent).unwrap()[name] = value;
            let asker = Asker::of(&question, Some(&policy), Some(&binding));
            assert_eq!(asker.doubt(), Some(Doubt::OtherPolicy), "{place}");
        }
        let (mut policy, binding) = shipped();
        policy["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        let asker = Asker::of(&question, Some(&policy), Some(&binding));
        assert_eq!(asker.doubt(), Some(Doubt::Older));
    }
}
