package cluster

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const tailLines = 6

// tails returns the end of each log, to say why a cluster did not start.
func (f Folder) tails() string {
	paths, err := filepath.Glob(f.path("logs", "*.log"))
	if err != nil {
		return ""
	}
	var out strings.Builder
	for _, path := range paths {
		if filepath.Base(path) == "audit.log" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil || len(text) == 0 {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		lines = lines[max(0, len(lines)-tailLines):]
		fmt.Fprintf(&out, "--- %s\n%s\n", path, strings.Join(lines, "\n"))
	}
	return out.String()
}

func addressInUse(tail string) bool {
	return strings.Contains(tail, "address already in use")
}
