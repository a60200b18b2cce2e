package manifest

import (
	"fmt"
	"strings"
	"testing"
)

func TestSplitCountsLinesOfTheFile(t *testing.T) {
	for _, test := range []struct{ given, want string }{
		{"", ""},
		{"# nothing\n\n", ""},
		{"a: 1\n", "0@1"},
		{"---\na: 1\n---\n# comment\n\nb: 2", "0@2 1@6"},
		{"a: 1\n--- # next\n---\nb: 2\n---", "0@1 1@4"},
		{"a: |\n  --- no separator\nb: 1\n", "0@1"},
		{"a: 1\r\n---\r\nb: 2\r\n", "0@1 1@3"},
	} {
		documents, err := Split([]byte(test.given), "f.yaml")
		if err != nil {
			t.Errorf("%q: %v", test.given, err)
		}
		var got []string
		for _, document := range documents {
			got = append(got, fmt.Sprintf("%d@%d", document.Index, document.Line))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%q: got %v, want %s", test.given, got, test.want)
		}
	}
	if _, err := Split([]byte("a: 1\n--- b\n"), "f.yaml"); err == nil || !strings.HasPrefix(err.Error(), "f.yaml:2: ") {
		t.Errorf("content after a separator: %v", err)
	}
}
