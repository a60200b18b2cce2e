package secret

import (
	"strings"
	"testing"
)

func TestValuesAreFoundWhereverTheyStand(t *testing.T) {
	for _, test := range []struct{ file, content string }{
		{"values.yaml", "password: hunter2\n"},
		{"values.yaml", "password: \"hunter2\" # a comment\n"},
		{"values.yaml", "db: {user: a, password: hunter2, port: 1}\n"},
		{"values.yaml", "db: {\"password\": \"hunter2\"}\n"},
		{"values.yaml", "auth:\n  adminPassword: |\n    first\n    hunter2\n  other: x\n"},
		{"values.yaml", "secret:\n  nested:\n  - deep: hunter2\n"},
		{"values.yaml", "secret: &anchor\n  nested: hunter2\n"},
		{"values.yaml", "tokens: [x]\ntoken: [\"hunter2\", b]\n"},
		{"values.yaml", "password: \"hunter2\nbroken: [\n"},
		{"values.yaml", "env:\n- name: DB\n  value: hunter2\n"},
		{"values.json", "{\"db\": {\"password\": \"hunter2\"}}"},
		{"s.yaml", "kind: Secret\nstringData:\n  plain: hunter2\n"},
		{"s.yaml", "kind: Secret\ndata: {plain: aHVudGVyMi1odW50ZXIy, other: hunter2}\n"},
		{"s.yaml", "kind: Secret\r\nstringData:\r\n  plain: hunter2\r\n"},
		{"kustomization.yaml", "secretGenerator:\n- name: db\n  literals:\n  - plain=hunter2\n"},
		{"kustomization.yaml", "secretGenerator:\n- name: db\n  literals:\n    - 'plain=hunter2'\n"},
		{"kustomization.yaml", "secretGenerator:\n- literals: [a=b, \"plain=hunter2\"]\n"},
		{"kustomization.yaml", "secretGenerator:\n- name: db\n  literals: [hunter2]\n"},
		{"db.env", "# comment\nplain=hunter2\n"},
		{"db.env", "plain = \"hunter2\"\n"},
		{"db.env", "hunter2"},
		{"db.properties", "plain=hunter2\n"},
	} {
		values := NewValues()
		values.AddFile(test.file, []byte(test.content))
		if got := values.Mask("before hunter2, after: hunter2"); got != "before ***, after: ***" {
			t.Errorf("%s %q: %q", test.file, test.content, got)
		}
	}
}

func TestWordsThatAreNoSecretsStay(t *testing.T) {
	values := NewValues()
	values.AddFile("apps/web/values.yaml", []byte("image: hunter2\npassword: web\ntoken: string\nsecret: values\ndata: {mode: apps, a: b}\n"))
	values.AddFile("apps/web/values.schema.json", []byte(`{"properties": {"password": {"maximum": 5}}}`))
	text := "apps/web/values.yaml: hunter2: maximum is a string, apps"
	if got := values.Mask(text); got != text {
		t.Error(got)
	}
	values.Add("1234")
	if got := values.Mask("at 1234, in line 12345"); got != "at ***, in line 12345" {
		t.Error(got)
	}
}

func TestAValueIsFoundInEveryForm(t *testing.T) {
	values := NewValues()
	values.Add("correct \"horse\"\n battery")
	values.Add("c3RhcGxlLXN0YXBsZQ==")
	values.Add("hunter2-hunter2")
	for _, text := range []string{
		`correct "horse" battery`,
		`correct \"horse\"\n battery`,
		"staple-staple",
		"aHVudGVyMi1odW50ZXIy",
		"xhunter2-hunter2x",
		strings.Repeat("x", 10) + "hunter2-hun…",
	} {
		got := values.Mask("a " + text)
		if !strings.Contains(got, "***") || strings.Contains(got, "horse") || strings.Contains(got, "staple") || strings.Contains(got, "hunter2") {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestSecretsAreKnownByTheirLook(t *testing.T) {
	for given, want := range map[string]string{
		"password=hunter2, b":               "password=***, b",
		"DB_PASSWORD = 'a b' c":             "DB_PASSWORD = *** c",
		"use https://bob:hunter2@host/x":    "use https://***@host/x",
		"a ghp_0123456789abcdef b":          "a *** b",
		"a eyJhbGciOiJIUzI1NiJ9.e30.x_y- b": "a *** b",
		"-----BEGIN RSA PRIVATE KEY----- MII -----END RSA PRIVATE KEY----- b": "*** b",
		"-----BEGIN RSA PRIVATE KEY----- MII…":                                "***",
		"at '/password': got number":                                          "at '/password': got number",
		"a token is needed: set auth.token":                                   "a token is needed: set auth.token",
	} {
		if got := NewValues().Mask(given); got != want {
			t.Errorf("%q: got %q, want %q", given, got, want)
		}
	}
}
