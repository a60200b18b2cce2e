// Command gitops-renderer turns folders of a repository into Kubernetes objects with the reference implementations
// themselves: kustomize's and Helm's libraries. It has no files and no network: everything it reads it asks the agent
// for, on standard output, and gets on standard input. It is started by the agent and is of no use on its own.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"

	// Time zones for templates, since /usr/share/zoneinfo is out of reach.
	_ "time/tzdata"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/jail"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/linked"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
)

// stderr is for the one line that says why this process ends; the Go runtime writes its own end there too.
var stderr = os.Stderr

func main() {
	memory := flag.Uint64("memory-bytes", 512<<20, "end with an error when more memory than this is needed")
	version := flag.Bool("version", false, "print the versions of what is linked in, and exit")
	flag.Parse()
	if *version {
		fmt.Printf("kustomize %s\nhelm %s\n", linked.Kustomize(), linked.Helm())
		return
	}
	if err := run(*memory); err != nil {
		fmt.Fprintln(stderr, "gitops-renderer:", err)
		os.Exit(1)
	}
}

func run(memory uint64) error {
	silence()
	http.DefaultTransport = offline{}
	connection := protocol.NewConnection(os.Stdin, os.Stdout)
	hello := protocol.Hello{Type: "hello", Protocol: protocol.Version, Kustomize: linked.Kustomize(), Helm: linked.Helm()}
	report, err := jail.Enter(memory)
	if err != nil {
		return err
	}
	hello.Landlock, hello.Seccomp = report.Landlock, report.Seccomp
	if err := connection.Send(hello, nil); err != nil {
		return err
	}
	if err := connection.Flush(); err != nil {
		return err
	}
	err = serve(connection)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// silence has libraries not log what they read: nobody reads that, and it may be secret.
func silence() {
	log.SetOutput(io.Discard)
	os.Stderr = nil
	slog.SetDefault(slog.New(slog.DiscardHandler))
}

// offline answers what a library would fetch by itself.
type offline struct{}

// RoundTrip implements http.RoundTripper.
func (offline) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("remote files are not fetched; copy the file into the repository")
}
