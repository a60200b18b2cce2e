package helm

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	release "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/linked"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/manifest"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/tree"
)

// Emit receives each object of the result.
type Emit func(manifest.Object) error

// Render does what `helm template --include-crds` does: CRDs, then manifests in install order, then hooks.
func Render(trees *tree.Trees, job *protocol.Job, emit Emit, warn func(string)) error {
	loaded, err := load(trees, "", job.Path, job.Helm.Packaged)
	if err != nil {
		return err
	}
	given, err := values(trees, job.Helm, warn)
	if err != nil {
		return err
	}
	if err := checkInstallable(loaded); err != nil {
		return named(loaded, err)
	}
	if err := checkDependencies(loaded, job.Path); err != nil {
		return err
	}
	if loaded.Metadata.Deprecated {
		warn(fmt.Sprintf("chart %s is deprecated", loaded.Name()))
	}
	if err := chartutil.ValidateReleaseName(job.Helm.ReleaseName); err != nil {
		return failure.New(failure.BadRequest, fmt.Sprintf("release name %q: %s; set spec.source.helm.releaseName", job.Helm.ReleaseName, err))
	}
	capabilities, err := capabilities(job.Helm)
	if err != nil {
		return err
	}
	files, err := execute(trees, loaded, given, job.Helm, capabilities)
	if err != nil {
		return named(loaded, err)
	}
	for _, text := range unsteady(loaded, given, job.Helm, capabilities, files) {
		warn(text)
	}
	out := &output{chart: loaded.Name(), shown: job.Helm.Shown, emit: emit, warn: warn}
	return out.all(loaded, files, job.Helm)
}

func capabilities(job *protocol.HelmJob) (*common.Capabilities, error) {
	result := common.DefaultCapabilities.Copy()
	result.HelmVersion.Version = linked.Helm()
	if job.KubeVersion != "" {
		version, err := common.ParseKubeVersion(job.KubeVersion)
		if err != nil {
			return nil, failure.New(failure.BadRequest, fmt.Sprintf("spec.source.helm.kubeVersion: %q is not a version: %s", job.KubeVersion, failure.Shorten(err.Error())))
		}
		result.KubeVersion = *version
	}
	result.APIVersions = slices.Concat(result.APIVersions, job.APIVersions)
	return result, nil
}

func execute(trees *tree.Trees, loaded *chart.Chart, given map[string]any, job *protocol.HelmJob, capabilities *common.Capabilities) (map[string]string, error) {
	if err := chartutil.ProcessDependencies(loaded, given); err != nil {
		return nil, fmt.Errorf("chart dependencies processing failed: %w", err)
	}
	keepNulls(loaded, given, nil)
	if err := checkSchemas(trees, loaded, given, job); err != nil {
		return nil, err
	}
	return templates(loaded, given, job, capabilities)
}

// templates renders a chart whose dependencies are in order.
func templates(loaded *chart.Chart, given map[string]any, job *protocol.HelmJob, capabilities *common.Capabilities) (map[string]string, error) {
	options := common.ReleaseOptions{Name: job.ReleaseName, Namespace: job.Namespace, Revision: 1, IsInstall: true}
	all, err := util.ToRenderValuesWithSchemaValidation(loaded, given, options, capabilities, job.SkipSchema)
	if err != nil {
		return nil, err
	}
	if wanted := loaded.Metadata.KubeVersion; wanted != "" && !chartutil.IsCompatibleRange(wanted, capabilities.KubeVersion.String()) {
		return nil, fmt.Errorf("chart requires kubeVersion %s, which Kubernetes %s is not", wanted, capabilities.KubeVersion.Version)
	}
	files, err := engine.Engine{}.RenderWithContext(context.Background(), loaded, all)
	if err != nil {
		return nil, err
	}
	for name := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			delete(files, name)
		}
	}
	return files, nil
}

type output struct {
	chart string
	shown string
	emit  Emit
	warn  func(string)
}

func (o *output) all(loaded *chart.Chart, files map[string]string, job *protocol.HelmJob) error {
	if !job.SkipCRDs {
		for _, crd := range loaded.CRDObjects() {
			if err := o.one(crd.Filename, crd.File.Data, true); err != nil {
				return err
			}
		}
	}
	hooks, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return named(loaded, err)
	}
	for at, m := range manifests {
		// Helm prints each followed by a newline, and no blanks at the end of them all.
		content := m.Content
		if at == len(manifests)-1 {
			content = strings.TrimRightFunc(content, unicode.IsSpace)
		}
		if err := o.one(m.Name, []byte(content+"\n"), false); err != nil {
			return err
		}
	}
	for _, hook := range hooks {
		if job.SkipTests && slices.Contains(hook.Events, release.HookTest) {
			continue
		}
		if err := o.one(hook.Path, []byte(hook.Manifest+"\n"), false); err != nil {
			return err
		}
	}
	return nil
}

// one sends the objects of a template's output, or of a CRD file, which is taken as it is and so has lines.
func (o *output) one(name string, content []byte, known bool) error {
	origin := path.Join(o.shown, strings.TrimPrefix(name, o.chart+"/"))
	objects, err := manifest.FromYAML(content, origin, known, o.warn)
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := o.emit(object); err != nil {
			return err
		}
	}
	return nil
}

func named(loaded *chart.Chart, err error) error {
	if asks, ok := errors.AsType[*failure.Failure](err); ok {
		return asks
	}
	return failure.New(failure.Tool, fmt.Sprintf("helm: chart %s: %s", loaded.Name(), shorten(err.Error())))
}
