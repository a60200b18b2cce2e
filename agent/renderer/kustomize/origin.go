package kustomize

import (
	"bytes"
	"regexp"
	"sort"
	"strings"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/manifest"
)

// origins tells which file an object of the result began in. kustomize knows it only when it writes annotations into the
// objects, which patches could see; so the files it read are searched for the object's kind and name instead.
type origins struct {
	byKind map[string][]origin
}

type origin struct {
	name string
	file string
	line int
}

var (
	kindLine = regexp.MustCompile(`(?m)^kind:\s*["']?([A-Za-z0-9]+)`)
	metadata = regexp.MustCompile(`(?m)^metadata:\s*(?:#.*)?\n((?:[ \t#].*\n?|\n)*)`)
	nameLine = regexp.MustCompile(`(?m)^\s+name:\s*["']?([^\s"'#]+)`)
	// generated names end in a hash of the content.
	hashed = regexp.MustCompile(`-[a-z0-9]{10}$`)
)

func newOrigins(files map[string][]byte) origins {
	found := origins{byKind: map[string][]origin{}}
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if isKustomizationFile(name) || !bytes.Contains(files[name], []byte("kind:")) {
			continue
		}
		documents, err := manifest.Split(files[name], name)
		if err != nil {
			continue
		}
		for _, document := range documents {
			kind := kindLine.FindSubmatch(document.Text)
			block := metadata.FindSubmatch(document.Text)
			if kind == nil || block == nil {
				continue
			}
			if called := nameLine.FindSubmatch(block[1]); called != nil {
				// The first file in order of paths wins unless a later one is no patch; patches have no spec of their own to tell,
				// so a path that says patch goes last.
				entry := origin{string(called[1]), name, document.Line}
				found.byKind[string(kind[1])] = append(found.byKind[string(kind[1])], entry)
			}
		}
	}
	for _, entries := range found.byKind {
		sort.SliceStable(entries, func(a, b int) bool {
			return !strings.Contains(entries[a].file, "patch") && strings.Contains(entries[b].file, "patch")
		})
	}
	return found
}

// find gives the file and line, or nothing when that is not sure: an object made by a generator, for one.
func (o origins) find(kind, name string) (string, int) {
	entries := o.byKind[kind]
	for _, entry := range entries {
		if entry.name == name {
			return entry.file, entry.line
		}
	}
	if (kind == "ConfigMap" || kind == "Secret") && hashed.MatchString(name) {
		return "", 0
	}
	// namePrefix and nameSuffix leave the name inside; the longest such name is the one.
	best := origin{}
	for _, entry := range entries {
		if strings.Contains(name, entry.name) && len(entry.name) > len(best.name) {
			best = entry
		}
	}
	return best.file, best.line
}
