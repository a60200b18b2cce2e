// Package kustomize renders a kustomization with kustomize's own library, from files the agent serves. It never fetches,
// runs or writes anything: remote bases, helmCharts and plugins are refused with the reason.
package kustomize

import (
	"fmt"
	"path"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/manifest"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/tree"
)

// Emit receives each object of the result.
type Emit func(manifest.Object) error

// Render does what `kustomize build` with no options does in the application's folder.
func Render(trees *tree.Trees, job *protocol.Job, emit Emit) error {
	files := newFilesystem(trees)
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionUnspecified
	options.LoadRestrictions = types.LoadRestrictionsRootOnly
	if edits(job.Kustomize) {
		if err := files.edit(job.Path, job.Kustomize); err != nil {
			return files.explain(err)
		}
	}
	name, err := files.kustomizationFile(job.Path)
	if err != nil {
		return err
	}
	result, err := krusty.MakeKustomizer(options).Run(files, path.Join(mount, job.Path))
	if err != nil {
		return files.explain(err)
	}
	origins := newOrigins(files.read)
	for index, resource := range result.Resources() {
		content, err := resource.MarshalJSON()
		if err != nil {
			return fmt.Errorf("writing object %d of %s: %w", index, shown(job.Path), err)
		}
		file, line := origins.find(resource.GetKind(), resource.GetName())
		if file == "" {
			file = name
		}
		if err := emit(manifest.Object{JSON: content, Path: file, Line: line, Document: index}); err != nil {
			return err
		}
	}
	return nil
}

// explain prefers what this side knows over kustomize's words for its consequences.
func (f *filesystem) explain(err error) error {
	if f.trees.Fault != nil {
		return f.trees.Fault
	}
	if f.refusal != nil {
		return f.refusal
	}
	text := strings.ReplaceAll(err.Error(), mount+"/", "")
	text = strings.ReplaceAll(text, mount, "the repository's root")
	return failure.New(failure.Tool, "kustomize: "+shorten(text))
}

// shorten keeps the cause, which kustomize says last, and one step of the way to it.
func shorten(text string) string {
	// "accumulating resources: accumulation err='accumulating resources from 'x': open …': …" tries x as a file, then as a
	// folder, and reports both; what matters is the last.
	const alternative = "': "
	if at := strings.LastIndex(text, alternative); at >= 0 && strings.Contains(text, "accumulation err=") {
		file := ""
		const from = "accumulating resources from '"
		if start := strings.LastIndex(text[:at], from); start >= 0 {
			file, _, _ = strings.Cut(text[start+len(from):], "'")
		}
		cause := strings.TrimSpace(text[at+len(alternative):])
		if strings.Contains(text, "no such file") || strings.Contains(text, "file does not exist") || strings.HasPrefix(cause, "must build at directory") || strings.HasPrefix(cause, "new root") {
			if file != "" {
				return failure.Shorten(fmt.Sprintf("%s, named in a kustomization file, cannot be used: %s", file, strings.TrimPrefix(text[strings.LastIndex(text[:at], from)+len(from)+len(file)+3:], " ")))
			}
		}
		if file != "" {
			return failure.Shorten(file + ": " + cause)
		}
	}
	return failure.Shorten(text)
}
