package failure

import (
	"regexp"
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
		{"error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into Go value", "json: cannot unmarshal array into Go value"},
		{"error converting YAML to JSON: yaml: line 5: unexpected end", "line 5: unexpected end"},
		{`function "quotes" stays, value "quotes" does not`, `function "quotes" stays, value "…" does not`},
	} {
		if got := Shorten(test.given); got != test.want {
			t.Errorf("Shorten(%q)\n got %q\nwant %q", test.given, got, test.want)
		}
	}
	if got := Shorten(strings.Repeat("[\"x\"", 1<<20)); len(got) > maxMessage {
		t.Errorf("an endless text becomes %d bytes", len(got))
	}
	if got := Shorten(strings.Repeat("ü", 2000)); len(got) > maxMessage+len("…") || !strings.HasSuffix(got, "ü…") {
		t.Errorf("a long text is cut at a character's boundary, got %d bytes", len(got))
	}
}

// What stands for a value in the formats below; the first also begins a word after \n, and a URL.
var first, second = regexp.MustCompile(`(\b|1)S\b`), regexp.MustCompile(`\bT\b`)

// Formats of libraries that can repeat what they were given, with a secret in its place.
func TestFormatsOfLibrariesShowNoValue(t *testing.T) {
	for _, format := range []string{
		"line 3: cannot unmarshal !!str `S` into int", "cannot decode !!str `S` as a !!int", "invalid map key: map[interface {}]interface {}{\"S\":1}",
		"unsupported map key of type: slice, key: []interface {}{\"S\"}, value: \"S\"", "unknown anchor 'S' referenced", "anchor 'S' value contains itself",
		`strconv.ParseInt: parsing "S": invalid syntax`, `parsing time "S" as "2006": cannot parse "S" as "2006"`, `time: invalid duration "S"`,
		`time: unknown unit "S" in duration "1S"`, "invalid duration seconds: S", `could not parse duration "S"`, `parse "S://x": first path segment`,
		"error parsing regexp: missing closing ]: `[S`", "error parsing ip: S", "range can't iterate over S T", "range can't iterate over {S 1}",
		"if/with can't use S", `can't evaluate command "S"`, `wrong type for value; expected "S"`, "error during tpl function execution for \"S \\\" T\": bad",
		`'S' is not valid email: missing @`, "value must be 'S'", "value must be one of 'S', 'T'", "minimum: got 17171717, want 5", "at '/a': 'S' does not match pattern '^x$'",
		"wrong node kind: expected A but got B: node contents:\nS: T\n", "missing metadata.name in object {{v1 Secret} {{ } map[S:T] map[]}}",
		"received error bad for the following resource:\nS: T", "node spec.x is not a string: S", "an unexpected key (S) was found", "invalid document separator: --- S",
		"expected 1 resource, found 2 in S: T", "empty item at items in object S: T", "roleRef cannot be found in S: T", "options.index 3 is out of bounds for value S",
		"must specify one of patch and path in\nS: T", "illegally qualifies as both an SM and JSON patch: [patch: \"S\"]", "unable to parse SM or JSON patch from [patch: \"S\"]",
		"must specify a target for JSON patch [patch: \"S\"]", "decoding [{\"op\": \"S\"}]: bad", "patch appears to be empty; file=, JsonOp=S", "merging config &{S T}: bad",
		"merging from generator &{S T}: bad", "adding origin annotations for generator &{S [T]}: bad", "trouble configuring builtin X2 with config: `\nS: T`: bad",
		"trouble configuring builtin X with config: `\nS: `T", "found multiple possible referrals: Secret/a\nS: T", "nodes unequal: \n -- S,\n -- T\n\n--\nS",
		"found multiple objects [S] that could accept merge of S", "updating name reference in 'a/b' field of 'S'", "literal sources [a=S T]: invalid literal source T, expected key=value",
		"line [83 84] has invalid utf8 bytes : S T", "file sources: [S]: missing key name for file path \"S\" in source \"=S\"", "source \"a=S=T\" key name or file path contains '='",
		"\"S\" is not a valid key name: use letters", "map: map[password:S] does not contain declared merge key: name", "anchor \"S\" defined using alias S", "yaml: field x: {S}",
		"json: cannot unmarshal number 17171717.5 into Go value of type int", "even length contents: content length 3, content summary: S", "config: `S`: bad", "value 'S' is bad", "[S T]", "{S: T}", "[S",
		"{S: `T", "data \"S", "type mismatch on db: %!t(string=S)", "Unexpected kind: S", "open apiVersion: v1\nmetadata: *S\n: file does not exist", "list [a, [S]] end", "bad 'S T'", "Get \"https://bob:S@host\": refused",
	} {
		text := second.ReplaceAllString(first.ReplaceAllString(format, "${1}s3cretone"), "s3crettwo")
		got := Shorten(text)
		if strings.Contains(got, "s3cretone") || strings.Contains(got, "s3crettwo") || strings.Contains(got, "17171717") {
			t.Errorf("%q\nshows %q", text, got)
		}
	}
}

func TestNamesStayInWhatLibrariesSay(t *testing.T) {
	for _, text := range []string{
		`template: web/templates/d.yaml:4:6: executing "web/templates/d.yaml" at <include "web.labels" .>: error calling include: bad`,
		`parse error at (web/templates/a.yaml:3): function "nosuch" not defined`,
		`nil pointer evaluating interface {}.b`, `map has no entry for key "image"`, `wrong type for value; expected string; got map[string]interface {}`,
		`unexpected "}" in operand`, `unexpected {{end}}`, `bad character U+0022 '"'`,
		`at '/spec/replicas': got string, want number`, `additional properties 'a', 'b' not allowed`, `missing properties 'a', 'b'`, `properties 'a' required, if 'b' exists`,
		`json: unknown field "resource"`, `json: cannot unmarshal string into Go struct field Kustomization.resources of type []string`,
		`may not add resource with an already registered id: Deployment.v1.apps/web.[noNs]`, `no resource matches strategic merge patch "Deployment.v1.apps/web.[noNs]": bad`,
		`unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' in directory 'prod'`, `accumulating resources from '../base': bad`,
		`security; file 'a/b.yaml' is not in or below 'prod'`, `'base' must resolve to a file`, `expected kind 'Component' for path 'base' but got 'Kustomization'`,
		`considering field 'metadata/labels' of object Secret.v1.[noGrp]/db.[noNs]: bad`, `cycle detected: candidate root 'a' contains visited root 'a/b'`,
		`configmap db illegally repeats the key ` + "`password`", `line 3: did not find expected ',' or ']'`, `chart.metadata.name "a.b" is invalid`,
		"fieldPath `spec.x[0]` is missing for replacement source Deployment.[noVer].[noGrp]/web.[noNs]", `list[x]: bad`,
		`jsonschema validation failed with 'file:///values.schema.json#'`, `replace operation does not apply: doc is missing path: /data/x: missing value`,
	} {
		if got := Shorten(text); got != text {
			t.Errorf("%q\nbecomes %q", text, got)
		}
	}
}
