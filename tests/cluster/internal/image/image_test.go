package image

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func options(t *testing.T, folder string) Options {
	t.Helper()
	program := filepath.Join(folder, "program")
	if err := os.WriteFile(program, []byte("text"), 0o755); err != nil {
		t.Fatal(err)
	}
	return Options{
		Name: "example.com/a/b:1", Out: filepath.Join(folder, "image.tar"), User: "65532",
		Layers:     []Layer{{Files: []string{program + ":/x/one"}}, {Files: []string{program + ":/x/one", program + ":/two"}}},
		Entrypoint: []string{"/two"}, Labels: map[string]string{"b": "2", "a": "1"},
	}
}

func TestTheSameFilesGiveTheSameImage(t *testing.T) {
	var archives [][]byte
	var digests []string
	for range 2 {
		options := options(t, t.TempDir())
		digest, err := Write(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(options.Out)
		if err != nil {
			t.Fatal(err)
		}
		archives, digests = append(archives, content), append(digests, digest)
	}
	if digests[0] != digests[1] || !bytes.Equal(archives[0], archives[1]) {
		t.Fatalf("two images of the same files differ: %v", digests)
	}
}

func TestWhatAnEarlierLayerHasIsLeftOut(t *testing.T) {
	options := options(t, t.TempDir())
	written := map[string]bool{}
	if _, err := options.Layers[0].write(true, written); err != nil {
		t.Fatal(err)
	}
	second, err := options.Layers[1].write(false, written)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(second, []byte("x/one")) || !bytes.Contains(second, []byte("two")) {
		t.Fatal("the second layer holds what the first has, or not its own")
	}
}

func TestLibrariesOfLibrariesAreFound(t *testing.T) {
	program, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Skip(err)
	}
	libraries, err := Libraries(program)
	if err != nil {
		t.Skip(err) // another system's format or folders
	}
	if len(libraries) > 0 && !slices.ContainsFunc(libraries, func(file string) bool {
		return filepath.Base(file) == "libc.so.6" || filepath.Dir(file) == "/lib"
	}) {
		t.Fatalf("no C library in %v", libraries)
	}
	for _, library := range libraries {
		if _, err := os.Stat(library); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIncompleteOptionsAreRefused(t *testing.T) {
	for _, change := range []func(*Options){
		func(o *Options) { o.Name = "A B" },
		func(o *Options) { o.Out = "" },
		func(o *Options) { o.Entrypoint = nil },
		func(o *Options) { o.Layers = []Layer{{Files: []string{"one"}}} },
		func(o *Options) { o.Layers = []Layer{{Files: []string{"/missing:/one"}}} },
	} {
		options := options(t, t.TempDir())
		change(&options)
		if _, err := Write(t.Context(), options); err == nil {
			t.Errorf("%+v was taken", options)
		}
	}
}
