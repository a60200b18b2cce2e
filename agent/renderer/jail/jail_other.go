//go:build !linux

// Package jail makes this process give up what it does not need. Outside of Linux that is its environment and, softly,
// memory; agents run on Linux, other systems only render for a person.
package jail

import (
	"os"
	"runtime/debug"
)

// Report says what is in force: "on", or the reason why not.
type Report struct {
	Landlock string
	Seccomp  string
}

// Enter gives up what it can; memory is the limit in bytes.
func Enter(memory uint64) (Report, error) {
	os.Clearenv()
	debug.SetMemoryLimit(int64(memory))
	return Report{Landlock: "only on Linux", Seccomp: "only on Linux"}, nil
}
