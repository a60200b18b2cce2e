package linked

import (
	"os"
	"strings"
	"testing"
)

// The linked library must be one whose command is known: an update of go.mod that forgets to say so fails here.
func TestCommandOfTheLinkedLibrary(t *testing.T) {
	text, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), kustomizeModule+" ")
	library, _, _ := strings.Cut(rest, "\n")
	if !found || !strings.HasPrefix(command(library), kustomizeCommand) {
		t.Errorf("which kustomize release has %s %s? say it in linked.go", kustomizeModule, library)
	}
	for library, want := range map[string]string{"v0.21.2": "v5.8.2", "v0.21.10": "v5.8.10", "v0.22.0": "api-v0.22.0"} {
		if got := command(library); got != want {
			t.Errorf("%s: got %s, want %s", library, got, want)
		}
	}
}
