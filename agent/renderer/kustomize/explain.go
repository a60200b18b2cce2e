package kustomize

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/api/types"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/manifest"
)

// explain prefers what this side knows over kustomize's words for its consequences.
func (f *filesystem) explain(err error) error {
	if f.trees.Fault != nil {
		return f.trees.Fault
	}
	if f.refusal != nil {
		return f.refusal
	}
	if missing := f.remotes.missing(); missing != nil {
		// What went wrong without them means nothing.
		return missing
	}
	if own, ok := errors.AsType[*failure.Failure](err); ok {
		return own
	}
	text := unquoted(err.Error())
	if strings.Contains(text, "external plugins disabled") || strings.Contains(text, "is external, not built in") {
		return failure.New(failure.Unsupported, "kustomize: "+failure.Shorten(f.cause(text))+
			"; generators and transformers that are programs or containers are not run here, because they come from a repository; commit their output, or use what kustomize has built in")
	}
	if culprit := f.brokenGenerator(text); culprit != nil {
		return culprit
	}
	if culprit := f.unreadable(text); culprit != nil {
		return culprit
	}
	if culprit := f.invalidKustomization(); culprit != nil {
		return culprit
	}
	text = f.remotes.named(text)
	text = strings.ReplaceAll(text, mount+"/", "")
	text = strings.ReplaceAll(text, mount, "the repository's root")
	return failure.New(failure.Tool, "kustomize: "+failure.Shorten(f.cause(text)))
}

// component is how kustomize quotes the whole error of a component, one level a component.
var component = regexp.MustCompile(`(?:accumulating components: )?accumulateDirectory: ("(?:[^"\\]|\\.)*")`)

// accumulated is said before what went wrong in a component's folder.
var accumulated = regexp.MustCompile(`^(?:recursed accumulation of path '[^']*': |accumulating components: )+`)

// unquoted takes the errors of components out of their quotes, so that their reason is seen as that of other folders.
func unquoted(text string) string {
	for range 16 {
		at := component.FindStringSubmatchIndex(text)
		if at == nil {
			break
		}
		inner, err := strconv.Unquote(text[at[2]:at[3]])
		if err != nil {
			break
		}
		text = text[:at[0]] + accumulated.ReplaceAllString(inner, "") + text[at[1]:]
	}
	return text
}

// invalidKustomization finds the kustomization file that is none, since kustomize does not say which one it is.
func (f *filesystem) invalidKustomization() *failure.Failure {
	for _, name := range f.kustomizations() {
		var k types.Kustomization
		if err := k.Unmarshal(f.read[name]); err != nil {
			text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "invalid Kustomization: "), "json: ")
			return failure.At(failure.Invalid, name, 0, fmt.Sprintf("%s: not a valid kustomization: %s", name, failure.Shorten(text)))
		}
	}
	return nil
}

// kustomizations are the kustomization files read so far.
func (f *filesystem) kustomizations() []string {
	var names []string
	for name := range f.read {
		if isKustomizationFile(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// refersTo names the kustomization file an entry is written in.
func (f *filesystem) refersTo(entry string) string {
	for _, name := range f.kustomizations() {
		if bytes.Contains(f.read[name], []byte(entry)) {
			return name
		}
	}
	return "a kustomization file"
}

// unreadable finds the file kustomize could not parse, so that the error has its whole path and the line in the file.
func (f *filesystem) unreadable(text string) *failure.Failure {
	syntaxOnly := strings.Contains(text, "unable to parse SM or JSON patch")
	if !syntaxOnly && !strings.Contains(text, "MalformedYAMLError") && !strings.Contains(text, "missing kind in object") {
		return nil
	}
	names := make([]string, 0, len(f.read))
	for name := range f.read {
		if !isKustomizationFile(name) && strings.Contains(text, path.Base(name)) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		_, err := manifest.FromYAML(f.read[name], name, true, nil)
		if found, ok := errors.AsType[*failure.Failure](err); ok && (!syntaxOnly || strings.Contains(found.Message, "not valid YAML")) {
			return found
		}
	}
	return nil
}

var (
	// kustomize tries an entry as a file, then as a folder, and reports both.
	attempts = regexp.MustCompile(`(?s)^.*?accumulation err='(?:accumulating|merging) resources from '([^']*)': (.*?)': (must build at directory: |recursed accumulation of path '[^']*': |recursed merging from path '[^']*': |couldn't make target for path '[^']*': |cycle detected|new root |expected kind )(.*)$`)
	resource = regexp.MustCompile(`(?s)^(?:accumulating resources: )?accumulating resources from '([^']*)': (.*)$`)
	// A transformer's configuration, and a patch written in place, may hold anything.
	configuration = regexp.MustCompile("(?s)^trouble configuring builtin ([A-Za-z0-9]+) with config: `.*?`: ")
	inlinePatch   = regexp.MustCompile(`(?s)\[(?:path: "[^"]*" )?patch: .*\]`)
	objectDump    = regexp.MustCompile(`in object \{\{.*\}\}`)
)

// cause follows kustomize's nested message to the reason, keeping the last entry it is about.
func (f *filesystem) cause(text string) string {
	entry := ""
	for {
		if found := attempts.FindStringSubmatch(text); found != nil {
			entry = found[1]
			switch {
			case !strings.HasPrefix(found[3], "must build at directory"):
				text = found[4]
				if found[3] == "cycle detected" || found[3] == "new root " || found[3] == "expected kind " {
					text = found[3] + found[4]
				}
			case strings.Contains(found[2], "doesn't exist") || strings.Contains(found[2], "file does not exist"):
				return fmt.Sprintf("%s refers to %s, which does not exist", f.refersTo(entry), entry)
			default:
				text = found[2]
			}
			continue
		}
		if found := resource.FindStringSubmatch(text); found != nil {
			entry, text = found[1], found[2]
			continue
		}
		break
	}
	text = configuration.ReplaceAllString(text, "$1: ")
	text = inlinePatch.ReplaceAllString(text, "the patch written in place")
	text = objectDump.ReplaceAllString(text, "in an object")
	if strings.Contains(text, "security; file") {
		text += "; refer to its folder, which then needs a kustomization.yaml of its own"
	}
	if entry != "" && !strings.HasPrefix(text, entry) {
		text = entry + ": " + text
	}
	return text
}
