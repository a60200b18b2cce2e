package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// ImportImages puts image archives into the store of a running cluster with real pods.
func ImportImages(ctx context.Context, folder Folder, archives []string) error {
	state, err := folder.Load()
	if err != nil {
		return err
	}
	if state.Pods != Real {
		return errors.New("this cluster has fake pods: they need no image")
	}
	return importImages(ctx, folder, state, archives, func(string, ...any) {})
}

// importImages waits for containerd, which starts with the box. The socket is inside the box, where the kernel lets a
// process outside find it below /proc/PID/root.
func importImages(ctx context.Context, folder Folder, state *State, archives []string, say func(string, ...any)) error {
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(context.Context) (bool, error) {
		if current, err := folder.Load(); err == nil && current.Box.PID != 0 {
			state.Box = current.Box
		}
		if state.Box.PID == 0 {
			return false, nil
		}
		_, err := os.Stat(socketFromOutside(state))
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for containerd: %w", err)
	}
	for _, archive := range archives {
		began := time.Now()
		command := exec.CommandContext(ctx, ctrPath, "--address", socketFromOutside(state), "--namespace", "k8s.io",
			"images", "import", archive)
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("import %s: %w: %s", archive, err, strings.TrimSpace(string(output)))
		}
		say("image %s imported in %.1fs", filepath.Base(archive), time.Since(began).Seconds())
	}
	return nil
}

func socketFromOutside(state *State) string {
	return filepath.Join("/proc", strconv.Itoa(state.Box.PID), "root", containerdSocket)
}

// BundledImages lists the archives that lie beside this program, in images/.
func BundledImages() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	folder := filepath.Join(filepath.Dir(self), "images")
	archives, err := filepath.Glob(filepath.Join(folder, "*.tar"))
	if err != nil {
		return nil, err
	}
	if len(archives) == 0 {
		return nil, fmt.Errorf("no image archives in %s: at least that of %s must be there", folder, workloadImage)
	}
	return archives, nil
}
