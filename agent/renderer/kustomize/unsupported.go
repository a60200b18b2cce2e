package kustomize

import (
	"fmt"
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
	Resources       []string `json:"resources"`
	Bases           []string `json:"bases"`
	Components      []string `json:"components"`
	CRDs            []string `json:"crds"`
	Configurations  []string `json:"configurations"`
	Generators      []string `json:"generators"`
	Transformers    []string `json:"transformers"`
	HelmCharts      []any    `json:"helmCharts"`
	HelmGenerator   []any    `json:"helmChartInflationGenerator"`
	StrategicMerges []string `json:"patchesStrategicMerge"`
}

// unsupported finds what this agent refuses, before kustomize tries it and says something that does not help. A file that
// cannot be read at all is left to kustomize, whose message names the field.
func (f *filesystem) unsupported(name string, content []byte) *failure.Failure {
	var fields references
	if err := yaml.Unmarshal(content, &fields); err != nil {
		return nil
	}
	if len(fields.HelmCharts) > 0 || len(fields.HelmGenerator) > 0 {
		return failure.At(failure.Unsupported, name, 0,
			name+": helmCharts is not supported, because kustomize would run the helm program for it; make the chart a source of its own (spec.sources) or commit its rendered output")
	}
	for _, list := range []struct {
		field   string
		entries []string
	}{
		{"resources", fields.Resources},
		{"bases", fields.Bases},
		{"components", fields.Components},
		{"crds", fields.CRDs},
		{"configurations", fields.Configurations},
		{"generators", fields.Generators},
		{"transformers", fields.Transformers},
		{"patchesStrategicMerge", fields.StrategicMerges},
	} {
		for _, entry := range list.entries {
			if !isRemote(entry) {
				continue
			}
			if local, err := f.trees.Stat("", path.Join(path.Dir(name), entry)); err == nil && local.Kind != tree.Absent {
				continue
			}
			return failure.At(failure.Unsupported, name, 0,
				fmt.Sprintf("%s: %s has the remote entry %s, and remote bases are not fetched (what is applied would not be what this repository says); copy it into the repository and refer to it by path", name, list.field, withoutPassword(entry)))
		}
	}
	return nil
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
