package kustomize

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/api/pkg/util"
	"sigs.k8s.io/kustomize/api/types"

	"github.com/kubectl-gitops/kubectl-gitops/agent/renderer/failure"
)

// preserve in a new name, tag or digest keeps what the kustomization file says.
const preserve = "*"

// setImages merges images as `kustomize edit set image` does.
func setImages(k *types.Kustomization, arguments []string) error {
	if len(arguments) == 0 {
		return nil
	}
	byName := map[string]types.Image{}
	for _, argument := range arguments {
		image, err := parseImage(argument)
		if err != nil {
			return err
		}
		byName[image.Name] = image
	}
	for _, existing := range k.Images {
		image, ok := byName[existing.Name]
		if !ok {
			byName[existing.Name] = existing
			continue
		}
		byName[existing.Name] = kept(image, existing)
	}
	images := make([]types.Image, 0, len(byName))
	for _, image := range byName {
		images = append(images, kept(image, types.Image{}))
	}
	slices.SortFunc(images, func(a, b types.Image) int { return strings.Compare(a.Name, b.Name) })
	k.Images = images
	return nil
}

// kept fills in what an asterisk keeps.
func kept(image, existing types.Image) types.Image {
	result := types.Image{Name: image.Name, NewName: image.NewName, NewTag: image.NewTag, Digest: image.Digest}
	if image.NewName != preserve && image.NewTag != preserve && image.Digest != preserve {
		return image
	}
	if result.NewName == preserve {
		result.NewName = existing.NewName
	}
	if result.NewTag == preserve {
		result.NewTag = existing.NewTag
	}
	if result.Digest == preserve {
		result.Digest = existing.Digest
	}
	return result
}

func parseImage(argument string) (types.Image, error) {
	key, value, replaces := strings.Cut(argument, "=")
	if !replaces {
		key, value = "", argument
	}
	name, tag, digest := util.SplitImageName(value)
	if name == argument {
		return types.Image{}, failure.New(failure.BadRequest,
			fmt.Sprintf("spec.source.kustomize.images: %q says nothing new; write name=newname, name:newtag, name@sha256:… or name=newname:newtag", argument))
	}
	image := types.Image{Name: key, NewName: name, NewTag: tag, Digest: digest}
	if key == "" {
		image.Name, image.NewName = name, ""
	}
	return image, nil
}

func relativeTo(base, target string) (string, error) {
	relative, err := filepath.Rel(base, target)
	if err != nil {
		return "", fmt.Errorf("a path from %s to %s: %w", base, target, err)
	}
	return relative, nil
}
