// Package image writes container images from local files, into an archive or a registry. It pulls nothing and runs
// nothing. The same files give the same image: layers have no times, owners or history.
package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Options describe an image.
type Options struct {
	Name string
	// Out is the archive to write, which container runtimes import.
	Out string
	// Push uploads it under its name; credentials are those of `docker login`.
	Push       bool
	User       string
	Layers     []Layer
	Entrypoint []string
	Labels     map[string]string
}

// Write makes an image and returns its digest.
func Write(ctx context.Context, options Options) (string, error) {
	tag, err := name.NewTag(options.Name)
	if err != nil {
		return "", fmt.Errorf("--name: %w", err)
	}
	if (options.Out == "" && !options.Push) || len(options.Layers) == 0 || len(options.Entrypoint) == 0 {
		return "", errors.New("--out or --push, --file or --program, and --entrypoint must be given")
	}
	image, err := build(options)
	if err != nil {
		return "", err
	}
	digest, err := image.Digest()
	if err != nil {
		return "", err
	}
	if options.Out != "" {
		temporary := fmt.Sprintf("%s.%d", options.Out, os.Getpid())
		if err := tarball.WriteToFile(temporary, tag, image); err != nil {
			return "", fmt.Errorf("write %s: %w", options.Out, err)
		}
		if err := os.Rename(temporary, options.Out); err != nil {
			return "", err
		}
	}
	if options.Push {
		credentials := remote.WithAuthFromKeychain(authn.DefaultKeychain)
		if err := remote.Write(tag, image, credentials, remote.WithContext(ctx)); err != nil {
			return "", fmt.Errorf("push %s: %w", options.Name, err)
		}
	}
	return digest.String(), nil
}

func build(options Options) (v1.Image, error) {
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	written := map[string]bool{}
	for number, layer := range options.Layers {
		content, err := layer.write(number == 0, written)
		if err != nil {
			return nil, err
		}
		packed, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(content)), nil
		}, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return nil, fmt.Errorf("make a layer: %w", err)
		}
		if image, err = mutate.AppendLayers(image, packed); err != nil {
			return nil, fmt.Errorf("add a layer: %w", err)
		}
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config = v1.Config{Entrypoint: options.Entrypoint, User: options.User, WorkingDir: "/", Labels: options.Labels}
	if image, err = mutate.ConfigFile(image, file); err != nil {
		return nil, fmt.Errorf("configure the image: %w", err)
	}
	return image, nil
}
