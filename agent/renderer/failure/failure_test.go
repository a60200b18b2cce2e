package failure

import (
	"strings"
	"testing"
)

func TestShortenTakesContentOut(t *testing.T) {
	for _, test := range []struct{ given, want string }{
		{"plain text", "plain text"},
		{"two\n  lines", "two lines"},
		{"line 3: cannot unmarshal !!str `hunter2` into int", "line 3: cannot use !!str into int"},
		{"at '/password': 'hunter2' does not match pattern '^[a-z]+$'", "at '/password': the value does not match pattern '^[a-z]+$'"},
		{"wrong node kind: expected MappingNode but was ScalarNode: node contents:\npassword: hunter2\n", "wrong node kind: expected MappingNode but was ScalarNode"},
		{`error calling tpl: cannot parse template "p: hunter2 \" {{": unclosed action`, "error calling tpl: cannot parse template a text: unclosed action"},
		{"config: `\npassword: hunter2\n`: bad", "config: `…`: bad"},
		{"object {" + strings.Repeat("hunter2 ", 20) + "} is bad", "object {…} is bad"},
		{"values don't fit\n- at '/replicas': got number", "values don't fit - at '/replicas': got number"},
		{"error converting YAML to JSON: yaml: line 5: unexpected end", "line 5: unexpected end"},
		{`function "quotes" stays, value "quotes" does not`, `function "quotes" stays, value "…" does not`},
	} {
		if got := Shorten(test.given); got != test.want {
			t.Errorf("Shorten(%q)\n got %q\nwant %q", test.given, got, test.want)
		}
	}
	if got := Shorten(strings.Repeat("ü", 2000)); len(got) > maxMessage+len("…") || !strings.HasSuffix(got, "ü…") {
		t.Errorf("a long text is cut at a character's boundary, got %d bytes", len(got))
	}
}
