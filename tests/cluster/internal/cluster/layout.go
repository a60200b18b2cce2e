// Package cluster starts and ends test clusters. All that belongs to one cluster is below one folder, or carries its
// number, so that any number of them can run side by side and each can be removed without touching another.
package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kubectl-gitops/kubectl-gitops/tests/cluster/internal/supervisor"
)

// Pods says what runs pods.
type Pods string

const (
	// Fake pods become Ready without running anything; works anywhere.
	Fake Pods = "fake"
	// Real pods run in containers on a real kubelet; needs Linux and root.
	Real Pods = "real"
)

// State is what a cluster's folder remembers of it, in cluster.json.
type State struct {
	Pods Pods `json:"pods"`
	// APIAddress is the address of the API server, without port.
	APIAddress string `json:"apiAddress"`
	// HostAddress is where pods and the API server reach a server that a test runs.
	HostAddress string `json:"hostAddress"`
	APIPort     int    `json:"apiPort"`
	EtcdPort    int    `json:"etcdPort"`
	PeerPort    int    `json:"peerPort"`
	// Slot numbers the networks and control groups of a cluster with real pods.
	Slot int `json:"slot"`
	// Nodes is the number of fake nodes.
	Nodes int `json:"nodes"`
	// Audit writes one line per API request.
	Audit bool `json:"audit"`
	// Parent is the process that the cluster must not outlive.
	Parent *supervisor.Identity `json:"parent,omitempty"`
	// Starter is the `up` command; until the cluster is ready it must not outlive that either.
	Starter supervisor.Identity `json:"starter"`
	// Guard is the process that holds all others.
	Guard supervisor.Identity `json:"guard"`
	// Box is the first process of the private namespaces of a cluster with real pods.
	Box supervisor.Identity `json:"box"`
}

// Server is the URL of the API server.
func (s *State) Server() string {
	return fmt.Sprintf("https://%s:%d", s.APIAddress, s.APIPort)
}

// Folder is the folder of one cluster.
type Folder string

// NewFolder returns the folder at an absolute path.
func NewFolder(path string) (Folder, error) {
	if path == "" {
		return "", errors.New("--dir is missing: name a folder for the cluster's files")
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("--dir %s: %w", path, err)
	}
	return Folder(absolute), nil
}

func (f Folder) path(parts ...string) string {
	return filepath.Join(append([]string{string(f)}, parts...)...)
}

// Kubeconfig is the administrator's.
func (f Folder) Kubeconfig() string { return f.path("kubeconfig") }

func (f Folder) stateFile() string       { return f.path("cluster.json") }
func (f Folder) readyFile() string       { return f.path("ready") }
func (f Folder) lockFile() string        { return f.path("lock") }
func (f Folder) held() string            { return f.path("held") }
func (f Folder) log(name string) string  { return f.path("logs", name+".log") }
func (f Folder) cert(name string) string { return f.path("pki", name+".crt") }
func (f Folder) key(name string) string  { return f.path("pki", name+".key") }
func (f Folder) client(name string) string {
	return f.path("pki", name+".kubeconfig")
}

// made lists what a cluster puts into its folder, except logs, which outlive it so that a failure can be read.
func (f Folder) made() []string {
	return []string{
		f.path("etcd"), f.path("pki"), f.path("node"), f.path("kwok"), f.held(),
		f.Kubeconfig(), f.readyFile(), f.stateFile(),
	}
}

// Load reads the state; a folder without a cluster gives os.ErrNotExist.
func (f Folder) Load() (*State, error) {
	text, err := os.ReadFile(f.stateFile())
	if err != nil {
		return nil, fmt.Errorf("no cluster in %s: %w", f, err)
	}
	state := new(State)
	if err := json.Unmarshal(text, state); err != nil {
		return nil, fmt.Errorf("%s is damaged (%w): remove the folder by hand", f.stateFile(), err)
	}
	return state, nil
}

func (f Folder) save(state *State) error {
	text, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the state: %w", err)
	}
	return write(f.stateFile(), append(text, '\n'), 0o644)
}

// write replaces a file at once: a reader sees the old or the new content, never a part.
func write(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the folder of %s: %w", path, err)
	}
	temporary := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(temporary, content, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
