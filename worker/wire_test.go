package worker_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jatak-mail/jatak/internal/postgres"
)

// fate is what becomes of a claim on its way to PostgreSQL.
type fate int

const (
	arrives    fate = iota
	unanswered      // carried out, and the connection breaks before the answer
	late            // the connection breaks first, and then it is carried out
)

// lateness is longer than a worker waits before it looks for what it has lost.
const lateness = 700 * time.Millisecond

// wire is a way to PostgreSQL that can be harmed. It knows the protocol's messages
// (type, length, body), and claims by their text.
type wire struct {
	t        *testing.T
	socket   string
	listener net.Listener
	running  sync.WaitGroup
	fates    func(claim int) fate
	claims   atomic.Int64

	mu   sync.Mutex
	cut  bool
	open map[net.Conn]bool
}

// newWire returns a store behind a wire on which the nth claim has a fate.
func newWire(t *testing.T, databaseURL string, fates func(claim int) fate) (*wire, *postgres.DB) {
	t.Helper()
	behind, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	parameters := behind.Query()
	w := &wire{t: t, socket: filepath.Join(parameters.Get("host"), ".s.PGSQL."+parameters.Get("port")), fates: fates, open: map[net.Conn]bool{}}
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	w.running.Go(w.accept)
	t.Cleanup(func() {
		w.breakOff()
		_ = w.listener.Close()
		w.running.Wait()
	})
	before := url.URL{Scheme: "postgres", User: behind.User, Host: w.listener.Addr().String(), Path: behind.Path, RawQuery: "sslmode=disable"}
	db, err := postgres.Open(t.Context(), before.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return w, db
}

// breakOff ends all connections, and takes no more.
func (w *wire) breakOff() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	for c := range w.open {
		_ = c.Close()
	}
}

func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("unix", w.socket)
		if err != nil {
			w.t.Errorf("dial PostgreSQL: %v", err)
			_ = client.Close()
			continue
		}
		w.mu.Lock()
		w.open[client], w.open[server] = true, true
		if w.cut {
			_, _ = client.Close(), server.Close()
		}
		w.mu.Unlock()
		c := &carrier{wire: w, client: client, server: server, names: map[string]bool{}}
		w.running.Go(c.there)
		w.running.Go(c.back)
	}
}

// carrier is one connection over the wire.
type carrier struct {
	*wire
	client, server net.Conn
	names          map[string]bool // prepared statements that claim
	silent         atomic.Bool     // the answer is lost
}

func (c *carrier) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range []net.Conn{c.client, c.server} {
		_ = conn.Close()
		delete(c.open, conn)
	}
}

// there carries what the client says, up to where it waits for an answer at once.
func (c *carrier) there() {
	r := bufio.NewReader(c.client)
	group, err := readMessage(r, nil, false) // the first has no type
	for err == nil {
		if _, err = c.server.Write(group); err == nil {
			group, err = c.readGroup(r)
		}
	}
	if !c.silent.Load() { // else it is back that ends it
		c.hangUp()
	}
}

// readGroup reads messages up to the next that is answered, and harms them.
func (c *carrier) readGroup(r *bufio.Reader) (group []byte, err error) {
	claims := false
	for {
		begin := len(group)
		if group, err = readMessage(r, group, true); err != nil {
			return nil, err
		}
		kind, body := group[begin], group[begin+5:]
		switch kind {
		case 'P': // Parse: name, text
			name, text, _ := bytes.Cut(body, []byte{0})
			c.names[string(name)] = bytes.Contains(text, []byte("WITH picked AS"))
		case 'B': // Bind: portal, name
			_, rest, _ := bytes.Cut(body, []byte{0})
			name, _, _ := bytes.Cut(rest, []byte{0})
			claims = claims || c.names[string(name)]
		case 'D', 'E', 'C':
		default:
			if claims {
				return c.harm(group)
			}
			return group, nil
		}
	}
}

// harm lets the next claim have its fate.
func (c *carrier) harm(group []byte) ([]byte, error) {
	switch c.fates(int(c.claims.Add(1))) {
	case unanswered:
		c.silent.Store(true)
	case late:
		c.silent.Store(true)
		_ = c.client.Close()
		time.Sleep(lateness) // the network's
		if _, err := c.server.Write(group); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	return group, nil
}

// back carries the answers, until one is lost.
func (c *carrier) back() {
	defer c.hangUp()
	r := bufio.NewReader(c.server)
	for {
		message, err := readMessage(r, nil, true)
		if err != nil {
			return
		}
		if c.silent.Load() {
			if message[0] == 'Z' { // ReadyForQuery: it is committed
				return
			}
			continue
		}
		if _, err := c.client.Write(message); err != nil {
			return
		}
	}
}

// readMessage appends a message to dst.
func readMessage(r io.Reader, dst []byte, typed bool) ([]byte, error) {
	header := make([]byte, 4, 5)
	if typed {
		header = header[:5]
	}
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(header[len(header)-4:])
	if length < 4 || length > 64<<20 {
		return nil, fmt.Errorf("a message of %d bytes", length)
	}
	body := make([]byte, length-4)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	return append(append(dst, header...), body...), nil
}
