package helm

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/strvals"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/manifest"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/tree"
)

// values merges in Helm's order: value files, inline values, --set, --set-string, --set-file.
func values(trees *tree.Trees, job *protocol.HelmJob, warn func(string)) (map[string]any, error) {
	merged := map[string]any{}
	for _, file := range job.ValueFiles {
		content, err := trees.Read(file.Tree, file.Path)
		if err != nil {
			return nil, err
		}
		if problem := manifest.NotFetched(content); problem != "" {
			return nil, failure.At(failure.Invalid, file.Path, 0, fmt.Sprintf("%s %s", place(file), problem))
		}
		if text := manifest.Repetition(content, place(file)); text != "" {
			warn(text)
		}
		loaded, err := loader.LoadValues(bytes.NewReader(content))
		if err != nil {
			return nil, failure.At(failure.Invalid, file.Path, 0, fmt.Sprintf("%s: not valid YAML values: %s", place(file), failure.Shorten(err.Error())))
		}
		merged = loader.MergeMaps(merged, loaded)
	}
	if job.Values != "" {
		if text := manifest.Repetition([]byte(job.Values), "spec.source.helm.values"); text != "" {
			warn(text)
		}
		loaded, err := loader.LoadValues(strings.NewReader(job.Values))
		if err != nil {
			return nil, failure.New(failure.BadRequest, "spec.source.helm.values is not valid YAML: "+failure.Shorten(err.Error()))
		}
		merged = loader.MergeMaps(merged, loaded)
	}
	for _, forced := range []bool{false, true} {
		for _, parameter := range job.Parameters {
			if parameter.ForceString != forced {
				continue
			}
			parse := strvals.ParseInto
			if forced {
				parse = strvals.ParseIntoString
			}
			if err := parse(parameter.Name+"="+escapeCommas(parameter.Value), merged); err != nil {
				return nil, failure.New(failure.BadRequest, fmt.Sprintf("spec.source.helm.parameters: %s: %s", parameter.Name, failure.Shorten(err.Error())))
			}
		}
	}
	for _, parameter := range job.FileParameters {
		content, err := trees.Read(parameter.File.Tree, parameter.File.Path)
		if err != nil {
			return nil, err
		}
		read := func([]rune) (any, error) { return string(content), nil }
		if err := strvals.ParseIntoFile(parameter.Name+"=content", merged, read); err != nil {
			return nil, failure.New(failure.BadRequest, fmt.Sprintf("spec.source.helm.fileParameters: %s: %s", parameter.Name, failure.Shorten(err.Error())))
		}
	}
	return merged, nil
}

func place(file protocol.FileRef) string {
	if file.Tree == "" {
		return file.Path
	}
	if address, ok := strings.CutPrefix(file.Tree, "file "); ok {
		return strings.TrimSpace(address)
	}
	return file.Tree + "/" + file.Path
}

var unescapedComma = regexp.MustCompile(`([^\\]),`)

// escapeCommas keeps a comma part of the value, unless the value is a list in braces: Argo CD's rule for --set.
func escapeCommas(value string) string {
	if strings.HasPrefix(value, "{") && strings.HasSuffix(value, "}") {
		return value
	}
	return unescapedComma.ReplaceAllString(value, `$1\,`)
}
