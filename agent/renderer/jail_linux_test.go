package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func init() { tryForbidden = tryForbiddenCalls }

// forbiddenCalls are what a worker whose library has a hole could try against the agent, which has the same user.
var forbiddenCalls = []struct {
	name string
	call func() error
}{
	{"open a file", func() error { _, err := unix.Openat(unix.AT_FDCWD, "/etc/passwd", unix.O_RDONLY, 0); return err }},
	{"look at a file", func() error { return unix.Statx(unix.AT_FDCWD, "/", 0, 0, &unix.Statx_t{}) }},
	{"read a link", func() error { _, err := unix.Readlink("/proc/self/exe", make([]byte, 100)); return err }},
	{"change a mode", func() error { return unix.Fchmod(1, 0o777) }},
	{"change a time", func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, "/", make([]unix.Timespec, 2), 0) }},
	{"make a socket", func() error { _, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); return err }},
	{"send a message", func() error { return unix.Sendmsg(1, []byte("x"), nil, nil, 0) }},
	{"start a program", func() error { return unix.Exec("/bin/true", nil, nil) }},
	{"start a process", func() error {
		_, _, errno := unix.Syscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
		return result(errno)
	}},
	{"signal the agent", func() error { return unix.Kill(parent, 0) }},
	{"signal a thread of the agent", func() error { return unix.Tgkill(parent, parent, 0) }},
	{"limit the agent", func() error {
		return unix.Prlimit(parent, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: 0}, nil)
	}},
	{"slow the agent down", func() error { return unix.Setpriority(unix.PRIO_PROCESS, parent, 19) }},
	{"trace the agent", func() error { return unix.PtraceAttach(parent) }},
	{"leave a namespace", func() error { return unix.Unshare(unix.CLONE_NEWUSER) }},
	{"run data", func() error {
		_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
		return err
	}},
	{"be dumpable", func() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) }},
	{"make a file in memory", func() error { _, err := unix.MemfdCreate("x", 0); return err }},
}

// parent is read before the jail, in which even that is refused.
var parent = os.Getppid()

func result(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

func tryForbiddenCalls() {
	for _, forbidden := range forbiddenCalls {
		err := forbidden.call()
		fmt.Printf("%s: %v\n", forbidden.name, errors.Is(err, unix.EPERM))
	}
}

func TestAWorkerCannotDoWhatItDoesNotNeed(t *testing.T) {
	current := startWorker(t)
	current.close()
	switch {
	case strings.Contains(current.hello.Seccomp, "not supported"):
		t.Skip(current.hello.Seccomp)
	case current.hello.Seccomp != "on":
		t.Fatal(current.hello.Seccomp)
	}
	t.Logf("Landlock: %s", current.hello.Landlock)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program)
	command.Env = []string{asWorker + "=forbidden"}
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	lines := strings.Split(string(bytes.TrimSpace(output)), "\n")
	if len(lines) != len(forbiddenCalls) {
		t.Errorf("%d of %d calls were tried: %s", len(lines), len(forbiddenCalls), output)
	}
	for _, line := range lines {
		if !strings.HasSuffix(line, ": true") {
			t.Errorf("a worker can %s", strings.TrimSuffix(line, ": false"))
		}
	}
}
