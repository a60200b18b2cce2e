package helm

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/tree"
)

// elsewhere is how a schema refers to one at an address. The drafts of JSON Schema themselves are part of the library.
var elsewhere = regexp.MustCompile(`"\$(?:ref|schema|dynamicRef)"\s*:\s*"https?://([^"]*)"`)

const drafts = "json-schema.org/"

// own is what Helm calls a chart's schema.
const own = "file:///values.schema.json"

// checkSchemas does what Helm does with values and the schemas of a chart and those it depends on, when some of these refer to schemas
// at an address: Helm would fetch them itself. Those that the agent has not given are asked for.
func checkSchemas(trees *tree.Trees, loaded *chart.Chart, given map[string]any, job *protocol.HelmJob) error {
	if job.SkipSchema || !refersElsewhere(loaded) {
		return nil
	}
	values, err := util.CoalesceValues(loaded, given)
	if err != nil {
		return err
	}
	loader := &schemas{trees: trees, given: job.Remotes}
	var wrong strings.Builder
	if err := loader.check(loaded, values, &wrong); err != nil {
		return err
	}
	if len(loader.needed) > 0 {
		return &failure.Failure{
			Kind: failure.MissingRemotes, Remotes: loader.needed,
			Message: fmt.Sprintf("chart %s: its values.schema.json refers to %s, which is not in this repository", loaded.Name(), loader.needed[0].URL),
		}
	}
	if wrong.Len() > 0 {
		return fmt.Errorf("values don't meet the specifications of the schema(s) in the following chart(s):\n%s", wrong.String())
	}
	job.SkipSchema = true
	return nil
}

func refersElsewhere(loaded *chart.Chart) bool {
	for _, found := range elsewhere.FindAllSubmatch(loaded.Schema, -1) {
		if !bytes.HasPrefix(found[1], []byte(drafts)) {
			return true
		}
	}
	return slices.ContainsFunc(loaded.Dependencies(), refersElsewhere)
}

// schemas loads schemas from what the agent has given, and remembers what else is needed.
type schemas struct {
	trees  *tree.Trees
	given  []protocol.Remote
	needed []failure.Remote
}

// check validates the values of a chart, and of each it depends on that has values.
func (s *schemas) check(loaded *chart.Chart, values map[string]any, wrong *strings.Builder) error {
	if loaded.Schema != nil {
		text, err := s.validate(loaded.Schema, values)
		if err != nil {
			return fmt.Errorf("%s: %w", loaded.Name(), err)
		}
		if text != "" {
			fmt.Fprintf(wrong, "%s:\n%s\n", loaded.Name(), text)
		}
	}
	for _, dependency := range loaded.Dependencies() {
		raw, exists := values[dependency.Name()]
		if !exists || raw == nil {
			continue
		}
		inner, ok := raw.(map[string]any)
		if !ok {
			fmt.Fprintf(wrong, "%s:\nits values are no map\n", dependency.Name())
			continue
		}
		if err := s.check(dependency, inner, wrong); err != nil {
			return err
		}
	}
	return nil
}

// validate gives what is wrong with values by one schema; nothing while a part of it is not there.
func (s *schemas) validate(content []byte, values map[string]any) (string, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		return "", err
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(s)
	if err := compiler.AddResource(own, document); err != nil {
		return "", err
	}
	compiled, err := compiler.Compile(own)
	if len(s.needed) > 0 {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if err := compiled.Validate(values); err != nil {
		return strings.TrimPrefix(err.Error(), "jsonschema validation failed with '"+own+"#'\n"), nil
	}
	return "", nil
}

// Load implements jsonschema.URLLoader.
func (s *schemas) Load(address string) (any, error) {
	scheme, _, _ := strings.Cut(address, "://")
	if scheme != "https" && scheme != "http" {
		if strings.HasPrefix(address, "urn:") {
			// As in Helm: what nobody resolves permits everything.
			return true, nil
		}
		return nil, fmt.Errorf("%s is neither https:// nor http://", address)
	}
	wanted := failure.Remote{Kind: "file", URL: address}
	for _, one := range s.given {
		if one.Kind == wanted.Kind && one.URL == wanted.URL {
			content, err := s.trees.Read(one.Tree, path.Base(address))
			if err != nil {
				return nil, err
			}
			return jsonschema.UnmarshalJSON(bytes.NewReader(content))
		}
	}
	if !slices.Contains(s.needed, wanted) {
		s.needed = append(s.needed, wanted)
	}
	// Goes on, so that all that are needed are asked for at once.
	return true, nil
}
