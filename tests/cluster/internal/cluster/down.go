package cluster

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/kubectl-gitops/kubectl-gitops/tests/cluster/internal/supervisor"
)

const endTimeout = 20 * time.Second

// Down ends the cluster of a folder, if there is one, and removes what it made, except its logs. It may be called at any
// time and any number of times.
func Down(folder Folder) error {
	state, err := folder.Load()
	if errors.Is(err, os.ErrNotExist) {
		return endStrays(folder)
	}
	if err != nil {
		return err
	}
	if err := end(state.Guard, syscall.SIGTERM); err != nil {
		return err
	}
	if err := end(state.Box, syscall.SIGKILL); err != nil {
		return err
	}
	failures := []error{endStrays(folder)}
	if state.Pods == Real {
		failures = append(failures, removeKernelObjects(state))
	}
	if err := errors.Join(failures...); err != nil {
		return err
	}
	for _, path := range folder.made() {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove the cluster's files: %w", err)
		}
	}
	return nil
}

// end sends the signal to exactly this process and waits; one that does not listen is killed.
func end(process supervisor.Identity, signal syscall.Signal) error {
	if process.PID == 0 {
		return nil
	}
	for began := time.Now(); process.Alive(); time.Sleep(10 * time.Millisecond) {
		if waited := time.Since(began); waited > endTimeout {
			return fmt.Errorf("process %d does not end", process.PID)
		} else if waited > endTimeout/2 {
			signal = syscall.SIGKILL
		}
		if err := syscall.Kill(process.PID, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end process %d: %w", process.PID, err)
		}
	}
	return nil
}

// endStrays kills what no guard is left for.
func endStrays(folder Folder) error {
	var failures []error
	for _, process := range processesOf(folder, append([]string{"guard", "box"}, holdable...)) {
		failures = append(failures, end(process, syscall.SIGKILL))
	}
	return errors.Join(failures...)
}

// guarded says whether a guard holds the folder.
func (f Folder) guarded() bool {
	lock, err := os.Open(f.lockFile())
	if err != nil {
		return false
	}
	defer lock.Close()
	return syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
}
