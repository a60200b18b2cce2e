package helm

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	chart "helm.sh/helm/v4/pkg/chart/v2"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
)

var (
	// drawing are the functions of templates that give another result each time (sprig's, Helm's), in code of a template.
	drawing = regexp.MustCompile(`\b(rand(?:AlphaNum|Alpha|Numeric|Ascii|Bytes|Int)|shuffle|uuidv4|now|ago|gen(?:PrivateKey|CA|CAWithKey|SelfSignedCert|SelfSignedCertWithKey|SignedCert|SignedCertWithKey)|htpasswd|bcrypt|encryptAES)\b`)
	looking = regexp.MustCompile(`\blookup\s+["$(.]`)
	action  = regexp.MustCompile(`(?s)\{\{.*?\}\}`)
)

// uses gives the functions in the code of a template, comments left out.
func uses(template []byte, function *regexp.Regexp) []string {
	var found []string
	for _, code := range action.FindAll(template, -1) {
		text := strings.TrimLeft(string(code[2:]), "- \n\t")
		if strings.HasPrefix(text, "/*") {
			continue
		}
		found = append(found, function.FindAllString(text, -1)...)
	}
	return found
}

// eachTemplate visits the templates of a chart and of those below it, by their names in a render.
func eachTemplate(loaded *chart.Chart, prefix string, visit func(name string, content []byte)) {
	prefix = path.Join(prefix, loaded.Name())
	for _, template := range loaded.Templates {
		visit(path.Join(prefix, template.Name), template.Data)
	}
	for _, below := range loaded.Dependencies() {
		eachTemplate(below, path.Join(prefix, "charts"), visit)
	}
}

// unsteady says what of a chart is not the same at every render, or would be another thing with a cluster to look at. To
// know it, the chart is rendered a second time, when one of its templates has a function that could make it so.
func unsteady(loaded *chart.Chart, given map[string]any, job *protocol.HelmJob, capabilities *common.Capabilities, first map[string]string) []string {
	var functions, looked []string
	eachTemplate(loaded, "", func(name string, content []byte) {
		functions = append(functions, uses(content, drawing)...)
		if len(uses(content, looking)) > 0 {
			looked = append(looked, strings.TrimPrefix(name, loaded.Name()+"/"))
		}
	})
	var said []string
	if len(functions) > 0 {
		if second, err := templates(loaded, given, job, capabilities); err == nil {
			var changed []string
			for name, text := range first {
				if second[name] != text {
					changed = append(changed, strings.TrimPrefix(name, loaded.Name()+"/"))
				}
			}
			if len(changed) > 0 {
				slices.Sort(changed)
				slices.Sort(functions)
				functions = slices.Compact(functions)
				said = append(said, fmt.Sprintf(
					"chart %s gives another result at every render, in %s (it uses %s): values change whenever it is rendered again, also without a commit; give it fixed values, a Secret that exists already, or ignore the fields with ignoreDifferences and RespectIgnoreDifferences=true",
					loaded.Name(), listed(changed), listed(functions)))
			}
		}
	}
	if len(looked) > 0 {
		slices.Sort(looked)
		said = append(said, fmt.Sprintf(
			"chart %s looks for objects of the cluster in %s; lookup finds nothing here, as in helm template, so the chart is rendered as if it were installed for the first time; give it the values it would look up",
			loaded.Name(), listed(looked)))
	}
	return said
}

// listed joins the first names of a list.
func listed(names []string) string {
	const shown = 5
	if len(names) > shown {
		return strings.Join(names[:shown], ", ") + fmt.Sprintf(" and %d more", len(names)-shown)
	}
	return strings.Join(names, ", ")
}
