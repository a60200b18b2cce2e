package kustomize

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/kustomize/api/types"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/tree"
)

// loadingSources is in every error of kustomize about what a generator's data is made of.
const loadingSources = "loading KV pairs"

// filePath is a path with an ending; anything else under `files:` may be a value that got into the wrong list.
var filePath = regexp.MustCompile(`^[\w./@+-]*\.[A-Za-z]{2,10}$`)

// brokenGenerator finds the entry that kustomize could not use, because kustomize's own words repeat the values of the
// whole list. Names the file, the generator and the entry, and no value.
func (f *filesystem) brokenGenerator(text string) *failure.Failure {
	if !strings.Contains(text, loadingSources) {
		return nil
	}
	for _, name := range f.kustomizations() {
		if f.remotes.isShown(name) {
			continue
		}
		var k types.Kustomization
		if err := k.Unmarshal(f.read[name]); err != nil {
			continue
		}
		for _, generator := range k.ConfigMapGenerator {
			if found := f.brokenSource(name, "configMapGenerator "+generator.Name, generator.KvPairSources); found != nil {
				return found
			}
		}
		for _, generator := range k.SecretGenerator {
			if found := f.brokenSource(name, "secretGenerator "+generator.Name, generator.KvPairSources); found != nil {
				return found
			}
		}
	}
	return nil
}

// brokenSource looks at the entries in the order in which kustomize reads them (api/kv).
func (f *filesystem) brokenSource(name, generator string, sources types.KvPairSources) *failure.Failure {
	broken := func(kind failure.Kind, format string, arguments ...any) *failure.Failure {
		return failure.At(kind, name, 0, fmt.Sprintf("%s: %s: %s", name, generator, fmt.Sprintf(format, arguments...)))
	}
	envs := sources.EnvSources
	if sources.EnvSource != "" {
		envs = append(envs, sources.EnvSource)
	}
	for index, env := range envs {
		at, entry, err := f.beside(name, env)
		file := at.shown
		if err != nil || entry.Kind != tree.File {
			return broken(failure.Missing, "envs[%d] names a file that %s", index, missing(entry, err))
		}
		number := 0
		for line := range strings.Lines(string(f.read[file])) {
			if number++; !utf8.ValidString(line) {
				return failure.At(failure.Invalid, file, number, fmt.Sprintf("%s:%d: the line is not UTF-8; it is an environment file of %s in %s", file, number, generator, name))
			}
		}
	}
	for index, literal := range sources.LiteralSources {
		if strings.IndexByte(literal, '=') <= 0 {
			return broken(failure.Invalid, "literals[%d] is not KEY=VALUE", index)
		}
	}
	for index, entry := range sources.FileSources {
		key, file, named := strings.Cut(entry, "=")
		if !named {
			key, file = "", entry
		}
		if named && (key == "" || file == "") || strings.Contains(file, "=") {
			return broken(failure.Invalid, "files[%d] is neither PATH nor KEY=PATH", index)
		}
		at, found, err := f.beside(name, file)
		if err != nil || found.Kind != tree.File {
			shown := fmt.Sprintf("files[%d]", index)
			switch {
			case strings.Contains(at.shown, "://"):
				shown += " (" + at.shown + ")"
			case filePath.MatchString(file):
				shown += " (" + file + ")"
			}
			return broken(failure.Missing, "%s names a file that %s", shown, missing(found, err))
		}
	}
	return nil
}

// beside finds what an entry of a kustomization of this repository names.
func (f *filesystem) beside(kustomization, entry string) (spot, tree.Entry, error) {
	at, err := f.spot(path.Join(mount, path.Dir(kustomization), entry))
	if err != nil {
		return spot{shown: entry}, tree.Entry{}, err
	}
	found, err := f.trees.Stat(at.tree, at.path)
	return at, found, err
}

func missing(entry tree.Entry, err error) string {
	switch {
	case err != nil:
		return "cannot be read"
	case entry.Kind == tree.Directory:
		return "is a directory"
	default:
		return "does not exist; correct the path or commit the file"
	}
}
