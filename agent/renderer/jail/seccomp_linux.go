package jail

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// permitted are the system calls of Go's runtime (runtime/sys_linux_*.s, internal/runtime/syscall/linux) without those of
// its start, and the reads and writes of the conversation. Frequent ones are first.
var permitted = []string{
	"read", "write", "futex", "sched_yield", "nanosleep", "madvise", "mmap", "munmap", "mprotect",
	// Waiting for descriptors and time.
	"epoll_pwait", "epoll_pwait2", "epoll_ctl", "epoll_create1", "eventfd2", "fcntl", "fstat", "close",
	"clock_gettime", "clock_nanosleep", "restart_syscall",
	// Threads and their preemption.
	"clone", "gettid", "getpid", "tgkill", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "prctl",
	// How many processors there are: the affinity, and the CPU quota in a file that is open already.
	"sched_getaffinity", "pread64",
	// Keys and names in templates.
	"getrandom",
	"exit", "exit_group",
}

// Flags of the clone call that starts a thread: those of runtime/os_linux.go, and CLONE_SETTLS where the runtime adds it.
const (
	threadFlags      = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD
	threadFlagsStore = threadFlags | unix.CLONE_SETTLS
)

// filters are loaded one after the other; the kernel takes the strictest answer. Each condition on arguments has a filter
// of its own, because after a condition does not hold go-seccomp-bpf compares the argument with the numbers of the calls
// that follow.
func filters(known *arch.Info, pid int) []seccomp.Policy {
	refuse := func(call string, conditions ...seccomp.Condition) seccomp.Policy {
		return seccomp.Policy{
			DefaultAction: seccomp.ActionAllow,
			Syscalls: []seccomp.SyscallGroup{{
				Action:             seccomp.ActionErrno,
				NamesWithCondtions: []seccomp.NameWithConditions{{Name: call, Conditions: conditions}},
			}},
		}
	}
	allowed := slices.DeleteFunc(slices.Clone(permitted), func(name string) bool {
		_, ok := known.SyscallNames[name]
		return !ok
	})
	rest := slices.DeleteFunc(slices.Sorted(maps.Keys(known.SyscallNames)), func(name string) bool {
		return slices.Contains(allowed, name)
	})
	return []seccomp.Policy{
		// Threads of this process, no process and no namespace.
		refuse("clone",
			seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: threadFlags},
			seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: threadFlagsStore}),
		// Signals to threads of this process: the agent has the same user.
		refuse("tgkill", seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: uint64(pid)}),
		// Memory is never made executable.
		refuse("mmap", seccomp.Condition{Argument: 2, Operation: seccomp.BitsSet, Value: unix.PROT_EXEC}),
		refuse("mprotect", seccomp.Condition{Argument: 2, Operation: seccomp.BitsSet, Value: unix.PROT_EXEC}),
		// The runtime names its memory.
		refuse("prctl", seccomp.Condition{Argument: 0, Operation: seccomp.NotEqual, Value: unix.PR_SET_VMA}),
		{
			// A call of another architecture comes here at once: `int 0x80` has other numbers for the same calls. x32 is refused
			// by go-seccomp-bpf. What is a call of this architecture gets EPERM, for a library that tries something and goes on
			// without.
			DefaultAction: seccomp.ActionKillProcess,
			Syscalls: []seccomp.SyscallGroup{
				{Action: seccomp.ActionAllow, Names: allowed},
				{Action: seccomp.ActionErrno, Names: rest},
			},
		},
	}
}

func filterSystemCalls() error {
	known, err := arch.GetInfo("")
	if err != nil {
		return err
	}
	// no_new_privs is set on this thread; a filter then goes to all threads at once.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := seccomp.SetNoNewPrivs(); err != nil {
		return fmt.Errorf("setting no_new_privs: %w", err)
	}
	for _, policy := range filters(known, os.Getpid()) {
		if err := seccomp.LoadFilter(seccomp.Filter{Flag: seccomp.FilterFlagTSync, Policy: policy}); err != nil {
			return err
		}
	}
	return nil
}
