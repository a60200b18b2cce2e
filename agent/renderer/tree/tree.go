// Package tree is the repository as this process sees it: questions to the agent, each asked once per job. It decides
// nothing about paths; the agent follows links, refuses what leads out of the repository, and writes down what was read.
package tree

import (
	"fmt"
	"path"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
)

// Kind of an entry, after links are followed.
type Kind int

// What a path can be.
const (
	Absent Kind = iota
	File
	Directory
	// Submodule is only said in listings; what is asked about in it is refused.
	Submodule
)

// Entry is what a path leads to.
type Entry struct {
	Kind Kind
	// Real is the path after links are followed.
	Real string
}

// Item is one name in a folder.
type Item struct {
	Name string
	Kind Kind
	Link bool
}

type key struct{ tree, path string }

// Trees asks for files and folders of the job's trees; "" is the application's own.
type Trees struct {
	connection *protocol.Connection
	entries    map[key]Entry
	listings   map[key][]Item
	// contents are the files read, when the job wants them kept.
	contents map[string][]byte
	// Fault is the first refusal; a library that goes on after it must not hide it.
	Fault *failure.Failure
}

// New forgets everything an earlier job has read.
func New(connection *protocol.Connection) *Trees {
	return &Trees{connection: connection, entries: map[key]Entry{}, listings: map[key][]Item{}}
}

// Keep has the files that are read from now on remembered, so that an error can be searched for what is in them. Only for
// jobs whose library keeps the files in memory all the same.
func (t *Trees) Keep() { t.contents = map[string][]byte{} }

// Kept gives what was read since Keep, by path.
func (t *Trees) Kept() map[string][]byte { return t.contents }

func (t *Trees) ask(kind, tree, name string) (protocol.Answer, []byte, error) {
	if t.Fault != nil {
		return protocol.Answer{}, nil, t.Fault
	}
	var answer protocol.Answer
	if err := t.connection.Send(protocol.Ask{Type: kind, Tree: tree, Path: name}, nil); err != nil {
		return answer, nil, err
	}
	if err := t.connection.Flush(); err != nil {
		return answer, nil, err
	}
	body, err := t.connection.Receive(&answer)
	if err != nil {
		return answer, nil, err
	}
	if answer.Type == "refused" {
		t.Fault = failure.At(failure.Refused, name, 0, fmt.Sprintf("%s is refused", name))
		return answer, nil, t.Fault
	}
	return answer, body, nil
}

func kindOf(name string) Kind {
	switch name {
	case "file":
		return File
	case "directory":
		return Directory
	case "submodule":
		return Submodule
	default:
		return Absent
	}
}

// Stat tells what a path leads to.
func (t *Trees) Stat(tree, name string) (Entry, error) {
	id := key{tree, path.Clean(name)}
	if entry, ok := t.entries[id]; ok {
		return entry, nil
	}
	answer, _, err := t.ask("stat", tree, id.path)
	if err != nil {
		return Entry{}, err
	}
	entry := Entry{Kind: kindOf(answer.Type), Real: answer.Real}
	t.entries[id] = entry
	return entry, nil
}

// Read gives a file's bytes; a path that is absent or a folder is an error.
func (t *Trees) Read(tree, name string) ([]byte, error) {
	answer, body, err := t.ask("read", tree, path.Clean(name))
	if err != nil {
		return nil, err
	}
	switch answer.Type {
	case "content":
		if t.contents != nil {
			t.contents[path.Join(tree, name)] = body
		}
		return body, nil
	case "directory":
		return nil, failure.At(failure.Missing, name, 0, fmt.Sprintf("%s is a folder, a file is needed", name))
	default:
		return nil, failure.At(failure.Missing, name, 0, fmt.Sprintf("%s does not exist", name))
	}
}

// List gives a folder's entries, sorted by name.
func (t *Trees) List(tree, name string) ([]Item, error) {
	id := key{tree, path.Clean(name)}
	if items, ok := t.listings[id]; ok {
		return items, nil
	}
	answer, _, err := t.ask("list", tree, id.path)
	if err != nil {
		return nil, err
	}
	switch answer.Type {
	case "listing":
	case "file":
		return nil, failure.At(failure.Missing, name, 0, fmt.Sprintf("%s is a file, a folder is needed", name))
	default:
		return nil, failure.At(failure.Missing, name, 0, fmt.Sprintf("%s does not exist", name))
	}
	items := make([]Item, 0, len(answer.Items))
	for _, item := range answer.Items {
		items = append(items, Item{Name: item.Name, Kind: kindOf(item.Kind), Link: item.Link})
	}
	t.listings[id] = items
	return items, nil
}
