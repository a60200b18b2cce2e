//! The agent's own installation: `manifests/install.yaml`, as it is when this program was built,
//! for a namespace and an image of choice. Pure: nothing is read from a cluster or applied here.

use gitops_api::constants::{DEFAULT_NAMESPACE, annotation};
use gitops_kit::exit::{CommandError, CommandErrorKind};
use serde_json::{Map, Value, json};

use crate::commands::bootstrap::image::Image;

/// The installation for the default namespace.
const INSTALL: &str = include_str!("../../../../manifests/install.yaml");
/// Name of the Deployment, the ServiceAccount and the roles.
pub const NAME: &str = "gitops-agent";
/// Label that says whose an object is.
pub const PART_OF: &str = "app.kubernetes.io/part-of";
/// Begins the file; users should not edit it.
const HEADING: &str = "\
# gitops-agent, written by `kubectl gitops bootstrap`, which writes it anew at an upgrade.
# Put changes of your own into kustomization.yaml, as patches.
";

/// What an installation is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Namespace of the agent and its Applications.
    pub namespace: String,
    /// The agent's image; `None`: the one of this program's version.
    pub image: Option<Image>,
}

/// Objects of an installation, in the order in which they are applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Installation {
    /// Objects.
    pub objects: Vec<Value>,
}

