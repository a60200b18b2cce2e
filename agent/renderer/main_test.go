package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/jail"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
)

// asWorker in the environment makes the test's own program a worker, as its value says.
const asWorker = "GITOPS_RENDERER_TEST"

// tryForbidden prints what comes of calls a worker may not make; set where there is a jail.
var tryForbidden = func() {}

const workerMemory = 1 << 30

func TestMain(m *testing.M) {
	switch os.Getenv(asWorker) {
	case "":
		// Panics are part of the tests, and their stacks of no interest.
		if nowhere, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
			stderr = nowhere
		}
		silence()
		os.Exit(m.Run())
	case "worker":
		if err := run(workerMemory); err != nil {
			fmt.Fprintln(stderr, "gitops-renderer:", err)
			os.Exit(1)
		}
	case "forbidden":
		if _, err := jail.Enter(workerMemory); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		tryForbidden()
	}
	os.Exit(0)
}

// worker is a process as the agent starts it, in its jail.
type worker struct {
	*agent
	hello  frame
	errors *strings.Builder
}

func startWorker(t testing.TB) *worker {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program)
	command.Env = []string{asWorker + "=worker"}
	command.Dir = "/"
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	started := &worker{errors: &strings.Builder{}}
	command.Stderr = started.errors
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	started.agent = &agent{connection: protocol.NewConnection(bufio.NewReader(output), input)}
	started.close = func() { _ = input.Close(); _ = command.Wait() }
	if _, err := started.connection.Receive(&started.hello); err != nil {
		started.close()
		t.Fatalf("the worker did not start: %v\n%s", err, started.errors)
	}
	return started
}

// baseline renders every fixture in jailed workers, each as long as it takes jobs.
func baseline(t testing.TB, cases []testCase) map[string]outcome {
	t.Helper()
	results := map[string]outcome{}
	var current *worker
	for _, test := range cases {
		if current == nil {
			current = startWorker(t)
		}
		result, err := current.render(test)
		if err != nil {
			current.close()
			t.Fatalf("%s: %v\n%s", test.name, err, current.errors)
		}
		results[test.name] = result
		if result.last {
			current.close()
			current = nil
		}
	}
	if current != nil {
		current.close()
	}
	return results
}
