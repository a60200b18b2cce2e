package manifest

import (
	"strings"
	"testing"
)

const begin = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"

// What else loses a part of a file without a word: the same key twice, in any style and at any depth; a second value after
// the end of the first.
func TestNothingOfAFileIsLostWithoutAWord(t *testing.T) {
	for _, test := range []struct{ name, file, text, says string }{
		{"a block", "a.yaml", begin + "data: {a: b}\ndata: {c: d}\n", "a.yaml:5: the key data is there twice"},
		{"one key", "a.yaml", begin + "data:\n  a: b\n  a: c\n", "a.yaml:6: the key a is there twice"},
		{"in a list", "a.yaml", begin + "x:\n- env: 1\n  env: 2\n", "a.yaml:6: the key env is there twice"},
		{"flow style", "a.yaml", begin + "data: {a: b, a: c}\n", "a.yaml:4: the key a is there twice"},
		{"quoted", "a.yaml", begin + "data: {a: b, \"a\": c}\n", "the key a is there twice"},
		{"the second document", "a.yaml", begin + "---\n" + begin + "kind: Secret\n", "a.yaml:8: the key kind is there twice"},
		{"a key that may be a value", "a.yaml", begin + "data: {\"pass word!\": b, \"pass word!\": c}\n", "the key … is there twice"},
		{"JSON", "a.json", "{\"apiVersion\":\"v1\",\n\"kind\":\"A\",\n\"kind\":\"B\"}", "a.json:3: the key kind is there twice"},
		{"JSON, deeper", "a.json", `{"apiVersion":"v1","kind":"A","l":[{"a":[1],"b":{},"a":2}]}`, "the key a is there twice"},
		{"a stream of JSON", "a.yaml", "{\"apiVersion\":\"v1\",\"kind\":\"A\"}\n{\"apiVersion\":\"v1\",\"apiVersion\":\"v1\",\"kind\":\"A\"}\n", "the key apiVersion is there twice"},
		{"after the end marker", "a.yaml", begin + "...\n" + begin, "more follows after the end"},
		{"after braces", "a.yaml", "{apiVersion: v1, kind: A}\n{apiVersion: v1, kind: B}\n", "more follows after the end"},
	} {
		read := func() ([]Object, error) {
			if strings.HasSuffix(test.file, ".json") {
				return FromJSON([]byte(test.text), test.file)
			}
			return FromYAML([]byte(test.text), test.file, true, nil)
		}
		if objects, err := read(); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %d objects, %v", test.name, len(objects), err)
		}
	}
	for name, text := range map[string]string{
		"the same key in two mappings": begin + "data: {a: b}\nmore: {a: b}\n",
		"an anchor merged":             begin + "base: &b {a: 1}\nmore:\n  <<: *b\n  a: 2\n",
		"an end marker at the end":     begin + "...\n",
		"dots in a text":               begin + "data:\n  a: |\n    x\n    ...\n    y\n",
		"JSON with space after it":     "{\"apiVersion\":\"v1\",\"kind\":\"A\",\"l\":[{\"a\":1},{\"a\":1}]}\n\n",
	} {
		if objects, err := FromYAML([]byte(text), "a.yaml", true, nil); err != nil || len(objects) != 1 {
			t.Errorf("%s: %d objects, %v", name, len(objects), err)
		}
	}
}

func TestAStreamOfJSONIsReadWhole(t *testing.T) {
	one := `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"count":1.0}`
	for text, want := range map[string]int{
		one:                                    1,
		one + one:                              2,
		one + "\n" + one + "\n" + one:          3,
		one + "\n---\n" + one + "\n":           2,
		one + "\n---\n" + one + one:            3,
		"# a comment\n" + one + "\n":           1,
		one + "\n---\n" + begin + "count: 1\n": 2,
	} {
		objects, err := FromYAML([]byte(text), "a.yaml", true, nil)
		if err != nil || len(objects) != want {
			t.Errorf("%q: %d objects, %v", text, len(objects), err)
		}
		for _, object := range objects {
			if !strings.Contains(string(object.JSON), `"count":1`) {
				t.Errorf("%q: %s", text, object.JSON)
			}
		}
	}
}

func TestATemplateMayRepeatAKeyAndItIsSaid(t *testing.T) {
	var said []string
	objects, err := FromYAML([]byte(begin+"data: {a: b}\ndata: {c: d}\n"), "templates/a.yaml", false, func(text string) { said = append(said, text) })
	if err != nil || len(objects) != 1 || !strings.Contains(string(objects[0].JSON), `"c":"d"`) {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	if len(said) != 1 || !strings.Contains(said[0], "templates/a.yaml: its output, document 1, line 5: the key data is there twice") {
		t.Errorf("said %q", said)
	}
}

// Kubernetes' own reader ends every line with a newline, so that a block scalar at the end of a file has one, too.
func TestTheLastLineOfAFileHasItsNewline(t *testing.T) {
	for text, want := range map[string]string{
		begin + "x: |\n  last":         `"last\n"`,
		begin + "x: |\n  last\n":       `"last\n"`,
		begin + "x: |-\n  last":        `"last"`,
		begin + "x: |+\n  last":        `"last\n"`,
		begin + "x: |+\n  last\n\n":    `"last\n\n"`,
		begin + "x: >\n  last":         `"last\n"`,
		begin + "x: last":              `"last"`,
		begin + "x: |\n  last\n---\n":  `"last\n"`,
		begin + "x: |\r\n  last":       `"last\n"`,
		begin + "x: |\n  last # not":   `"last # not\n"`,
		begin + "x: |\n  last\n# over": `"last\n"`,
	} {
		objects, err := FromYAML([]byte(text), "a.yaml", true, nil)
		if err != nil || len(objects) != 1 || !strings.Contains(string(objects[0].JSON), `"x":`+want) {
			t.Errorf("%q: %v %v", text, err, objects)
		}
	}
}

func TestWhatOnlyStandsForAFileIsNamed(t *testing.T) {
	for text, says := range map[string]string{
		"version https://git-lfs.github.com/spec/v1\noid sha256:4d7\nsize 12\n": "Git LFS",
		"\x00GITCRYPT\x00\x01\x02":             "git-crypt",
		"age-encryption.org/v1\n-> X25519 abc": "encrypted",
		"-----BEGIN AGE ENCRYPTED FILE-----\n": "encrypted",
		"-----BEGIN PGP MESSAGE-----\n":        "encrypted",
		"$ANSIBLE_VAULT;1.1;AES256\n":          "encrypted",
		begin:                                  "",
		"":                                     "",
	} {
		if said := NotFetched([]byte(text)); !strings.Contains(said, says) || (says == "") != (said == "") {
			t.Errorf("%q: %q", text, said)
		}
	}
}
