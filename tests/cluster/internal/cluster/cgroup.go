package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	cgroupRoot = "/sys/fs/cgroup"
	slots      = 200
)

func cgroupName(slot int) string { return fmt.Sprintf("gitops-cluster-%d", slot) }

// reserveSlot takes the lowest free number: to make the control group of a number is to own it, and only one process
// can make it.
func reserveSlot(state *State) error {
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	for slot := range slots {
		err := os.Mkdir(filepath.Join(hierarchies[0], cgroupName(slot)), 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("make a control group: %w", err)
		}
		state.Slot = slot
		state.APIAddress, state.HostAddress = nodeAddress(slot), hostAddress(slot)
		if err := makeCgroups(hierarchies, slot); err != nil {
			return errors.Join(err, removeKernelObjects(state))
		}
		return nil
	}
	return fmt.Errorf("all %d numbers for clusters with real pods are in use: end some with down", slots)
}

// cgroupHierarchies lists the mounted hierarchies: one with cgroup v2, one per controller with v1.
func cgroupHierarchies() ([]string, error) {
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		return []string{cgroupRoot}, nil
	}
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return nil, fmt.Errorf("list control groups: %w", err)
	}
	var found []string
	for _, entry := range entries {
		path := filepath.Join(cgroupRoot, entry.Name())
		if _, err := os.Stat(filepath.Join(path, "cgroup.procs")); err == nil && entry.IsDir() {
			found = append(found, path)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no control groups are mounted below %s", cgroupRoot)
	}
	slices.Sort(found)
	return found, nil
}

func makeCgroups(hierarchies []string, slot int) error {
	for _, hierarchy := range hierarchies {
		group := filepath.Join(hierarchy, cgroupName(slot))
		if err := os.MkdirAll(group, 0o755); err != nil {
			return fmt.Errorf("make a control group: %w", err)
		}
		// A new v1 cpuset is empty, and no process can enter it before it has processors and memory.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			inherited, err := os.ReadFile(filepath.Join(hierarchy, file))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(group, file), inherited, 0o644); err != nil {
				return fmt.Errorf("set up a control group: %w", err)
			}
		}
	}
	return nil
}

// removeKernelObjects removes what private namespaces do not take with them: control groups and the network device.
func removeKernelObjects(state *State) error {
	return errors.Join(disconnect(state), removeCgroups(state.Slot))
}

func removeCgroups(slot int) error {
	hierarchies, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	// The last one is what reserves the number: it goes last.
	slices.Reverse(hierarchies)
	for _, hierarchy := range hierarchies {
		group := filepath.Join(hierarchy, cgroupName(slot))
		for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
			err := removeTree(group)
			if err == nil {
				break
			}
			if time.Since(began) > endTimeout {
				return fmt.Errorf("remove control group %s: %w", group, err)
			}
		}
	}
	return nil
}

// removeTree removes a control group and those below it, and ends processes that are still in them.
func removeTree(group string) error {
	var groups []string
	err := filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.IsDir() {
			groups = append(groups, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.Reverse(groups)
	var failures []error
	for _, path := range groups {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			killMembers(path)
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

func killMembers(group string) {
	text, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	if err != nil {
		return
	}
	for _, field := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}
