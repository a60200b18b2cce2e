//! The container images a manifest or a live object names.

use serde_json::Value;

/// Images of the containers in an object's Pod template, sorted, each once.
pub fn images(value: &Value) -> Vec<String> {
    let pod_specs = [
        "/spec/template/spec",
        "/spec/jobTemplate/spec/template/spec",
        "/spec",
    ];
    let mut images: Vec<String> = pod_specs
        .iter()
        .filter_map(|pointer| value.pointer(pointer))
        .flat_map(|spec| ["initContainers", "containers"].map(|list| spec.get(list)))
        .filter_map(|list| list?.as_array())
        .flatten()
        .filter_map(|container| Some(container.get("image")?.as_str()?.to_owned()))
        .collect();
    images.sort_unstable();
    images.dedup();
    images
}
