// Package jail makes this process give up what it does not need: files, network, other programs, its environment, and
// memory beyond a limit. Input comes from repositories, so a hole in a library must lead nowhere. What the kernel does not
// offer is reported and done without; the limits always hold.
package jail

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// Report says what is in force: "on", or the reason why not.
type Report struct {
	Landlock string
	Seccomp  string
}

const on = "on"

// forbidden system calls get EPERM. The standard streams are open already, so no file is ever opened again; threads
// (clone) and their signals are the Go runtime's own.
var forbidden = []string{
	"open", "openat", "openat2", "creat", "open_by_handle_at", "memfd_create", "memfd_secret", "truncate",
	"rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir",
	"mknod", "mknodat", "chmod", "fchmodat", "fchmodat2", "chown", "lchown", "fchownat", "setxattr", "lsetxattr", "removexattr", "lremovexattr",
	"socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendto", "recvfrom",
	"execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "pidfd_open", "pidfd_getfd", "pidfd_send_signal",
	"mount", "umount2", "move_mount", "fsopen", "open_tree", "pivot_root", "chroot", "chdir", "fchdir", "unshare", "setns",
	"bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register",
	"keyctl", "add_key", "request_key", "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "reboot",
	"setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "capset", "personality",
	"shmget", "msgget", "semget", "mq_open", "inotify_init1", "fanotify_init", "quotactl", "swapon", "swapoff", "syslog", "acct",
}

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
	if err := filter(); err != nil {
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

func filter() error {
	known, err := arch.GetInfo("")
	if err != nil {
		return err
	}
	names := slices.DeleteFunc(slices.Clone(forbidden), func(name string) bool {
		_, ok := known.SyscallNames[name]
		return !ok
	})
	// no_new_privs is set on this thread; the filter then goes to all threads at once.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionAllow,
			Syscalls:      []seccomp.SyscallGroup{{Action: seccomp.ActionErrno, Names: names}},
		},
	})
}
