// Package kustomize renders a kustomization with kustomize's own library, from files the agent serves. It never fetches,
// runs or writes anything: remote bases, helmCharts and plugins are refused with the reason.
package kustomize

import (
	"fmt"
	"path"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"

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
	result, err := withOwnSchema(func() (resmap.ResMap, error) {
		return krusty.MakeKustomizer(options).Run(files, path.Join(mount, job.Path))
	})
	if err != nil {
		return files.explain(err)
	}
	origins := newOrigins(files.read)
	for index, resource := range result.Resources() {
		if err := nameRelease(resource); err != nil {
			return err
		}
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
