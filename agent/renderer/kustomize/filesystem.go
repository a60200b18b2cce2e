package kustomize

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/manifest"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/protocol"
	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/tree"
)

// mount is where kustomize finds the repository. Anything else is outside of it; with the repository at / a path with
// too many `..` would quietly come back in.
const mount = "/repository"

var errReadOnly = errors.New("the repository cannot be written to")

// filesystem is the repository as kustomize's FileSystem, read only but for replaced.
type filesystem struct {
	trees *tree.Trees
	// replaced holds the application's kustomization file after its options are written into it.
	replaced map[string][]byte
	// read remembers files kustomize read, to find out where an object came from.
	read map[string][]byte
	// refusal is the first thing in a kustomization file this agent does not do.
	refusal *failure.Failure
	// remotes are what lies outside of the repository, and charts where kustomize would have put them.
	remotes remotes
	warn    func(string)
}

func newFilesystem(trees *tree.Trees, given []protocol.Remote, warn func(string)) *filesystem {
	return &filesystem{trees: trees, warn: warn, replaced: map[string][]byte{}, read: map[string][]byte{}, remotes: newRemotes(given)}
}

// spot is where a name of kustomize's leads.
type spot struct {
	// shown is how people know it: the path from the repository's root, or from that of another one, with its address.
	shown string
	tree  string
	path  string
	// root is what kustomize knows the tree's root as.
	root string
}

// spot finds the tree a name is in; what is in none is refused.
func (f *filesystem) spot(name string) (spot, error) {
	clean := path.Clean(name)
	if !path.IsAbs(clean) {
		clean = path.Join(mount, clean)
	}
	if found, ok := f.remotes.spot(clean); ok {
		return found, nil
	}
	if clean == mount {
		return spot{root: mount}, nil
	}
	relative, found := strings.CutPrefix(clean, mount+"/")
	if !found {
		shown, err := relativeTo(mount, clean)
		if err != nil {
			shown = clean
		}
		refusal := failure.At(failure.Invalid, shown, 0,
			fmt.Sprintf("a kustomization file refers to %s (seen from the repository's root), which is outside of the repository; keep bases, resources and patches inside", shown))
		return spot{}, f.refuse(refusal)
	}
	return spot{shown: relative, path: relative, root: mount}, nil
}

// refuse keeps the first refusal, behind which kustomize's words for its consequences must not hide it.
func (f *filesystem) refuse(refusal *failure.Failure) *failure.Failure {
	if f.refusal == nil {
		f.refusal = refusal
	}
	return refusal
}

func (f *filesystem) stat(name string) (tree.Entry, error) {
	at, err := f.spot(name)
	if err != nil {
		return tree.Entry{}, err
	}
	return f.trees.Stat(at.tree, at.path)
}

func notExist(name string) error { return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist} }

// IsDir implements filesys.FileSystem.
func (f *filesystem) IsDir(name string) bool {
	entry, err := f.stat(name)
	return err == nil && entry.Kind == tree.Directory
}

// Exists implements filesys.FileSystem.
func (f *filesystem) Exists(name string) bool {
	entry, err := f.stat(name)
	return err == nil && entry.Kind != tree.Absent
}

// CleanedAbs implements filesys.FileSystem: links are followed, as they are on a disk.
func (f *filesystem) CleanedAbs(name string) (filesys.ConfirmedDir, string, error) {
	at, err := f.spot(name)
	if err != nil {
		return "", "", err
	}
	entry, err := f.trees.Stat(at.tree, at.path)
	if err != nil {
		return "", "", err
	}
	real := path.Join(at.root, entry.Real)
	switch entry.Kind {
	case tree.Directory:
		return filesys.ConfirmedDir(real), "", nil
	case tree.File:
		return filesys.ConfirmedDir(path.Dir(real)), path.Base(real), nil
	default:
		return "", "", notExist(name)
	}
}

// ReadFile implements filesys.FileSystem.
func (f *filesystem) ReadFile(name string) ([]byte, error) {
	at, err := f.spot(name)
	if err != nil {
		return nil, err
	}
	if content, ok := f.replaced[at.shown]; ok {
		return content, nil
	}
	if content, ok := f.read[at.shown]; ok {
		return content, nil
	}
	entry, err := f.trees.Stat(at.tree, at.path)
	if err != nil {
		return nil, err
	}
	if entry.Kind == tree.Absent {
		return nil, notExist(name)
	}
	content, err := f.trees.Read(at.tree, at.path)
	if err != nil {
		return nil, err
	}
	if problem := manifest.NotFetched(content); problem != "" {
		return nil, f.refuse(failure.At(failure.Invalid, at.shown, 0, fmt.Sprintf("%s %s", at.shown, problem)))
	}
	if isKustomizationFile(at.path) {
		if content, err = f.localized(path.Clean(name), at, content); err != nil {
			return nil, err
		}
	}
	f.read[at.shown] = content
	return content, nil
}

