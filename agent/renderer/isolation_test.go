package main

import (
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/kyaml/openapi"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
)

const deployment = `apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: app, image: a, ports: [{containerPort: 80}], env: [{name: A, value: b}]}
      - {name: side, image: b}
`

const patched = `resources: [d.yaml]
patches:
- patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: web}
    spec: {template: {spec: {containers: [{name: app, image: x}]}}}
`

// listSchema has containers of a Deployment as a list without a key, which a patch replaces as a whole.
const listSchema = `{"definitions": {"io.k8s.api.apps.v1.Deployment": {
  "type": "object",
  "x-kubernetes-group-version-kind": [{"group": "apps", "kind": "Deployment", "version": "v1"}],
  "properties": {"spec": {"type": "object", "properties": {"template": {"type": "object", "properties": {"spec": {"type": "object",
    "properties": {"containers": {"type": "array", "items": {"type": "object"}}}}}}}}}}}}`

func kustomization(name string, files repository) testCase {
	return testCase{name: name, files: files, job: protocol.Job{Type: "kustomize", TimeoutMillis: 600_000, Kustomize: &protocol.KustomizeJob{}}}
}

// hostile are jobs that leave something behind in the process, if they can.
func hostile() []testCase {
	return []testCase{
		kustomization("a schema without merge keys", repository{
			"kustomization.yaml": "openapi: {path: schema.json}\n" + patched, "d.yaml": deployment, "schema.json": listSchema}),
		kustomization("a base's schema", repository{
			"kustomization.yaml": "resources: [base]\n", "base/kustomization.yaml": "openapi: {path: schema.json}\n" + patched,
			"base/d.yaml": deployment, "base/schema.json": listSchema}),
		kustomization("an invalid schema", repository{
			"kustomization.yaml": "openapi: {path: schema.json}\n" + patched, "d.yaml": deployment, "schema.json": "{\"definitions\": 5}"}),
		kustomization("a schema at which kyaml panics", repository{
			"kustomization.yaml": "openapi: {path: schema.json}\n" + patched, "d.yaml": deployment,
			"schema.json": `{"definitions": {"x": {"x-kubernetes-group-version-kind": [{"group": "apps", "kind": 5, "version": "v1"}]}}}`}),
		kustomization("a schema and an error after it", repository{
			"kustomization.yaml": "openapi: {path: schema.json}\nnamespace: x\n" + patched + "- path: nowhere.yaml\n", "d.yaml": deployment, "schema.json": listSchema}),
	}
}

func TestEveryFixtureRendersUnderTheJail(t *testing.T) {
	cases := allFixtures(t)
	if len(cases) < 200 {
		t.Fatalf("only %d fixtures were found", len(cases))
	}
	results := baseline(t, cases)
	failed := 0
	for _, test := range cases {
		result := results[test.name]
		if result.failed != "" {
			failed++
		}
		// Nobody gives them the other repositories they refer to.
		isAlone := strings.Contains(result.failed, "which is not in this repository")
		if !isAlone && !strings.Contains(result.failed, test.fails) {
			t.Errorf("%s: does not say %q: %s", test.name, test.fails, result.failed)
		}
		if strings.Contains(result.failed, "defect in a library") {
			t.Errorf("a fixture makes a library panic: %s", result.failed)
		}
	}
	if failed > len(cases)/3 {
		t.Errorf("%d of %d fixtures failed, so what they are for is not compared", failed, len(cases))
	}
}

func TestWhatAJobLeavesBehindChangesNoOtherRender(t *testing.T) {
	cases := append(allFixtures(t), kustomization("patched containers", repository{"kustomization.yaml": patched, "d.yaml": deployment}))
	expected := baseline(t, cases)
	if !strings.Contains(expected["patched containers"].text, "containerPort") {
		t.Fatalf("the patch removes ports: %s", expected["patched containers"].text)
	}
	for _, first := range hostile() {
		// The agent would start another process after the first job. Here the same one goes on.
		result, err := inProcess(t).render(first)
		if err != nil {
			t.Fatal(err)
		}
		if !result.last {
			t.Errorf("%s: the worker takes another job: %s", first.name, result.text)
		}
		current := inProcess(t)
		for _, test := range cases {
			result, err := current.render(test)
			if err != nil {
				t.Fatalf("%s after %s: %v", test.name, first.name, err)
			}
			if result.text != expected[test.name].text {
				t.Errorf("%s after %s\n got %s\nwant %s", test.name, first.name, result.text, expected[test.name].text)
			}
			if result.last {
				current = inProcess(t)
			}
		}
	}
}

func TestAWorkerEndsAfterAJobThatMayHaveLeftSomething(t *testing.T) {
	for _, first := range hostile() {
		current := startWorker(t)
		result, err := current.render(first)
		if err != nil || !result.last {
			t.Errorf("%s: %v %s", first.name, err, result.text)
		}
		var message frame
		if _, err := current.connection.Receive(&message); err == nil {
			t.Errorf("%s: the worker goes on with %q", first.name, message.Type)
		}
		current.close()
	}
	current := startWorker(t)
	defer current.close()
	for range 2 {
		result, err := current.render(kustomization("plain", repository{"kustomization.yaml": patched, "d.yaml": deployment}))
		if err != nil || result.last {
			t.Errorf("a plain build ends the worker: %v %s", err, result.text)
		}
	}
}

func TestAnInvalidSchemaIsTheAuthorsError(t *testing.T) {
	result, err := inProcess(t).render(hostile()[2])
	if err != nil || !strings.Contains(result.failed, "openapi.path") {
		t.Errorf("%v %s", err, result.text)
	}
}

// The cost of what keeps builds apart: run with -bench.
func BenchmarkPatch(b *testing.B) {
	test := kustomization("patch", repository{"kustomization.yaml": patched, "d.yaml": deployment})
	for _, reset := range []bool{false, true} {
		name := "schema kept"
		if reset {
			name = "schema parsed again"
		}
		b.Run(name, func(b *testing.B) {
			current := inProcess(b)
			for b.Loop() {
				if reset {
					openapi.ResetOpenAPI()
				}
				if _, err := current.render(test); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The cost of a worker of one's own.
func BenchmarkWorkerStart(b *testing.B) {
	for b.Loop() {
		startWorker(b).close()
	}
}
