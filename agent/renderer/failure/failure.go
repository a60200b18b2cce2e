// Package failure gives each reason for which a render ends without a result a kind the agent can act on, and shortens
// what libraries say until it can be shown to a user. It is the one place where text of a library becomes text of an
// error, so it is also where anything that may be file content (quoted values, dumps of objects) is taken out.
package failure

import "errors"

// Kind tells the agent what went wrong.
type Kind string

const (
	// BadRequest: a field of the Application cannot be used as it is.
	BadRequest Kind = "badRequest"
	// Invalid: a file of the repository is not what it should be.
	Invalid Kind = "invalid"
	// Tool: kustomize or Helm refused.
	Tool Kind = "tool"
	// Unsupported: something the agent deliberately does not do.
	Unsupported Kind = "unsupported"
	// Missing: a file or folder does not exist.
	Missing Kind = "missing"
	// MissingDependencies: charts of Chart.yaml's dependencies are not in charts/.
	MissingDependencies Kind = "missingDependencies"
	// MissingRemotes: things outside of the repository are needed, which the agent has to get.
	MissingRemotes Kind = "missingRemotes"
	// Refused: the agent itself refused to serve a path; it knows why.
	Refused Kind = "refused"
)

// Dependency is one entry of a chart's dependencies that is not vendored.
type Dependency struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	Repository string `json:"repository"`
}

// Remote is something outside of the repository that a kustomization refers to: a chart, a commit of another repository, or a file.
type Remote struct {
	// Kind is chart, git or file.
	Kind string `json:"kind"`
	// URL of the repository or the file.
	URL string `json:"url"`
	// Name of the chart.
	Name string `json:"name,omitempty"`
	// Revision is a branch, tag or commit, or the version of a chart; empty for what the server has for default.
	Revision string `json:"revision,omitempty"`
	// In is the file that refers to it.
	In string `json:"in,omitempty"`
}

// Failure is an error with a kind and, where known, a place.
type Failure struct {
	Kind         Kind         `json:"kind"`
	Message      string       `json:"message"`
	Path         string       `json:"path,omitempty"`
	Line         int          `json:"line,omitempty"`
	Dependencies []Dependency `json:"dependencies,omitempty"`
	Remotes      []Remote     `json:"remotes,omitempty"`
}

// Error implements error.
func (f *Failure) Error() string { return f.Message }

// New makes a failure with a text of our own.
func New(kind Kind, message string) *Failure { return &Failure{Kind: kind, Message: message} }

// At is New with a place.
func At(kind Kind, path string, line int, message string) *Failure {
	return &Failure{Kind: kind, Path: path, Line: line, Message: message}
}

// Of turns any error into a failure: its own one when there is one in the chain, else a shortened tool failure.
func Of(err error) *Failure {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f
	}
	return New(Tool, Shorten(err.Error()))
}
