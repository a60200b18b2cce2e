package main

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
)

// Values that no message may show, in any of its parts: a word, a phrase, one with marks, and a number.
var values = []string{"hunter2", "correct horse", "p4ss/w0rd+", "90210777"}

func helmChart(name string, files repository, options protocol.HelmJob) testCase {
	all := repository{"Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n"}
	for path, content := range files {
		all[path] = content
	}
	options.ReleaseName, options.Namespace, options.KubeVersion = "web", "shop", "v1.36.3"
	return testCase{name: name, files: all, job: protocol.Job{Type: "helm", TimeoutMillis: 600_000, Helm: &options}}
}

func template(name, text string) testCase {
	return helmChart(name, repository{
		"templates/t.yaml": text,
		"values.yaml":      "password: hunter2\nphrase: {secret: correct horse}\npin: 90210777\nother: p4ss/w0rd+\nlist: [hunter2]\n",
	}, protocol.HelmJob{})
}

func directoryOf(name, file, text string) testCase {
	job := protocol.Job{Type: "directory", TimeoutMillis: 600_000, Directory: &protocol.DirectoryJob{}}
	return testCase{name: name, files: repository{file: text}, job: job}
}

func generators(name, kustomizationFile string, files repository) testCase {
	all := repository{"prod/kustomization.yaml": kustomizationFile}
	for path, content := range files {
		all[path] = content
	}
	test := kustomization(name, all)
	test.job.Path = "prod"
	return test
}

func withPatches(test testCase, patches ...string) testCase {
	for _, patch := range patches {
		test.job.Kustomize.Patches = append(test.job.Kustomize.Patches, []byte(patch))
	}
	return test
}

const secretManifest = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData:\n  password: hunter2\n  phrase: correct horse\n  pin: \"90210777\"\n"

