package kustomize

import "testing"

func TestCauseIsTheLastReason(t *testing.T) {
	files := &filesystem{read: map[string][]byte{"prod/kustomization.yaml": []byte("resources: [gone.yaml]\n")}}
	for _, test := range []struct{ given, want string }{
		{"plain", "plain"},
		{
			"accumulating resources: accumulation err='accumulating resources from 'gone.yaml': 'prod/gone.yaml' doesn't exist': must build at directory: not a valid directory: 'prod/gone.yaml' doesn't exist",
			"prod/kustomization.yaml refers to gone.yaml, which does not exist",
		},
		{
			"accumulating resources: accumulation err='accumulating resources from '../base': 'base' must resolve to a file': recursed accumulation of path 'base': accumulating resources: accumulating resources from 's.yaml': bad news",
			"s.yaml: bad news",
		},
		{
			"accumulating resources: accumulation err='accumulating resources from '../base': 'base' must resolve to a file': recursed merging from path 'base': may not add resource with an already registered id: Service/web",
			"../base: may not add resource with an already registered id: Service/web",
		},
		{
			"accumulating resources: accumulation err='accumulating resources from '../empty': 'empty' must resolve to a file': couldn't make target for path 'empty': unable to find one of 'kustomization.yaml'",
			"../empty: unable to find one of 'kustomization.yaml'",
		},
		{
			"accumulating resources: accumulation err='accumulating resources from 'n.yaml': missing kind in object {{v1 } {{x } map[] map[]}}': must build at directory: 'prod/n.yaml': file is not directory",
			"n.yaml: missing kind in an object",
		},
		{
			"accumulating resources: accumulation err='merging resources from 'service.yaml': may not add resource with an already registered id: Service/web': must build at directory: 'all/service.yaml': file is not directory",
			"service.yaml: may not add resource with an already registered id: Service/web",
		},
		{
			"accumulating resources: accumulation err='accumulating resources from '../part': 'part' must resolve to a file': expected kind != 'Component' for path 'part'",
			"../part: expected kind != 'Component' for path 'part'",
		},
		{
			"trouble configuring builtin PatchTransformer with config: `\npatch: 'password: hunter2'\n`: unable to parse SM or JSON patch from [patch: \"password: hunter2\"]",
			"PatchTransformer: unable to parse SM or JSON patch from the patch written in place",
		},
	} {
		if got := files.cause(test.given); got != test.want {
			t.Errorf("cause of %q\n got %q\nwant %q", test.given, got, test.want)
		}
	}
}

func TestOriginsAreFoundByKindAndName(t *testing.T) {
	found := newOrigins(map[string][]byte{
		"base/all.yaml":           []byte("# both\nkind: Service\nmetadata:\n  labels: {a: b}\n  name: web\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: \"web\" # quoted\nspec:\n  name: other\n"),
		"prod/patch.yaml":         []byte("kind: Deployment\nmetadata:\n  name: web\n"),
		"base/kustomization.yaml": []byte("kind: Kustomization\nmetadata:\n  name: k\n"),
	})
	for _, test := range []struct {
		kind, name, file string
		line             int
	}{
		{"Service", "web", "base/all.yaml", 2},
		{"Deployment", "web", "base/all.yaml", 7},
		{"Deployment", "eu-web-1", "base/all.yaml", 7},
		{"Deployment", "none", "", 0},
		{"ConfigMap", "web-0123456789", "", 0},
		{"Kustomization", "k", "", 0},
	} {
		if file, line := found.find(test.kind, test.name); file != test.file || line != test.line {
			t.Errorf("%s/%s: got %s:%d, want %s:%d", test.kind, test.name, file, line, test.file, test.line)
		}
	}
}

func TestRemoteEntries(t *testing.T) {
	for entry, want := range map[string]bool{
		"https://example.com/x.yaml":                   true,
		"git@github.com:org/repo.git//base?ref=v1":     true,
		"github.com/org/repo//base":                    true,
		"ssh://git@example.com/r.git":                  true,
		"example.com/r.git//base":                      true,
		"../base":                                      false,
		"service.yaml":                                 false,
		"apiVersion: v1\nurl: https://example.com\n":   false,
		"{apiVersion: v1, url: 'https://example.com'}": false,
	} {
		if got := isRemote(entry); got != want {
			t.Errorf("isRemote(%q) = %v", entry, got)
		}
	}
}
