// Package embedded answers how this machine runs its own PostgreSQL, its own
// Redis and a catching mail server: in private folders, on private sockets or
// free ports, for the demo, for small installations and for tests.
//
// It uses the machine's own binaries and nothing that already runs. It opens
// no standard port, downloads nothing, and leaves nothing behind: the servers
// end with this process, even when it is killed, and temporary folders go
// with them. It knows nothing of contacts or campaigns.
package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// maxSocketPath is the longest path of a Unix socket that every system takes
// (macOS has room for 104 bytes with the final NUL, Linux for 108).
const maxSocketPath = 100

// account is whom a server runs as.
type account struct {
	name     string
	uid, gid uint32
	// switched is true when that is somebody else than this process.
	switched bool
}

// unprivileged returns the account for a server that refuses to run as root:
// this process's own, or, when that is root, "postgres" or "nobody".
func unprivileged() (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr != nil || gidErr != nil || uid == 0 {
			continue
		}
		return account{name: name, uid: uint32(uid), gid: uint32(gid), switched: true}, nil
	}
	return account{}, errors.New(`PostgreSQL refuses to run as root, and there is neither a user "postgres" nor a user "nobody" to run it as: create one, or start jatak as an ordinary user`)
}

// attributes detach a server from the terminal, so that Ctrl-C reaches us
// alone and we stop it in our own order.
func (a account) attributes() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setsid: true}
	if a.switched {
		attributes.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
	return attributes
}

// mayEnter tells whether the account may enter a folder.
func (a account) mayEnter(info fs.FileInfo) bool {
	mode := info.Mode().Perm()
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		switch {
		case a.uid == 0:
			return true
		case stat.Uid == a.uid:
			return mode&0o100 != 0
		case stat.Gid == a.gid:
			return mode&0o010 != 0
		}
	}
	return mode&0o001 != 0
}

// blockedBy returns the first folder on the way to dir that the account may
// not enter, or "" when the way is open. Folders that do not exist yet do not
// block.
func (a account) blockedBy(dir string) (string, error) {
	if parent := filepath.Dir(dir); parent != dir {
		if blocked, err := a.blockedBy(parent); blocked != "" || err != nil {
			return blocked, err
		}
	}
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is not a folder", dir)
	}
	if !a.mayEnter(info) {
		return dir, nil
	}
	return "", nil
}

// openWay lets the account through to dir, as far as that is ours to do: the
// folder around it, and private folders of ours below the temporary one, are
// opened to the account's group, for passing through only.
func (a account) openWay(dir string) error {
	for a.switched {
		blocked, err := a.blockedBy(dir)
		if blocked == "" || err != nil {
			return err
		}
		ours := blocked == filepath.Dir(dir)
		if home, err := os.UserHomeDir(); err == nil && blocked == home {
			ours = false
		}
		if below, err := filepath.Rel(os.TempDir(), blocked); err == nil && below != "." && filepath.IsLocal(below) {
			ours = true
		}
		info, err := os.Stat(blocked)
		if err != nil {
			return err
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); !ours || !ok || stat.Uid != 0 || info.Mode()&0o077 != 0 {
			return fmt.Errorf("PostgreSQL refuses to run as root, so it runs as the user %q, who may not enter %s: choose a folder elsewhere, such as /var/lib/jatak, or open the way with: chmod o+x %s", a.name, blocked, blocked)
		}
		if err := os.Chown(blocked, -1, int(a.gid)); err != nil {
			return err
		}
		if err := os.Chmod(blocked, 0o710); err != nil {
			return err
		}
	}
	return nil
}

// privateFolder makes dir, for this account alone.
func (a account) privateFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if a.switched {
		if err := os.Chown(dir, int(a.uid), int(a.gid)); err != nil {
			return err
		}
	}
	return os.Chmod(dir, 0o700)
}

// temporaryFolder makes a new private folder with a short path.
func (a account) temporaryFolder() (string, error) {
	roots := []string{os.TempDir(), "/tmp", "/var/tmp"}
	for _, root := range roots {
		if len(root) > 40 {
			continue // no room left for a socket; macOS has such
		}
		if blocked, err := a.blockedBy(root); err != nil || blocked != "" {
			continue
		}
		dir, err := os.MkdirTemp(root, "jatak-")
		if err != nil {
			continue
		}
		return dir, a.privateFolder(dir)
	}
	return "", fmt.Errorf("no temporary folder could be made in %s: set TMPDIR to a folder with a short path that every user may enter", strings.Join(roots, " or "))
}

// socketFolder returns a private folder whose path leaves room for the
// socket's name: preferred if it does, else a temporary one.
func (a account) socketFolder(preferred, socket string) (dir string, temporary bool, err error) {
	if len(filepath.Join(preferred, socket)) <= maxSocketPath {
		return preferred, false, a.privateFolder(preferred)
	}
	dir, err = a.temporaryFolder()
	return dir, true, err
}

// TemporaryFolder makes a private folder that is removed, with all that is in
// it, by remove, or when this process ends, even when it is killed. Servers in
// it must be stopped before remove.
func TemporaryFolder() (dir string, remove func() error, err error) {
	// Where root is, servers of ours run as somebody else, who has to get there.
	servers, err := unprivileged()
	if err != nil {
		servers = account{uid: uint32(os.Geteuid())}
	}
	if dir, err = servers.temporaryFolder(); err != nil {
		return "", nil, err
	}
	if servers.switched {
		if err := errors.Join(os.Chown(dir, os.Geteuid(), int(servers.gid)), os.Chmod(dir, 0o710)); err != nil {
			return "", nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	s, err := sit("TERM", dir)
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, s.dismiss, nil
}

// lock takes the folder for this process until the file is closed, which the
// kernel does for whoever is killed.
func lock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s is in use by another jatak that is still running: stop that one, or choose another folder", filepath.Dir(path))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return file, nil
}

// environment is all that a server gets to see of ours: no PGPORT, PGDATA,
// locale or secrets.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
}

// executable returns the path of a program, or "".
func executable(names ...string) string {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			if absolute, err := filepath.Abs(path); err == nil {
				return absolute
			}
		}
	}
	return ""
}

// lastLines returns the end of a server's log, for an error.
func lastLines(path string) string {
	const most = 5
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "; ")
}
