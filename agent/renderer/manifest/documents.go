// Package manifest turns YAML and JSON text into objects as Kubernetes reads them (sigs.k8s.io/yaml), each with the file,
// the line and the document it came from. It flattens lists; it does not judge objects beyond apiVersion and kind.
package manifest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
)

// NotFetched tells of a file's bytes that they only stand for what the file holds elsewhere or encrypted, and what to do.
func NotFetched(raw []byte) string {
	switch {
	case bytes.HasPrefix(raw, []byte("version https://git-lfs.github.com/spec/")):
		return "is a pointer of Git LFS, whose objects are not fetched; commit the file itself (git lfs migrate export), or leave it out"
	case bytes.HasPrefix(raw, []byte("\x00GITCRYPT\x00")):
		return "is encrypted by git-crypt, and there is no key for it here; keep secrets in a form the cluster decrypts, such as SealedSecrets"
	case bytes.HasPrefix(raw, []byte("age-encryption.org/v1")), bytes.HasPrefix(raw, []byte("-----BEGIN AGE ENCRYPTED FILE-----")),
		bytes.HasPrefix(raw, []byte("-----BEGIN PGP MESSAGE-----")), bytes.HasPrefix(raw, []byte("$ANSIBLE_VAULT;")):
		return "is encrypted, and there is no key for it here; keep secrets in a form the cluster decrypts, such as SealedSecrets"
	}
	return ""
}

// Document is one YAML document of a stream.
type Document struct {
	Text []byte
	// Line of the first line that is neither blank nor a comment, counted from one in the stream.
	Line int
	// First is the stream's line number of the text's first line.
	First int
	// Index counts documents that hold something, from zero.
	Index int
}

// Split cuts a stream at its separators. Only blanks and comments may follow `---`, as in Kubernetes' own reader.
func Split(stream []byte, name string) ([]Document, error) {
	var documents []Document
	start, first, content := 0, 1, 0
	finish := func(end int) {
		if content > 0 {
			text := stream[start:end]
			if !bytes.HasSuffix(text, []byte("\n")) {
				// Kubernetes' own reader ends every line, so that a block scalar on the last one keeps its newline.
				text = append(slices.Clip(text), '\n')
			}
			documents = append(documents, Document{Text: text, Line: content, First: first, Index: len(documents)})
		}
		content = 0
	}
	for offset, number := 0, 1; offset < len(stream); number++ {
		end := len(stream)
		if newline := bytes.IndexByte(stream[offset:], '\n'); newline >= 0 {
			end = offset + newline + 1
		}
		line := stream[offset:end]
		if bytes.HasPrefix(line, []byte("---")) {
			rest := strings.TrimSpace(string(line[3:]))
			if rest != "" && rest[0] != '#' {
				return documents, failure.At(failure.Invalid, name, number,
					fmt.Sprintf("%s:%d: only a comment may follow the document separator ---; put the object on the next line", name, number))
			}
			finish(offset)
			start, first = end, number+1
		} else if trimmed := bytes.TrimSpace(line); content == 0 && len(trimmed) > 0 && trimmed[0] != '#' {
			content = number
		}
		offset = end
	}
	finish(len(stream))
	return documents, nil
}
