package helm

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	release "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/tree"
)

// Inflation is what a kustomization tells `helm template`.
type Inflation struct {
	// Tree and Folder are where the chart is.
	Tree, Folder                         string
	ReleaseName, NameTemplate, Namespace string
	// Values are the contents of value files, in order.
	Values                            [][]byte
	KubeVersion                       string
	APIVersions                       []string
	IncludeCRDs, SkipHooks, SkipTests bool
	// Remotes are what is outside of the repository, as far as it is there.
	Remotes []protocol.Remote
}

// Inflate gives what `helm template` prints.
func Inflate(trees *tree.Trees, inflation *Inflation, warn func(string)) ([]byte, error) {
	loaded, err := load(trees, inflation.Tree, inflation.Folder, nil)
	if err != nil {
		return nil, err
	}
	given := map[string]any{}
	for _, content := range inflation.Values {
		read, err := loader.LoadValues(bytes.NewReader(content))
		if err != nil {
			return nil, failure.New(failure.Invalid, fmt.Sprintf("helm: chart %s: its values are not valid YAML: %s", loaded.Name(), failure.Shorten(err.Error())))
		}
		given = loader.MergeMaps(given, read)
	}
	if err := checkInstallable(loaded); err != nil {
		return nil, named(loaded, err)
	}
	if err := checkDependencies(loaded, inflation.Folder); err != nil {
		// What a kustomization brings along has to be whole: only Helm sources are completed.
		missing := *failure.Of(err)
		missing.Kind = failure.Missing
		return nil, &missing
	}
	name, err := inflation.name()
	if err != nil {
		return nil, named(loaded, err)
	}
	job := &protocol.HelmJob{ReleaseName: name, Namespace: inflation.Namespace, KubeVersion: inflation.KubeVersion, APIVersions: inflation.APIVersions, Remotes: inflation.Remotes}
	if job.Namespace == "" {
		job.Namespace = "default"
	}
	if err := chartutil.ValidateReleaseName(name); err != nil {
		return nil, named(loaded, fmt.Errorf("releaseName: %w", err))
	}
	capabilities, err := capabilities(job)
	if err != nil {
		return nil, err
	}
	files, err := execute(trees, loaded, given, job, capabilities)
	if err != nil {
		return nil, named(loaded, err)
	}
	for _, text := range unsteady(loaded, given, job, capabilities, files) {
		warn(text)
	}
	var out bytes.Buffer
	print := func(source, content string) { fmt.Fprintf(&out, "---\n# Source: %s\n%s\n", source, content) }
	if inflation.IncludeCRDs {
		for _, crd := range loaded.CRDObjects() {
			print(crd.Filename, string(crd.File.Data))
		}
	}
	hooks, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, named(loaded, err)
	}
	for _, one := range manifests {
		print(one.Name, one.Content)
	}
	printed := bytes.TrimSpace(out.Bytes())
	out = *bytes.NewBuffer(append(slices.Clone(printed), '\n'))
	for _, hook := range hooks {
		if inflation.SkipHooks || inflation.SkipTests && slices.Contains(hook.Events, release.HookTest) {
			continue
		}
		print(hook.Path, hook.Manifest)
	}
	return out.Bytes(), nil
}

// name is the release's: with neither a name nor a template it is Helm's own word for none.
func (i *Inflation) name() (string, error) {
	switch {
	case i.ReleaseName != "" && i.NameTemplate != "":
		return "", fmt.Errorf("releaseName and nameTemplate exclude each other; keep one")
	case i.ReleaseName != "":
		return i.ReleaseName, nil
	case i.NameTemplate == "":
		return "release-name", nil
	}
	parsed, err := template.New("name-template").Funcs(sprig.TxtFuncMap()).Parse(i.NameTemplate)
	if err != nil {
		return "", err
	}
	var name strings.Builder
	err = parsed.Execute(&name, nil)
	return name.String(), err
}