// messages are renders that fail, with what their message has to say; no message shows a value.
func messages() []struct {
	test testCase
	says []string
} {
	type row = struct {
		test testCase
		says []string
	}
	resources := "resources: [d.yaml]\n"
	return []row{
		// Generators of kustomize.
		{generators("literal without =", "secretGenerator:\n- name: db\n  literals: [password=hunter2, correct horse]\n", nil),
			[]string{"prod/kustomization.yaml", "secretGenerator db", "literals[1] is not KEY=VALUE"}},
		{generators("literal that begins with =", "configMapGenerator:\n- name: settings\n  literals: [\"=hunter2\"]\n", nil),
			[]string{"configMapGenerator settings", "literals[0]"}},
		{generators("literal of a base", "resources: [base]\n", repository{"prod/base/kustomization.yaml": "secretGenerator:\n- name: db\n  literals: [hunter2]\n"}),
			[]string{"prod/base/kustomization.yaml", "secretGenerator db", "literals[0]"}},
		{generators("environment file that is not UTF-8", "secretGenerator:\n- name: db\n  envs: [db.env]\n", repository{"prod/db.env": "A=b\nB=hunter2\xff\nC=correct horse\n"}),
			[]string{"prod/db.env:2", "secretGenerator db", "not UTF-8"}},
		{generators("line of an environment file twice", "secretGenerator:\n- name: db\n  envs: [db.env]\n", repository{"prod/db.env": "hunter2\nhunter2\n"}),
			[]string{"db", "repeats the key"}},
		{generators("key twice", "secretGenerator:\n- name: db\n  literals: [password=hunter2, password=p4ss/w0rd+]\n", nil),
			[]string{"db", "repeats the key", "password"}},
		{generators("environment file that is missing", "secretGenerator:\n- name: db\n  literals: [password=hunter2]\n  envs: [gone.env]\n", nil),
			[]string{"secretGenerator db", "envs[0]", "does not exist"}},
		{generators("file that is missing", "secretGenerator:\n- name: db\n  literals: [password=hunter2]\n  files: [gone.txt]\n", nil),
			[]string{"secretGenerator db", "files[0] (gone.txt)", "does not exist"}},
		{generators("value in the list of files", "secretGenerator:\n- name: db\n  files: [password=hunter2]\n", nil),
			[]string{"secretGenerator db", "files[0]", "does not exist"}},
		{generators("value with = in the list of files", "secretGenerator:\n- name: db\n  files: [\"password=hunter2=\"]\n", nil),
			[]string{"secretGenerator db", "files[0]"}},
		{generators("nothing before = in the list of files", "secretGenerator:\n- name: db\n  files: [\"=hunter2\"]\n", nil),
			[]string{"secretGenerator db", "files[0]"}},
		{generators("generator in a file of its own", "generators: [g.yaml]\n", repository{"prod/g.yaml": "apiVersion: builtin\nkind: SecretGenerator\nmetadata: {name: db}\nname: db\nliterals: [password=hunter2, correct horse]\n"}),
			[]string{"KEY=VALUE"}},
		{generators("generator that must not be there", "secretGenerator:\n- name: db\n  behavior: merge\n  literals: [password=hunter2]\n", nil),
			[]string{"merge"}},
		{generators("unknown field", "secretGenerator:\n- name: db\n  literal: [password=hunter2]\n", nil),
			[]string{"prod/kustomization.yaml", "literal"}},
		{generators("list that is a text", "secretGenerator:\n- name: db\n  literals: password=hunter2\n", nil),
			[]string{"prod/kustomization.yaml", "literals"}},
		{generators("kustomization that is no YAML", "secretGenerator:\n- name: db\n  literals: [password=hunter2\n", nil),
			[]string{"prod/kustomization.yaml"}},
		// Patches.
		{kustomization("patch that is neither", repository{"kustomization.yaml": resources + "patches:\n- patch: 'password: hunter2'\n", "d.yaml": secretManifest}),
			[]string{"patch"}},
		{kustomization("patch that is no YAML", repository{"kustomization.yaml": resources + "patches:\n- patch: '{password: hunter2'\n", "d.yaml": secretManifest}),
			[]string{"patch"}},
		{kustomization("patch in a file that is no YAML", repository{"kustomization.yaml": resources + "patches:\n- path: p.yaml\n", "p.yaml": "a: b\npassword: \"hunter2\nb: [\n", "d.yaml": secretManifest}),
			[]string{"p.yaml"}},
		{kustomization("patch and path", repository{"kustomization.yaml": resources + "patches:\n- path: p.yaml\n  patch: 'password: hunter2'\n", "p.yaml": "{}", "d.yaml": secretManifest}),
			[]string{"patch and path"}},
		{kustomization("patch without a target", repository{"kustomization.yaml": resources + "patches:\n- patch: '[{\"op\": \"add\", \"path\": \"/stringData/a\", \"value\": \"hunter2\"}]'\n", "d.yaml": secretManifest}),
			[]string{"target"}},
		{kustomization("patch of nothing", repository{"kustomization.yaml": resources + "patches:\n- patch: |-\n    apiVersion: v1\n    kind: Secret\n    metadata: {name: other}\n    stringData: {password: hunter2}\n", "d.yaml": secretManifest}),
			[]string{"no resource matches", "Secret.v1.[noGrp]/other"}},
		{kustomization("JSON patch of a path that is missing", repository{"kustomization.yaml": resources + "patches:\n- target: {kind: Secret}\n  patch: '[{\"op\": \"replace\", \"path\": \"/data/x\", \"value\": \"hunter2\"}]'\n", "d.yaml": secretManifest}),
			[]string{"/data/x"}},
		{kustomization("JSON patch whose test fails", repository{"kustomization.yaml": resources + "patches:\n- target: {kind: Secret}\n  patch: '[{\"op\": \"test\", \"path\": \"/stringData/password\", \"value\": \"correct horse\"}]'\n", "d.yaml": secretManifest}),
			[]string{"/stringData/password"}},
		{kustomization("JSON patch that is no JSON", repository{"kustomization.yaml": resources + "patchesJson6902:\n- target: {version: v1, kind: Secret, name: db}\n  patch: '[{\"op\": \"add\", hunter2'\n", "d.yaml": secretManifest}),
			nil},
		{kustomization("two patches with a target", repository{"kustomization.yaml": resources + "patches:\n- target: {kind: Secret}\n  patch: |-\n    apiVersion: v1\n    kind: Secret\n    metadata: {name: db}\n    stringData: {a: hunter2}\n    ---\n    apiVersion: v1\n    kind: Secret\n    metadata: {name: db}\n    stringData: {b: hunter2}\n", "d.yaml": secretManifest}),
			[]string{"target"}},
		{kustomization("strategic merge that is a list", repository{"kustomization.yaml": resources + "patchesStrategicMerge:\n- |-\n  - hunter2\n", "d.yaml": secretManifest}),
			nil},
		{kustomization("strategic merge in place that is no YAML", repository{"kustomization.yaml": resources + "patchesStrategicMerge:\n- |-\n  apiVersion: v1\n  kind: Secret\n  metadata: {name: db}\n  stringData: [hunter2: *hunter2\n", "d.yaml": secretManifest}),
			[]string{"PatchStrategicMergeTransformer", "written in place"}},
		{kustomization("patch of the wrong form", repository{"kustomization.yaml": resources + "patches:\n- patch: |-\n    apiVersion: v1\n    kind: Secret\n    metadata: {name: db}\n    stringData: hunter2\n", "d.yaml": secretManifest}),
			nil},
		{withPatches(kustomization("patch of the Application", repository{"kustomization.yaml": resources, "d.yaml": secretManifest}), `{"patch": "password: hunter2"}`),
			[]string{"patch"}},
		{withPatches(kustomization("field of a patch of the Application", repository{"kustomization.yaml": resources, "d.yaml": secretManifest}), `{"patch": 90210777, "password": "hunter2"}`),
			[]string{"spec.source.kustomize.patches[0]"}},
		// Other transformers.
		{kustomization("replacement out of bounds", repository{"kustomization.yaml": resources + "replacements:\n- source: {kind: Secret, fieldPath: stringData.password, options: {delimiter: '-', index: 5}}\n  targets: [{select: {kind: Secret}, fieldPaths: [metadata.name]}]\n", "d.yaml": secretManifest}),
			[]string{"out of bounds"}},
		{kustomization("replacement source that is missing", repository{"kustomization.yaml": resources + "replacements:\n- source: {kind: Secret, fieldPath: stringData.gone}\n  targets: [{select: {kind: Secret}, fieldPaths: [metadata.name]}]\n", "d.yaml": secretManifest}),
			[]string{"stringData.gone", "missing for replacement source"}},
		{kustomization("object without a kind", repository{"kustomization.yaml": resources, "d.yaml": "apiVersion: v1\nmetadata: {name: db}\nstringData: {password: hunter2}\n"}),
			[]string{"d.yaml", "kind"}},
		{kustomization("object without a name", repository{"kustomization.yaml": resources, "d.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {annotations: {a: hunter2}}\nstringData: {password: hunter2}\n"}),
			[]string{"name"}},
		{kustomization("resource that is no YAML", repository{"kustomization.yaml": resources, "d.yaml": secretManifest + "  more: \"hunter2\n  x: [\n"}),
			[]string{"d.yaml"}},
		{kustomization("resource with an unknown anchor", repository{"kustomization.yaml": resources, "d.yaml": secretManifest + "  more: *hunter2\n"}),
			[]string{"anchor"}},
		{kustomization("data that is no mapping", repository{"kustomization.yaml": resources + "commonLabels: {a: b}\n", "d.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: db, labels: hunter2}\n"}),
			nil},
		{kustomization("container list that is a text", repository{"kustomization.yaml": resources + "images: [{name: a, newTag: b}]\n", "d.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {name: db}\nspec: {containers: hunter2}\n"}),
			nil},
		{kustomization("replicas that are a text", repository{"kustomization.yaml": resources + "replicas: [{name: web, count: hunter2}]\n", "d.yaml": deployment}),
			[]string{"count"}},
		{kustomization("document separator with a value", repository{"kustomization.yaml": resources, "d.yaml": secretManifest + "--- hunter2\na: b\n"}),
			[]string{"d.yaml"}},
		{kustomization("variable in an unknown object", repository{"kustomization.yaml": resources + "vars: [{name: X, objref: {apiVersion: v1, kind: Secret, name: gone}, fieldref: {fieldpath: stringData.password}}]\n", "d.yaml": secretManifest}),
			[]string{"X"}},
		{kustomization("remote resource with a password", repository{"kustomization.yaml": "resources: ['https://bob:hunter2@example.com/x.yaml']\n"}),
			[]string{"example.com/x.yaml"}},
		// Charts.
		{template("required", `a: {{ required (printf "bad %s" .Values.password) .Values.gone }}`),
			[]string{"templates/t.yaml:1", "bad"}},
		{template("fail", `{{ fail (printf "token %s and %s of %v" .Values.password .Values.phrase.secret .Release.Name) }}`),
			[]string{"templates/t.yaml:1", "token", "of web"}},
		{template("fail with a setting", `{{ fail "no, api_key=p4ss/w0rd+ is wrong" }}`),
			[]string{"is wrong"}},
		{template("fail with a URL", `{{ fail "cannot use https://bob:hunter2@db.example.com/x" }}`),
			[]string{"db.example.com"}},
		{template("own words stay", `{{ fail "do not do this: set service.type to LoadBalancer, not 'NodePort'" }}`),
			[]string{"do not do this: set service.type to LoadBalancer, not 'NodePort'"}},
		{template("number of a text", `a: {{ .Values.list | first | int64 | add 1 }}{{ .Values.password | mustToDate "2006" }}`),
			[]string{"templates/t.yaml:1"}},
		{template("range over a number in a text", `{{ range .Values.password }}a{{ end }}`),
			[]string{"templates/t.yaml:1", "range can't iterate"}},
		{template("range over a value that is quoted", `{{ range (quote .Values.other) }}a{{ end }}`),
			[]string{"range can't iterate"}},
		{template("value where a field is", `{{ .Values.password.x }}`),
			[]string{"templates/t.yaml:1", ".Values.password.x"}},
		{template("regular expression", `{{ regexFind (printf "[%s" .Values.password) "x" }}`),
			[]string{"templates/t.yaml:1"}},
		{template("URL", `{{ urlParse (printf "%s://%%zz" .Values.password) }}`),
			[]string{"templates/t.yaml:1"}},
		{template("tpl", `{{ tpl (printf "%s {{ if" .Values.phrase.secret) . }}`),
			[]string{"templates/t.yaml:1"}},
		{template("tpl with quotes", `{{ tpl (printf "\"%s\" {{ .Values.a.b.c }}" .Values.phrase.secret) . }}`),
			[]string{"templates/t.yaml:1"}},
		{template("include of nothing", `{{ include .Values.password . }}`),
			[]string{"templates/t.yaml:1", "include"}},
		{template("certificate", `{{ genSignedCert .Values.password (list .Values.password) nil 365 (buildCustomCert .Values.password .Values.password) }}`),
			[]string{"templates/t.yaml:1"}},
		{template("JSON", `{{ .Values.password | mustFromJson }}`),
			[]string{"templates/t.yaml:1"}},
		{template("duration", `{{ mustToDuration .Values.password }}`),
			[]string{"templates/t.yaml:1"}},
		{template("version", `{{ semver .Values.password }}`),
			[]string{"templates/t.yaml:1"}},
		{template("output that is no YAML", "a: {{ .Values.password }}: b: {{ .Values.phrase.secret }}\n"),
			[]string{"templates/t.yaml: its output is not valid YAML: mapping values"}},
		{template("output that is no object", "{{ .Values.password }}\n"),
			[]string{"templates/t.yaml"}},
		{template("constant in a template", `{{ range "hunter2" }}{{ end }}`),
			[]string{"templates/t.yaml:1"}},
		{template("template that is no template", "a: \"hunter2\" {{ nosuch \"hunter2\" }}"),
			[]string{"templates/t.yaml:1", `function "nosuch" not defined`}},
		{template("action without end", "a: {{ if \"hunter2\" }}"),
			[]string{"templates/t.yaml:1"}},
		{template("text without end", "a: {{ \"hunter2 }}"),
			[]string{"templates/t.yaml:1"}},
		{helmChart("schema", repository{"values.yaml": "password: hunter2\npin: 90210777\nkind: p4ss/w0rd+\nurl: correct horse\n",
			"values.schema.json": `{"properties": {"password": {"pattern": "^[a-z]+$"}, "pin": {"maximum": 5}, "kind": {"enum": ["correct horse", "x"]}, "url": {"type": "number"}}}`}, protocol.HelmJob{}),
			[]string{"password", "does not match pattern '^[a-z]+$'", "'/pin'", "'/url'", "got string, want number"}},
		{helmChart("value where a subchart's values are", repository{"Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies: [{name: db, version: 1.0.0}]\n",
			"charts/db/Chart.yaml": "apiVersion: v2\nname: db\nversion: 1.0.0\n", "values.yaml": "db: hunter2\n"}, protocol.HelmJob{}),
			[]string{"values of db are not a mapping"}},
		{helmChart("values that are no YAML", repository{"values.yaml": "password: \"hunter2\nphrase: [correct horse\n"}, protocol.HelmJob{}),
			[]string{"values.yaml"}},
		{helmChart("values that are a text", repository{"more.yaml": "hunter2\n"}, protocol.HelmJob{ValueFiles: []protocol.FileRef{{Path: "more.yaml"}}}),
			[]string{"more.yaml"}},
		{helmChart("values of the Application that are a text", nil, protocol.HelmJob{Values: "hunter2"}),
			[]string{"spec.source.helm.values"}},
		{helmChart("values of the Application that are no YAML", nil, protocol.HelmJob{Values: "password: \"hunter2\nx: [correct horse"}),
			[]string{"spec.source.helm.values"}},
		{helmChart("parameter", nil, protocol.HelmJob{Parameters: []protocol.Parameter{{Name: "list[x]", Value: "hunter2"}}}),
			[]string{"spec.source.helm.parameters", "list[x]"}},
		{helmChart("parameter that is a list", nil, protocol.HelmJob{Parameters: []protocol.Parameter{{Name: "password", Value: "{hunter2"}}}),
			[]string{"spec.source.helm.parameters", "password"}},
		{helmChart("parameter of a list that is a text", repository{"values.yaml": "password: hunter2\n"}, protocol.HelmJob{Parameters: []protocol.Parameter{{Name: "a.b[70000]", Value: "hunter2"}}}),
			[]string{"spec.source.helm.parameters"}},
		{helmChart("description of the chart", repository{"Chart.yaml": "apiVersion: v2\nname: web\nversion: x.y\n"}, protocol.HelmJob{}),
			[]string{`version "x.y"`}},
		// Directories.
		{directoryOf("YAML with a text that does not end", "s.yaml", secretManifest+"  x: \"hunter2\n  y: [\n"), []string{"s.yaml:"}},
		{directoryOf("YAML with a tab", "s.yaml", secretManifest+"\thunter2: correct horse\n"), []string{"s.yaml:"}},
		{directoryOf("YAML with a mapping in a text", "s.yaml", secretManifest+"  x: hunter2: correct horse\n"), []string{"s.yaml:"}},
		{directoryOf("YAML with a tag", "s.yaml", secretManifest+"  x: !!int hunter2\n"), []string{"s.yaml:"}},
		{directoryOf("YAML with a key that is a list", "s.yaml", secretManifest+"  ? [hunter2]\n  : correct horse\n"), []string{"s.yaml:"}},
		{directoryOf("YAML with a binary", "s.yaml", secretManifest+"  x: !!binary hunter2!\n"), []string{"s.yaml:"}},
		{directoryOf("YAML with an anchor", "s.yaml", secretManifest+"  x: *hunter2\n"), []string{"s.yaml:", "refers to no anchor"}},
		{directoryOf("JSON", "s.json", `{"apiVersion": "v1", "kind": "Secret", "stringData": {"password": hunter2}}`), []string{"s.json"}},
		{directoryOf("JSON with a number", "s.json", `{"apiVersion": "v1", "kind": "Secret", "n": 90210777e999}`), []string{"s.json"}},
		{directoryOf("JSON with an odd kind", "s.json", `{"apiVersion": "v1", "kind": {"password": "hunter2"}}`), []string{"s.json"}},
		{directoryOf("list with odd items", "s.yaml", "apiVersion: v1\nkind: List\nmetadata: {}\nitems: hunter2\n"), []string{"s.yaml", "items of a List"}},
	}
}

