package kustomize

import (
	"fmt"

	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/provenance"
	resources "sigs.k8s.io/kustomize/api/resource"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/linked"
)

// nameRelease puts kustomize's release into the label `buildMetadata: [managedByLabel]` asks for. The library writes the
// version of the program it is in, which is known to it only in kustomize's own.
func nameRelease(object *resources.Resource) error {
	labels := object.GetLabels()
	if labels[konfig.ManagedbyLabelKey] != "kustomize-"+provenance.GetProvenance().Semver() {
		return nil
	}
	labels[konfig.ManagedbyLabelKey] = "kustomize-" + linked.Kustomize()
	if err := object.SetLabels(labels); err != nil {
		return fmt.Errorf("labelling %s %s: %w", object.GetKind(), object.GetName(), err)
	}
	return nil
}
