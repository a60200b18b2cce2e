package kustomize

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
)

// outside is where kustomize finds other repositories, each in a folder of its own.
const outside = "/outside"

// fetched is the folder of single files of other servers, below that of the kustomization which refers to them.
const fetched = ".gitops-agent-fetched"

// remotes are the charts and repositories that kustomizations refer to: what the agent has given, and what is still needed.
type remotes struct {
	given []protocol.Remote
	// pulled are charts and single files by the folder in which kustomize looks for them.
	pulled map[string]pulled
	needed []failure.Remote
}

type pulled struct {
	tree, shown string
	// file is the only one in the folder; empty for a chart.
	file string
}

func newRemotes(given []protocol.Remote) remotes {
	return remotes{given: given, pulled: map[string]pulled{}}
}

// find gives the place of a remote among the given, or says that it is needed.
func (r *remotes) find(wanted failure.Remote) (int, bool) {
	at := slices.IndexFunc(r.given, func(one protocol.Remote) bool { return same(one.Remote, wanted) })
	if at < 0 && !slices.ContainsFunc(r.needed, func(one failure.Remote) bool { return same(one, wanted) }) {
		r.needed = append(r.needed, wanted)
	}
	return at, at >= 0
}

func same(one, other failure.Remote) bool {
	one.In, other.In = "", ""
	return one == other
}

// repository is what kustomize knows the root of another repository as, if it is there.
func (r *remotes) repository(wanted failure.Remote) (string, bool) {
	at, ok := r.find(wanted)
	return path.Join(outside, strconv.Itoa(at)), ok
}

func (r *remotes) hasRepositories() bool {
	return slices.ContainsFunc(r.given, func(one protocol.Remote) bool { return one.Kind == "git" })
}

// pull puts a chart where kustomize looks for it, if it is there.
func (r *remotes) pull(folder string, wanted failure.Remote) bool {
	at, ok := r.find(wanted)
	if ok {
		r.pulled[folder] = pulled{tree: r.given[at].Tree, shown: fmt.Sprintf("chart %s %s", wanted.Name, wanted.Revision)}
	}
	return ok
}

// file puts the file behind an address into a folder of its own below the folder of the kustomization that refers to it, if it is there,
// and gives its path from there.
func (r *remotes) file(folder string, wanted failure.Remote) (string, bool) {
	at, ok := r.find(wanted)
	if !ok {
		return "", false
	}
	name := path.Base(strings.TrimRight(withoutQuery(wanted.URL), "/"))
	local := path.Join(fetched, strconv.Itoa(at))
	r.pulled[path.Join(folder, local)] = pulled{tree: r.given[at].Tree, shown: label(wanted), file: name}
	return path.Join(local, name), true
}

func withoutQuery(address string) string {
	address, _, _ = strings.Cut(address, "#")
	address, _, _ = strings.Cut(address, "?")
	return address
}

// spot finds what a clean name means outside of the repository, or in a chart that was pulled.
func (r *remotes) spot(name string) (spot, bool) {
	for folder, chart := range r.pulled {
		if inside, ok := below(folder, name); ok && chart.file != "" {
			return spot{shown: chart.shown, tree: chart.tree, path: inside, root: folder}, true
		} else if ok {
			return spot{shown: path.Join(chart.shown, inside), tree: chart.tree, path: inside, root: folder}, true
		}
	}
	rest, ok := strings.CutPrefix(name, outside+"/")
	if !ok {
		return spot{}, false
	}
	number, inside, _ := strings.Cut(rest, "/")
	at, err := strconv.Atoi(number)
	if err != nil || at < 0 || at >= len(r.given) || r.given[at].Kind != "git" {
		return spot{}, false
	}
	one := r.given[at]
	return spot{shown: strings.TrimSuffix(label(one.Remote)+"//"+inside, "//"), tree: one.Tree, path: inside, root: path.Join(outside, number)}, true
}

// below gives the path from a folder to what is in it, or is it.
func below(folder, name string) (string, bool) {
	if name == folder {
		return "", true
	}
	return strings.CutPrefix(name, folder+"/")
}

// label is how another repository or a file is named to people. What follows a file's address may be a token.
func label(remote failure.Remote) string {
	if remote.Kind == "file" {
		return withoutQuery(withoutPassword(remote.URL))
	}
	return withoutPassword(remote.URL)
}

// isShown tells whether something is named as a part of what is outside.
func (r *remotes) isShown(name string) bool {
	for _, one := range r.given {
		if one.Kind == "git" && strings.HasPrefix(name, label(one.Remote)) {
			return true
		}
	}
	return false
}

// named writes the addresses of other repositories for the folders that kustomize knows.
func (r *remotes) named(text string) string {
	for at, one := range slices.Backward(r.given) {
		if one.Kind == "git" {
			text = strings.ReplaceAll(text, path.Join(outside, strconv.Itoa(at)), label(one.Remote)+"/")
		}
	}
	for folder, one := range r.pulled {
		if one.file != "" {
			name := path.Join(folder, one.file)
			text = strings.ReplaceAll(text, name, one.shown)
			text = strings.ReplaceAll(text, name[strings.LastIndex(name, fetched):], one.shown)
		}
	}
	return text
}

// missing is the failure that asks the agent for what is needed.
func (r *remotes) missing() error {
	if len(r.needed) == 0 {
		return nil
	}
	var names []string
	for _, one := range r.needed {
		if one.Kind == "chart" {
			names = append(names, fmt.Sprintf("chart %s of %s", one.Name, withoutPassword(one.URL)))
		} else {
			names = append(names, label(one))
		}
	}
	first := r.needed[0]
	return &failure.Failure{
		Kind: failure.MissingRemotes, Path: first.In, Remotes: r.needed,
		Message: fmt.Sprintf("%s refers to %s, which is not in this repository", first.In, strings.Join(names, ", ")),
	}
}
