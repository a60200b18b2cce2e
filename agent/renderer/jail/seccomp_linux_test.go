package jail

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const testPID = 4711

// verdict is the strictest answer of all filters to one call, as the kernel takes it; the program is run by a machine of
// its own, so that calls of other architectures can be asked about.
func verdict(t *testing.T, architecture uint32, number int, arguments ...uint64) seccomp.Action {
	t.Helper()
	known, err := arch.GetInfo("")
	if err != nil {
		t.Skip(err)
	}
	// struct seccomp_data, in words as the machine reads them.
	data := make([]byte, 64)
	binary.BigEndian.PutUint32(data[0:], uint32(number))
	binary.BigEndian.PutUint32(data[4:], architecture)
	for index, argument := range arguments {
		low, high := 16+8*index, 20+8*index
		binary.BigEndian.PutUint32(data[low:], uint32(argument))
		binary.BigEndian.PutUint32(data[high:], uint32(argument>>32))
	}
	strictest := 0
	for _, policy := range filters(known, testPID) {
		program, err := policy.Assemble()
		if err != nil {
			t.Fatal(err)
		}
		machine, err := bpf.NewVM(program)
		if err != nil {
			t.Fatal(err)
		}
		got, err := machine.Run(data)
		if err != nil {
			t.Fatal(err)
		}
		strictest = max(strictest, slices.Index(byStrictness, seccomp.Action(uint32(got)&^0xFFFF)))
	}
	return byStrictness[strictest]
}

// byStrictness are the answers, the last of which wins.
var byStrictness = []seccomp.Action{seccomp.ActionAllow, seccomp.ActionErrno, seccomp.ActionKillProcess}

func TestOnlyCallsOfTheRuntimeArePermitted(t *testing.T) {
	known, err := arch.GetInfo("")
	if err != nil {
		t.Skip(err)
	}
	native := uint32(known.ID)
	for _, test := range []struct {
		name string
		args []uint64
		want seccomp.Action
	}{
		{"read", []uint64{0}, seccomp.ActionAllow},
		{"write", []uint64{1}, seccomp.ActionAllow},
		{"clone", []uint64{threadFlags}, seccomp.ActionAllow},
		{"clone", []uint64{threadFlagsStore}, seccomp.ActionAllow},
		{"clone", []uint64{uint64(unix.SIGCHLD)}, seccomp.ActionErrno},
		{"clone", []uint64{threadFlags | unix.CLONE_NEWUSER}, seccomp.ActionErrno},
		{"clone", []uint64{uint64(known.SyscallNames["write"])}, seccomp.ActionErrno},
		{"clone", []uint64{threadFlags | 1<<32}, seccomp.ActionErrno},
		{"clone3", nil, seccomp.ActionErrno},
		{"tgkill", []uint64{testPID, 1, 23}, seccomp.ActionAllow},
		{"tgkill", []uint64{1, 1, 9}, seccomp.ActionErrno},
		{"tgkill", []uint64{uint64(known.SyscallNames["exit"]), 1, 9}, seccomp.ActionErrno},
		{"kill", []uint64{testPID, 9}, seccomp.ActionErrno},
		{"tkill", []uint64{testPID, 9}, seccomp.ActionErrno},
		{"mmap", []uint64{0, 4096, unix.PROT_READ | unix.PROT_WRITE}, seccomp.ActionAllow},
		{"mmap", []uint64{0, 4096, unix.PROT_READ | unix.PROT_EXEC}, seccomp.ActionErrno},
		{"mprotect", []uint64{0, 4096, unix.PROT_EXEC}, seccomp.ActionErrno},
		{"prctl", []uint64{unix.PR_SET_VMA}, seccomp.ActionAllow},
		{"prctl", []uint64{unix.PR_SET_DUMPABLE, 1}, seccomp.ActionErrno},
		{"openat", nil, seccomp.ActionErrno},
		{"statx", nil, seccomp.ActionErrno},
		{"socket", nil, seccomp.ActionErrno},
		{"sendmsg", nil, seccomp.ActionErrno},
		{"recvmsg", nil, seccomp.ActionErrno},
		{"execve", nil, seccomp.ActionErrno},
		{"prlimit64", nil, seccomp.ActionErrno},
		{"setpriority", nil, seccomp.ActionErrno},
		{"fchmod", nil, seccomp.ActionErrno},
		{"utimensat", nil, seccomp.ActionErrno},
		{"ptrace", nil, seccomp.ActionErrno},
		{"seccomp", nil, seccomp.ActionErrno},
		{"io_uring_setup", nil, seccomp.ActionErrno},
		{"memfd_create", nil, seccomp.ActionErrno},
	} {
		number, found := known.SyscallNames[test.name]
		if !found {
			continue
		}
		if got := verdict(t, native, number, test.args...); got != test.want {
			t.Errorf("%s%v: %s, want %s", test.name, test.args, got, test.want)
		}
	}
	for _, number := range []int{999, 0x7FFFFFFF &^ arch.X32.SeccompMask} {
		if got := verdict(t, native, number); got != seccomp.ActionKillProcess {
			t.Errorf("a call that does not exist, %d: %s", number, got)
		}
	}
}

func TestCallsOfAnotherArchitectureKill(t *testing.T) {
	known, err := arch.GetInfo("")
	if err != nil {
		t.Skip(err)
	}
	for _, foreign := range []*arch.Info{arch.I386, arch.ARM, arch.X86_64, arch.AARCH64, arch.S390X} {
		if foreign.ID == known.ID {
			continue
		}
		for number := range 512 {
			if got := verdict(t, uint32(foreign.ID), number, testPID); got != seccomp.ActionKillProcess {
				t.Fatalf("call %d of %s: %s", number, foreign.Name, got)
			}
		}
	}
	if known.ID != arch.X86_64.ID {
		return
	}
	for number := range 600 {
		if got := verdict(t, uint32(known.ID), number|arch.X32.SeccompMask, threadFlags); got == seccomp.ActionAllow {
			t.Fatalf("call %d of x32: %s", number, got)
		}
	}
}

func TestEveryPermittedCallIsKnown(t *testing.T) {
	for _, each := range []*arch.Info{arch.X86_64, arch.AARCH64} {
		for _, name := range permitted {
			if _, ok := each.SyscallNames[name]; !ok {
				t.Errorf("%s has no call %s", each.Name, name)
			}
		}
	}
}
