package kustomize

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/tree"
)

// edits tells whether the Application changes the kustomization at all.
func edits(job *protocol.KustomizeJob) bool {
	return job.NamePrefix != "" || job.NameSuffix != "" || job.Namespace != "" || len(job.Images) > 0 || len(job.Replicas) > 0 ||
		len(job.CommonLabels) > 0 || len(job.CommonAnnotations) > 0 || len(job.Patches) > 0 || len(job.Components) > 0
}

// edit writes the Application's options into the kustomization file, in memory, the way `kustomize edit` writes them into
// the file (which is what Argo CD does): same order, same merging, same refusals.
func (f *filesystem) edit(folder string, job *protocol.KustomizeJob) error {
	name, err := f.kustomizationFile(folder)
	if err != nil {
		return err
	}
	content, err := f.ReadFile(path.Join(mount, name))
	if err != nil {
		return err
	}
	var k types.Kustomization
	if err := k.Unmarshal(content); err != nil {
		return failure.At(failure.Invalid, name, 0, fmt.Sprintf("%s: %s", name, failure.Shorten(err.Error())))
	}
	k.FixKustomization()
	if job.NamePrefix != "" {
		k.NamePrefix = job.NamePrefix
	}
	if job.NameSuffix != "" {
		k.NameSuffix = job.NameSuffix
	}
	if err := setImages(&k, job.Images); err != nil {
		return err
	}
	setReplicas(&k, job.Replicas)
	if err := addLabels(&k, job); err != nil {
		return err
	}
	if err := addAnnotations(&k, job); err != nil {
		return err
	}
	if job.Namespace != "" {
		k.Namespace = job.Namespace
	}
	for i, raw := range job.Patches {
		var patch types.Patch
		if err := yaml.UnmarshalStrict(raw, &patch); err != nil {
			return failure.New(failure.BadRequest, fmt.Sprintf("spec.source.kustomize.patches[%d]: %s", i, failure.Shorten(err.Error())))
		}
		k.Patches = append(k.Patches, patch)
	}
	if err := f.addComponents(&k, folder, job); err != nil {
		return err
	}
	edited, err := yaml.Marshal(&k)
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	at, err := f.spot(path.Join(mount, name))
	if err != nil {
		return err
	}
	// The Application's patches and components may be elsewhere, too.
	if edited, err = f.localized(path.Join(mount, name), at, edited); err != nil {
		return err
	}
	f.replaced[name] = edited
	return nil
}

func (f *filesystem) kustomizationFile(folder string) (string, error) {
	var found []string
	for _, candidate := range konfig.RecognizedKustomizationFileNames() {
		name := path.Join(folder, candidate)
		entry, err := f.trees.Stat("", name)
		if err != nil {
			return "", err
		}
		if entry.Kind == tree.File {
			found = append(found, name)
		}
	}
	switch len(found) {
	case 0:
		return "", failure.At(failure.Missing, folder, 0, fmt.Sprintf("%s has no kustomization.yaml", shown(folder)))
	case 1:
		return found[0], nil
	default:
		return "", failure.At(failure.Invalid, folder, 0, fmt.Sprintf("%s has more than one kustomization file: %s; keep one", shown(folder), strings.Join(found, ", ")))
	}
}

func shown(folder string) string {
	if folder == "" || folder == "." {
		return "the repository's root"
	}
	return folder
}

func setReplicas(k *types.Kustomization, replicas []protocol.Replica) {
	if len(replicas) == 0 {
		return
	}
	merged := make([]types.Replica, 0, len(replicas)+len(k.Replicas))
	for _, replica := range replicas {
		merged = append(merged, types.Replica{Name: replica.Name, Count: replica.Count})
	}
	for _, existing := range k.Replicas {
		if !slices.ContainsFunc(merged, func(r types.Replica) bool { return r.Name == existing.Name }) {
			merged = append(merged, existing)
		}
	}
	slices.SortFunc(merged, func(a, b types.Replica) int { return strings.Compare(a.Name, b.Name) })
	k.Replicas = merged
}

func addLabels(k *types.Kustomization, job *protocol.KustomizeJob) error {
	if len(job.CommonLabels) == 0 {
		return nil
	}
	if job.LabelIncludeTemplates && !job.LabelWithoutSelector {
		return failure.New(failure.BadRequest, "spec.source.kustomize.labelIncludeTemplates needs labelWithoutSelector: true as well")
	}
	if !job.LabelWithoutSelector {
		if k.CommonLabels == nil {
			k.CommonLabels = map[string]string{}
		}
		return merge(k.CommonLabels, job.CommonLabels, job.ForceCommonLabels, "label", "forceCommonLabels")
	}
	matching := func(label types.Label) bool {
		return !label.IncludeSelectors && label.IncludeTemplates == job.LabelIncludeTemplates
	}
	at := slices.IndexFunc(k.Labels, matching)
	if at < 0 {
		k.Labels = append(k.Labels, types.Label{IncludeTemplates: job.LabelIncludeTemplates})
		at = len(k.Labels) - 1
	}
	if k.Labels[at].Pairs == nil {
		k.Labels[at].Pairs = map[string]string{}
	}
	return merge(k.Labels[at].Pairs, job.CommonLabels, job.ForceCommonLabels, "label", "forceCommonLabels")
}

func addAnnotations(k *types.Kustomization, job *protocol.KustomizeJob) error {
	if len(job.CommonAnnotations) == 0 {
		return nil
	}
	if k.CommonAnnotations == nil {
		k.CommonAnnotations = map[string]string{}
	}
	return merge(k.CommonAnnotations, job.CommonAnnotations, job.ForceCommonAnnotations, "annotation", "forceCommonAnnotations")
}

func merge(into, from map[string]string, force bool, what, option string) error {
	for key, value := range from {
		if _, ok := into[key]; ok && !force {
			return failure.New(failure.BadRequest, fmt.Sprintf("%s %s is already in the kustomization file; set spec.source.kustomize.%s: true to replace it", what, key, option))
		}
		into[key] = value
	}
	return nil
}

func (f *filesystem) addComponents(k *types.Kustomization, folder string, job *protocol.KustomizeJob) error {
	for _, pattern := range job.Components {
		found, err := f.Glob(path.Join(mount, folder, pattern))
		if err != nil {
			return failure.New(failure.BadRequest, fmt.Sprintf("spec.source.kustomize.components: %q is not a path or glob pattern", pattern))
		}
		if len(found) == 0 && !job.IgnoreMissingComponents {
			return failure.New(failure.Missing, fmt.Sprintf("spec.source.kustomize.components: %s leads to nothing from %s; correct it or set ignoreMissingComponents: true", pattern, shown(folder)))
		}
		for _, component := range found {
			relative, err := relativeTo(path.Join(mount, folder), component)
			if err != nil {
				return err
			}
			if !slices.Contains(k.Components, relative) {
				k.Components = append(k.Components, relative)
			}
		}
	}
	return nil
}
