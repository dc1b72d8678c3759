package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raptorflow/tercet/internal/events"
	"github.com/raptorflow/tercet/internal/events/jslog"
)

// workerEnv makes the test binary a process that backs up or restores over and
// over, and can be killed.
const workerEnv = "TERCET_TEST_BACKUP"

type worker struct {
	URL, Dir string
	Restore  bool
}

func beWorker(text string) error {
	var w worker
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // whoever should kill it may have died
	defer cancel()
	nc, err := nats.Connect(w.URL)
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		if w.Restore {
			_, _, err = Restore(ctx, nc, w.Dir, true)
		} else {
			_, err = Take(ctx, nc, domain, filepath.Join(w.Dir, fmt.Sprint(os.Getpid(), "-", n)), nil)
		}
		if err != nil {
			return err
		}
	}
}

// killed runs a worker and kills it at some instant.
func killed(t *testing.T, w worker, least, spread time.Duration) {
	t.Helper()
	text, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), workerEnv+"="+string(text), "TMPDIR="+t.TempDir())
	c.Stderr = os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	<-time.After(least + rand.N(spread))
	_ = c.Process.Kill()
	if err := c.Wait(); c.ProcessState.Exited() {
		t.Errorf("the worker ended before it was killed: %v", err)
	}
}

// A process that backs up is killed at any instant: what it leaves is a whole
// backup or says that it is none.
func TestKilledWhileBackingUp(t *testing.T) {
	s := newShop(t, short(2))
	a := s.join("a")
	for i := range 500 {
		put(t, a, fmt.Sprint("key:", i), fmt.Sprintf("%01000d", i))
	}
	dir := t.TempDir()
	for range 8 {
		killed(t, worker{URL: s.nc.ConnectedUrl(), Dir: dir}, 100*time.Millisecond, 300*time.Millisecond)
	}
	all, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	whole, torn := 0, ""
	for _, one := range all {
		switch _, err := Open(one); {
		case err == nil:
			whole++
		case errors.Is(err, ErrUnusable):
			torn = one
		default:
			t.Errorf("%s: %v", one, err)
		}
	}
	if whole == 0 || torn == "" {
		t.Fatalf("%d backups of %d are whole; none was cut off, or none was not", whole, len(all))
	}
	// One that was cut off is taken again in the same place.
	if _, err := Take(t.Context(), s.nc, domain, torn, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(torn); err != nil {
		t.Error(err)
	}
}

// A process that restores is killed at any instant, under a running node: no log
// is ever to be seen that has not its new epoch, and the restore that is run again
// comes to its end (G6, G8).
func TestKilledWhileRestoring(t *testing.T) {
	s := newShop(t, short(2))
	node := s.join("a")
	keys := make([]string, 300)
	for i := range keys {
		keys[i] = fmt.Sprint("key:", i)
		put(t, node, keys[i], fmt.Sprintf("%01000d", i))
	}
	dir := filepath.Join(t.TempDir(), "backup")
	m, err := Take(t.Context(), s.nc, domain, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		put(t, node, key, "newer")
	}
	before := map[int]events.Mark{} // the first of each log that the backup has not
	if err := behind(t.Context(), s.nc, m, func(p int, d events.Delivery, _ events.Record) error {
		before[p] = d.Mark
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for kill := range 8 {
		killed(t, worker{URL: s.nc.ConnectedUrl(), Dir: dir, Restore: true}, 200*time.Millisecond, 800*time.Millisecond)
		if err := reopened(t.Context(), s.nc, m, before); err != nil {
			t.Fatalf("after kill %d: %v", kill, err)
		}
	}
	if _, _, err := Restore(t.Context(), s.nc, dir, true); err != nil {
		t.Fatal(err)
	}
	if err := reopened(t.Context(), s.nc, m, nil); err != nil {
		t.Fatal(err)
	}
	after := s.join("b")
	for _, key := range keys {
		if got := get(t, after, key); got != "" {
			t.Fatalf("%s is %.20q after a restore", key, got)
		}
	}
	put(t, after, keys[0], "anew")
	deadline := time.Now().Add(30 * time.Second)
	for got := ""; got != "anew"; {
		v, err := node.Get(t.Context(), keys[0])
		if got = string(v.Bytes); err == nil && got != "" && got != "anew" {
			t.Fatalf("the node that lived through it serves %.20q", got)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the node that lived through it reads %.20q, %v", got, err)
		}
	}
}

// reopened reports a log that is there, is not the one from before, and has no
// epoch behind the backup's last record.
func reopened(ctx context.Context, nc *nats.Conn, m *Manifest, before map[int]events.Mark) error {
	return behind(ctx, nc, m, func(p int, d events.Delivery, r events.Record) error {
		if _, epoch := r.Changes[0].(*events.EpochChange); !epoch && d.Mark != before[p] {
			return fmt.Errorf("log %d has no epoch at %d", p, d.Position)
		}
		return nil
	})
}

// behind calls fn with the first record of each log behind the backup's last; of a
// domain that is not there with none.
func behind(ctx context.Context, nc *nats.Conn, m *Manifest, fn func(partition int, d events.Delivery, r events.Record) error) error {
	d, err := jslog.Open(ctx, nc, domain)
	if errors.Is(err, events.ErrNoDomain) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	for _, l := range m.Logs {
		if err := d.Log(l.Partition).Read(ctx, l.Last+1, l.Last+1, func(batch []events.Delivery) error {
			r, err := events.DecodeRecord(batch[0].Data)
			if err != nil {
				return err
			}
			return fn(l.Partition, batch[0], r)
		}); err != nil {
			return fmt.Errorf("log %d behind the backup: %w", l.Partition, err)
		}
	}
	return nil
}
