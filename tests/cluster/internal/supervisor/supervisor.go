// Package supervisor keeps a set of processes running until it is told to stop, and then leaves none of them.
//
// It never starts anything through a shell and never looks for processes by name: it only knows its own children, which
// the kernel kills when the supervisor dies in whatever way (PR_SET_PDEATHSIG).
package supervisor

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"
)

const (
	tick         = 50 * time.Millisecond
	restartDelay = 250 * time.Millisecond
)

// Process is one program to keep running.
type Process struct {
	Name string
	// Path and Args make the command line; Args has no program name.
	Path string
	Args []string
	Env  []string
	// Log receives stdout and stderr.
	Log string
	// Once: the whole set ends when this process does.
	Once bool
	// Wait holds the start back until it returns true; nil starts at once.
	Wait func() bool
	// Cloneflags are the namespaces that the process gets for itself.
	Cloneflags uintptr
	// Inherit is handed on as file descriptor 3, unless nil.
	Inherit *os.File
	// Started is called with the process id after each start.
	Started func(pid int) error
}

// Set is what a supervisor runs.
type Set struct {
	Processes []Process
	// Held is a folder; a process is stopped, and stays so, while a file of its name is in it.
	Held string
	// Ready is a file: until it exists, the end of any process without Wait ends the set.
	Ready string
	// Done returns a reason to end the set, or "".
	Done func() string
	// Note records what happened, for a log.
	Note func(format string, values ...any)
}

type running struct {
	Process
	pid    int
	notYet time.Time
}

// Run returns when a signal (TERM, INT, HUP), Done or the end of a decisive process says so, with no child left. It
// must be called from the main goroutine, whose thread is the parent that the children's lives hang on.
func (s *Set) Run() error {
	runtime.LockOSThread()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGCHLD)
	defer signal.Stop(signals)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()

	children := make([]*running, 0, len(s.Processes))
	for _, process := range s.Processes {
		children = append(children, &running{Process: process})
	}
	defer s.killAll(children)
	for {
		if err := s.reap(children); err != nil {
			return err
		}
		if err := s.start(children); err != nil {
			return err
		}
		select {
		case received := <-signals:
			if received != syscall.SIGCHLD {
				s.Note("received %v", received)
				return nil
			}
		case <-ticker.C:
			if reason := s.Done(); reason != "" {
				s.Note("%s", reason)
				return nil
			}
		}
	}
}

func (s *Set) start(children []*running) error {
	for _, child := range children {
		held := exists(filepath.Join(s.Held, child.Name))
		switch {
		case child.pid != 0 && held:
			s.Note("%s is held", child.Name)
			_ = syscall.Kill(child.pid, syscall.SIGKILL)
		case child.pid == 0 && !held && time.Now().After(child.notYet) && (child.Wait == nil || child.Wait()):
			if err := child.start(); err != nil {
				return fmt.Errorf("start %s: %w", child.Name, err)
			}
			s.Note("%s runs as process %d", child.Name, child.pid)
		}
	}
	return nil
}

func (r *running) start() error {
	log, err := os.OpenFile(r.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	files := []uintptr{null.Fd(), log.Fd(), log.Fd()}
	if r.Inherit != nil {
		files = append(files, r.Inherit.Fd())
	}
	r.pid, err = syscall.ForkExec(r.Path, append([]string{r.Path}, r.Args...), &syscall.ProcAttr{
		Env:   r.Env,
		Files: files,
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Cloneflags: r.Cloneflags},
	})
	if err != nil {
		r.pid = 0
		return err
	}
	if r.Started != nil {
		return r.Started(r.pid)
	}
	return nil
}

// reap collects ended children, and orphans too when this process is the first of a process namespace.
func (s *Set) reap(children []*running) error {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return nil
		}
		index := slices.IndexFunc(children, func(r *running) bool { return r.pid == pid })
		if index < 0 {
			continue
		}
		child := children[index]
		child.pid = 0
		child.notYet = time.Now().Add(restartDelay)
		s.Note("%s ended (%s)", child.Name, describe(status))
		decisive := child.Once || (child.Wait == nil && !exists(s.Ready))
		if decisive && !exists(filepath.Join(s.Held, child.Name)) {
			return fmt.Errorf("%s ended (%s); its log is %s", child.Name, describe(status), child.Log)
		}
	}
}

func (s *Set) killAll(children []*running) {
	for _, child := range children {
		if child.pid != 0 {
			_ = syscall.Kill(child.pid, syscall.SIGKILL)
		}
	}
	for _, child := range children {
		for child.pid != 0 {
			_, err := syscall.Wait4(child.pid, nil, 0, nil)
			if !errors.Is(err, syscall.EINTR) {
				child.pid = 0
			}
		}
	}
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return fmt.Sprintf("signal %v", status.Signal())
	}
	return fmt.Sprintf("exit code %d", status.ExitStatus())
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
