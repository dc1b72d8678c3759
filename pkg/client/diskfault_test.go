package client_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/raptorflow/tercet/internal/tiers/disk"
	"github.com/raptorflow/tercet/pkg/client"
)

// faultFor is how long the faults of a tier last.
var faultFor = flag.Duration("fault", 3*time.Second, "how long Redis is stopped, or a disk full")

// bystander makes changes at one node and reads at another, for as long as it is
// told, and judges the reads: whatever befalls a tier of the reader, it answers,
// and with nothing that was overwritten before the read began.
func bystander(t *testing.T, writer, reader *client.Client, until func() bool) (reads int, worst time.Duration) {
	t.Helper()
	for round := 0; !until(); round++ {
		key, value := fmt.Sprintf("row:%d", round%50), fmt.Sprintf("v%d", round)
		token, err := writer.Set(t.Context(), key, []byte(value))
		if err == nil && round%3 == 0 {
			token, err = writer.Delete(t.Context(), key)
			value = "loaded"
		}
		if err != nil {
			t.Fatalf("round %d: write: %v", round, err)
		}
		for range 3 {
			began := time.Now()
			got, err := reader.GetOrLoad(t.Context(), key, answer("loaded"), client.At(client.Session(token)))
			worst = max(worst, time.Since(began))
			if err != nil || string(got.Bytes) != value {
				t.Fatalf("round %d: read %q from %s, %v; want %q", round, got.Bytes, got.Source, err, value)
			}
			reads++
		}
	}
	return reads, worst
}

func answer(value string) client.Loader {
	return func(context.Context, string) (client.Loaded, error) {
		return client.Loaded{Value: []byte(value)}, nil
	}
}

// after returns a condition that holds once d has passed.
func after(d time.Duration) func() bool {
	end := time.Now().Add(d)
	return func() bool { return time.Now().After(end) }
}

// renewed returns a condition that holds once c has had n new disks, and fails
// the test when that takes too long.
func renewed(t *testing.T, c *client.Client, n uint64) func() bool {
	late := after(90 * time.Second)
	return func() bool {
		if late() {
			t.Fatalf("the disk is not back: %+v", c.Node().Stats())
		}
		return c.Node().Stats().DisksRenewed >= n
	}
}

// fromDisk fails the test unless c answers with the value from its disk.
func fromDisk(t *testing.T, c *client.Client, key, value string) {
	t.Helper()
	c.ForgetInMemory(key)
	v, err := c.Get(t.Context(), key)
	if err != nil || string(v.Bytes) != value || v.Source != "disk" {
		t.Fatalf("%s: %q from %s, %v; want %q from disk", key, v.Bytes, v.Source, err, value)
	}
}

// A disk that is full costs a node its third tier and nothing else, and once
// there is room the tier comes back, filled, while the node runs.
func TestDiskIsFullForAWhile(t *testing.T) {
	f := newFleet(t)
	full := &errorfs.Toggle{Injector: errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.ENOSPC
		}
		return nil
	})}
	a := f.open("a")
	b := f.open("b", func(c *client.Config) {
		c.TuneDisk(func(d *disk.Config) { d.FS = errorfs.Wrap(vfs.Default, full) })
	})
	if _, err := a.Set(t.Context(), "early", []byte("kept")); err != nil {
		t.Fatal(err)
	}
	reads, worst := bystander(t, a, b, after(*faultFor/3))
	t.Logf("before: %d reads, the slowest %v", reads, worst)
	full.On()
	end := after(*faultFor)
	reads, worst = bystander(t, a, b, func() bool { return end() && b.Node().Stats().DisksLost == 1 })
	full.Off()
	t.Logf("while the disk was full: %d reads, the slowest %v", reads, worst)
	reads, worst = bystander(t, a, b, renewed(t, b, 1))
	t.Logf("until it was back: %d reads, the slowest %v", reads, worst)
	fromDisk(t, b, "early", "kept")
	bystander(t, a, b, after(*faultFor/3))
	if x := b.Node().Stats().Audit; x.ViolationsByLog+x.ViolationsByPeer != 0 {
		t.Fatalf("violations were found: %+v", x)
	}
}

// A bit that flips in a table costs a node the disk tier for as long as it takes
// to fill another.
func TestBitFlipsInATable(t *testing.T) {
	f := newFleet(t)
	small := func(c *client.Config) { c.DiskCache = 64 << 10 }
	a := f.open("a")
	const keys = 2000
	var token client.Token
	for i := range keys {
		var err error
		if token, err = a.Set(t.Context(), fmt.Sprintf("k:%d", i), []byte(strings.Repeat(fmt.Sprint(i%10), 1000))); err != nil {
			t.Fatal(err)
		}
	}
	b := f.open("b", small)
	if got := get(t, b, "k:7", client.At(client.Session(token))); len(got) != 1000 {
		t.Fatalf("%d bytes", len(got))
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	b = f.open("b", small) // what was in the log of writes is in tables now
	flipBits(t, filepath.Join(f.dir, "b"))
	for i := range keys {
		v, err := b.GetOrLoad(t.Context(), fmt.Sprintf("k:%d", i), answer("loaded"))
		if err != nil || string(v.Bytes) != strings.Repeat(fmt.Sprint(i%10), 1000) && string(v.Bytes) != "loaded" {
			t.Fatalf("k:%d: %q, %v", i, v.Bytes, err)
		}
	}
	if n := b.Node().Stats().DisksLost; n != 1 {
		t.Fatalf("%d disks lost, want 1", n)
	}
	reads, worst := bystander(t, a, b, renewed(t, b, 1))
	t.Logf("until the disk was back: %d reads, the slowest %v", reads, worst)
	fromDisk(t, b, "k:7", strings.Repeat("7", 1000))
}

// flipBits changes a bit in the middle of each table under dir.
func flipBits(t *testing.T, dir string) {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(dir, "*", "*.sst"))
	flipped := 0
	for _, name := range tables {
		content, readErr := os.ReadFile(name)
		if err = errors.Join(err, readErr); err != nil || len(content) < 20_000 {
			continue
		}
		file, openErr := os.OpenFile(name, os.O_WRONLY, 0)
		if openErr != nil {
			t.Fatal(openErr)
		}
		_, writeErr := file.WriteAt([]byte{content[len(content)/2] ^ 1}, int64(len(content)/2))
		err = errors.Join(err, writeErr, file.Close())
		flipped++
	}
	if err != nil || flipped == 0 {
		t.Fatalf("%d tables of %q were damaged: %v", flipped, tables, err)
	}
}
