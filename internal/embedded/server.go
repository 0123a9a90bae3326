package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// poll is how long to wait before a server is asked again whether it answers.
const poll = 10 * time.Millisecond

// longestStart bounds a start: recovery after a crash takes a while.
const longestStart = 3 * time.Minute

// A server is one child process in its private folder. PostgreSQL and Redis
// are both one, and differ in how they are started and asked.
type server struct {
	name    string // "PostgreSQL", for errors
	as      account
	path    string
	args    []string
	log     string // file that gets its output
	sitter  *sitter
	holding *os.File // the lock on the folder
	ready   func(context.Context) error
	signal  syscall.Signal // asks for a fast and clean end

	mu      sync.Mutex
	command *exec.Cmd
	exited  chan struct{} // closed when the command has ended
	status  error         // why, once exited is closed
}

// start runs the server and waits until it answers.
func (s *server) start(ctx context.Context) error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	command := exec.Command(s.path, s.args...)
	command.Dir = "/"
	command.Env = environment()
	// A file and not our own streams: whoever waits for the end of ours (as
	// go test does) must not wait for the server.
	command.Stdout, command.Stderr = log, log
	command.SysProcAttr = s.as.attributes()

	if err := command.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	if err := s.sitter.watch(command.Process); err != nil {
		_ = command.Process.Kill()
		_ = command.Wait()
		return fmt.Errorf("watch over %s: %w", s.name, err)
	}
	s.command, s.exited = command, make(chan struct{})
	go func(exited chan struct{}) {
		s.status = command.Wait()
		close(exited)
	}(s.exited)

	ctx, cancel := context.WithTimeout(ctx, longestStart)
	defer cancel()
	for {
		err := s.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			_ = s.sitter.watch(nil)
			return fmt.Errorf("%s ended as it started (%v): %s", s.name, s.status, lastLines(s.log))
		case <-ctx.Done():
			_ = s.kill()
			return fmt.Errorf("%s did not answer in time: %w: %s", s.name, errors.Join(ctx.Err(), err), lastLines(s.log))
		case <-time.After(poll):
		}
	}
}

// running tells whether the process lives.
func (s *server) running() bool {
	if s.command == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// kill ends the server and its children at once, and waits until all are gone.
func (s *server) kill() error {
	if !s.running() {
		return nil
	}
	children := childrenOf(s.command.Process.Pid)
	if err := s.command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", s.name, err)
	}
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-s.exited
	_ = s.sitter.watch(nil)
	// Whoever still held the old shared memory would keep the next start out.
	deadline := time.Now().Add(5 * time.Second)
	for _, pid := range children {
		for alive(pid) && time.Now().Before(deadline) {
			time.Sleep(poll)
		}
	}
	return nil
}

// terminate asks the server to end and waits until it has. When the context
// ends first, the server is killed.
func (s *server) terminate(ctx context.Context) error {
	if !s.running() {
		return nil
	}
	if err := s.command.Process.Signal(s.signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", s.name, err)
	}
	select {
	case <-s.exited:
		_ = s.sitter.watch(nil)
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("%s did not stop in time and was killed: %w", s.name, ctx.Err()), s.kill())
	}
}

// Stop ends the server cleanly and waits for it, then removes temporary
// folders. When ctx ends first the server is killed instead, and that is an
// error. A second Stop does nothing.
func (s *server) Stop(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sitter == nil {
		return nil
	}
	err := s.terminate(ctx)
	err = errors.Join(err, s.sitter.dismiss(), s.holding.Close())
	s.sitter = nil
	return err
}

// Kill ends the server and its children with SIGKILL, as a crash would, and
// waits until they are gone. Restart brings it back; Stop is still needed.
func (s *server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kill()
}

// Restart ends the server, if it still runs, and starts it again on the same
// folder and at the same URL.
func (s *server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sitter == nil {
		return fmt.Errorf("restart %s: it was stopped", s.name)
	}
	if err := s.terminate(ctx); err != nil {
		return err
	}
	return s.start(ctx)
}

// giveUp undoes a start that did not succeed.
func (s *server) giveUp() {
	_ = s.kill()
	if s.sitter != nil {
		_ = s.sitter.dismiss()
	}
	if s.holding != nil {
		_ = s.holding.Close()
	}
}

// folderFor prepares dir as the home of one server. An empty dir means a new
// temporary folder.
func folderFor(dir string, as account) (home string, temporary bool, err error) {
	if dir == "" {
		home, err = as.temporaryFolder()
		return home, true, err
	}
	if home, err = filepath.Abs(dir); err != nil {
		return "", false, err
	}
	if err := as.privateFolder(home); err != nil {
		return "", false, err
	}
	return home, false, as.openWay(home)
}
