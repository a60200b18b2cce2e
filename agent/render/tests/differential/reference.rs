//! What the reference commands make of a case: its files are written to a temporary directory, options of the
//! Application become `kustomize edit …` or flags of `helm template`, as Argo CD does it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::fixture::{Case, Content, Kind};
use crate::tools;

/// Name of the Application, and so of the release.
pub(crate) const RELEASE: &str = "shop";
/// Namespace of the destination.
pub(crate) const NAMESPACE: &str = "shop-prod";
/// Version of the cluster.
pub(crate) const KUBE_VERSION: &str = "v1.36.3";

/// Objects in the order the command gives them, or what it said when it failed.
pub(crate) fn objects(case: &Case) -> Result<Vec<Value>, String> {
    let directory = tempfile::tempdir().unwrap();
    // Below a directory of its own, so that `../..` out of the repository leads to nothing.
    let root = directory.path().join("a/b/repository");
    std::fs::create_dir_all(&root).unwrap();
    for (path, content) in case.own_files() {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match content {
            Content::Text(text) => std::fs::write(path, text).unwrap(),
            Content::Link(target) => std::os::unix::fs::symlink(target, path).unwrap(),
        }
    }
    let manifests = directory.path().join("manifests.yaml");
    match case.kind {
        Kind::Directory => {
            let files = case.plain_files.iter().enumerate();
            let files = files.map(|(number, name)| {
                let file = root.join(&case.path).join(name).display().to_string();
                if !name.ends_with(".jsonnet") {
                    return Ok(file);
                }
                let output = jsonnet(case, &root, &file)?;
                let written = directory.path().join(format!("{number}.yaml"));
                std::fs::write(&written, output).unwrap();
                Ok(written.display().to_string())
            });
            return read(&files.collect::<Result<Vec<_>, String>>()?);
        }
        Kind::Kustomize => {
            for arguments in kustomize_edits(&case.options) {
                run(Command::new(tools::kustomize())
                    .args(arguments)
                    .current_dir(root.join(&case.path)))?;
            }
            let mut command = Command::new(tools::kustomize());
            command.args(["build", &case.path, "--enable-helm", "--helm-command"]);
            command.arg(tools::helm());
            // As Argo CD does.
            command.args(["--helm-kube-version", KUBE_VERSION]);
            for version in &case.api_versions {
                command.args(["--helm-api-versions", version]);
            }
            repositories(case, directory.path(), &mut command);
            let output = run(command.current_dir(&root))?;
            std::fs::write(&manifests, output).unwrap();
        }
        Kind::Helm => {
            let mut command = Command::new(tools::helm());
            let release = case.options["releaseName"].as_str().unwrap_or(RELEASE);
            command.args(["template", release, ".", "--kube-version", KUBE_VERSION]);
            command
                .args(helm_flags(case, directory.path()))
                .current_dir(root.join(&case.path));
            for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
                command.env(variable, directory.path().join("helm"));
            }
            std::fs::write(&manifests, run(&mut command)?).unwrap();
        }
    }
    read(&[manifests.display().to_string()])
}

fn read(files: &[String]) -> Result<Vec<Value>, String> {
    let output = run(Command::new(tools::reader()).args(files))?;
    Ok(serde_json::from_slice(&output).unwrap())
}

/// Makes the other repositories of a case, and has git find them where their addresses say.
fn repositories(case: &Case, directory: &Path, command: &mut Command) {
    for (name, files) in case.repositories() {
        let repository = directory.join(format!("git/org/{name}.git"));
        for (path, content) in files {
            let path = repository.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match content {
                Content::Text(text) => std::fs::write(path, text).unwrap(),
                Content::Link(target) => std::os::unix::fs::symlink(target, path).unwrap(),
            }
        }
        for arguments in [
            &["init", "--quiet", "--initial-branch=main"][..],
            &["add", "--all"],
            &[
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.com",
                "commit",
                "--quiet",
                "--message=all",
            ],
            &["tag", "v1"],
        ] {
            run(Command::new("git").args(arguments).current_dir(&repository)).unwrap();
        }
    }
    let place = format!("url.file://{}/git/.insteadOf", directory.display());
    command.env("GIT_CONFIG_COUNT", "2");
    for (number, address) in ["git@git.example.com:", "ssh://git@git.example.com/"]
        .iter()
        .enumerate()
    {
        command.env(format!("GIT_CONFIG_KEY_{number}"), &place);
        command.env(format!("GIT_CONFIG_VALUE_{number}"), address);
    }
}

/// What the jsonnet command makes of a file with the options Argo CD gives to the library. A stream of documents when it
/// makes an array.
fn jsonnet(case: &Case, root: &Path, file: &str) -> Result<Vec<u8>, String> {
    let mut command = Command::new(tools::jsonnet());
    command.arg("-J").arg(root.join(&case.path));
    let options = &case.options["jsonnet"];
    for library in list(&options["libs"]) {
        command.arg("-J").arg(root.join(text(library)));
    }
    for (field, flag) in [("tlas", "--tla"), ("extVars", "--ext")] {
        for variable in list(&options[field]) {
            let kind = if variable["code"] == true {
                "code"
            } else {
                "str"
            };
            command.arg(format!("{flag}-{kind}"));
            command.arg(format!(
                "{}={}",
                text(&variable["name"]),
                text(&variable["value"])
            ));
        }
    }
    command.arg(file);
    let output = run(&mut command)?;
    if output.starts_with(b"[") {
        return run(command.arg("--yaml-stream"));
    }
    Ok(output)
}

