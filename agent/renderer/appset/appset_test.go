package appset

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/manifest"
)

const parameters = `{"a": 3, "z": 0, "big": 123456789012, "v": {"\u0000number": "1.10"}, "beyond": 9007199254740993,
	"m": {"b": 2, "a": 1}, "l": ["x", 2], "t": "Release Branch/größe_2", "nil": null}`

func fill(t *testing.T, options []string, text string) Filled {
	t.Helper()
	var values any
	decoder := json.NewDecoder(strings.NewReader(parameters))
	decoder.UseNumber()
	if err := decoder.Decode(&values); err != nil {
		t.Fatal(err)
	}
	return newFiller(options).fill(text, fromWire(values))
}

func TestTemplatesGiveWhatArgoCDGivesAndExactNumbers(t *testing.T) {
	for _, test := range []struct{ text, expected string }{
		{`{{.a}} {{.big}} {{.v}} {{.beyond}}`, "3 123456789012 1.10 9007199254740993"},
		{`{{printf "%d %.1f %v %s" .big .big .v .v}}`, "123456789012 123456789012.0 1.10 1.10"},
		{`{{if .z}}yes{{else}}no{{end}} {{default 5 .z}}`, "no 5"},
		{`{{eq .a 3}} {{eq .a 3.0}} {{gt .big 5}} {{lt .v 2.0}} {{eq .a 1 2 3}} {{ne .t "x"}}`, "true true true true true true"},
		{`{{add .big 1}} {{add .beyond 1}} {{mul .a 2}} {{int64 .beyond}} {{kindOf .big}} {{kindOf .a}}`, "123456789013 9007199254740994 6 9007199254740993 float64 float64"},
		{`{{toJson .big}} {{toJson .v}} {{quote .v}} {{toYaml .m}}`, "123456789012 1.10 \"1.10\" a: 1\nb: 2"},
		{`{{keys .m | join ","}} {{values .m | join ","}}`, "a,b 1,2"},
		{`{{normalize .t}} {{slugify .t}} {{slugify 9 .t}} {{slugify 9 false .t}}`, "release-branch-gr--e-2 release-branch-gr-e-2 release release-b"},
		{`{{(fromYaml "a: 1.10").a}} {{index (fromYamlArray "[1, 2]") 1}}`, "1.10 2"},
		{`{{.nil}}`, "<no value>"},
	} {
		if filled := fill(t, []string{"missingkey=error"}, test.text); filled.Text != test.expected || filled.Error != "" {
			t.Errorf("%s: %q %s, expected %q", test.text, filled.Text, filled.Error, test.expected)
		}
	}
}

func TestWhatCannotBeFilledSaysWhy(t *testing.T) {
	for _, test := range []struct{ text, expected, key string }{
		{`{{.nope.deep}}`, `no entry for key "nope"`, "nope"},
		{`{{now}}`, "gives another result each time", ""},
		{`{{randAlpha 3}}`, "gives another result each time", ""},
		{`{{date "2006" "x"}}`, "gives another result each time", ""},
		{`{{env "HOME"}}`, `function "env" not defined`, ""},
		{`{{fromYaml "[1]"}}`, "use fromYamlArray for a list", ""},
		{`{{fail "prod needs an owner"}}`, "prod needs an owner", ""},
		{`{{range $i := until 3000000}}xxxxxxxxxxxxxxxx{{end}}`, "larger than 1024 KiB", ""},
		{`{{.a`, "unclosed action", ""},
	} {
		filled := fill(t, []string{"missingkey=error"}, test.text)
		if !strings.Contains(filled.Error, test.expected) || filled.Key != test.key {
			t.Errorf("%s: %q %q, expected %q", test.text, filled.Error, filled.Key, test.expected)
		}
	}
	if filled := fill(t, nil, "{{.nope}}"); filled.Text != "<no value>" || filled.Key != "nope" || filled.Expression != ".nope" {
		t.Errorf("without options: %+v", filled)
	}
	if filled := fill(t, []string{"garbage"}, "{{.a}}"); !strings.Contains(filled.Error, "unrecognized option") {
		t.Errorf("an option nobody knows: %+v", filled)
	}
}

func TestYAMLIsReadAsArgoCDReadsItWithNumbersAsTheyAreWritten(t *testing.T) {
	text := "a: 1.10\nbig: 123456789012345678901\ny: no\noct: 010\nexp: 1e3\nwhole: 2.0\nlist: [1.0, {h: 3}]\nalias: &x {num: 1.50}\nuse: *x\ndate: 2026-01-02\n"
	value, err := ReadYAML([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(value)
	expected := `{"a":{"\u0000number":"1.10"},"alias":{"num":{"\u0000number":"1.50"}},"big":{"\u0000number":"123456789012345678901"},` +
		`"date":"2026-01-02","exp":{"\u0000number":"1e3"},"list":[{"\u0000number":"1.0"},{"h":3}],"oct":8,"true":false,` +
		`"use":{"num":{"\u0000number":"1.50"}},"whole":{"\u0000number":"2.0"}}`
	if string(got) != expected {
		t.Errorf("got      %s\nexpected %s", got, expected)
	}
	for _, empty := range []string{"", "# nothing\n", "null"} {
		if value, err := ReadYAML([]byte(empty)); value != nil || err != nil {
			t.Errorf("%q: %v %v", empty, value, err)
		}
	}
	if _, err := ReadYAML([]byte("a: [")); err == nil {
		t.Error("a list that is not closed is an error")
	}
}

func TestEachPartOfAJobIsAnswered(t *testing.T) {
	var answers []string
	emit := func(object manifest.Object) error {
		answers = append(answers, string(bytes.TrimSpace(object.JSON)))
		return nil
	}
	if err := Fill([]byte(`{"sets": [{"parameters": {"a": "1"}, "texts": ["{{.a}}", "<x>"]}, {"parameters": {}, "texts": []}]}`), emit); err != nil {
		t.Fatal(err)
	}
	if err := Read([]byte(`{"texts": ["a: 1", "a: ["]}`), emit); err != nil {
		t.Fatal(err)
	}
	if len(answers) != 4 || answers[0] != `[{"text":"1"},{"text":"<x>"}]` || answers[1] != "[]" || answers[2] != `{"value":{"a":1}}` ||
		!strings.Contains(answers[3], "error") {
		t.Errorf("%q", answers)
	}
}
