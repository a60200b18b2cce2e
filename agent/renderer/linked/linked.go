// Package linked says which releases of kustomize and Helm this program contains. Their own programs learn that from flags
// of their build; here it is read from the list of modules Go puts into every program, so that no way of building it can
// leave it out.
package linked

import (
	"runtime/debug"
	"strings"
	"sync"
)

const (
	kustomizeModule = "sigs.k8s.io/kustomize/api"
	helmModule      = "helm.sh/helm/v4"

	// The library and the command of kustomize are released together and count their patch releases together.
	kustomizeLibrary = "v0.21."
	kustomizeCommand = "v5.8."
)

// Kustomize is the release of the kustomize command that has the linked library, such as v5.8.2.
var Kustomize = sync.OnceValue(func() string { return command(module(kustomizeModule)) })

// Helm is the linked release, such as v4.3.1.
var Helm = sync.OnceValue(func() string { return module(helmModule) })

// command gives the kustomize command's version for the library's. A library this does not know keeps its own.
func command(library string) string {
	if patch, ok := strings.CutPrefix(library, kustomizeLibrary); ok {
		return kustomizeCommand + patch
	}
	return "api-" + library
}

// module gives the version of a module in this program.
func module(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dependency := range info.Deps {
			if dependency.Path == path {
				return dependency.Version
			}
		}
	}
	return "unknown"
}
