package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

var holdable = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok", "containerd", "kubelet", "kube-proxy",
}

// Hold stops components, as an outage would, and keeps them stopped. It returns when they are.
func Hold(ctx context.Context, folder Folder, names []string) error {
	if err := checkNames(folder, names); err != nil {
		return err
	}
	for _, name := range names {
		if err := write(filepath.Join(folder.held(), name), nil, 0o644); err != nil {
			return err
		}
	}
	for len(processesOf(folder, names)) > 0 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the components do not stop: %w", ctx.Err())
		case <-time.After(pollInterval):
		}
	}
	return nil
}

// Release lets held components run again. It returns at once: a client sees by itself when they answer.
func Release(folder Folder, names []string) error {
	if err := checkNames(folder, names); err != nil {
		return err
	}
	for _, name := range names {
		if err := os.Remove(filepath.Join(folder.held(), name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("release %s: %w", name, err)
		}
	}
	return nil
}

func checkNames(folder Folder, names []string) error {
	if !folder.guarded() {
		return fmt.Errorf("no cluster runs in %s", folder)
	}
	if len(names) == 0 {
		return fmt.Errorf("name one or more of %v", holdable)
	}
	for _, name := range names {
		if !slices.Contains(holdable, name) {
			return fmt.Errorf("no component %q: want one of %v", name, holdable)
		}
	}
	return nil
}