impl Installation {
    /// The installation of this program's version.
    pub fn new(choice: &Choice) -> Result<Self, CommandError> {
        let mut objects = parse(INSTALL)?;
        for object in &mut objects {
            move_to(object, &choice.namespace);
            match object["kind"].as_str() {
                // With a definition go all objects of the kind, with the namespace everything in it.
                Some("CustomResourceDefinition" | "Namespace") => {
                    object["metadata"]["annotations"][annotation::SYNC_OPTIONS] =
                        json!("Prune=false,Delete=false");
                }
                Some("Deployment") => {
                    if let Some(image) = &choice.image {
                        for container in containers(object) {
                            if container["name"] == "agent" {
                                container["image"] = json!(image.to_string());
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(Self { objects })
    }

    /// Without the objects for which `leave_out` says yes.
    #[must_use]
    pub fn without(mut self, leave_out: impl Fn(&Value) -> bool) -> Self {
        self.objects.retain(|object| !leave_out(object));
        self
    }

    /// With more lines in the list of known ssh servers.
    #[must_use]
    pub fn with_known_hosts(mut self, lines: &str) -> Self {
        for object in &mut self.objects {
            if let Some(text) = object["data"]["ssh_known_hosts"].as_str() {
                let mut text = text.trim_end().to_owned();
                for line in lines.lines().map(str::trim) {
                    if !line.is_empty() && !text.lines().any(|known| known.trim() == line) {
                        text.push('\n');
                        text.push_str(line);
                    }
                }
                text.push('\n');
                object["data"]["ssh_known_hosts"] = json!(text);
            }
        }
        self
    }

    /// Definitions of kinds; everything else needs them or the namespace.
    pub fn definitions(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(|object| is_definition(object))
    }

    /// Everything but the definitions.
    pub fn others(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(|object| !is_definition(object))
    }

    /// The agent's image.
    pub fn image(&self) -> Option<Image> {
        self.objects.iter().find_map(image_of)
    }

    /// The file in Git.
    pub fn to_yaml(&self) -> Result<String, CommandError> {
        let mut text = HEADING.to_owned();
        for object in &self.objects {
            text.push_str("---\n");
            text.push_str(&yaml(object)?);
        }
        Ok(text)
    }
}

/// An object as YAML.
pub fn yaml(object: &Value) -> Result<String, CommandError> {
    let mut text = serde_saphyr::to_string(object).map_err(|error| {
        CommandError::new(
            CommandErrorKind::Internal,
            format!("cannot write YAML: {error}"),
        )
    })?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// All objects of a YAML text; empty documents are left out.
pub fn parse(text: &str) -> Result<Vec<Value>, CommandError> {
    let mut objects = Vec::new();
    let mut document = String::new();
    for line in text.lines().chain(["---"]) {
        if line.trim_end() != "---" {
            document.push_str(line);
            document.push('\n');
            continue;
        }
        let is_empty = |line: &str| line.trim().is_empty() || line.starts_with('#');
        if !document.lines().all(is_empty) {
            objects.push(serde_saphyr::from_str(&document).map_err(|error| {
                CommandError::new(
                    CommandErrorKind::Usage,
                    format!(
                        "not YAML: {}",
                        gitops_kit::text::one_line(&error.to_string())
                    ),
                )
            })?);
        }
        document.clear();
    }
    Ok(objects)
}

/// The agent's image in an object, if it is the agent's Deployment.
pub fn image_of(object: &Value) -> Option<Image> {
    if object["kind"] != "Deployment" || object["metadata"]["name"] != NAME {
        return None;
    }
    let containers = object["spec"]["template"]["spec"]["containers"].as_array()?;
    let agent = containers
        .iter()
        .find(|container| container["name"] == "agent")
        .or(containers.first())?;
    Some(Image::parse(agent["image"].as_str()?))
}

fn is_definition(object: &Value) -> bool {
    object["kind"] == "CustomResourceDefinition"
}

fn containers(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    object["spec"]["template"]["spec"]["containers"]
        .as_array_mut()
        .into_iter()
        .flatten()
}

/// Puts an object, and what it says about the namespace, into another namespace.
fn move_to(object: &mut Value, namespace: &str) {
    if namespace == DEFAULT_NAMESPACE {
        return;
    }
    if object["kind"] == "Namespace" {
        object["metadata"]["name"] = json!(namespace);
    }
    let metadata = object["metadata"].as_object_mut();
    if let Some(metadata) = metadata
        && metadata.get("namespace").is_some()
    {
        metadata.insert("namespace".into(), json!(namespace));
    }
    let subjects = object.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten() {
        if let Some(subject) = subject.as_object_mut().filter(|s| is_in_default(s)) {
            subject.insert("namespace".into(), json!(namespace));
        }
    }
    if object["kind"] == "Deployment" {
        for container in containers(object) {
            let arguments = container["args"].as_array_mut();
            let mut after_flag = false;
            for argument in arguments.into_iter().flatten() {
                if after_flag {
                    *argument = json!(namespace);
                }
                after_flag = argument == "--namespace";
            }
        }
    }
}

fn is_in_default(subject: &Map<String, Value>) -> bool {
    subject.get("namespace").and_then(Value::as_str) == Some(DEFAULT_NAMESPACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation(namespace: &str, image: Option<&str>) -> Installation {
        Installation::new(&Choice {
            namespace: namespace.into(),
            image: image.map(Image::parse),
        })
        .unwrap()
    }

    #[test]
    fn nothing_speaks_of_another_namespace() {
        let moved = installation("gitops-system", None);
        for object in &moved.objects {
            let names = [
                &object["metadata"]["namespace"],
                &object["subjects"][0]["namespace"],
            ];
            for name in names {
                assert!(name.is_null() || name == "gitops-system", "{object}");
            }
        }
        let deployment = moved.objects.last().unwrap();
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(
            container["args"],
            json!(["run", "--namespace", "gitops-system"])
        );
        let namespace = moved.objects.iter().find(|o| o["kind"] == "Namespace");
        assert_eq!(namespace.unwrap()["metadata"]["name"], "gitops-system");
    }

    #[test]
    fn the_file_says_what_the_objects_say() {
        let installation = installation("argocd", Some("registry.example/agent:v9"));
        let text = installation.to_yaml().unwrap();
        assert_eq!(parse(&text).unwrap(), installation.objects);
        assert_eq!(
            installation.image().map(|image| image.to_string()),
            Some("registry.example/agent:v9".into())
        );
    }

    #[test]
    fn definitions_and_the_namespace_are_never_pruned() {
        let installation = installation("argocd", None);
        let kinds: Vec<&str> = installation
            .objects
            .iter()
            .filter(|object| {
                object["metadata"]["annotations"][annotation::SYNC_OPTIONS]
                    == "Prune=false,Delete=false"
            })
            .filter_map(|object| object["kind"].as_str())
            .collect();
        assert_eq!(kinds.iter().filter(|kind| **kind == "Namespace").count(), 1);
        assert_eq!(kinds.len(), 1 + installation.definitions().count());
    }

    #[test]
    fn known_hosts_are_added_once() {
        let line = "git.example.org ssh-ed25519 AAAA";
        let lines = format!("{line}\n\n{line}\n");
        let with = installation("argocd", None).with_known_hosts(&lines);
        let text = with
            .objects
            .iter()
            .find_map(|object| object["data"]["ssh_known_hosts"].as_str())
            .unwrap();
        assert_eq!(text.matches(line).count(), 1, "{text}");
        assert!(text.contains("github.com ") && text.ends_with("AAAA\n"));
    }

    #[test]
    fn empty_documents_are_passed_over() {
        assert_eq!(
            parse("# nothing\n---\n\n---\na: 1\n").unwrap(),
            [json!({"a": 1})]
        );
        assert!(parse("a: [\n").is_err());
    }
}
