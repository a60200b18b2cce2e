package cluster

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/kubectl-gitops/kubectl-gitops/tests/cluster/internal/supervisor"
)

// Guard runs in the background for as long as the cluster does. It holds the folder's lock, and with it every process of
// the cluster: whatever ends the guard ends them.
func Guard(folder Folder) error {
	lock, err := os.OpenFile(folder.lockFile(), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another cluster runs in %s: %w", folder, err)
	}
	state, err := folder.Load()
	if err != nil {
		return err
	}
	state.Guard, err = supervisor.Identify(os.Getpid())
	if err != nil {
		return err
	}
	if err := folder.save(state); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	set := &supervisor.Set{
		Held: folder.held(), Ready: folder.readyFile(), Done: outlived(folder, state), Note: note,
	}
	if state.Pods == Real {
		set.Held = os.DevNull // the box obeys it, not the guard
		process, finish, err := boxProcess(folder, state, self)
		if err != nil {
			return err
		}
		defer finish()
		set.Processes = []supervisor.Process{process}
		err = set.Run()
		return errors.Join(err, removeKernelObjects(state))
	}
	kwok, err := fakeNodes(folder, state, self)
	if err != nil {
		return err
	}
	set.Processes = append(controlPlane(folder, state, self), kwok)
	return set.Run()
}

// outlived tells when the process that the cluster belongs to has ended.
func outlived(folder Folder, state *State) func() string {
	ready := false
	return func() string {
		if !ready {
			_, err := os.Stat(folder.readyFile())
			ready = err == nil
		}
		switch {
		case !ready && !state.Starter.Alive():
			return "the starting command ended before the cluster was ready"
		case state.Parent != nil && !state.Parent.Alive():
			return fmt.Sprintf("process %d, which this cluster belongs to, has ended", state.Parent.PID)
		}
		return ""
	}
}

func note(format string, values ...any) {
	fmt.Printf("%s %s\n", time.Now().UTC().Format("15:04:05.000"), fmt.Sprintf(format, values...))
}
