package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
)

// Layer is what one layer of an image holds besides its folders.
type Layer struct {
	// Files are SOURCE:/path/in/the/image.
	Files []string
	// Programs are files too, and bring the libraries they are loaded with.
	Programs []string
}

// files are the names in an image, and the files to take them from.
func (l Layer) files() (map[string]string, error) {
	found := map[string]string{}
	for _, entry := range slices.Concat(l.Files, l.Programs) {
		source, target, ok := strings.Cut(entry, ":")
		if !ok || !path.IsAbs(target) {
			return nil, fmt.Errorf("%s: want SOURCE:/path/in/the/image", entry)
		}
		found[path.Clean(target)] = source
	}
	for _, entry := range l.Programs {
		source, _, _ := strings.Cut(entry, ":")
		libraries, err := Libraries(source)
		if err != nil {
			return nil, err
		}
		for _, library := range libraries {
			found[library] = library
		}
	}
	return found, nil
}

// system writes the files every image begins with: a /tmp, a user table that knows root and nonroot, and where names of
// hosts are looked up.
func system(archive *writer) error {
	if err := archive.folder("tmp", 0o1777); err != nil {
		return err
	}
	const users = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n"
	if err := archive.add("etc/passwd", 0o644, []byte(users)); err != nil {
		return err
	}
	return archive.add("etc/nsswitch.conf", 0o644, []byte("passwd: files\nhosts: files dns\n"))
}

// write packs a layer; what an earlier layer has already is left out.
func (l Layer) write(first bool, written map[string]bool) ([]byte, error) {
	files, err := l.files()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	archive := &writer{tar: tar.NewWriter(&out), made: map[string]bool{"/": true, ".": true}}
	if first {
		if err := system(archive); err != nil {
			return nil, err
		}
	}
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if written[name] {
			continue
		}
		written[name] = true
		info, err := os.Stat(files[name])
		if err != nil {
			return nil, err
		}
		content, err := os.ReadFile(files[name])
		if err != nil {
			return nil, err
		}
		// Whoever built it may have another umask.
		mode := int64(0o644)
		if info.Mode().Perm()&0o100 != 0 {
			mode = 0o755
		}
		if err := archive.add(strings.TrimPrefix(name, "/"), mode, content); err != nil {
			return nil, err
		}
	}
	if err := archive.tar.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// writer adds files without times and owners, and the folders they are in.
type writer struct {
	tar  *tar.Writer
	made map[string]bool
}

func (w *writer) add(name string, mode int64, content []byte) error {
	if err := w.folder(path.Dir(name), 0o755); err != nil {
		return err
	}
	header := &tar.Header{Name: name, Mode: mode, Size: int64(len(content)), Typeflag: tar.TypeReg}
	if err := w.tar.WriteHeader(header); err != nil {
		return err
	}
	_, err := w.tar.Write(content)
	return err
}

func (w *writer) folder(name string, mode int64) error {
	if w.made[name] {
		return nil
	}
	if err := w.folder(path.Dir(name), 0o755); err != nil {
		return err
	}
	w.made[name] = true
	return w.tar.WriteHeader(&tar.Header{Name: name + "/", Mode: mode, Typeflag: tar.TypeDir})
}
