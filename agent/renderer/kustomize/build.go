// Package kustomize renders a kustomization with kustomize's own library, from files the agent serves. It never fetches,
// runs or writes anything: remote bases and charts are trees that the agent serves, or that it is asked for; plugins are refused with
// the reason.
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

// Render does what `kustomize build --enable-helm` does in the application's folder, with the options of the job.
func Render(trees *tree.Trees, job *protocol.Job, emit Emit, warn func(string)) error {
	files := newFilesystem(trees, job.Kustomize.Remotes, warn)
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionUnspecified
	if job.Kustomize.LegacyOrder {
		options.Reorder = krusty.ReorderOptionLegacy
	}
	options.AddManagedbyLabel = job.Kustomize.ManagedByLabel
	options.LoadRestrictions = types.LoadRestrictionsRootOnly
	if job.Kustomize.LoadAnywhere && !files.remotes.hasRepositories() {
		// What another repository holds must not read files of this one.
		options.LoadRestrictions = types.LoadRestrictionsNone
	}
	options.PluginConfig.HelmConfig = types.HelmConfig{
		Enabled: true, Command: "helm", KubeVersion: job.Kustomize.KubeVersion, ApiVersions: job.Kustomize.APIVersions,
	}
	inflateCharts(files)
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
	if missing := files.remotes.missing(); missing != nil {
		return missing
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
