package helm

import (
	"encoding/json"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	"helm.sh/helm/v4/pkg/chart/v2/loader"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
)

// What else has a null in a parent's values: with or without an entry in dependencies, an alias, a condition, a subchart of
// a subchart, globals; and where must it not win: the Application's own values, those of a chart above.
func TestNullsOfAParentReachItsSubcharts(t *testing.T) {
	sub := "a: 1\nb: 2\nm: {x: 1, w: {z: 1}}\n"
	for _, test := range []struct{ name, dependencies, parent, given, want string }{
		{"a key", "", "sub: {b: null}", "", `{"a":1,"m":{"w":{"z":1},"x":1}}`},
		{"a map", "", "sub: {m: null}", "", `{"a":1,"b":2}`},
		{"inside a map", "", "sub: {m: {w: {z: null}, x: 5}}", "", `{"a":1,"b":2,"m":{"w":{},"x":5}}`},
		{"with an entry", "dependencies: [{name: sub, version: 0.1.0}]", "sub: {b: null}", "", `{"a":1,"m":{"w":{"z":1},"x":1}}`},
		{"with a condition", "dependencies: [{name: sub, version: 0.1.0, condition: sub.up}]", "sub: {up: true, b: null}", "", `{"a":1,"m":{"w":{"z":1},"x":1},"up":true}`},
		{"the Application says otherwise", "", "sub: {b: null}", "sub: {b: 7}", `{"a":1,"b":7,"m":{"w":{"z":1},"x":1}}`},
		{"the Application names another key", "", "sub: {b: null}", "sub: {a: 7}", `{"a":7,"m":{"w":{"z":1},"x":1}}`},
		{"the Application has the null", "", "", "sub: {b: null}", `{"a":1,"m":{"w":{"z":1},"x":1}}`},
		{"no null", "", "sub: {b: 3}", "", `{"a":1,"b":3,"m":{"w":{"z":1},"x":1}}`},
	} {
		got := outputOf(t, map[string]string{
			"Chart.yaml": "apiVersion: v2\nname: top\nversion: 0.1.0\n" + test.dependencies + "\n", "values.yaml": test.parent,
			"charts/sub/Chart.yaml": "{apiVersion: v2, name: sub, version: 0.1.0}", "charts/sub/values.yaml": sub,
			"charts/sub/templates/out.txt": "{{ omit .Values \"global\" | toJson }}",
		}, test.given, "out.txt")
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
	deep := map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: top\nversion: 0.1.0\n", "values.yaml": "",
		"charts/sub/Chart.yaml": "{apiVersion: v2, name: sub, version: 0.1.0}", "charts/sub/values.yaml": "low: {b: null}",
		"charts/sub/charts/low/Chart.yaml": "{apiVersion: v2, name: low, version: 0.1.0}", "charts/sub/charts/low/values.yaml": "{a: 1, b: 2, global: {g: 1}}",
		"charts/sub/charts/low/templates/low.txt": "{{ .Values | toJson }}",
	}
	for parent, want := range map[string]string{
		"":                    `{"a":1,"global":{"g":1}}`,
		"sub: {low: {b: 9}}":  `{"a":1,"b":9,"global":{"g":1}}`,
		"sub: {low: {a: ~}}":  `{"global":{"g":1}}`,
		"global: {g: null}":   `{"a":1,"global":{}}`,
		"global: {other: 12}": `{"a":1,"global":{"g":1,"other":12}}`,
	} {
		deep["values.yaml"] = parent
		if got := outputOf(t, deep, "", "low.txt"); got != want {
			t.Errorf("%q: %s, want %s", parent, got, want)
		}
	}
}

// outputOf renders a chart and gives what one template wrote.
func outputOf(t *testing.T, files map[string]string, given, template string) string {
	t.Helper()
	var all []*archive.BufferedFile
	for name, content := range files {
		all = append(all, &archive.BufferedFile{Name: name, Data: []byte(content)})
	}
	loaded, err := loader.LoadFiles(all)
	if err != nil {
		t.Fatal(err)
	}
	values, err := loader.LoadValues(strings.NewReader(given))
	if err != nil {
		t.Fatal(err)
	}
	if values == nil {
		values = map[string]any{}
	}
	rendered, err := execute(nil, loaded, values, &protocol.HelmJob{ReleaseName: "web"}, common.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range rendered {
		if strings.HasSuffix(name, template) {
			if !json.Valid([]byte(text)) {
				t.Fatalf("%s: %s", name, text)
			}
			return text
		}
	}
	t.Fatalf("no %s", template)
	return ""
}
