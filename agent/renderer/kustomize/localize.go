package kustomize

import (
	"bytes"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/tree"
)

// folders are the fields of a kustomization file whose entries may be folders, so other repositories too.
var folders = []string{"resources", "bases", "components", "generators", "transformers", "validators"}

// files are where a kustomization file names single files: fields, and * for each entry of a list.
var files = [][]string{
	{"crds", "*"},
	{"configurations", "*"},
	{"openapi", "path"},
	{"patches", "*", "path"},
	{"patchesStrategicMerge", "*"},
	{"patchesJson6902", "*", "path"},
	{"replacements", "*", "path"},
	{"configMapGenerator", "*", "files", "*"},
	{"configMapGenerator", "*", "envs", "*"},
	{"configMapGenerator", "*", "env"},
	{"secretGenerator", "*", "files", "*"},
	{"secretGenerator", "*", "envs", "*"},
	{"secretGenerator", "*", "env"},
	{"helmCharts", "*", "valuesFile"},
	{"helmCharts", "*", "additionalValuesFiles", "*"},
}

// localized gives a kustomization file in which other repositories and files of other servers are named by where they are found. name
// is what kustomize calls the file. A file that cannot be read is left to kustomize, whose message names the field.
func (f *filesystem) localized(name string, at spot, content []byte) ([]byte, error) {
	var document yamlv3.Node
	if err := yamlv3.Unmarshal(content, &document); err != nil || len(document.Content) != 1 || document.Content[0].Kind != yamlv3.MappingNode {
		return content, nil
	}
	if !path.IsAbs(name) {
		name = path.Join(mount, name)
	}
	changed := false
	var refusal *failure.Failure
	rewrite := func(field string, local func(field, entry string) (string, *failure.Failure)) func(*yamlv3.Node) {
		return func(entry *yamlv3.Node) {
			if refusal != nil {
				return
			}
			var found string
			if found, refusal = local(field, entry.Value); refusal == nil && found != entry.Value {
				entry.Value, entry.Tag, entry.Style = found, "!!str", yamlv3.DoubleQuotedStyle
				changed = true
			}
		}
	}
	for _, field := range folders {
		texts(document.Content[0], []string{field, "*"}, rewrite(field, func(field, entry string) (string, *failure.Failure) {
			return f.localEntry(name, at, field, entry)
		}))
	}
	for _, place := range files {
		texts(document.Content[0], place, rewrite(place[0], func(field, entry string) (string, *failure.Failure) {
			key, file := "", entry
			if last := place[len(place)-2]; last == "files" {
				// An entry may have a key before it; an address has a slash before any =.
				if before, after, found := strings.Cut(entry, "="); found && !strings.Contains(before, "/") {
					key, file = before+"=", after
				}
			}
			local, refusal := f.localFile(name, at, field, file)
			return key + local, refusal
		}))
	}
	if refusal != nil {
		return nil, f.refuse(refusal)
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

// texts visits the texts at a place below a node.
func texts(node *yamlv3.Node, place []string, visit func(*yamlv3.Node)) {
	if node.Kind == yamlv3.AliasNode {
		node = node.Alias
	}
	switch {
	case len(place) == 0:
		if node.Kind == yamlv3.ScalarNode {
			visit(node)
		}
	case place[0] == "*":
		if node.Kind == yamlv3.SequenceNode {
			for _, entry := range node.Content {
				texts(entry, place[1:], visit)
			}
		}
	case node.Kind == yamlv3.MappingNode:
		for index := 0; index+1 < len(node.Content); index += 2 {
			if node.Content[index].Value == place[0] {
				texts(node.Content[index+1], place[1:], visit)
			}
		}
	}
}

// localFile gives the path by which kustomize finds the single file that an entry names.
func (f *filesystem) localFile(name string, at spot, field, entry string) (string, *failure.Failure) {
	if !isRemote(entry) || f.isThere(at, entry) {
		return entry, nil
	}
	address, err := url.Parse(entry)
	if err != nil || address.Scheme != "https" && address.Scheme != "http" || address.Host == "" {
		return "", noRemoteFile(at.shown, field, entry)
	}
	wanted := failure.Remote{Kind: "file", URL: entry, In: at.shown}
	local, found := f.remotes.file(path.Dir(name), wanted)
	if !found {
		return entry, nil
	}
	if part := moving(address.Path); part != "" {
		f.warn(fmt.Sprintf("%s: %s has the entry %s, and what is behind %s changes without notice; name a tag or a commit instead", at.shown, field, label(wanted), part))
	}
	return local, nil
}

// moving finds the part of an address that names no version but whatever is the newest.
func moving(address string) string {
	for part := range strings.SplitSeq(address, "/") {
		if slices.Contains([]string{"main", "master", "HEAD", "latest", "develop", "trunk"}, part) {
			return part
		}
	}
	return ""
}

// isThere tells whether there is a file or folder by the name of an entry.
func (f *filesystem) isThere(at spot, entry string) bool {
	local, err := f.trees.Stat(at.tree, path.Join(path.Dir(at.path), entry))
	return err == nil && local.Kind != tree.Absent
}

// localEntry gives the path by which kustomize finds what an entry names.
func (f *filesystem) localEntry(name string, at spot, field, entry string) (string, *failure.Failure) {
	remote, ok := parseAddress(entry)
	if !ok {
		if isRemote(entry) {
			return f.localFile(name, at, field, entry)
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
		return f.localFile(name, at, field, entry)
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
