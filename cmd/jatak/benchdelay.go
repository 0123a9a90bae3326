package main

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// delayProxy stands between a sender and a server, and lets every byte arrive
// half of roundTrip later, both ways, as a long wire would.
type delayProxy struct {
	listener  net.Listener
	server    string
	roundTrip time.Duration
	running   sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

func startDelayProxy(server string, roundTrip time.Duration) (*delayProxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &delayProxy{listener: listener, server: server, roundTrip: roundTrip}
	p.running.Go(p.accept)
	return p, nil
}

func (p *delayProxy) address() string { return p.listener.Addr().String() }

func (p *delayProxy) stop() {
	_ = p.listener.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

func (p *delayProxy) accept() {
	for {
		near, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		far, err := net.Dial("tcp", p.server)
		if err != nil {
			_ = near.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, near, far)
		p.mu.Unlock()
		p.running.Go(func() { p.carry(far, near) })
		p.running.Go(func() { p.carry(near, far) })
	}
}

// carry writes what it reads, half a round trip later.
func (p *delayProxy) carry(to, from net.Conn) {
	type parcel struct {
		bytes []byte
		due   time.Time
	}
	under := make(chan parcel, 4096)
	p.running.Go(func() {
		defer func() { _ = to.Close() }()
		for b := range under {
			time.Sleep(time.Until(b.due))
			if _, err := to.Write(b.bytes); err != nil {
				_ = from.Close()
			}
		}
	})
	defer close(under)
	for {
		buffer := make([]byte, 32<<10)
		n, err := from.Read(buffer)
		if n > 0 {
			under <- parcel{buffer[:n], time.Now().Add(p.roundTrip / 2)}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				_ = to.Close()
			}
			return
		}
	}
}
