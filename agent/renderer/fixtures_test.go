package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
)

// The repository's render fixtures, which agent/render compares with the kustomize and helm commands, and an agent that
// serves them. How a fixture file is written is said in agent/render/tests/differential/fixture.rs.

const fixtures = "../../tests/fixtures/render"

// repository is a tree of files; a value that begins with linkMark is a symbolic link to what follows.
type repository map[string]string

const linkMark = "\x00-> "

// testCase is one render.
type testCase struct {
	name  string
	files repository
	job   protocol.Job
	// fails is what the message says when there is to be one.
	fails string
}

// allFixtures are the cases of every fixture file.
func allFixtures(t testing.TB) []testCase {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(fixtures, "*.txt"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no fixtures in %s: %v", fixtures, err)
	}
	var cases []testCase
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		subject := strings.TrimSuffix(filepath.Base(name), ".txt")
		common := repository{}
		for section := range strings.SplitSeq("\n"+string(text), "\n=== ") {
			title, body, _ := strings.Cut(section, "\n")
			if strings.TrimSpace(title) == "" {
				continue
			}
			header, files := splitSection(body)
			if title == "common" {
				common = files
				continue
			}
			all := maps.Clone(common)
			maps.Copy(all, files)
			kind, _, _ := strings.Cut(subject, "_")
			job, err := jobOf(kind, header, all)
			if err != nil {
				t.Fatalf("%s: %s: %v", subject, title, err)
			}
			cases = append(cases, testCase{subject + ": " + title, all, job, header["fails"]})
		}
	}
	return cases
}

func splitSection(body string) (map[string]string, repository) {
	header, files, last, key := map[string]string{}, repository{}, "", ""
	for line := range strings.SplitSeq(body, "\n") {
		title, isFile := strings.CutPrefix(line, "-- ")
		title, closed := strings.CutSuffix(title, " --")
		switch {
		case isFile && closed:
			name, target, isLink := strings.Cut(title, " -> ")
			last, files[name] = name, ""
			if isLink {
				last, files[name] = "", linkMark+target
			}
		case last != "":
			files[last] += line + "\n"
		case strings.HasPrefix(line, " ") && key != "":
			header[key] += line
		default:
			if name, value, found := strings.Cut(line, ":"); found {
				key, header[name] = name, strings.TrimSpace(value)
			}
		}
	}
	return header, files
}

// jobOf does what the agent does with spec.source, as far as fixtures use it.
func jobOf(kind string, header map[string]string, files repository) (protocol.Job, error) {
	folder := path.Clean("/" + header["path"])[1:]
	job := protocol.Job{Type: kind, Path: folder, TimeoutMillis: 600_000}
	options := header[kind]
	if options == "" {
		options = "{}"
	}
	switch kind {
	case "directory":
		job.Directory = &protocol.DirectoryJob{}
		return job, json.Unmarshal([]byte(options), job.Directory)
	case "kustomize":
		options = countAsNumber.Replace(options)
		job.Kustomize = &protocol.KustomizeJob{}
		return job, json.Unmarshal([]byte(options), job.Kustomize)
	}
	var given struct {
		ValueFiles     []string        `json:"valueFiles"`
		ValuesObject   json.RawMessage `json:"valuesObject"`
		FileParameters []struct{ Name, Path string }
	}
	if err := json.Unmarshal([]byte(options), &given); err != nil {
		return job, err
	}
	var rest map[string]any
	if err := json.Unmarshal([]byte(options), &rest); err != nil {
		return job, err
	}
	delete(rest, "valueFiles")
	delete(rest, "fileParameters")
	remaining, err := json.Marshal(rest)
	if err != nil {
		return job, err
	}
	job.Helm = &protocol.HelmJob{ReleaseName: "web", Namespace: "shop", KubeVersion: "v1.36.3", Shown: folder}
	if err := json.Unmarshal(remaining, job.Helm); err != nil {
		return job, err
	}
	if given.ValuesObject != nil {
		job.Helm.Values = string(given.ValuesObject)
	}
	for _, name := range given.ValueFiles {
		job.Helm.ValueFiles = append(job.Helm.ValueFiles, protocol.FileRef{Path: path.Join(folder, name)})
	}
	for _, parameter := range given.FileParameters {
		file := protocol.FileRef{Path: path.Join(folder, parameter.Path)}
		job.Helm.FileParameters = append(job.Helm.FileParameters, protocol.FileValue{Name: parameter.Name, File: file})
	}
	job.Helm.APIVersions = strings.Fields(header["api-versions"])
	return job, nil
}

// countAsNumber is what the agent does with a replica count in quotes.
var countAsNumber = strings.NewReplacer(`"count": "4"`, `"count": 4`)

