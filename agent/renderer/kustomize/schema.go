package kustomize

import (
	"errors"
	"strings"
	"sync/atomic"

	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/openapi"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
)

// kustomize keeps the OpenAPI schema, which decides how lists are patched, in variables of the process: a kustomization's
// `openapi:` adds to them, and krusty does not take that back for the next one. A search of every package of this program
// for variables that are written after their package's start found no other one that changes a result; the rest are
// caches by type and pools.

// unclean is set while a build runs and stays set when the build left a schema of its own, or did not come to its end.
var unclean atomic.Bool

// withOwnSchema runs a build that sees the built-in schema and what its own kustomization adds to it, whatever ran in this
// process before. Parsing the built-in schema takes as long as twenty small builds, so it is kept where it is known to be
// untouched.
func withOwnSchema(build func() (resmap.ResMap, error)) (result resmap.ResMap, err error) {
	if unclean.Swap(true) {
		openapi.ResetOpenAPI()
	}
	defer func() {
		if cause := recover(); cause != nil {
			if !isInvalidSchema(cause) {
				panic(cause)
			}
			err = failure.New(failure.Invalid, "kustomize: the file that openapi.path of a kustomization file names is not an OpenAPI schema in JSON or YAML; correct it or leave it out")
		}
	}()
	result, err = build()
	unclean.Store(HasForeignSchema())
	return result, err
}

// HasForeignSchema tells whether the last build chose a schema: with `openapi:` in its kustomization file or in one of its
// bases.
func HasForeignSchema() bool { return openapi.GetSchemaVersion() != openapi.DefaultOpenAPI }

// isInvalidSchema recognizes kyaml's panic about the file of `openapi.path`, which is the author's mistake.
func isInvalidSchema(cause any) bool {
	err, ok := cause.(error)
	return ok && strings.HasPrefix(err.Error(), "invalid schema file: ") && errors.Unwrap(err) != nil
}
