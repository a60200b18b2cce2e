package kustomize

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/konfig"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
)

func isKustomizationFile(name string) bool {
	return slices.Contains(konfig.RecognizedKustomizationFileNames(), path.Base(name))
}

// noRemoteFile says that an entry is no address that a single file can be had from.
func noRemoteFile(name, field, entry string) *failure.Failure {
	return failure.At(failure.Unsupported, name, 0,
		fmt.Sprintf("%s: %s has the entry %s, and single files are only had from an https:// or http:// address; name the file as its server has it, or copy it into the repository", name, field, withoutPassword(entry)))
}

// isRemote tells whether kustomize would take an entry for a URL or a Git address. Inline YAML is none.
func isRemote(entry string) bool {
	if strings.ContainsAny(entry, "\n{") {
		return false
	}
	lower := strings.ToLower(entry)
	for _, prefix := range []string{"git::", "gh:", "git@", "github.com/", "github.com:"} {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	return strings.Contains(lower, "://") || strings.Contains(lower, "?ref=") || strings.Contains(lower, ".git//")
}

func withoutPassword(entry string) string {
	if parsed, err := url.Parse(entry); err == nil && parsed.User != nil {
		parsed.User = nil
		return parsed.String()
	}
	return entry
}
