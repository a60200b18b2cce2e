package helm

import (
	"regexp"
	"strings"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
)

// outputError is about a template's result, so its line is none of the template's.
var (
	outputError = regexp.MustCompile(`YAML parse error on (\S+): error converting YAML to JSON: yaml: line (\d+): `)
	otherOutput = regexp.MustCompile(`YAML parse error on (\S+): error converting YAML to JSON: (?:yaml: )?`)
	noObject    = regexp.MustCompile(`YAML parse error on (\S+): error unmarshaling JSON: while decoding JSON: `)
)

// ownWords is how Helm shows what a chart says with `fail` and `required`.
var ownWords = regexp.MustCompile(`(?s)^execution error at \([^)]*\): `)

// shorten turns Helm's trace of a template error around: the last cause first, then where rendering came from. What the
// chart itself says stays as it is; other texts are only shortened.
func shorten(text string) string {
	if ownWords.MatchString(text) {
		return failure.OneLine(text)
	}
	text = outputError.ReplaceAllString(text, "$1: its output is not valid YAML, line $2 of it: ")
	text = otherOutput.ReplaceAllString(text, "$1: its output is not valid YAML: ")
	text = noObject.ReplaceAllString(text, "$1: its output is not a Kubernetes object: ")
	blocks := traceBlocks(text)
	if len(blocks) == 0 {
		return failure.Shorten(text)
	}
	last := blocks[len(blocks)-1]
	result := last
	if len(blocks) > 1 {
		location, _, _ := strings.Cut(blocks[0], " ")
		result += " (reached from " + strings.TrimSuffix(location, ":") + ")"
	}
	return failure.Shorten(result)
}

// traceBlocks splits the indented lines of a trace into one text for each level: "location: executing … at <…>: cause".
func traceBlocks(text string) []string {
	if !strings.Contains(text, "\n  ") {
		return nil
	}
	var blocks []string
	for line := range strings.SplitSeq(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "":
		case !strings.HasPrefix(line, " ") && strings.Contains(trimmed, ":") && !strings.Contains(trimmed, " "):
			blocks = append(blocks, trimmed+":")
		case len(blocks) == 0:
			return nil
		default:
			blocks[len(blocks)-1] += " " + trimmed
		}
	}
	return blocks
}
