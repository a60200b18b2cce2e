package kustomize

import "testing"

func TestAddressesAreReadAsKustomizeReadsThem(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	for _, one := range []struct{ entry, url, folder, revision string }{
		{"https://github.com/org/repo//path/to?ref=" + commit, "https://github.com/org/repo", "path/to", commit},
		{"https://github.com/org/repo/path/to?ref=v1", "https://github.com/org/repo", "path/to", "v1"},
		{"https://github.com/org/repo.git/path?version=v2", "https://github.com/org/repo.git", "path", "v2"},
		{"https://github.com/org/repo?version=v2&ref=v1", "https://github.com/org/repo", "", "v1"},
		{"https://github.com/org/repo", "https://github.com/org/repo", "", ""},
		{"github.com/org/repo/path", "https://github.com/org/repo", "path", ""},
		{"GitHub.com/org/repo", "https://github.com/org/repo", "", ""},
		{"github.com:org/repo//x", "https://github.com/org/repo", "x", ""},
		{"http://github.com/org/repo//x", "https://github.com/org/repo", "x", ""},
		{"https://bob@github.com/org/repo//x", "bob@github.com:org/repo", "x", ""},
		{"git@github.com:org/repo.git//x?ref=main", "git@github.com:org/repo.git", "x", "main"},
		{"ssh://git@github.com/org/repo//x", "git@github.com:org/repo", "x", ""},
		{"git::https://git.example.com/org/repo.git//x", "https://git.example.com/org/repo.git", "x", ""},
		{"git::git@git.example.com:org/repo.git", "git@git.example.com:org/repo.git", "", ""},
		{"git@git.example.com:group/sub/repo.git//x", "git@git.example.com:group/sub/repo.git", "x", ""},
		{"https://git.example.com/a/b/c/d//x", "https://git.example.com/a/b/c/d", "x", ""},
		{"https://git.example.com:8443/org/repo.git/x", "https://git.example.com:8443/org/repo.git", "x", ""},
		{"ssh://git.example.com:22/org/repo.git/x", "ssh://git.example.com:22/org/repo.git", "x", ""},
		{"https://bob@dev.azure.com/org/project/_git/repo/x/y?ref=v1", "https://bob@dev.azure.com/org/project/_git/repo", "x/y", "v1"},
		{"https://git.example.com/org/repo//a/../b", "https://git.example.com/org/repo", "b", ""},
		// None: a path, a place on a disk, a host alone, a folder that leads out, something written in place.
		{entry: "../base"},
		{entry: "base"},
		{entry: "/base"},
		{entry: "example.com/org/repo"},
		{entry: "file:///tmp/repo//x"},
		{entry: "https://github.com"},
		{entry: "https://github.com/org"},
		{entry: "https://git.example.com/org/repo//../../x"},
		{entry: "ftp://git.example.com/org/repo"},
		{entry: "kind: X\nname: git@git.example.com:a/b"},
		{entry: ""},
	} {
		found, ok := parseAddress(one.entry)
		if ok != (one.url != "") || ok && (found.url != one.url || found.folder != one.folder || found.revision != one.revision) {
			t.Errorf("%s: %+v", one.entry, found)
		}
	}
	for entry, explicit := range map[string]bool{
		"https://raw.githubusercontent.com/org/repo/main/a.yaml":        false,
		"https://github.com/org/repo/releases/download/v1/install.yaml": false,
		"https://raw.githubusercontent.com/org/o.github.io/main/crds":   false,
		"https://gitlab.com/org/repo/-/raw/main/a?ref_type=heads":       false,
		"https://gitlab.com/org/repo/-/raw/main/a.yaml?ref=x":           false,
		"https://github.com/org/repo//deploy?ref=v1":                    true,
		"https://github.com/org/repo/deploy":                            true,
		"https://git.example.com/org/repo.git/a.yaml?ref=v1":            true,
		"git@git.example.com:org/repo.yaml":                             true,
	} {
		if found, ok := parseAddress(entry); !ok || found.explicit != explicit {
			t.Errorf("%s: %+v", entry, found)
		}
	}
	if found, _ := parseAddress("github.com/org/repo?submodules=false"); found.submodules {
		t.Error("submodules are wanted")
	}
}
