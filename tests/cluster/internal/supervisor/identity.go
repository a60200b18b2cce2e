package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Identity names one process for ever: ids are reused, the pair of id and start time is not.
type Identity struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // in clock ticks since boot, from /proc/PID/stat
}

// Identify returns the identity of a living process; a zombie does not live.
func Identify(pid int) (Identity, error) {
	path := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return Identity{}, fmt.Errorf("process %d: %w", pid, err)
	}
	state, start, err := parseStat(text)
	if err != nil {
		return Identity{}, fmt.Errorf("%s: %w", path, err)
	}
	if state == 'Z' || state == 'X' {
		return Identity{}, fmt.Errorf("process %d has ended", pid)
	}
	return Identity{PID: pid, Start: start}, nil
}

// Alive says whether exactly this process still runs.
func (i Identity) Alive() bool {
	now, err := Identify(i.PID)
	return err == nil && now == i
}

// parseStat reads state and start time (fields 3 and 22 of proc_pid_stat(5)). The name in field 2 may hold anything,
// also blanks and brackets, so fields are counted from its last bracket.
func parseStat(text []byte) (state byte, start uint64, err error) {
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return 0, 0, fmt.Errorf("no process name in %q", text)
	}
	fields := strings.Fields(string(text[end+1:]))
	const afterName, startField = 3, 22
	if len(fields) <= startField-afterName {
		return 0, 0, fmt.Errorf("only %d fields after the process name", len(fields))
	}
	start, err = strconv.ParseUint(fields[startField-afterName], 10, 64)
	return fields[0][0], start, err
}
