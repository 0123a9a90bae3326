package embedded

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// A sitter is a tiny process that outlives us when we are killed: it then
// stops the server and removes the temporary folders.
//
// It waits on a pipe whose other end we alone hold, and which the kernel
// closes however we end. Linux's parent-death signal would do half of that:
// it cannot remove folders, is bound to one thread, and macOS has none.
type sitter struct {
	command *exec.Cmd
	pipe    io.WriteCloser
}

// script reads the server's process id, again after each restart, and 0 when
// it was stopped. The end of the file is our end.
//
// After ten seconds of asking the server is killed. A zombie that nobody
// reaps (a container whose first process is no init) must not hold us up.
// Removing is tried again while another sitter's server is still ending in
// the same folder.
const script = `trap '' INT TERM HUP
signal=$1; shift
pid=0
while read -r line; do pid=$line; done
tries=0
if [ "$pid" -gt 0 ]; then
	kill -s "$signal" "$pid"
	while kill -0 "$pid" && [ "$tries" -lt 200 ]; do sleep 0.05; tries=$((tries+1)); done
	if [ "$tries" -eq 200 ]; then kill -s KILL "$pid"; sleep 0.2; fi
fi
[ "$#" -gt 0 ] || exit 0
tries=0
until rm -rf -- "$@" || [ "$tries" -ge 100 ]; do sleep 0.05; tries=$((tries+1)); done
rm -rf -- "$@"
`

// sit starts a sitter that ends a server by the signal (as kill(1) calls it)
// and then removes the folders.
func sit(signal string, folders ...string) (*sitter, error) {
	s := &sitter{command: exec.Command("/bin/sh", append([]string{"-c", script, "jatak-sitter", signal}, folders...)...)}
	s.command.Dir = "/"
	s.command.Env = []string{"PATH=/usr/bin:/bin"}
	s.command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var err error
	if s.pipe, err = s.command.StdinPipe(); err != nil {
		return nil, err
	}
	if err := s.command.Start(); err != nil {
		return nil, fmt.Errorf("start /bin/sh: %w", err)
	}
	return s, nil
}

// watch tells which process to look after; nil for none.
func (s *sitter) watch(p *os.Process) error {
	pid := 0
	if p != nil {
		pid = p.Pid
	}
	_, err := fmt.Fprintln(s.pipe, pid)
	return err
}

// dismiss ends the sitter, after it has removed the folders.
func (s *sitter) dismiss() error {
	_ = s.pipe.Close()
	if err := s.command.Wait(); err != nil {
		return fmt.Errorf("remove %s: %w", strings.Join(s.command.Args[5:], " "), err)
	}
	return nil
}
