package kustomize

import (
	"bytes"
	"fmt"
	"path"
	"slices"

	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/tree"
)

// folders are the fields of a kustomization file whose entries may be folders, so other repositories too.
var folders = []string{"resources", "bases", "components", "generators", "transformers", "validators"}

// localized gives a kustomization file in which other repositories are named by where they are found. name is what kustomize calls
// the file. A file that cannot be read is left to kustomize, whose message names the field.
func (f *filesystem) localized(name string, at spot, content []byte) ([]byte, error) {
	if refusal := f.unsupported(at, content); refusal != nil {
		return nil, f.refuse(refusal)
	}
	var document yamlv3.Node
	if err := yamlv3.Unmarshal(content, &document); err != nil || len(document.Content) != 1 || document.Content[0].Kind != yamlv3.MappingNode {
		return content, nil
	}
	changed := false
	fields := document.Content[0].Content
	for index := 0; index+1 < len(fields); index += 2 {
		field, entries := fields[index].Value, fields[index+1]
		if entries.Kind == yamlv3.AliasNode {
			entries = entries.Alias
		}
		if !slices.Contains(folders, field) || entries.Kind != yamlv3.SequenceNode {
			continue
		}
		for _, entry := range entries.Content {
			if entry.Kind == yamlv3.AliasNode {
				entry = entry.Alias
			}
			if entry.Kind != yamlv3.ScalarNode {
				continue
			}
			local, refusal := f.localEntry(name, at, field, entry.Value)
			if refusal != nil {
				return nil, f.refuse(refusal)
			}
			if local != entry.Value {
				entry.Value, entry.Tag, entry.Style = local, "!!str", yamlv3.DoubleQuotedStyle
				changed = true
			}
		}
	}
	if missing := f.remotes.missing(); missing != nil {
		// Those of the whole file are asked for at once; kustomize would run git.
		return nil, missing
	}
	if !changed {
		return content, nil
	}
	var written bytes.Buffer
	encoder := yamlv3.NewEncoder(&written)
	if err := encoder.Encode(&document); err != nil {
		return nil, fmt.Errorf("writing %s: %w", at.shown, err)
	}
	return written.Bytes(), nil
}

// localEntry gives the path by which kustomize finds what an entry names.
func (f *filesystem) localEntry(name string, at spot, field, entry string) (string, *failure.Failure) {
	remote, ok := parseAddress(entry)
	if !ok {
		if isRemote(entry) {
			if local, err := f.trees.Stat(at.tree, path.Join(path.Dir(at.path), entry)); err != nil || local.Kind == tree.Absent {
				return "", noRemoteFile(at.shown, field, entry)
			}
		}
		if at.root != mount && isPathOut(at, entry) {
			return "", failure.At(failure.Invalid, at.shown, 0, fmt.Sprintf(
				"%s: %s has the entry %s, which leads out of that repository; a base from another repository may only refer to what is in it, or to a repository by its address", at.shown, field, entry))
		}
		return entry, nil
	}
	if local, err := f.trees.Stat(at.tree, path.Join(path.Dir(at.path), entry)); err == nil && local.Kind == tree.File {
		return entry, nil
	}
	if !remote.explicit {
		return "", noRemoteFile(at.shown, field, entry)
	}
	root, found := f.remotes.repository(failure.Remote{Kind: "git", URL: remote.url, Revision: remote.revision, In: at.shown})
	if !found {
		return entry, nil
	}
	if remote.revision == "" {
		f.warn(fmt.Sprintf("%s: %s has the entry %s without a revision, so what is applied changes with every commit to that repository; pin it: ?ref= with a commit or tag", at.shown, field, withoutPassword(entry)))
	}
	target := path.Join(root, remote.folder)
	relative, err := relativeTo(path.Dir(name), target)
	if err != nil {
		return "", failure.At(failure.Invalid, at.shown, 0, fmt.Sprintf("%s: %s", at.shown, failure.Shorten(err.Error())))
	}
	return relative, nil
}

// isPathOut tells whether a path leads out of the tree that holds the kustomization.
func isPathOut(at spot, entry string) bool {
	target := path.Join(path.Dir(at.path), entry)
	return path.IsAbs(entry) || target == ".." || len(target) > 2 && target[:3] == "../"
}
