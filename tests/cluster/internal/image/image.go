// Package image writes container images from local files. It pulls nothing and runs nothing.
package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Options describe an image.
type Options struct {
	Name string
	Out  string
	User string
	// Files are SOURCE:/path/in/the/image.
	Files      []string
	Entrypoint []string
}

// Write writes an archive that container runtimes import. The same files give the same bytes.
func Write(options Options) error {
	tag, err := name.NewTag(options.Name)
	if err != nil {
		return fmt.Errorf("--name: %w", err)
	}
	if options.Out == "" || len(options.Files) == 0 || len(options.Entrypoint) == 0 {
		return errors.New("--out, --file and --entrypoint must all be given")
	}
	content, err := layer(options.Files)
	if err != nil {
		return err
	}
	compressed, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	})
	if err != nil {
		return fmt.Errorf("make the layer: %w", err)
	}
	image, err := mutate.AppendLayers(empty.Image, compressed)
	if err != nil {
		return fmt.Errorf("add the layer: %w", err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		return err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config = v1.Config{Entrypoint: options.Entrypoint, User: options.User, WorkingDir: "/"}
	if image, err = mutate.ConfigFile(image, file); err != nil {
		return fmt.Errorf("configure the image: %w", err)
	}
	temporary := fmt.Sprintf("%s.%d", options.Out, os.Getpid())
	if err := tarball.WriteToFile(temporary, tag, image); err != nil {
		return fmt.Errorf("write %s: %w", options.Out, err)
	}
	return os.Rename(temporary, options.Out)
}

// layer holds the files, a /tmp, and a user table that knows root and nonroot.
func layer(files []string) ([]byte, error) {
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	made := map[string]bool{"/": true, ".": true}
	if err := folder(archive, made, "tmp", 0o1777); err != nil {
		return nil, err
	}
	const users = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n"
	if err := add(archive, made, "etc/passwd", 0o644, []byte(users)); err != nil {
		return nil, err
	}
	for _, entry := range files {
		source, target, ok := strings.Cut(entry, ":")
		if !ok || !path.IsAbs(target) {
			return nil, fmt.Errorf("--file %s: want SOURCE:/path/in/the/image", entry)
		}
		info, err := os.Stat(source)
		if err != nil {
			return nil, fmt.Errorf("--file: %w", err)
		}
		content, err := os.ReadFile(source)
		if err != nil {
			return nil, fmt.Errorf("--file: %w", err)
		}
		if err := add(archive, made, strings.TrimPrefix(path.Clean(target), "/"), int64(info.Mode().Perm()), content); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func add(archive *tar.Writer, made map[string]bool, name string, mode int64, content []byte) error {
	if err := folder(archive, made, path.Dir(name), 0o755); err != nil {
		return err
	}
	header := &tar.Header{Name: name, Mode: mode, Size: int64(len(content)), Typeflag: tar.TypeReg}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := archive.Write(content)
	return err
}

func folder(archive *tar.Writer, made map[string]bool, name string, mode int64) error {
	if made[name] {
		return nil
	}
	if err := folder(archive, made, path.Dir(name), 0o755); err != nil {
		return err
	}
	made[name] = true
	return archive.WriteHeader(&tar.Header{Name: name + "/", Mode: mode, Typeflag: tar.TypeDir})
}