// ReadDir implements filesys.FileSystem.
func (f *filesystem) ReadDir(name string) ([]string, error) {
	at, err := f.spot(name)
	if err != nil {
		return nil, err
	}
	items, err := f.trees.List(at.tree, at.path)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(items))
	for _, item := range items {
		names = append(names, item.Name)
	}
	return names, nil
}

// Glob implements filesys.FileSystem with the semantics of filepath.Glob; only folders a pattern element leads through are listed.
func (f *filesystem) Glob(pattern string) ([]string, error) {
	if _, err := filepath.Match(pattern, ""); err != nil {
		return nil, err
	}
	if !strings.ContainsAny(pattern, `*?[\`) {
		if f.Exists(pattern) {
			return []string{pattern}, nil
		}
		return nil, nil
	}
	parents, err := f.Glob(path.Dir(pattern))
	if err != nil {
		return nil, err
	}
	var matches []string
	for _, parent := range parents {
		if !f.IsDir(parent) {
			continue
		}
		names, err := f.ReadDir(parent)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if matched, _ := filepath.Match(path.Base(pattern), name); matched {
				matches = append(matches, path.Join(parent, name))
			}
		}
	}
	sort.Strings(matches)
	return matches, nil
}

// Walk implements filesys.FileSystem.
func (f *filesystem) Walk(root string, walk filepath.WalkFunc) error {
	entry, err := f.stat(root)
	if err != nil {
		return walk(root, nil, err)
	}
	err = f.walk(root, information{path.Base(root), entry.Kind == tree.Directory}, walk, 0)
	if errors.Is(err, filepath.SkipDir) || errors.Is(err, filepath.SkipAll) {
		return nil
	}
	return err
}

func (f *filesystem) walk(name string, info information, visit filepath.WalkFunc, depth int) error {
	if depth > 64 {
		return fmt.Errorf("%s: folders are nested more than 64 deep", name)
	}
	err := visit(name, info, nil)
	if err != nil || !info.directory {
		if errors.Is(err, filepath.SkipDir) && info.directory {
			return nil
		}
		return err
	}
	at, err := f.spot(name)
	if err != nil {
		return err
	}
	items, err := f.trees.List(at.tree, at.path)
	if err != nil {
		return visit(name, info, err)
	}
	for _, item := range items {
		child := information{item.Name, item.Kind == tree.Directory && !item.Link}
		if err := f.walk(path.Join(name, item.Name), child, visit, depth+1); err != nil {
			if errors.Is(err, filepath.SkipDir) {
				break
			}
			return err
		}
	}
	return nil
}

// Create implements filesys.FileSystem by refusing.
func (f *filesystem) Create(string) (filesys.File, error) { return nil, errReadOnly }

// Mkdir implements filesys.FileSystem by refusing.
func (f *filesystem) Mkdir(string) error { return errReadOnly }

// MkdirAll implements filesys.FileSystem by refusing.
func (f *filesystem) MkdirAll(string) error { return errReadOnly }

// RemoveAll implements filesys.FileSystem by refusing.
func (f *filesystem) RemoveAll(string) error { return errReadOnly }

// WriteFile implements filesys.FileSystem by refusing.
func (f *filesystem) WriteFile(string, []byte) error { return errReadOnly }

// Open implements filesys.FileSystem by refusing: kustomize reads whole files only.
func (f *filesystem) Open(string) (filesys.File, error) {
	return nil, errors.New("files can only be read whole")
}

type information struct {
	name      string
	directory bool
}

// The methods of fs.FileInfo.
func (i information) Name() string       { return i.name }
func (i information) Size() int64        { return 0 }
func (i information) ModTime() time.Time { return time.Time{} }
func (i information) IsDir() bool        { return i.directory }
func (i information) Sys() any           { return nil }
func (i information) Mode() os.FileMode {
	if i.directory {
		return os.ModeDir | 0o755
	}
	return 0o644
}
