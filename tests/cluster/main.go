// Command gitops-cluster is a Kubernetes cluster for tests, in one binary.
//
// It links etcd, the control plane, the kubelet, kube-proxy, kubectl and kwok from their published modules (with the build
// tag `demo` only what the demo needs: see demo.go), and adds the commands that assemble them: up, down, image loading, and the Git, chart and image servers that tests pull from. It is
// never part of what users install.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// command is one word after the program's name.
type command struct {
	name    string
	summary string // empty: internal, not listed
	run     func(args []string) error
}

func commands() []command {
	return []command{
		{"up", "start a cluster and return when it is ready", up},
		{"down", "end a cluster and remove all it made", down},
		{"load-image", "import image archives into a running cluster with real pods", loadImage},
		{"image", "write an image archive from local files, without a container engine", buildImage},
		{"hold", "stop components of a running cluster and keep them stopped", hold},
		{"release", "let held components run again", release},
		{"servers", "serve Git, Helm charts and images to tests, in the foreground", serve},
		{"kubectl", "kubectl of the same version", kubectl},
		{"guard", "", guard},
		{"box", "", box},
		{"etcd", "", etcd},
		{"kube-apiserver", "", apiserver},
		{"kwok", "", kwok},
	}
}

func main() {
	arguments := os.Args[1:]
	if filepath.Base(os.Args[0]) == "kubectl" {
		arguments = append([]string{"kubectl"}, arguments...)
	}
	if len(arguments) == 0 {
		usage()
		os.Exit(2)
	}
	all := append(commands(), variant()...)
	chosen := slices.IndexFunc(all, func(c command) bool { return c.name == arguments[0] })
	if chosen < 0 {
		fmt.Fprintf(os.Stderr, "gitops-cluster: no command %q\n", arguments[0])
		usage()
		os.Exit(2)
	}
	if err := all[chosen].run(arguments[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "gitops-cluster %s: %v\n", arguments[0], err)
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: gitops-cluster COMMAND [flags]    (COMMAND --help lists the flags)")
	for _, c := range commands() {
		if c.summary != "" {
			fmt.Fprintf(os.Stderr, "  %-12s %s\n", c.name, c.summary)
		}
	}
}
