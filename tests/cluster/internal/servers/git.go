package servers

import (
	"bytes"
	"io"
	"net/http"
	"net/http/cgi"
)

// gitHandler serves the repositories below root at prefix, by Git's own smart HTTP program.
func gitHandler(backend, root, prefix string) http.Handler {
	program := &cgi.Handler{
		Path: backend, Root: prefix, Dir: root, Stderr: io.Discard,
		Env:        append(gitSettings(), "GIT_PROJECT_ROOT="+root, "REMOTE_USER="+Username),
		InheritEnv: []string{"PATH"},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength < 0 { // CGI has no chunked bodies, which Git sends for a large push
			body, err := io.ReadAll(r.Body)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		}
		program.ServeHTTP(w, r)
	})
}
