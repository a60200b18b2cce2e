//! Rules that users write, run on an object: jq paths and JSON pointers of `ignoreDifferences`, health
//! rules in Lua and CEL. The first line is the object's `spec`, the rest the rule.

use std::collections::BTreeMap;

use gitops_api::sync_policy::ResourceIgnoreDifferences;
use gitops_core::manifest::object::ObjectKey;
use gitops_core::settings::ignore::IgnoreRules;
use gitops_customizations::Customizations;
use serde_json::{Value, json};

pub(crate) const WORDS: &[&str] = &[
    ".spec",
    ".[]",
    "..",
    "|",
    "select(",
    ")",
    "recurse",
    "range(1e9)",
    "limit(3;",
    "reduce ",
    "def f: f;",
    "test(\"(a+)+$\")",
    "obj.status",
    "hs = {}",
    "hs.status = \"Healthy\"",
    "return hs",
    "while true do end",
    "string.rep(\"a\", 1e9)",
    "table.concat",
    "for i=1,1e9 do end",
    "object.spec",
    "has(",
    "[1,2,3].map(x, ",
    "\"Healthy\"",
    "\"a\" * 1000000000",
    "/spec/replicas",
    "~1",
    "{\"a\":[1,2,{\"b\":null}]}",
    "\n",
    "function()",
];

pub(crate) fn run(data: &[u8]) {
    let (spec, rule) = crate::halves(data);
    let spec = serde_json::from_str(&spec).unwrap_or(Value::Null);
    let object = json!({
        "apiVersion": "example.com/v1",
        "kind": "Thing",
        "metadata": {"name": "a", "namespace": "b"},
        "spec": spec,
    });
    let key = ObjectKey {
        group: "example.com".into(),
        kind: "Thing".into(),
        namespace: "b".into(),
        name: "a".into(),
    };
    let rules = [ResourceIgnoreDifferences {
        group: "*".into(),
        kind: "*".into(),
        json_pointers: rule.lines().map(str::to_owned).collect(),
        jq_path_expressions: vec![rule.clone()],
        ..ResourceIgnoreDifferences::default()
    }];
    let (ignored, _) = IgnoreRules::compile(&rules, "spec.ignoreDifferences");
    if let Some(ignored) = ignored.for_object(&key) {
        let _ = (ignored.stripped(&object), ignored.problems(&object));
    }
    for name in ["cel.example.com_Thing", "example.com_Thing"] {
        let key = format!("resource.customizations.health.{name}");
        let (health, _) = Customizations::new(&BTreeMap::from([(key, rule.clone())]));
        let _ = health.judge(&object);
    }
}