// resolve follows links; the kind is file, directory or absent.
func (r repository) resolve(name string) (kind, real string) {
	rest, done := strings.Split(path.Clean("/" + name)[1:], "/"), ""
	for hops := 0; len(rest) > 0; {
		step := path.Join(done, rest[0])
		if rest[0] == ".." {
			done, rest = strings.TrimPrefix(path.Dir("/"+done), "/"), rest[1:]
			continue
		}
		target, isLink := strings.CutPrefix(r[step], linkMark)
		if !isLink {
			done, rest = step, rest[1:]
			continue
		}
		if hops++; hops > 40 {
			return "absent", ""
		}
		rest = append(strings.Split(target, "/"), rest[1:]...)
	}
	if _, found := r[done]; found {
		return "file", done
	}
	for other := range r {
		if done == "" || strings.HasPrefix(other, done+"/") {
			return "directory", done
		}
	}
	return "absent", ""
}

func (r repository) answer(ask protocol.Ask) (protocol.Answer, []byte) {
	kind, real := r.resolve(ask.Path)
	switch {
	case kind == "absent":
		return protocol.Answer{Type: "absent"}, nil
	case ask.Type == "stat":
		return protocol.Answer{Type: kind, Real: real}, nil
	case ask.Type == "read" && kind == "file":
		return protocol.Answer{Type: "content"}, []byte(r[real])
	case ask.Type == "list" && kind == "directory":
		return protocol.Answer{Type: "listing", Items: r.items(real)}, nil
	default:
		return protocol.Answer{Type: kind, Real: real}, nil
	}
}

func (r repository) items(folder string) []protocol.Item {
	names := map[string]bool{}
	for name := range r {
		relative, found := name, true
		if folder != "" {
			relative, found = strings.CutPrefix(name, folder+"/")
		}
		if found {
			first, _, _ := strings.Cut(relative, "/")
			names[first] = true
		}
	}
	var items []protocol.Item
	for _, name := range slices.Sorted(maps.Keys(names)) {
		full := path.Join(folder, name)
		kind, _ := r.resolve(full)
		items = append(items, protocol.Item{Name: name, Kind: kind, Link: strings.HasPrefix(r[full], linkMark)})
	}
	return items
}

// agent is the other end of a worker.
type agent struct {
	connection *protocol.Connection
	close      func()
}

// frame is any message of a worker.
type frame struct {
	protocol.Ask
	Message  string   `json:"message"`
	Kind     string   `json:"kind"`
	Line     int      `json:"line"`
	Document int      `json:"document"`
	Warnings []string `json:"warnings"`
	Last     bool     `json:"last"`
	Landlock string   `json:"landlock"`
	Seccomp  string   `json:"seccomp"`
}

// outcome is what a render gave, in one text that tests compare.
type outcome struct {
	text   string
	failed string
	last   bool
}

// render has the worker do a case's job.
func (a *agent) render(test testCase) (outcome, error) {
	var result outcome
	var text bytes.Buffer
	if err := a.connection.Send(test.job, nil); err != nil {
		return result, err
	}
	for {
		if err := a.connection.Flush(); err != nil {
			return result, err
		}
		var message frame
		body, err := a.connection.Receive(&message)
		if err != nil {
			return result, fmt.Errorf("the worker ended: %w", err)
		}
		switch message.Type {
		case "stat", "read", "list":
			answer, content := test.files.answer(message.Ask)
			if err := a.connection.Send(answer, content); err != nil {
				return result, err
			}
		case "object":
			fmt.Fprintf(&text, "%s:%d#%d %s\n", message.Path, message.Line, message.Document, body)
		case "done":
			fmt.Fprintf(&text, "done %q\n", message.Warnings)
			result.text, result.last = text.String(), message.Last
			return result, nil
		case "failed":
			fmt.Fprintf(&text, "failed %s %s:%d %s\n", message.Kind, message.Path, message.Line, message.Message)
			result.text, result.failed, result.last = text.String(), message.Message, message.Last
			return result, nil
		default:
			return result, errors.New("the worker said " + message.Type)
		}
	}
}

// inProcess serves jobs in this process, without a jail.
func inProcess(t testing.TB) *agent {
	t.Helper()
	toWorker, fromAgent := io.Pipe()
	toAgent, fromWorker := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = serve(protocol.NewConnection(toWorker, fromWorker))
		_ = fromWorker.Close()
		_ = toWorker.Close()
	}()
	a := &agent{connection: protocol.NewConnection(toAgent, fromAgent)}
	a.close = func() { _ = fromAgent.Close(); <-ended }
	t.Cleanup(a.close)
	return a
}
