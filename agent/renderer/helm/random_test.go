package helm

import (
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	"helm.sh/helm/v4/pkg/chart/v2/loader"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
)

// What else is not the same at every render: passwords, keys, certificates, identifiers, dates, salted hashes, an order; in
// a partial or a subchart. And what is, though it looks alike: the word in a comment or text, a branch not taken, a date
// that is fixed, a password derived from a master password.
func TestWhatChangesAtEveryRenderIsSaid(t *testing.T) {
	for _, test := range []struct{ name, template, says string }{
		{"a password", `p: {{ randAlphaNum 24 }}`, "randAlphaNum"},
		{"an identifier", `p: {{ uuidv4 }}`, "uuidv4"},
		{"a date", `p: {{ now | unixEpoch }}{{ randInt 1 1000000 }}`, "now, randInt"},
		{"a key", `p: {{ genPrivateKey "ed25519" | quote }}`, "genPrivateKey"},
		{"a certificate", `p: {{ (genSelfSignedCert "a" nil nil 1).Cert | quote }}`, "genSelfSignedCert"},
		{"a salted hash", `p: {{ htpasswd "bob" "x" }}`, "htpasswd"},
		{"in a pipe", `p: {{ 24 | randAlpha }}`, "randAlpha"},
		{"over two lines", "p: {{\n  randAlphaNum 9\n}}", "randAlphaNum"},
		{"a password kept by lookup", `{{- $old := lookup "v1" "Secret" "a" "b" }}p: {{ if $old }}{{ $old }}{{ else }}{{ randAlphaNum 24 }}{{ end }}`, "lookup finds nothing"},
		{"only looked up", `p: {{ (lookup "v1" "Secret" "a" "b").data }}`, "lookup finds nothing"},
		{"nothing", `p: {{ .Release.Name }}`, ""},
		{"a comment", `{{/* randAlphaNum 24, lookup "v1" */}}p: a`, ""},
		{"a text", `p: now, by lookup "x"`, ""},
		{"a branch that is not taken", `p: {{ if false }}{{ randAlphaNum 24 }}{{ end }}`, ""},
		{"a year", `p: {{ now | date "2006" }}`, ""},
		{"derived", `p: {{ derivePassword 1 "long" "m" "u" "d" }}`, ""},
	} {
		for _, folder := range []string{"templates/", "charts/sub/templates/"} {
			said := strings.Join(saidOf(t, folder+"a.yaml", test.template), "\n")
			if !strings.Contains(said, test.says) || (test.says == "") != (said == "") {
				t.Errorf("%s in %s: %q", test.name, folder, said)
			}
			if said != "" && !strings.Contains(said, folder+"a.yaml") {
				t.Errorf("%s: the template is not named: %s", test.name, said)
			}
		}
	}
}

func saidOf(t *testing.T, name, template string) []string {
	t.Helper()
	loaded, err := loader.LoadFiles([]*archive.BufferedFile{
		{Name: "Chart.yaml", Data: []byte("{apiVersion: v2, name: top, version: 0.1.0}")},
		{Name: "charts/sub/Chart.yaml", Data: []byte("{apiVersion: v2, name: sub, version: 0.1.0}")},
		{Name: name, Data: []byte(template)},
	})
	if err != nil {
		t.Fatal(err)
	}
	job := &protocol.HelmJob{ReleaseName: "web"}
	values := map[string]any{}
	files, err := execute(nil, loaded, values, job, common.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	return unsteady(loaded, values, job, common.DefaultCapabilities, files)
}