func TestNoMessageShowsAValue(t *testing.T) {
	for _, row := range messages() {
		current := inProcess(t)
		result, err := current.render(row.test)
		if err != nil {
			t.Errorf("%s: %v", row.test.name, err)
			continue
		}
		t.Logf("%-40s %s", row.test.name, result.failed)
		if result.failed == "" && row.says != nil {
			t.Errorf("%s: it did not fail: %s", row.test.name, result.text)
		}
		for _, value := range values {
			if strings.Contains(result.failed, value) {
				t.Errorf("%s: shows %s: %s", row.test.name, value, result.failed)
			}
		}
		for _, said := range row.says {
			if !strings.Contains(result.failed, said) {
				t.Errorf("%s: does not say %q: %s", row.test.name, said, result.failed)
			}
		}
	}
}

// stride is how many of the places of the fixtures are left out between two; a prime, so that every kind of place has its
// turn. With 1 every place is tried.
const stride = 7

var (
	// field is a line with a key and a value.
	field = regexp.MustCompile(`^(\s*(?:- )*)([\w./-]+)(:\s+)\S.*$`)
	// naming are fields whose value is a name, a path or a version, which errors do show.
	naming = regexp.MustCompile(`^(name|kind|apiVersion|version|kubeVersion|path|fieldpath|fieldPaths?|resources|bases|components|crds|configurations|generators|transformers|patchesStrategicMerge|` +
		`target|sortOptions|objref|fieldref|options|source|select)$`)
)

