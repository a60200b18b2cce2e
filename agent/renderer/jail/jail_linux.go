// Package jail makes this process give up what it does not need: files, network, other programs, its environment, and
// memory beyond a limit. Input comes from repositories, so a hole in a library must lead nowhere. What the kernel does not
// offer is reported and done without; the limits always hold.
package jail

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// Report says what is in force: "on", or the reason why not.
type Report struct {
	Landlock string
	Seccomp  string
}

const on = "on"

// Enter gives everything up; memory is the limit in bytes.
func Enter(memory uint64) (Report, error) {
	os.Clearenv()
	closeInherited()
	if err := limit(memory); err != nil {
		return Report{}, err
	}
	report := Report{Landlock: on, Seccomp: on}
	if err := landlock.V8.BestEffort().Restrict(); err != nil {
		report.Landlock = err.Error()
	} else if abi := landlockABI(); abi <= 0 {
		report.Landlock = "this kernel has none"
	}
	if err := filterSystemCalls(); err != nil {
		report.Seccomp = err.Error()
	}
	return report, nil
}

// closeInherited closes what whoever started the agent left open, and the agent therefore too. The runtime's own
// descriptors are its event queue and the files of its CPU quota.
func closeInherited() {
	const folder = "/proc/self/fd"
	entries, err := os.ReadDir(folder)
	if err != nil {
		return
	}
	for _, entry := range entries {
		number, err := strconv.Atoi(entry.Name())
		if err != nil || number <= 2 {
			continue
		}
		target, err := os.Readlink(filepath.Join(folder, entry.Name()))
		if err == nil && !strings.HasPrefix(target, "anon_inode:") && !strings.HasPrefix(target, "/sys/fs/cgroup/") {
			_ = unix.Close(number)
		}
	}
}

func limit(memory uint64) error {
	if memory == 0 {
		return errors.New("the memory limit must be more than 0")
	}
	// The garbage collector works harder well before the limit is hit.
	debug.SetMemoryLimit(int64(memory - memory/5))
	debug.SetMaxStack(int(min(memory/4, 256<<20)))
	for _, one := range []struct {
		what     string
		resource int
		value    uint64
	}{
		{"memory", unix.RLIMIT_DATA, memory},
		{"core dumps", unix.RLIMIT_CORE, 0},
		{"file size", unix.RLIMIT_FSIZE, 0},
	} {
		if err := unix.Setrlimit(one.resource, &unix.Rlimit{Cur: one.value, Max: one.value}); err != nil {
			return fmt.Errorf("limiting %s: %w", one.what, err)
		}
	}
	return nil
}

// landlockABI asks the kernel for its version of Landlock.
func landlockABI() int {
	const versionQuery = 1
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, versionQuery)
	if errno != 0 {
		return 0
	}
	return int(version)
}
