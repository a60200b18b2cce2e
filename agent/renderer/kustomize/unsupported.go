package kustomize

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/tree"
)

func isKustomizationFile(name string) bool {
	return slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(name))
}

// references are the fields of a kustomization file that name files or folders.
type references struct {
	CRDs            []string `json:"crds"`
	Configurations  []string `json:"configurations"`
	StrategicMerges []string `json:"patchesStrategicMerge"`
	Patches         []struct {
		Path string `json:"path"`
	} `json:"patches"`
	JSONPatches []struct {
		Path string `json:"path"`
	} `json:"patchesJson6902"`
	Replacements []struct {
		Path string `json:"path"`
	} `json:"replacements"`
	OpenAPI struct {
		Path string `json:"path"`
	} `json:"openapi"`
	ConfigMaps []generatorFiles `json:"configMapGenerator"`
	Secrets    []generatorFiles `json:"secretGenerator"`
}

// generatorFiles are the fields of a generator that name files; an entry of files may have a key before it.
type generatorFiles struct {
	Files []string `json:"files"`
	Envs  []string `json:"envs"`
	Env   string   `json:"env"`
}

// lone are the fields of a kustomization file that name one file each time.
func (r *references) lone() map[string][]string {
	all := map[string][]string{"openapi": {r.OpenAPI.Path}}
	for _, patch := range r.Patches {
		all["patches"] = append(all["patches"], patch.Path)
	}
	for _, patch := range r.JSONPatches {
		all["patchesJson6902"] = append(all["patchesJson6902"], patch.Path)
	}
	for _, replacement := range r.Replacements {
		all["replacements"] = append(all["replacements"], replacement.Path)
	}
	for field, generators := range map[string][]generatorFiles{"configMapGenerator": r.ConfigMaps, "secretGenerator": r.Secrets} {
		for _, generator := range generators {
			for _, file := range generator.Files {
				if key, named, found := strings.Cut(file, "="); found && !strings.Contains(key, "/") {
					file = named
				}
				all[field] = append(all[field], file)
			}
			all[field] = append(append(all[field], generator.Envs...), generator.Env)
		}
	}
	return all
}

// unsupported finds what this agent refuses, before kustomize tries it and says something that does not help. A file that
// cannot be read at all is left to kustomize, whose message names the field.
func (f *filesystem) unsupported(at spot, content []byte) *failure.Failure {
	name := at.shown
	var fields references
	if err := yaml.Unmarshal(content, &fields); err != nil {
		return nil
	}
	type list struct {
		field   string
		entries []string
	}
	lists := []list{
		{"crds", fields.CRDs},
		{"configurations", fields.Configurations},
		{"patchesStrategicMerge", fields.StrategicMerges},
	}
	lone := fields.lone()
	for _, field := range slices.Sorted(maps.Keys(lone)) {
		lists = append(lists, list{field, lone[field]})
	}
	for _, list := range lists {
		for _, entry := range list.entries {
			if !isRemote(entry) {
				continue
			}
			if local, err := f.trees.Stat(at.tree, path.Join(path.Dir(at.path), entry)); err == nil && local.Kind != tree.Absent {
				continue
			}
			return noRemoteFile(name, list.field, entry)
		}
	}
	return nil
}

// noRemoteFile says that a file of another server is not fetched.
func noRemoteFile(name, field, entry string) *failure.Failure {
	return failure.At(failure.Unsupported, name, 0,
		fmt.Sprintf("%s: %s has the entry %s, and single files of other servers are not fetched (nothing says which version of it was meant); refer to its folder by Git (…/repository//folder?ref=COMMIT), or copy it into the repository", name, field, withoutPassword(entry)))
}

// isRemote tells whether kustomize would take an entry for a URL or a Git address. Inline YAML is none.
func isRemote(entry string) bool {
	if strings.ContainsAny(entry, "\n{") {
		return false
	}
	lower := strings.ToLower(entry)
	for _, prefix := range []string{"git::", "gh:", "git@", "github.com/", "github.com:"} {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	return strings.Contains(lower, "://") || strings.Contains(lower, "?ref=") || strings.Contains(lower, ".git//")
}

func withoutPassword(entry string) string {
	if parsed, err := url.Parse(entry); err == nil && parsed.User != nil {
		parsed.User = nil
		return parsed.String()
	}
	return entry
}