// What is put in the place of a value, so that whatever reads it stumbles.
var intruders = []string{"hunter2sekret", "[hunter2sekret]", "{hunter2sekret: hunter2sekret}", `"hunter2sekret hunter2sekret=`, "*hunter2sekret", "hunter2sekret: x", "!hunter2sekret x", "&hunter2sekret"}

func TestNoMessageShowsAValueThatStandsAnywhere(t *testing.T) {
	current := inProcess(t)
	place := 0
	failed := 0
	for _, test := range allFixtures(t) {
		for _, name := range slices.Sorted(maps.Keys(test.files)) {
			content := test.files[name]
			if strings.HasPrefix(content, linkMark) {
				continue
			}
			lines := strings.Split(content, "\n")
			for index, line := range lines {
				found := field.FindStringSubmatch(line)
				if found == nil || naming.MatchString(found[2]) {
					continue
				}
				if place++; place%stride != 0 {
					continue
				}
				changed := test
				changed.files = maps.Clone(test.files)
				intruder := intruders[place/stride%len(intruders)]
				lines[index] = found[1] + found[2] + found[3] + intruder
				changed.files[name] = strings.Join(lines, "\n")
				lines[index] = line
				result, err := current.render(changed)
				if err != nil {
					t.Fatalf("%s: %s: %q with %s: %v", test.name, name, line, intruder, err)
				}
				if result.last {
					current = inProcess(t)
				}
				if result.failed != "" {
					failed++
				}
				if strings.Contains(result.failed, "hunter2sekret") {
					t.Errorf("%s: %s: %q with %s: %s", test.name, name, line, intruder, result.failed)
				}
			}
		}
	}
	if failed < 20 {
		t.Errorf("only %d renders failed", failed)
	}
}