fn run(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command
        .env_remove("KUBECONFIG")
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!(
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The commands Argo CD runs for `spec.source.kustomize`, in its order.
fn kustomize_edits(options: &Value) -> Vec<Vec<String>> {
    let mut edits: Vec<Vec<String>> = Vec::new();
    let mut edit = |words: &[&str], more: Vec<String>| {
        edits.push(
            ["edit"]
                .iter()
                .chain(words)
                .map(ToString::to_string)
                .chain(more)
                .collect(),
        );
    };
    for (field, name) in [("namePrefix", "nameprefix"), ("nameSuffix", "namesuffix")] {
        if let Some(value) = options[field].as_str() {
            edit(&["set", name, "--"], vec![value.to_owned()]);
        }
    }
    if let Some(images) = options["images"].as_array() {
        edit(&["set", "image"], images.iter().map(text).collect());
    }
    if let Some(replicas) = options["replicas"].as_array() {
        let pair = |entry: &Value| format!("{}={}", text(&entry["name"]), text(&entry["count"]));
        edit(&["set", "replicas"], replicas.iter().map(pair).collect());
    }
    let pairs = |field: &str| -> Vec<String> {
        let object = options[field].as_object();
        object
            .map(|o| {
                o.iter()
                    .map(|(key, value)| format!("{key}:{}", text(value)))
                    .collect()
            })
            .unwrap_or_default()
    };
    let flags = |names: &[(&str, &'static str)]| -> Vec<&'static str> {
        names
            .iter()
            .filter(|(field, _)| options[*field] == true)
            .map(|(_, flag)| *flag)
            .collect()
    };
    if options["commonLabels"].is_object() {
        let flags = flags(&[
            ("forceCommonLabels", "--force"),
            ("labelWithoutSelector", "--without-selector"),
            ("labelIncludeTemplates", "--include-templates"),
        ]);
        edit(
            &[&["add", "label"], flags.as_slice()].concat(),
            pairs("commonLabels"),
        );
    }
    if options["commonAnnotations"].is_object() {
        let flags = flags(&[("forceCommonAnnotations", "--force")]);
        edit(
            &[&["add", "annotation"], flags.as_slice()].concat(),
            pairs("commonAnnotations"),
        );
    }
    if let Some(namespace) = options["namespace"].as_str() {
        edit(&["set", "namespace", "--"], vec![namespace.to_owned()]);
    }
    for patch in list(&options["patches"]) {
        let mut flags = Vec::new();
        for field in ["path", "patch"] {
            if let Some(value) = patch[field].as_str() {
                flags.extend([format!("--{field}"), value.to_owned()]);
            }
        }
        for (field, flag) in [
            ("group", "--group"),
            ("version", "--version"),
            ("kind", "--kind"),
            ("name", "--name"),
            ("namespace", "--namespace"),
            ("labelSelector", "--label-selector"),
            ("annotationSelector", "--annotation-selector"),
        ] {
            if let Some(value) = patch["target"][field].as_str() {
                flags.extend([flag.to_owned(), value.to_owned()]);
            }
        }
        edit(&["add", "patch"], flags);
    }
    for component in list(&options["components"]) {
        edit(&["add", "component"], vec![text(component)]);
    }
    edits
}

/// `spec.source.helm` as flags; a comma in a parameter is part of the value.
fn helm_flags(case: &Case, scratch: &Path) -> Vec<String> {
    let options = &case.options;
    let mut flags = Vec::new();
    let mut flag = |name: &str, value: String| flags.extend([name.to_owned(), value]);
    flag(
        "--namespace",
        options["namespace"]
            .as_str()
            .unwrap_or(NAMESPACE)
            .to_owned(),
    );
    for file in list(&options["valueFiles"]) {
        flag("--values", text(file));
    }
    let inline = match &options["valuesObject"] {
        Value::Null => options["values"].as_str().map(str::to_owned),
        object => Some(object.to_string()),
    };
    if let Some(values) = inline {
        let file = scratch.join("values.yaml");
        std::fs::write(&file, values).unwrap();
        flag("--values", file.display().to_string());
    }
    for parameter in list(&options["parameters"]) {
        let name = if parameter["forceString"] == true {
            "--set-string"
        } else {
            "--set"
        };
        let value = text(&parameter["value"]);
        let is_list = value.starts_with('{') && value.ends_with('}');
        let value = if is_list {
            value
        } else {
            value.replace("\\,", ",").replace(',', "\\,")
        };
        flag(name, format!("{}={value}", text(&parameter["name"])));
    }
    for parameter in list(&options["fileParameters"]) {
        flag(
            "--set-file",
            format!("{}={}", text(&parameter["name"]), text(&parameter["path"])),
        );
    }
    for version in &case.api_versions {
        flag("--api-versions", version.clone());
    }
    let switches = [
        ("skipTests", "--skip-tests"),
        ("skipSchemaValidation", "--skip-schema-validation"),
    ];
    flags.extend(
        switches
            .iter()
            .filter(|(field, _)| options[*field] == true)
            .map(|(_, name)| (*name).to_owned()),
    );
    if options["skipCrds"] != true {
        flags.push("--include-crds".to_owned());
    }
    flags
}
