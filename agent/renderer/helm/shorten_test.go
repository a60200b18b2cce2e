package helm

import "testing"

func TestShortenTurnsTracesAround(t *testing.T) {
	for _, test := range []struct{ given, want string }{
		{"plain", "plain"},
		{
			"web/templates/d.yaml:4:6\n  executing \"web/templates/d.yaml\" at <include \"x\" .>:\n    error calling include:\nweb/templates/_h.tpl:1:8\n  executing \"x\" at <.Values.a.b>:\n    nil pointer evaluating interface {}.b\n",
			"web/templates/_h.tpl:1:8: executing \"x\" at <.Values.a.b>: nil pointer evaluating interface {}.b (reached from web/templates/d.yaml:4:6)",
		},
		{
			"YAML parse error on web/templates/a.yaml: error converting YAML to JSON: yaml: line 5: found unexpected end of stream",
			"web/templates/a.yaml: its output is not valid YAML, line 5 of it: found unexpected end of stream",
		},
	} {
		if got := shorten(test.given); got != test.want {
			t.Errorf("shorten(%q)\n got %q\nwant %q", test.given, got, test.want)
		}
	}
}

func TestCommasAreEscapedAsArgoCDDoes(t *testing.T) {
	for given, want := range map[string]string{
		"a,b":     `a\,b`,
		`a\,b`:    `a\,b`,
		"{a,b}":   "{a,b}",
		"a,b,c":   `a\,b\,c`,
		"no":      "no",
		"x={a,b}": `x={a\,b}`,
	} {
		if got := escapeCommas(given); got != want {
			t.Errorf("escapeCommas(%q) = %q, want %q", given, got, want)
		}
	}
}
