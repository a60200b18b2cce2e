package cluster

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kubectl-gitops/kubectl-gitops/tests/cluster/internal/supervisor"
)

// processesOf finds living components of exactly this cluster, by name.
func processesOf(folder Folder, names []string) []supervisor.Identity {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found []supervisor.Identity
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		process, err := supervisor.Identify(pid)
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err == nil && slices.Contains(names, componentName(line, string(folder))) {
			found = append(found, process)
		}
	}
	return found
}

// componentName reads a command line as /proc shows it, arguments that each end with a zero byte, and returns the name
// of the component, or "" when the process is not one of this cluster: only a program of ours (or containerd) that was
// given the folder, or a file below it, as the value of a flag is.
func componentName(line []byte, folder string) string {
	arguments := strings.Split(string(bytes.TrimRight(line, "\x00")), "\x00")
	name := filepath.Base(arguments[0])
	rest := arguments[1:]
	switch {
	case name == "gitops-cluster" && len(rest) > 0:
		name, rest = rest[0], rest[1:]
	case name != "containerd":
		return ""
	}
	for _, argument := range rest {
		_, value, ok := strings.Cut(argument, "=")
		if ok && strings.HasPrefix(argument, "--") && (value == folder || strings.HasPrefix(value, folder+"/")) {
			return name
		}
	}
	return ""
}
