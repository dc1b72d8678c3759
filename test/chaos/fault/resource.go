package fault

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/raptorflow/tercet/test/chaos/fleet"
)

var _ = register(
	Kind{Name: "disk-full", What: "fill the disk of a node or a NATS server", Target: "a node or a NATS server; the fleet has small_disks", Inject: diskFull},
	Kind{Name: "sst-corrupted", What: "kill a node, damage a table of its disk tier, start it again", Target: "a node", Inject: corrupt},
	Kind{Name: "files-exhausted", What: "let a process open no more files", Target: "a process", Inject: files},
	Kind{Name: "connection-storm", What: "open many connections at once", Target: "a node",
		With: map[string]string{"connections": "1500"}, Inject: connections},
)

// program names the program that a process runs by the hash of its text.
func program(pid int) (string, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:6]), nil
}

// diskFull fills a small disk with a file of its own.
func diskFull(_ context.Context, s Scene) (Injection, error) {
	if s.Fleet.Shape().SmallDisks == 0 {
		return Injection{}, fmt.Errorf("%w: the fleet's disks are not small (small_disks)", ErrNotHere)
	}
	ballast := filepath.Join(s.Fleet.Data(s.Target), "chaos-ballast")
	f, err := os.OpenFile(ballast, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return Injection{}, err
	}
	defer f.Close()
	server := slices.Contains(s.Fleet.Names(fleet.NATS), s.Target)
	in := Injection{What: "filled its disk", Restarts: server, Heal: func(ctx context.Context) error {
		if err := os.Remove(ballast); err != nil {
			return err
		}
		if !server {
			return s.Fleet.Await(ctx, s.Target)
		}
		// A server that had no space switches JetStream off until it is started
		// again: that is its operator's to do.
		if _, err := s.Fleet.Stop(s.Target); err != nil {
			return err
		}
		return restart(ctx, s.Fleet, s.Target)
	}}
	var wrote int64
	for piece := make([]byte, 1<<20); len(piece) > 0; {
		n, err := f.Write(piece)
		wrote += int64(n)
		if errors.Is(err, syscall.ENOSPC) {
			piece = piece[:len(piece)/2]
		} else if err != nil {
			return in, err
		}
	}
	var left unix.Statfs_t
	if err := unix.Statfs(ballast, &left); err != nil {
		return in, err
	}
	in.Proof = fmt.Sprintf("after %d KiB of ballast a write fails for want of space; %d KiB are left", wrote>>10, int64(left.Bavail)*left.Bsize>>10)
	return in, nil
}

// corrupt turns bits in the middle of the greatest table on a node's disk.
func corrupt(ctx context.Context, s Scene) (Injection, error) {
	if _, err := s.Fleet.Kill(s.Target); err != nil {
		return Injection{}, err
	}
	in := Injection{What: "damaged a table of its disk tier while it was down", Tier: true, Restarts: true,
		Heal: func(ctx context.Context) error { return restart(ctx, s.Fleet, s.Target) }}
	file, err := table(s.Fleet.Data(s.Target))
	if errors.Is(err, fs.ErrNotExist) {
		// Everything is still in its log of changes: an opening writes tables.
		if err := restart(ctx, s.Fleet, s.Target); err != nil {
			return in, err
		}
		if _, err := s.Fleet.Kill(s.Target); err != nil {
			return in, err
		}
		file, err = table(s.Fleet.Data(s.Target))
	}
	if err != nil {
		return in, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return in, err
	}
	was := sha256.Sum256(text)
	at := s.Dice.IntN(max(len(text)/2, 1))
	const damage = 64
	for i := at; i < min(at+damage, len(text)); i++ {
		text[i] ^= 0x5a
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return in, err
	}
	now, err := os.ReadFile(file)
	if err != nil {
		return in, err
	}
	if sum := sha256.Sum256(now); bytes.Equal(sum[:], was[:]) {
		return in, fmt.Errorf("%w: %s is as it was", ErrNoEffect, file)
	}
	in.Proof = fmt.Sprintf("%d bytes at %d of %s (%d bytes) are others than they were", damage, at, filepath.Base(file), len(text))
	return in, nil
}

// table returns the greatest table below dir; fs.ErrNotExist: there is none.
func table(dir string) (file string, err error) {
	var size int64
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".sst" {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > size {
			file, size = path, info.Size()
		}
		return err
	})
	if err == nil && file == "" {
		err = fmt.Errorf("tables below %s: %w", dir, fs.ErrNotExist)
	}
	return file, err
}

// lowestFree is the number that the next file would get which a process opens.
func lowestFree(pid int) (int, error) {
	for n := 0; ; n++ {
		switch _, err := os.Lstat(fmt.Sprintf("/proc/%d/fd/%d", pid, n)); {
		case errors.Is(err, fs.ErrNotExist):
			return n, unix.Kill(pid, 0) // there may be no process, either
		case err != nil:
			return 0, err
		}
	}
}

// files lowers a process's limit of open files to what it has open.
func files(ctx context.Context, s Scene) (Injection, error) {
	pid := s.Fleet.Pid(s.Target)
	var was unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &was); err != nil {
		return Injection{}, err
	}
	in := Injection{What: "lowered its limit of open files to what it had open", Heal: func(ctx context.Context) error {
		if now := s.Fleet.Pid(s.Target); now != pid {
			return nil // another life has the limit that it was started with
		}
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &was, nil); err != nil {
			return err
		}
		return s.Fleet.Await(ctx, s.Target)
	}}
	// Whoever asks for what takes another file does not get it. What it closed
	// meanwhile it could open again: that is taken away next time.
	limit := was
	err := eventually(ctx, 10*time.Second, func() error {
		free, err := lowestFree(pid)
		if err != nil {
			return err
		}
		limit.Cur = min(limit.Cur, uint64(free))
		if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
			return err
		}
		within, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := s.Fleet.Ready(within, s.Target); err == nil {
			return fmt.Errorf("%w: it still accepts connections", ErrNoEffect)
		}
		return nil
	})
	in.Proof = fmt.Sprintf("its limit is %d files, and a new connection gets no answer", limit.Cur)
	return in, err
}

// connections opens and keeps many connections to a node's two servers.
func connections(ctx context.Context, s Scene) (Injection, error) {
	n, err := s.number("connections")
	if err != nil {
		return Injection{}, err
	}
	var kept []net.Conn
	in := Injection{Heal: func(ctx context.Context) error {
		for _, c := range kept {
			c.Close()
		}
		return s.Fleet.Await(ctx, s.Target)
	}}
	answered := 0
	for _, m := range s.Fleet.Nodes() {
		if m.Name != s.Target {
			continue
		}
		var d net.Dialer
		for i := range int(n) {
			addr := m.RESP
			if i%4 == 3 {
				addr = m.HTTP
			}
			within, cancel := context.WithTimeout(ctx, 2*time.Second)
			c, err := d.DialContext(within, "tcp", addr)
			cancel()
			if err != nil {
				continue // that it takes no more is an answer too
			}
			kept = append(kept, c)
			if addr == m.RESP && pong(c) {
				answered++
			}
		}
	}
	in.What = fmt.Sprintf("opened %.0f connections", n)
	in.Proof = fmt.Sprintf("%d connections stood at once, %d were answered", len(kept), answered)
	if float64(len(kept)) < n/2 {
		return in, fmt.Errorf("%w: %s", ErrNoEffect, in.Proof)
	}
	return in, nil
}

func pong(c net.Conn) bool {
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return false
	}
	var answer [7]byte
	_, err := io.ReadFull(c, answer[:])
	return err == nil
}
