package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/appset"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/directory"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/helm"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/kustomize"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/manifest"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/secret"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/tree"
)

// graceAfterTimeout is how much longer than the agent this process waits before it ends itself.
const graceAfterTimeout = 5 * time.Second

// serve answers jobs until the agent closes standard input, or until this process may no longer take any.
func serve(connection *protocol.Connection) error {
	for {
		var job protocol.Job
		body, err := connection.Receive(&job)
		if err != nil {
			return err
		}
		// The agent kills a process that takes too long. When the agent is gone in the middle of a job, nobody would.
		watchdog := time.AfterFunc(time.Duration(job.TimeoutMillis)*time.Millisecond+graceAfterTimeout, func() { os.Exit(3) })
		last, err := answer(connection, &job, body)
		if err != nil {
			return err
		}
		watchdog.Stop()
		if last {
			return nil
		}
	}
}

// answer runs one job and sends how it ended. last says that the job may have left something behind that the next one
// would notice: after a panic no library promises anything, and a schema of its own replaces kustomize's.
func answer(connection *protocol.Connection, job *protocol.Job, body []byte) (last bool, err error) {
	trees := tree.New(connection)
	if job.Type == "kustomize" || job.Type == "helm" {
		trees.Keep()
	}
	var warnings []string
	warn := func(text string) { warnings = append(warnings, text) }
	var without []string
	found := func(path string) { without = append(without, path) }
	emit := func(object manifest.Object) error {
		header := protocol.Object{Type: "object", Path: object.Path, Line: object.Line, Document: object.Document}
		return connection.Send(header, object.JSON)
	}
	panicked, err := guarded(func() error { return render(trees, job, body, emit, warn, found) })
	last = panicked || kustomize.HasForeignSchema()
	if trees.Fault != nil {
		err = trees.Fault
	}
	if err != nil {
		shown := *failure.Of(err)
		shown.Message = secretsOf(job, trees, body).Mask(shown.Message)
		err = connection.Send(protocol.Failed{Type: "failed", Failure: &shown, Last: last}, nil)
	} else {
		err = connection.Send(protocol.Done{Type: "done", Warnings: warnings, Without: without, Last: last}, nil)
	}
	if err != nil {
		return last, err
	}
	return last, connection.Flush()
}

// secretsOf collects what no message may repeat: from the job's options and from every file it has read.
func secretsOf(job *protocol.Job, trees *tree.Trees, body []byte) *secret.Values {
	values := secret.NewValues()
	values.AddYAML(body)
	for name, content := range trees.Kept() {
		values.AddFile(name, content)
	}
	if job.Kustomize != nil {
		for _, patch := range job.Kustomize.Patches {
			values.AddYAML(patch)
		}
	}
	if job.Directory != nil && job.Directory.Jsonnet != nil {
		for _, variable := range slices.Concat(job.Directory.Jsonnet.TLAs, job.Directory.Jsonnet.ExtVars) {
			values.AddSetting(variable.Name, variable.Value)
		}
	}
	if job.Helm != nil {
		values.AddYAML([]byte(job.Helm.Values))
		for _, parameter := range job.Helm.Parameters {
			values.AddSetting(parameter.Name, parameter.Value)
		}
		values.Allow(job.Helm.ReleaseName)
		values.Allow(job.Helm.Namespace)
	}
	values.Allow(job.Path)
	return values
}

// guarded turns a panic of a library into an error. The stack goes to standard error, for the agent's log.
func guarded(work func() error) (panicked bool, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			fmt.Fprintf(stderr, "%s", debug.Stack())
			panicked = true
			err = failure.New(failure.Tool, "the renderer hit a defect in a library it uses: "+failure.Shorten(fmt.Sprint(cause)))
		}
	}()
	return false, work()
}

func render(trees *tree.Trees, job *protocol.Job, body []byte, emit func(manifest.Object) error, warn, without func(string)) error {
	switch {
	case job.Type == "yaml":
		converted, err := yaml.YAMLToJSON(body)
		if err != nil {
			return failure.At(failure.Invalid, job.Path, 0, fmt.Sprintf("%s: not valid YAML: %s", job.Path, failure.Shorten(err.Error())))
		}
		return emit(manifest.Object{JSON: converted, Path: job.Path})
	case job.Type == "templates":
		return appset.Fill(body, emit)
	case job.Type == "values":
		return appset.Read(body, emit)
	case job.Type == "directory" && job.Directory != nil:
		return directory.Render(trees, job, emit, warn, without)
	case job.Type == "kustomize" && job.Kustomize != nil:
		return kustomize.Render(trees, job, emit, warn)
	case job.Type == "helm" && job.Helm != nil:
		return helm.Render(trees, job, emit, warn)
	default:
		return failure.New(failure.BadRequest, fmt.Sprintf("a job of type %q is not known", job.Type))
	}
}
